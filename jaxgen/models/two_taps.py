"""Convolutions whose kernel is twice their stride, with fewer products. On CPU, fp32.

With blocks of s pixels as channels such a convolution has two taps along each axis, y[b] = d[b] g0 + d[b + 1] g1, and
two of its outputs cost three products in place of four (Karatsuba 1962; minimal filtering, Winograd 1980): 9/16 of
the products on two axes, 27/64 on three. They come as dots of 200 to 250 GFLOP/s a core, but what is between the sums
and the dots is 2.25 or 3.4 times the size of the block array: so all is made in parts of the batch that stay in the
cache.

Two EPYC cores, ms, this form against `convolution_cpu`'s other ones (jax 0.10.2, minima, `out_first`):

                                   adjoint       forward       filter gradient
    128 x 28x28x64, 14x14x128      15.5 | 20     16 | 18       20 | 27
    128 x 14x14x128, 7x7x256       13.9 | 17     12.4 | 16.8   16.5 | 23
    128 x 14x14x64, 7x7x128        4.2 | 4.3     4.1 | 3.8     5.3 | 5.6
    32 x 64x64x64, 32x32x128       20 | 31       23 | 24       27 | 39
    32 x 32x32x128, 16x16x256      16.6 | 23     18 | 24       21 | 31
    32 x 16x16x256, 8x8x512        14.5 | 20     19 | 20       18 | 28
    32 x 8x8x512, 4x4x1024         21 | 23       26 | 24       21 | 39
    128 x 28x28x32, 14x14x64       6.4 | 5.9: few channels
    16 x 16x32x32x32, 8x16x16x64   21.5 | 159    20 | 94       25 | 511: XLA's convolutions on three axes are bad

One core, shared with other work, CPU ms:

    64 x 12x16x16x4, 6x8x8x32      6.2 | 9.1     7.0 | 33      11 | 114
    64 x 8x16x16x12, 4x8x8x32      13 | 86       13 | 52       15 | 223
    32 x 1024x16, 256x32 (8/4)     1.1 | 1.9     1.1 | 1.1     1.7 | 2.2
    32 x 256x32, 64x64 (8/4)       0.8 | 1.1     0.8 | 0.9     1.1 | 1.5
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxgen.types import Array

Pads = tuple[tuple[int, int], ...]

PART_BYTES = 8 << 20  # of the products made at once; from 4 to 16 MiB it makes no difference
SWAPPED_BYTES = 1 << 19  # of a kernel's blocks for one tap
LEAST_CHANNELS = {1: 16, 2: 64, 3: 1}  # by the number of axes


def pays(w: Any, strides: Sequence[int], small: Sequence[int], pads: Pads, big: Sequence[int]) -> bool:
    """Whether these forms can be had, and pay. They round a little more, which only fp32 can afford."""
    possible = (
        w.dtype == jnp.float32
        and min(small) > 1
        and all(k == 2 * s for k, s in zip(w.shape, strides, strict=False))
        and all(n + low <= (m + 1) * s for n, (low, _), m, s in zip(big, pads, small, strides, strict=True))
    )
    return possible and min(w.shape[-2:]) >= LEAST_CHANNELS[len(strides)]


def adjoint(
    y: Array, w: Array, strides: tuple[int, ...], pads: Pads, big: tuple[int, ...], out_first: bool = False
) -> Array:
    """`convolution.conv_adjoint`. Block b gets y[b] g0 + y[b - 1] g1.

    For a pair of outputs y0, y1 along an axis the three products are y0 g0, (y0 + y1)(g0 + g1) and y1 g1; block 2t gets
    the first, and the third of the pair before; block 2t + 1 the second less the other two.
    """
    axes = range(1, len(strides) + 1)
    g = _three(_kernel_blocks(w, strides, out_first), range(len(strides)))
    n_block = g[0].size // y.shape[-1]

    def part(y: Array) -> Array:
        x = [_dot(a, b, not out_first) for a, b in zip(_three(y, axes), g, strict=True)]
        for axis in reversed(axes):
            x = [_add_up(*x[i : i + 3], axis) for i in range(0, len(x), 3)]
        return _pixels(x[0], strides, pads, big)

    return _in_parts(part, (y,), _bytes(y.shape[1:-1], n_block), kernels=g)


def forward(
    x: Array, w: Array, strides: tuple[int, ...], pads: Pads, small: tuple[int, ...], out_first: bool = False
) -> Array:
    """`convolution.conv`. For blocks d0, d1, d2 along an axis the products are (d0 - d1) g0, d1 (g0 + g1) and
    (d1 - d2) g1, and a pair of outputs is the sum of the first two and the difference of the last two."""
    axes = range(1, len(strides) + 1)
    g = _three(_kernel_blocks(w, strides, out_first), range(len(strides)))
    n_block = math.prod(strides) * x.shape[-1]

    def part(x: Array) -> Array:
        d = _differences(_blocks(x, strides, pads, small), axes)
        y = [_dot(a, b, out_first) for a, b in zip(d, g, strict=True)]
        for axis in reversed(axes):
            y = [_pair(*y[i : i + 3], axis) for i in range(0, len(y), 3)]
        return y[0]

    return _in_parts(part, (x,), _bytes(small, n_block), kernels=g)


def filter_gradient(x: Array, y: Array, strides: tuple[int, ...], pads: Pads, out_first: bool = False) -> Array:
    """The gradient in w, by the products of `forward`: y is to the blocks what the taps are there."""
    axes = range(1, len(strides) + 1)
    n_in, n_out, small = x.shape[-1], y.shape[-1], y.shape[1:-1]
    n_block = math.prod(strides) * n_in

    def part(x: Array, y: Array) -> Array:
        d = [a.reshape(-1, n_block) for a in _differences(_blocks(x, strides, pads, small), axes)]
        pairs = [a.reshape(-1, n_out) for a in _three(y, axes)]
        rows, columns = (d, pairs) if d_first else (pairs, d)
        return jnp.stack([a.T @ b for a, b in zip(rows, columns, strict=True)])

    # d.T @ pairs takes a fifth more time than pairs.T @ d, but a large kernel should not have to be swapped.
    d_first = not out_first and 4 * n_block * n_out > SWAPPED_BYTES
    sums = [jax.ShapeDtypeStruct((n_block, n_out), x.dtype)] * 3 ** len(strides)
    g = list(_in_parts(part, (x, y), _bytes(small, n_block), kernels=sums, add=True))
    for _ in strides:  # the last axis that is left
        g = [jnp.stack([g[i] + g[i + 1], g[i + 1] - g[i + 2]]) for i in range(0, len(g), 3)]
    if not (out_first or d_first):
        g = [g[0].swapaxes(-1, -2)]
    return _kernel(g[0], strides, (n_in, n_out), out_first)


def blocks_last(x: Array, start: int, blocks: Sequence[int], strides: Sequence[int]) -> Array:
    """[..., *(blocks * strides), ...] -> [..., *blocks, *strides, ...]; the axes to part begin at `start`."""
    n, tail = len(strides), x.shape[start + len(strides) :]
    x = x.reshape(*x.shape[:start], *itertools.chain(*zip(blocks, strides, strict=True)), *tail)
    parted = [*range(start, start + 2 * n, 2), *range(start + 1, start + 2 * n, 2)]
    return x.transpose(*range(start), *parted, *range(start + 2 * n, x.ndim))


def _blocks(x: Array, strides: Sequence[int], pads: Pads, small: Sequence[int]) -> Array:
    """[B, *big, I] -> padded, in blocks of `strides` pixels, one more than outputs: [B, *blocks, prod(strides) I].

    Joined from slices: `blocks_last` would be fused into every sum of blocks, with its arithmetic on each index, and
    the sums would take 2.4 times longer.
    """
    counts = [m + 1 for m in small]
    whole = [c * s for c, s in zip(counts, strides, strict=True)]
    edges = [(low, size - n - low, 0) for (low, _), size, n in zip(pads, whole, x.shape[1:-1], strict=True)]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    x = x.reshape(*x.shape[:-2], counts[-1], -1)
    pixels = itertools.product(*map(range, strides[:-1]))
    slices = [x[:, *(slice(i, None, s) for i, s in zip(pixel, strides, strict=False))] for pixel in pixels]
    return lax.concatenate(slices, x.ndim - 1)


def _pixels(x: Array, strides: Sequence[int], pads: Pads, big: Sequence[int]) -> Array:
    """Back from blocks, without the padding."""
    n_axes, counts = len(strides), x.shape[1:-1]
    x = x.reshape(len(x), *counts, *strides, -1)
    x = x.transpose(0, *itertools.chain(*((d, d + n_axes) for d in range(1, n_axes + 1))), 2 * n_axes + 1)
    x = x.reshape(len(x), *(c * s for c, s in zip(counts, strides, strict=True)), x.shape[-1])
    return x[(slice(None), *(slice(low, low + n) for (low, _), n in zip(pads, big, strict=True)))]


def _kernel_blocks(w: Array, strides: Sequence[int], out_first: bool) -> Array:
    """[*kernel, I, O] -> [2, ..., prod(strides) I, O]; [*kernel, O, I] -> [2, ..., O, prod(strides) I]."""
    n_axes = len(strides)
    w = blocks_last(w, 0, (2,) * n_axes, strides)
    if out_first:
        w = jnp.moveaxis(w, -2, n_axes)
        return w.reshape(*w.shape[: n_axes + 1], -1)
    return w.reshape(*(2,) * n_axes, -1, w.shape[-1])


def _kernel(g: Array, strides: Sequence[int], channels: tuple[int, int], out_first: bool) -> Array:
    """Back from `_kernel_blocks`; g may have the taps as one axis."""
    n_axes, (n_in, n_out) = len(strides), channels
    if out_first:
        w = jnp.moveaxis(g.reshape(*(2,) * n_axes, n_out, *strides, n_in), n_axes, -2)
    else:
        w = g.reshape(*(2,) * n_axes, *strides, n_in, n_out)
    order = [*itertools.chain(*((d, d + n_axes) for d in range(n_axes))), 2 * n_axes, 2 * n_axes + 1]
    return w.transpose(order).reshape(*(2 * s for s in strides), *w.shape[-2:])


def _dot(a: Array, b: Array, b_transposed: bool) -> Array:
    """a [..., K] b over K: b is [*ones, K, N], or transposed [*ones, N, K]."""
    b = b.reshape(b.shape[-2:])
    return lax.dot_general(a.reshape(-1, a.shape[-1]), b, (((1,), (1 if b_transposed else 0,)), ((), ()))).reshape(
        *a.shape[:-1], -1
    )


def _three(x: Array, axes: Sequence[int]) -> list[Array]:
    """Pairs (x0, x1) along each of the axes -> x0, x0 + x1, x1; of the first axis outermost, 3^n arrays. The last of an
    odd number is appended to the first and the third."""
    out = [x]
    for axis in axes:
        n = x.shape[axis]
        halves = [(_every_second(a, 0, n, axis), _every_second(a, 1, n, axis), a) for a in out]
        if n % 2:
            out = [
                b
                for x0, x1, a in halves
                for b in (x0, _slice(x0, 0, n // 2, axis) + x1, _join(x1, _slice(a, n - 1, n, axis), axis))
            ]
        else:
            out = [b for x0, x1, _ in halves for b in (x0, x0 + x1, x1)]
    return out


def _differences(x: Array, axes: Sequence[int]) -> list[Array]:
    """Blocks d[2t], d[2t + 1], d[2t + 2] along each of the axes -> d0 - d1, d1, d1 - d2; 3^n arrays as `_three`. If
    there is one more output than in pairs, its blocks d0 and -d1 are appended to the first and the third."""
    out = [x]
    for axis in axes:
        n = x.shape[axis] - 1
        even = n - n % 2
        threes = [(*(_every_second(a, i, max(even + i - 1, i), axis) for i in (0, 1, 2)), a) for a in out]
        out = [b for d0, d1, d2, _ in threes for b in (d0 - d1, d1, d1 - d2)]
        if n % 2:
            for i, (*_, a) in enumerate(threes):
                out[3 * i] = _join(out[3 * i], _slice(a, n - 1, n, axis), axis)
                out[3 * i + 2] = _join(out[3 * i + 2], -_slice(a, n, n + 1, axis), axis)
    return out


def _pair(first: Array, both: Array, last: Array, axis: int) -> Array:
    """The three products of the outputs along an axis -> the outputs."""
    n = both.shape[axis]
    end = first.shape[axis]
    even, odd = _slice(first, 0, n, axis) + both, both - _slice(last, 0, n, axis)
    pairs = _interleaved(even, odd, axis)
    return pairs if end == n else _join(pairs, _slice(first, n, end, axis) - _slice(last, n, end, axis), axis)


def _add_up(first: Array, both: Array, second: Array, axis: int) -> Array:
    """The three products of inputs along an axis -> their blocks; of an even number of inputs one more, left empty."""

    def pad(x: Array, low: int, high: int) -> Array:
        edges = [(low, high, 0) if d == axis else (0, 0, 0) for d in range(x.ndim)]
        return lax.pad(x, jnp.zeros((), x.dtype), edges)

    n, end = both.shape[axis], first.shape[axis]
    seconds = _slice(second, 0, n, axis)
    odd = both - _slice(first, 0, n, axis) - seconds
    even = (pad(first, 0, 1) if end == n else first) + pad(seconds, 1, 0)
    return _interleaved(even, pad(odd, 0, 1) if end == n else _join(odd, _slice(second, n, end, axis), axis), axis)


def _slice(x: Array, start: int, stop: int, axis: int) -> Array:
    return lax.slice_in_dim(x, start, stop, 1, axis)


def _every_second(x: Array, start: int, stop: int, axis: int) -> Array:
    return lax.slice_in_dim(x, start, stop, 2, axis)


def _join(x: Array, y: Array, axis: int) -> Array:
    return lax.concatenate([x, y], axis)


def _interleaved(even: Array, odd: Array, axis: int) -> Array:
    shape = (*even.shape[:axis], 2 * even.shape[axis], *even.shape[axis + 1 :])
    return jnp.stack([even, odd], axis + 1).reshape(shape)


def _bytes(small: Sequence[int], channels: int) -> int:
    """Of an example's 3^n arrays of so many channels for each pair of outputs."""
    return 4 * channels * math.prod(m // 2 * 3 + m % 2 * 2 for m in small)


def _in_parts(
    f: Callable[..., Array], xs: tuple[Array, ...], bytes_each: int, kernels: Sequence[Any], add: bool = False
) -> Array:
    """f(*xs), some examples at a time; `add`: the sum over the parts, else one after the other. Every part reads or
    writes all `kernels`, so it is not made smaller than these are.

    Each part is made of every n-th example, so that a batch that is split over devices in blocks has a share of each
    part on every device.
    """
    batch = len(xs[0])
    most = max(PART_BYTES, sum(k.dtype.itemsize * k.size for k in kernels))
    n = next((n for n in range(1, batch + 1) if batch % n == 0 and batch // n * bytes_each <= most), batch)
    if n == 1:
        return f(*xs)
    xs = tuple(x.reshape(batch // n, n, *x.shape[1:]) for x in xs)
    shape = jax.eval_shape(f, *(x[:, 0] for x in xs)).shape

    def body(i: Array, out: Array) -> Array:
        part = f(*(lax.dynamic_index_in_dim(x, i, 1, keepdims=False) for x in xs))
        return out + part if add else lax.dynamic_update_index_in_dim(out, part, i, 1)

    start = shape if add else (shape[0], n, *shape[1:])
    out = lax.fori_loop(0, n, body, jnp.zeros(start, xs[0].dtype))
    return out if add else out.reshape(-1, *shape[1:])
