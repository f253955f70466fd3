"""How `convolution`'s three primitives are computed on CPU; figures of one core, fp32, 128 examples, jax 0.10.2.

**Phases** (`phases`): an adjoint is a stride-1 convolution for each output phase. 14x14x128 -> 28x28x64, kernel 4,
stride 2: 37 ms, where `lhs_dilation` takes many times that.

**Fewer products** (`two_taps`): where the kernel is twice the stride and channels are many, as in most 4/2 layers.

**Matrix products** from and to images (`as_product`): few channels fill no vector. 64 x 28x28x1 -> 14x14x16, kernel 4,
stride 2: forward 0.80 ms, adjoint 1.68; as a product 0.10 and 0.20. It loses from 8 channels on (14x14x16 -> 7x7x32:
forward 0.69 against 1.34), and forward with many taps (7x7, stride 1: 3.6 against 5.5), whose patches also take much
memory. To few channels at stride 1 (a generator's last layer, 28x28x64 -> 28x28x1, 3x3): forward 8.9 ms by XLA, 2.3 so;
adjoint 3.8 and 1.7; filter gradient 17 and 1.9.

Up to 16 channels do as well where the other side has four times as many (one Xeon core, 32 x 14x28x64 -> 13, 3x3:
forward 5.3 ms by XLA, 3.8 so; filter gradient 9.2 and 4.5; with 8 channels 5.4, 2.1 and 9.0, 3.5).

**Whole vectors** (`_vectorised`): 13 channels that come in as 16, three of zeros (32 x 14x28x13 -> 64, 3x3: 3.7 ms, so
2.9); few that come out two pixels at a time, of which a third is products with zeros (32 x 28x28x16 -> 16: 3.1 ms, so
2.4; 8 channels 2.2, 1.3; 24 1.3, 0.9; 32 2.1, 2.4). Their filter gradients are no faster in that form.

**Two pieces** (`_two_blocks`): 64 x 683x16 -> 228x32, 5 taps, stride 3: adjoint by phases 1.9 ms, as a product 1.4.

**Two axes for three** (`_single`): along an axis with one output, taps are channels. XLA's convolutions on three axes
are slow: 64 x 2x4x4x64 -> 1x2x2x128, kernel 4, stride 2, value and gradients 59 ms.

**Filter gradient as a plain convolution** (`_filter_as_forward`), with its transposes written out and one of them in a
loop. XLA would fuse what made x into the transpose, and such a fusion runs over memory in the wrong order: 28x28x64
with a scale and a ReLU 48 ms, in the loop 7. (`optimization_barrier` is gone before XLA fuses.)
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxgen.models import two_taps
from jaxgen.models.two_taps import Pads, blocks_last
from jaxgen.types import Array

FEW_CHANNELS = 4
FEW_BESIDE_MANY = 16  # where the other side has four times as many
PAIRED_CHANNELS = 24
VECTOR = 4  # channels that Eigen takes at once
FEW_TAPS = 9
PART_EXAMPLES = 16  # in a step of the transposing loop: a cache line of fp32


def forward(x: Array, w: Array, strides: tuple[int, ...], pads: Pads, out_first: bool = False) -> Array:
    """`convolution.conv`."""
    if (axis := _single(x.shape[1:-1], w.shape, strides, pads)) is not None:
        x, w, strides, pads = _merged(x, axis), *_without(axis, w, strides, pads, x.shape[1:-1], out_first)
        return jnp.expand_dims(forward(x, w, strides, pads, out_first), axis + 1)
    plain = in_first(w, out_first)  # computed only where it is used
    small = _small(x.shape[1:-1], plain.shape, strides, pads)
    if two_taps.pays(plain, strides, small, pads, x.shape[1:-1]):
        return two_taps.forward(x, w, strides, pads, small, out_first)
    if _from_few(plain, strides):
        return as_product(x, plain, strides, pads)
    if _to_few(plain, strides) or _fewer(plain, strides, -1):
        return _adjoint_as_product(x, _turned(plain), strides, _turned_pads(pads, plain.shape), small)
    return _vectorised(x, plain, strides, pads)


def adjoint(
    y: Array, w: Array, strides: tuple[int, ...], pads: Pads, big: tuple[int, ...], out_first: bool = False
) -> Array:
    """`convolution.conv_adjoint`."""
    if (axis := _single(big, w.shape, strides, pads)) is not None:
        w, strides, pads = _without(axis, w, strides, pads, big, out_first)
        x = adjoint(jnp.squeeze(y, axis + 1), w, strides, pads, (*big[:axis], *big[axis + 1 :]), out_first)
        return jnp.moveaxis(x.reshape(*x.shape[:-1], big[axis], -1), -2, axis + 1)
    plain = in_first(w, out_first)
    if two_taps.pays(plain, strides, y.shape[1:-1], pads, big):
        return two_taps.adjoint(y, w, strides, pads, big, out_first)
    if _from_few(plain, strides) or _fewer(plain, strides, -2) or _two_blocks(plain, strides):
        return _adjoint_as_product(y, plain, strides, pads, big)
    if _to_few(plain, strides):
        return as_product(y, _turned(plain), strides, _turned_pads(pads, plain.shape))
    return phases(y, plain, strides, pads, big)


def filter_gradient(
    x: Array, y: Array, strides: tuple[int, ...], pads: Pads, kernel: tuple[int, ...], out_first: bool = False
) -> Array:
    """The gradient in w."""
    if (axis := _single(x.shape[1:-1], kernel, strides, pads)) is not None:
        low, n = pads[axis][0], x.shape[axis + 1]
        rest: Any = [(*of[:axis], *of[axis + 1 :]) for of in (strides, pads, kernel)]
        w = filter_gradient(_merged(x, axis), jnp.squeeze(y, axis + 1), *rest, out_first=out_first)
        # The taps that lie on x, among the channels that come in; the others' gradient is 0.
        place = -1 if out_first else -2
        w = jnp.moveaxis(jnp.stack(jnp.split(w, n, place)), 0, axis)
        edges = [(0, 0)] * axis + [(low, kernel[axis] - n - low)] + [(0, 0)] * (w.ndim - axis - 1)
        return jnp.pad(w, edges)
    w = jax.ShapeDtypeStruct((*kernel, x.shape[-1], y.shape[-1]), x.dtype)
    if two_taps.pays(w, strides, y.shape[1:-1], pads, x.shape[1:-1]):
        return two_taps.filter_gradient(x, y, strides, pads, out_first)
    if _to_few(w, strides) or _fewer(w, strides, -1):
        plain = _filter_to_few(x, y, pads, w.shape)
    else:
        plain = _filter_as_forward(x, y, strides, pads, kernel)
    return in_first(plain, out_first)


def in_first(w: Array, out_first: bool) -> Array:
    """[*kernel, I, O] of a kernel that may be [*kernel, O, I]; or the other way."""
    return jnp.swapaxes(w, -1, -2) if out_first else w


def _single(big: Sequence[int], kernel: Sequence[int], strides: Sequence[int], pads: Pads) -> int | None:
    """The first of three axes along which there is one output, and the kernel covers all inputs."""
    if len(strides) < 3:
        return None
    small = _small(big, kernel, strides, pads)
    found = (i for i, (m, n) in enumerate(zip(small, big, strict=True)) if m == 1 and pads[i][0] >= 0 <= pads[i][1])
    return next((i for i in found if pads[i][0] + big[i] <= kernel[i]), None)


def _merged(x: Array, axis: int) -> Array:
    """One of the axes of x [B, *space, I] beside its channels."""
    x = jnp.moveaxis(x, axis + 1, -2)
    return x.reshape(*x.shape[:-2], -1)


def _without(
    axis: int, w: Array, strides: Sequence[int], pads: Pads, big: Sequence[int], out_first: bool
) -> tuple[Array, tuple[int, ...], Pads]:
    """(kernel, strides, pads) for `_merged`: of the taps along the axis those that lie on x, beside the channels."""
    low = pads[axis][0]
    w = jnp.moveaxis(lax.slice_in_dim(w, low, low + big[axis], axis=axis), axis, -2 if out_first else -3)
    # [..., O, n, I] or [..., n, I, O].
    w = w.reshape(*w.shape[:-2], -1) if out_first else w.reshape(*w.shape[:-3], -1, w.shape[-1])
    rest = [i for i in range(len(strides)) if i != axis]
    return w, tuple(strides[i] for i in rest), tuple(pads[i] for i in rest)


def _two_blocks(w: Any, strides: Sequence[int]) -> bool:
    """Whether an adjoint along one axis adds no more than two pieces: cheaper than a convolution for each phase."""
    return len(strides) == 1 and strides[0] > 1 and _taps(w, strides)[0] <= 2


def _small(big: Sequence[int], kernel: Sequence[int], strides: Sequence[int], pads: Pads) -> tuple[int, ...]:
    """The size of what a strided convolution makes."""
    return tuple(
        (n + low + high - k) // s + 1 for n, (low, high), k, s in zip(big, pads, kernel, strides, strict=False)
    )


def _from_few(w: Any, strides: Sequence[int]) -> bool:
    """Whether few channels come in and few taps are under the kernel."""
    return w.shape[-2] <= FEW_CHANNELS and math.prod(_taps(w, strides)) <= FEW_TAPS


def _to_few(w: Any, strides: Sequence[int]) -> bool:
    """Whether few channels come out, at stride 1: then it is the adjoint of a convolution from few channels."""
    return set(strides) == {1} and w.shape[-1] <= FEW_CHANNELS and math.prod(w.shape[:-2]) <= FEW_TAPS


def _fewer(w: Any, strides: Sequence[int], side: int) -> bool:
    """Whether so few channels are on one side (-2: in, -1: out) beside the other's, at stride 1, that it is cheap to
    add up patches of them."""
    few = w.shape[side] <= min(FEW_BESIDE_MANY, w.shape[-3 - side] // 4)
    return few and set(strides) == {1} and math.prod(w.shape[:-2]) <= FEW_TAPS


def _turned(w: Array) -> Array:
    """The kernel whose adjoint convolves with w at stride 1: reversed, from O to I."""
    return jnp.swapaxes(jnp.flip(w, axis=range(w.ndim - 2)), -1, -2)


def _turned_pads(pads: Pads, kernel: Sequence[int]) -> Pads:
    return tuple((k - 1 - low, k - 1 - high) for (low, high), k in zip(pads, kernel, strict=False))


def _filter_to_few(x: Array, y: Array, pads: Pads, shape: tuple[int, ...]) -> Array:
    """w[k] is the sum of x[n] y[n - k + p]: y, of few channels, is shifted under every tap, and x is read once."""
    kernel, n_in, n_out = shape[:-2], *shape[-2:]
    big, small = x.shape[1:-1], y.shape[1:-1]
    edges = [(k - 1 - low, n - m + low, 0) for k, (low, _), n, m in zip(kernel, pads, big, small, strict=True)]
    y = lax.pad(jnp.moveaxis(y, -1, 0), jnp.zeros((), y.dtype), [(0, 0, 0), (0, 0, 0), *edges])
    shifted = [
        y[
            (
                slice(None),
                slice(None),
                *(slice(k - 1 - i, k - 1 - i + n) for i, k, n in zip(tap, kernel, big, strict=True)),
            )
        ]
        for tap in itertools.product(*map(range, kernel))
    ]
    w = jnp.stack(shifted).reshape(math.prod(kernel) * n_out, -1) @ x.reshape(-1, n_in)
    return jnp.swapaxes(w.reshape(*kernel, n_out, n_in), -1, -2)


def _filter_as_forward(x: Array, y: Array, strides: tuple[int, ...], pads: Pads, kernel: tuple[int, ...]) -> Array:
    """w[k] is the sum of x[s m + k - p] y[m]: a convolution of x whose taps are y, s apart; the batch is its channels.

    The transposes are written out since XLA, inside the loop of a `lax.scan`, does not bring a convolution over other
    dimensions into the form that its fast path takes: 14x14x64, 32 examples, 113 ms a step against 2.7.
    """
    edges = tuple(
        (low, k + (m - 1) * s - n - low)
        for (low, _), k, s, n, m in zip(pads, kernel, strides, x.shape[1:-1], y.shape[1:-1], strict=True)
    )
    w = lax.conv_general_dilated(
        _batch_last(x),
        jnp.moveaxis(y, 0, -2),
        (1,) * (x.ndim - 2),
        edges,
        rhs_dilation=strides,
        dimension_numbers=dimensions(x.ndim),
    )
    return jnp.moveaxis(w, 0, -2)


def native_forward(x: Array, w: Array, strides: Sequence[int], pads: Pads) -> Array:
    """XLA's own strided convolution."""
    return lax.conv_general_dilated(x, w, strides, pads, dimension_numbers=dimensions(x.ndim))


def _vectorised(x: Array, w: Array, strides: Sequence[int], pads: Pads) -> Array:
    """`native_forward` with channels as its vectors like them: zeros to a multiple of four that come in; of few that
    come out those of two neighbours at once, by a kernel one wider with zeros for the one and for the other."""
    if fill := -w.shape[-2] % VECTOR:
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, fill)])
        w = jnp.pad(w, [(0, 0)] * (w.ndim - 2) + [(0, fill), (0, 0)])
    small = _small(x.shape[1:-1], w.shape, strides, pads)
    if set(strides) != {1} or w.shape[-1] > PAIRED_CHANNELS or w.shape[-3] == 1 or small[-1] % 2:
        return native_forward(x, w, strides, pads)
    one, other = (jnp.pad(w, [(0, 0)] * (w.ndim - 3) + [edge, (0, 0), (0, 0)]) for edge in ((0, 1), (1, 0)))
    y = native_forward(x, jnp.concatenate([one, other], -1), (*strides[:-1], 2), pads)
    return y.reshape(len(x), *small, w.shape[-1])


def dimensions(ndim: int) -> lax.ConvDimensionNumbers:
    """[B, *space, C] and [*kernel, I, O]."""
    axes = tuple(range(1, ndim - 1))
    return lax.ConvDimensionNumbers(
        (0, ndim - 1, *axes), (ndim - 1, ndim - 2, *(a - 1 for a in axes)), (0, ndim - 1, *axes)
    )


def _batch_last(x: Array) -> Array:
    """[B, *space, C] -> [C, *space, B], in a loop over parts of the batch: nothing can be fused into it."""
    n = len(x) // PART_EXAMPLES
    if n < 2 or len(x) % PART_EXAMPLES:
        return jnp.swapaxes(x, 0, -1)

    def body(i: Array, out: Array) -> Array:
        part = lax.dynamic_slice_in_dim(x, i * PART_EXAMPLES, PART_EXAMPLES)
        return lax.dynamic_update_slice_in_dim(out, jnp.swapaxes(part, 0, -1), i * PART_EXAMPLES, axis=-1)

    # All of it is overwritten. Zeros would be one array for all loops of a step, copied for each.
    start = jnp.broadcast_to(x[(0,) * x.ndim], (x.shape[-1], *x.shape[1:-1], len(x)))
    return lax.fori_loop(0, n, body, start)


def phases(y: Array, w: Array, strides: tuple[int, ...], pads: Pads, big: tuple[int, ...]) -> Array:
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
            outs.append(_vectorised(y, sub, (1,) * n_axes, tuple(edges)))
    if len(outs) == 1:
        return outs[0]
    # [phases, B, *counts, I] -> [*strides, B, *counts, I] -> [B, count, stride, ..., I]
    x = jnp.stack(outs).reshape(*strides, y.shape[0], *counts, w.shape[-2])
    order = [n_axes, *itertools.chain(*((n_axes + 1 + d, d) for d in range(n_axes))), x.ndim - 1]
    x = x.transpose(order).reshape(y.shape[0], *(m * s for m, s in zip(counts, strides, strict=True)), -1)
    return x[(slice(None), *(slice(n) for n in big))]


def as_product(x: Array, w: Array, strides: tuple[int, ...], pads: Pads) -> Array:
    """`native_forward` as one matrix product. Blocks of `strides` pixels become channels, so a patch is a few
    contiguous pieces; the kernel, filled up with zeros to whole blocks, is laid out alike."""
    n_axes, taps = x.ndim - 2, _taps(w, strides)
    small = _small(x.shape[1:-1], w.shape, strides, pads)
    blocks = [m + t - 1 for m, t in zip(small, taps, strict=True)]
    whole = [b * s for b, s in zip(blocks, strides, strict=True)]
    edges = [(low, size - n - low, 0) for (low, _), size, n in zip(pads, whole, x.shape[1:-1], strict=True)]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    x = blocks_last(x, 1, blocks, strides).reshape(len(x), *blocks, -1)
    patches = [
        x[(slice(None), *(slice(t, t + m) for t, m in zip(tap, small, strict=True)))]
        for tap in itertools.product(*map(range, taps))
    ]
    edges = [(0, t * s - k, 0) for t, s, k in zip(taps, strides, w.shape, strict=False)]
    w = lax.pad(w, jnp.zeros((), w.dtype), [*edges, (0, 0, 0), (0, 0, 0)])
    w = blocks_last(w, 0, taps, strides).reshape(-1, w.shape[-1])
    return jnp.concatenate(patches, axis=n_axes + 1) @ w


def _taps(w: Any, strides: Sequence[int]) -> list[int]:
    """Blocks of `strides` pixels under a kernel, along each axis."""
    return [-(-k // s) for k, s in zip(w.shape, strides, strict=False)]


def _adjoint_as_product(y: Array, w: Array, strides: tuple[int, ...], pads: Pads, big: tuple[int, ...]) -> Array:
    """One matrix product, then overlapping patches are added: what the transpose of `as_product` comes to."""
    x = jax.ShapeDtypeStruct((y.shape[0], *big, w.shape[-2]), y.dtype)
    return jax.linear_transpose(lambda x: as_product(x, w, strides, pads), x)(y)[0]
