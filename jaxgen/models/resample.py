"""Blur, and resampling by two: nearest, average, bilinear, and both with a convolution folded in.

All are linear, [B, *space, C] -> [B, *space', C] for 1 to 3 axes, differentiable in reverse to any order.

The forms are XLA's fast ones on CPU: sums of shifted slices, edges computed apart and concatenated; no padded copy, no
window reduction and no depthwise convolution (which XLA does in 300 ms), and gradients written as the same kind of sum,
since the transpose of a slice is a padding, which is slow. On a GPU or a TPU XLA fuses each into one loop. A nearest
upsampling before a 3x3 convolution, or an average after it, leaves a 4x4 convolution of stride 2: 16 taps for each
small pixel in the place of 36.

One EPYC core, shared; 128 examples; ms of the value | value and gradients. PyTorch 2.13 is in channels_last:

    blur 3x3 28x28x64              2.8 |  6.1   lax  290 | 585   PyTorch  3.1 | 10.9
    the same, reflected            3.2 |  7.1   lax  290 | 641   PyTorch  5.0 | 22.4
    the same, stride 2, zeros      1.0 |  2.5   lax  282 | 682   PyTorch  1.4 |  5.0
    nearest 14x14x128              1.6 |  3.6   Flax 2.0 | 8.8   PyTorch  1.7 |  8.2
    average 28x28x64               0.7 |  1.5   Flax 1.6 | 3.9   PyTorch  2.1 |  6.0
    bilinear 14x14x128             5.5 |  9.9   jax   25 |  52   PyTorch  3.0 | 11.1
    UpConv 14x14x128 -> 28x28x64    40 |  121                    PyTorch  126 |  398
    DownConv 28x28x64 -> 14x14x128  33 |  114                    PyTorch  121 |  202
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from jaxgen.models.convolution import add_bias, conv, conv_adjoint, operands
from jaxgen.types import Array

Padding: TypeAlias = Literal["zero", "reflect", "edge"]


def blur(x: Array, length: int = 3, stride: int = 1, padding: Padding = "reflect") -> Array:
    """Binomial filter of `length` taps along each axis, which sum to 1. Zhang 2019; StyleGAN (Karras et al. 2019).

    With stride 2 it is the antialiased downsampling. The output has ceil(n / stride) entries along an axis; an even
    filter reaches one entry further up than down. Raises `ValueError` for a length below 1 or an axis too short to
    reflect.
    """
    if length < 1:
        raise ValueError(f"a filter has at least 1 tap, not {length}")
    taps = tuple(math.comb(length - 1, i) / 2 ** (length - 1) for i in range(length))
    return _filter(x, taps, stride, padding)


def nearest_up(x: Array) -> Array:
    """Each entry twice along each axis: [B, *space, C] -> [B, *2 space, C]."""
    return _filter_adjoint(x, (1.0, 1.0), 2, "zero", _doubled(x))


def average_down(x: Array) -> Array:
    """Means of blocks of two along each axis: [B, *space, C] -> [B, *space // 2, C]. A last odd entry is dropped."""
    return _filter(x[(slice(None), *(slice(n - n % 2) for n in x.shape[1:-1]))], (0.5, 0.5), 2, "zero")


def bilinear_up(x: Array) -> Array:
    """Linear interpolation at half-pixel centres: [B, *space, C] -> [B, *2 space, C], as `jax.image.resize` does it."""
    return _filter_adjoint(x, (0.25, 0.75, 0.75, 0.25), 2, "edge", _doubled(x))


def _doubled(x: Array) -> tuple[int, ...]:
    return tuple(2 * n for n in x.shape[1:-1])


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _filter(x: Array, taps: tuple[float, ...], stride: int, padding: Padding) -> Array:
    """The same taps along each axis: [B, *space, C] -> [B, *ceil(space / stride), C]."""
    for axis in range(1, x.ndim - 1):
        x = _rows(x, _matrix(x.shape[axis], taps, stride, padding), stride, axis)
    return x


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _filter_adjoint(y: Array, taps: tuple[float, ...], stride: int, padding: Padding, space: tuple[int, ...]) -> Array:
    """The adjoint of `_filter` of [B, *space, C]: every `stride`-th row of the transposed matrix is a filter again."""
    phases = [y]  # of all axes so far: parts are interleaved at the end, so that the filters run on small arrays
    for axis, n in enumerate(space, 1):
        matrix = np.pad(_matrix(n, taps, stride, padding).T, ((0, -n % stride), (0, 0)))
        phases = [_rows(part, matrix[r::stride], 1, axis) for part in phases for r in range(stride)]
    for axis in range(len(space), 0, -1):
        phases = [_interleave(phases[i : i + stride], axis) for i in range(0, len(phases), stride)]
    return phases[0][(slice(None), *(slice(n) for n in space))]


def _filter_fwd(x, taps, stride, padding):
    return _filter(x, taps, stride, padding), jnp.zeros((0, *x.shape[1:-1]))  # only the shape is needed


def _filter_bwd(taps, stride, padding, empty, dy):
    return (_filter_adjoint(dy, taps, stride, padding, empty.shape[1:]),)


def _adjoint_fwd(y, taps, stride, padding, space):
    return _filter_adjoint(y, taps, stride, padding, space), None


def _adjoint_bwd(taps, stride, padding, space, _, dx):
    return (_filter(dx, taps, stride, padding),)


_filter.defvjp(_filter_fwd, _filter_bwd)
_filter_adjoint.defvjp(_adjoint_fwd, _adjoint_bwd)


def _interleave(phases: Sequence[Array], axis: int) -> Array:
    """phases[r][i] at r + i * len(phases) along the axis.

    A choice by index: XLA on CPU unrolls the short axis, where it would copy a concatenation piece by piece.
    """
    s, first = len(phases), phases[0]
    shape = (*first.shape[: axis + 1], s, *first.shape[axis + 1 :])
    spread = [jnp.broadcast_to(jnp.expand_dims(p, axis + 1), shape) for p in phases]
    place = lax.broadcasted_iota(jnp.int32, shape, axis + 1)
    x = spread[-1]
    for r in range(s - 1):
        x = jnp.where(place == r, spread[r], x)
    return x.reshape(*first.shape[:axis], -1, *first.shape[axis + 1 :])


def _matrix(n: int, taps: tuple[float, ...], stride: int, padding: Padding) -> np.ndarray:
    """[ceil(n / stride), n]: the filter along an axis, its padding included."""
    low, high = (len(taps) - 1) // 2, len(taps) // 2
    if padding == "reflect" and n <= high:
        raise ValueError(f"an axis of {n} is too short to reflect {high} entries")
    mode = {"zero": {"constant_values": n}, "reflect": {"mode": "reflect"}, "edge": {"mode": "edge"}}[padding]
    places = np.pad(np.arange(n), (low, high), **mode)
    matrix = np.zeros((-(-n // stride), n + 1))  # the last column takes what lies outside
    for i in range(len(matrix)):
        for k, tap in enumerate(taps):
            matrix[i, places[i * stride + k]] += tap
    return matrix[:, :n]


def _rows(x: Array, matrix: np.ndarray, stride: int, axis: int) -> Array:
    """matrix [m, n] times the axis of x. Rows that repeat the middle one, `stride` further, become shifted slices."""
    m, n = matrix.shape
    middle = m // 2 if matrix[m // 2].any() else int(np.count_nonzero(matrix, axis=1).argmax())
    (support,) = matrix[middle].nonzero()
    first, last = support[0] - middle * stride, support[-1] + 1 - middle * stride
    taps = matrix[middle, support[0] : support[-1] + 1]

    def regular(i: int) -> bool:
        a, b = i * stride + first, i * stride + last
        inside = a >= 0 and b <= n
        return inside and np.array_equal(matrix[i, a:b], taps) and np.count_nonzero(matrix[i]) == np.count_nonzero(taps)

    start = next((i + 1 for i in range(middle, -1, -1) if not regular(i)), 0)
    stop = next((i for i in range(middle, m) if not regular(i)), m)

    def slices(weights: np.ndarray, a: int, count: int) -> Array:
        parts = [
            float(w) * lax.slice_in_dim(x, a + k, a + k + (count - 1) * stride + 1, stride, axis)
            for k, w in enumerate(weights)
            if w
        ]
        if not parts:  # a row of zeros
            return jnp.zeros_like(lax.slice_in_dim(x, 0, count, axis=axis))
        return sum(parts[1:], parts[0])

    edge = lambda i: slices(matrix[i], 0, 1)  # noqa: E731
    body = slices(taps, start * stride + first, stop - start)
    return jnp.concatenate([*map(edge, range(start)), body, *map(edge, range(stop, m))], axis)


class UpConv(nn.Module):
    """Nearest upsampling by two, then a convolution, as one transposed convolution: [B, *space, I] -> [B, *2 space, O].

    Parameters and results of `nn.Conv(features, kernel_size)` with stride 1 and SAME padding after `nearest_up`.
    """

    features: int
    kernel_size: tuple[int, ...] = (3, 3)
    use_bias: bool = True
    dtype: Any = None
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x, kernel, bias = operands(self, x)
        # Output n takes tap k from entry (n + k - c) // 2, c = (K - 1) // 2: entry m gives it the sum over b in {0, 1}
        # of w[c - (n - 2 m) + b]. The adjoint's tap is n - 2 m + p, with p = K - 1 - c: the folded kernel, reversed.
        w = jnp.flip(_doubled_kernel(kernel), range(kernel.ndim - 2))
        pads = tuple((k // 2, (k - 1) // 2) for k in self.kernel_size)
        return add_bias(conv_adjoint(x, w, (2,) * len(pads), pads, _doubled(x), out_first=True), bias)


class DownConv(nn.Module):
    """A convolution, then means of blocks of two, as one strided convolution: [B, *space, I] -> [B, *space // 2, O].

    Parameters and results of `nn.Conv(features, kernel_size)` with stride 1 and SAME padding before `average_down`.
    """

    features: int
    kernel_size: tuple[int, ...] = (3, 3)
    use_bias: bool = True
    dtype: Any = None
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x, kernel, bias = operands(self, x)
        w = _doubled_kernel(kernel) * 0.5 ** (kernel.ndim - 2)
        pads = tuple(((k - 1) // 2, k // 2 - n % 2) for k, n in zip(self.kernel_size, x.shape[1:-1], strict=True))
        return add_bias(conv(x, w, (2,) * len(pads), pads), bias)


def _doubled_kernel(kernel: Array) -> Array:
    """The kernel [*K, I, O] plus itself one step along each axis: [*K + 1, I, O]."""
    for axis in range(kernel.ndim - 2):
        ends = [(0, 0)] * kernel.ndim
        ends[axis] = (0, 1)
        kernel = jnp.pad(kernel, ends) + jnp.pad(kernel, [e[::-1] for e in ends])
    return kernel
