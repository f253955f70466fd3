"""Convolutions with Flax's parameters and results, without XLA's slow gradients.

Why: the gradients of a strided convolution and of `nn.ConvTranspose` use `lhs_dilation`, a convolution over an input
with zeros put in. XLA does it badly everywhere it has been measured (jax-ml/jax #23783, #31662; openxla/xla #34273). On
2 CPU cores, batch 128, 14x14x128 -> 28x28x64, kernel 4, stride 2: forward 190 ms, filter gradient 3,185 ms; in the form
below 44 and 49. `../benchmarks/NOTES.md` has the whole DCGAN step with one and the other.

How: a transposed convolution is the adjoint of a strided one, so forward passes and gradients of both need just three
primitives, all linear in x, y and w:

    forward   y = conv(x, w)      a plain strided convolution; on CPU, from few channels, a matrix product
    adjoint   x = conv^T(y, w)    on CPU a stride-1 convolution for each output phase, interleaved, or, to few
                                  channels, a matrix product; elsewhere XLA's
    filter    w = conv^T(x, y)    on CPU a plain convolution over the batch; elsewhere XLA's filter gradient

and the gradient of each is made of the other two, to any order. Forward-mode differentiation is not defined.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax

from jaxgen.types import Array

Pads = tuple[tuple[int, int], ...]

# On CPU a convolution from or to an image is slow: its few channels fill no vector. One core, 64 x 28x28x1 -> 14x14x16,
# kernel 4, stride 2: forward 0.80 ms, adjoint 1.68; as a product 0.10 and 0.20. It loses from 8 channels on
# (14x14x16 -> 7x7x32: forward 0.69 against 1.34), and forward with many taps (7x7, stride 1: 3.6 against 5.5), whose
# patches also take much memory.
FEW_CHANNELS = 4
FEW_TAPS = 9


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv(x: Array, w: Array, strides: tuple[int, ...], pads: Pads) -> Array:
    """Strided convolution. x [B, *big, I], w [*kernel, I, O] -> [B, *small, O]."""
    return lax.platform_dependent(
        x,
        w,
        cpu=partial(_as_product if _is_small(w, strides) else _forward, strides=strides, pads=pads),
        default=partial(_forward, strides=strides, pads=pads),
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def conv_adjoint(y: Array, w: Array, strides: tuple[int, ...], pads: Pads, big: tuple[int, ...]) -> Array:
    """The adjoint of `conv` in x. y [B, *small, O], w [*kernel, I, O] -> [B, *big, I]."""
    on_cpu = _adjoint_as_product if _is_small(w, strides) else _phases
    return lax.platform_dependent(
        y,
        w,
        cpu=partial(on_cpu, strides=strides, pads=pads, big=big),
        default=partial(_native, strides=strides, pads=pads, big=big),
    )


def _conv_fwd(x, w, strides, pads):
    return conv(x, w, strides, pads), (x, w)


def _conv_bwd(strides, pads, saved, dy):
    x, w = saved
    return conv_adjoint(dy, w, strides, pads, x.shape[1:-1]), _filter(x, dy, strides, pads, w.shape)


def _adjoint_fwd(y, w, strides, pads, big):
    return conv_adjoint(y, w, strides, pads, big), (y, w)


def _adjoint_bwd(strides, pads, big, saved, dx):
    y, w = saved
    return conv(dx, w, strides, pads), _filter(dx, y, strides, pads, w.shape)


conv.defvjp(_conv_fwd, _conv_bwd)
conv_adjoint.defvjp(_adjoint_fwd, _adjoint_bwd)


def _forward(x: Array, w: Array, strides: Sequence[int], pads: Pads) -> Array:
    return lax.conv_general_dilated(x, w, strides, pads, dimension_numbers=_dimensions(x.ndim))


def _filter(x: Array, y: Array, strides: tuple[int, ...], pads: Pads, shape: tuple[int, ...]) -> Array:
    """The gradient in w. The barrier keeps XLA from recomputing what made x and y inside a transposing copy (47 ms)."""
    x, y = lax.optimization_barrier((x, y))
    return lax.platform_dependent(
        x,
        y,
        cpu=partial(_filter_as_forward, strides=strides, pads=pads, kernel=shape[:-2]),
        default=partial(_filter_as_gradient, strides=strides, pads=pads, shape=shape),
    )


def _filter_as_gradient(x: Array, y: Array, strides: tuple[int, ...], pads: Pads, shape: tuple[int, ...]) -> Array:
    of_w = jax.linear_transpose(lambda w: _forward(x, w, strides, pads), jax.ShapeDtypeStruct(shape, x.dtype))
    return of_w(y)[0]


def _filter_as_forward(x: Array, y: Array, strides: tuple[int, ...], pads: Pads, kernel: tuple[int, ...]) -> Array:
    """w[k] is the sum of x[s m + k - p] y[m]: a convolution of x whose taps are y, s apart; the batch is its channels.

    The transposes are written out since XLA, inside the loop of a `lax.scan`, does not bring a convolution over other
    dimensions into the form that its fast path takes: 14x14x64, 32 examples, 113 ms a step against 2.7.
    """
    n_axes = x.ndim - 2
    edges = tuple(
        (low, k + (m - 1) * s - n - low)
        for (low, _), k, s, n, m in zip(pads, kernel, strides, x.shape[1:-1], y.shape[1:-1], strict=True)
    )
    w = lax.conv_general_dilated(
        jnp.swapaxes(x, 0, -1),
        jnp.moveaxis(y, 0, -2),
        (1,) * n_axes,
        edges,
        rhs_dilation=strides,
        dimension_numbers=_dimensions(x.ndim),
    )
    return jnp.moveaxis(w, 0, -2)


def _as_product(x: Array, w: Array, strides: tuple[int, ...], pads: Pads) -> Array:
    """`_forward` as one matrix product. Blocks of `strides` pixels become channels, so a patch is a few contiguous
    pieces; the kernel, filled up with zeros to whole blocks, is laid out alike."""
    n_axes, taps = x.ndim - 2, _taps(w, strides)
    small = [
        (n + low + high - k) // s + 1
        for n, (low, high), k, s in zip(x.shape[1:-1], pads, w.shape, strides, strict=False)
    ]
    blocks = [m + t - 1 for m, t in zip(small, taps, strict=True)]
    whole = [b * s for b, s in zip(blocks, strides, strict=True)]
    edges = [(low, size - n - low, 0) for (low, _), size, n in zip(pads, whole, x.shape[1:-1], strict=True)]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    x = _blocks_last(x, 1, blocks, strides).reshape(len(x), *blocks, -1)
    patches = [
        x[(slice(None), *(slice(t, t + m) for t, m in zip(tap, small, strict=True)))]
        for tap in itertools.product(*map(range, taps))
    ]
    edges = [(0, t * s - k, 0) for t, s, k in zip(taps, strides, w.shape, strict=False)]
    w = lax.pad(w, jnp.zeros((), w.dtype), [*edges, (0, 0, 0), (0, 0, 0)])
    w = _blocks_last(w, 0, taps, strides).reshape(-1, w.shape[-1])
    return jnp.concatenate(patches, axis=n_axes + 1) @ w


def _blocks_last(x: Array, start: int, blocks: Sequence[int], strides: Sequence[int]) -> Array:
    """[..., *(blocks * strides), ...] -> [..., *blocks, *strides, ...]; the axes to part begin at `start`."""
    n, tail = len(strides), x.shape[start + len(strides) :]
    x = x.reshape(*x.shape[:start], *itertools.chain(*zip(blocks, strides, strict=True)), *tail)
    parted = [*range(start, start + 2 * n, 2), *range(start + 1, start + 2 * n, 2)]
    return x.transpose(*range(start), *parted, *range(start + 2 * n, x.ndim))


def _is_small(w: Array, strides: Sequence[int]) -> bool:
    """Whether a product is the better form on CPU."""
    return w.shape[-2] <= FEW_CHANNELS and math.prod(_taps(w, strides)) <= FEW_TAPS


def _taps(w: Array, strides: Sequence[int]) -> list[int]:
    """Blocks of `strides` pixels under a kernel, along each axis."""
    return [-(-k // s) for k, s in zip(w.shape, strides, strict=False)]


def _adjoint_as_product(y: Array, w: Array, strides: tuple[int, ...], pads: Pads, big: tuple[int, ...]) -> Array:
    """One matrix product, then overlapping patches are added: what the transpose of `_as_product` comes to."""
    x = jax.ShapeDtypeStruct((y.shape[0], *big, w.shape[-2]), y.dtype)
    return jax.linear_transpose(lambda x: _as_product(x, w, strides, pads), x)(y)[0]


def _native(y: Array, w: Array, strides: tuple[int, ...], pads: Pads, big: tuple[int, ...]) -> Array:
    x = jax.ShapeDtypeStruct((y.shape[0], *big, w.shape[-2]), y.dtype)
    return jax.linear_transpose(lambda x: _forward(x, w, strides, pads), x)(y)[0]


def _phases(y: Array, w: Array, strides: tuple[int, ...], pads: Pads, big: tuple[int, ...]) -> Array:
    """Along one axis, x[n] is the sum of y[m] w[k] over n = s m + k - p. With n = s i + a, only the taps k = r + s j
    with r = (a + p) mod s meet phase a, at m = i + q - j with q = (a + p - r) / s: a plain convolution with every s-th
    tap, reversed. No zeros are multiplied."""
    n_axes, kernel, small = y.ndim - 2, w.shape[:-2], y.shape[1:-1]
    flipped = jnp.swapaxes(w, -1, -2)
    counts = [-(-n // s) for n, s in zip(big, strides, strict=True)]
    outs = []
    for phase in itertools.product(*map(range, strides)):
        taps, edges = [], []
        for a, s, (p, _), k, m, n in zip(phase, strides, pads, kernel, counts, small, strict=True):
            r = (a + p) % s
            q, n_taps = (a + p - r) // s, len(range(r, k, s))
            taps.append(slice(r, None, s))
            edges.append((n_taps - 1 - q, m + q - n))
        sub = jnp.flip(flipped[tuple(taps)], axis=range(n_axes))
        if 0 in sub.shape:  # a kernel smaller than its stride leaves this phase empty
            outs.append(jnp.zeros((y.shape[0], *counts, w.shape[-2]), y.dtype))
        else:
            outs.append(_forward(y, sub, (1,) * n_axes, tuple(edges)))
    if len(outs) == 1:
        return outs[0]
    # [phases, B, *counts, I] -> [*strides, B, *counts, I] -> [B, count, stride, ..., I]
    x = jnp.stack(outs).reshape(*strides, y.shape[0], *counts, w.shape[-2])
    order = [n_axes, *itertools.chain(*((n_axes + 1 + d, d) for d in range(n_axes))), x.ndim - 1]
    x = x.transpose(order).reshape(y.shape[0], *(m * s for m, s in zip(counts, strides, strict=True)), -1)
    return x[(slice(None), *(slice(n) for n in big))]


def _dimensions(ndim: int) -> lax.ConvDimensionNumbers:
    axes = tuple(range(1, ndim - 1))
    return lax.ConvDimensionNumbers(
        (0, ndim - 1, *axes), (ndim - 1, ndim - 2, *(a - 1 for a in axes)), (0, ndim - 1, *axes)
    )


class Conv(nn.Module):
    """`nn.Conv` for 1 to 3 axes: [B, *space, I] -> [B, *space / strides, features]."""

    features: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: str | Pads = "SAME"
    use_bias: bool = True
    dtype: Any = None
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()
    bias_init: Callable[..., Array] = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        strides = self.strides or (1,) * len(self.kernel_size)
        x, kernel, bias = _operands(self, x)
        pads = self.padding
        if isinstance(pads, str):
            pads = tuple(lax.padtype_to_pads(x.shape[1:-1], self.kernel_size, strides, pads))
        return _add_bias(conv(x, kernel, strides, pads), bias)


class ConvTranspose(nn.Module):
    """`nn.ConvTranspose` for 1 to 3 axes: [B, *space, I] -> [B, *space * strides, features] with SAME padding."""

    features: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: str = "SAME"
    use_bias: bool = True
    dtype: Any = None
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()
    bias_init: Callable[..., Array] = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        strides = self.strides or (1,) * len(self.kernel_size)
        x, kernel, bias = _operands(self, x)
        # Flax slides the kernel as it is over the dilated input; an adjoint slides it reversed, from O to I.
        w = jnp.swapaxes(jnp.flip(kernel, axis=range(len(strides))), -1, -2)
        lows, big = _transposed_geometry(x.shape[1:-1], self.kernel_size, strides, self.padding)
        pads = tuple(
            (low, (n - 1) * s + k - low - m)
            for low, n, s, k, m in zip(lows, x.shape[1:-1], strides, self.kernel_size, big, strict=True)
        )
        return _add_bias(conv_adjoint(x, w, strides, pads, big), bias)


def _operands(layer: Conv | ConvTranspose, x: Array) -> tuple[Array, Array, Array | None]:
    """(x, kernel, bias) in the layer's type; the parameters are Flax's."""
    shape = (*layer.kernel_size, x.shape[-1], layer.features)
    kernel = layer.param("kernel", layer.kernel_init, shape)
    bias = layer.param("bias", layer.bias_init, (layer.features,)) if layer.use_bias else None
    x, kernel, bias = promote_dtype(x, kernel, bias, dtype=layer.dtype)
    return x, kernel, bias


def _add_bias(x: Array, bias: Array | None) -> Array:
    return x if bias is None else x + bias.reshape((1,) * (x.ndim - 1) + (-1,))


def _transposed_geometry(
    small: Sequence[int], kernel: Sequence[int], strides: Sequence[int], padding: str
) -> tuple[list[int], tuple[int, ...]]:
    """The low padding of the strided convolution whose adjoint `lax.conv_transpose` is, and the size it comes from."""
    lows, big = [], []
    for n, k, s in zip(small, kernel, strides, strict=True):
        if padding == "SAME":
            total = k + s - 2
            before = k - 1 if s > k - 1 else -(-total // 2)
        elif padding == "VALID":
            total, before = k + s - 2 + max(k - s, 0), k - 1
        else:
            raise ValueError(f"padding is 'SAME' or 'VALID', not {padding!r}")
        lows.append(k - 1 - before)
        big.append((n - 1) * s + 1 + total - k + 1)
    return lows, tuple(big)
