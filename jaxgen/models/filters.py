"""The same short filter along each axis of [B, *space, C], and its adjoint, in the form that suits the backend.

Both are products with a banded matrix along each axis, the padding included. On CPU the axes come one after the other,
each as a sum of shifted slices, with the edges computed apart: no padded copy, no window reduction and no depthwise
convolution (which XLA does in 300 ms). Gradients are written as the same kind of sum, since the transpose of a slice is
a padding, which is slow. Elsewhere all axes are one sum of shifted slices of x with zeros around it, meant to become
one loop: not measured on a card yet. Axis by axis took four kernels there (`benchmarks/NOTES.md`).
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgen.types import Array

Padding: TypeAlias = Literal["zero", "reflect", "edge"]


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def filtered(x: Array, taps: tuple[float, ...], stride: int, padding: Padding) -> Array:
    """The same taps along each axis: [B, *space, C] -> [B, *ceil(space / stride), C]."""
    return _products(x, [_matrix(n, taps, stride, padding) for n in x.shape[1:-1]], stride)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def filtered_adjoint(y: Array, taps: tuple[float, ...], stride: int, padding: Padding, space: tuple[int, ...]) -> Array:
    """The adjoint of `filtered` of [B, *space, C]: every `stride`-th row of the transposed matrix is a filter again."""
    transposed = [_matrix(n, taps, stride, padding).T for n in space]
    transposed = [np.pad(m, ((0, -len(m) % stride), (0, 0))) for m in transposed]
    x = lax.platform_dependent(
        y, cpu=partial(_phases_by_axis, transposed, stride), default=partial(_phases_at_once, transposed, stride)
    )
    return x[(slice(None), *(slice(n) for n in space))]


def _filtered_fwd(x, taps, stride, padding):
    return filtered(x, taps, stride, padding), jnp.zeros((0, *x.shape[1:-1]))  # only the shape is needed


def _filtered_bwd(taps, stride, padding, empty, dy):
    return (filtered_adjoint(dy, taps, stride, padding, empty.shape[1:]),)


def _adjoint_fwd(y, taps, stride, padding, space):
    return filtered_adjoint(y, taps, stride, padding, space), None


def _adjoint_bwd(taps, stride, padding, space, _, dx):
    return (filtered(dx, taps, stride, padding),)


filtered.defvjp(_filtered_fwd, _filtered_bwd)
filtered_adjoint.defvjp(_adjoint_fwd, _adjoint_bwd)


def _products(x: Array, matrices: Sequence[np.ndarray], stride: int) -> Array:
    """Each matrix [m, n] times its axis of x; row i reaches from about `stride` i."""
    return lax.platform_dependent(
        x, cpu=partial(_by_axis, matrices, stride), default=partial(_at_once, matrices, stride)
    )


def _by_axis(matrices: Sequence[np.ndarray], stride: int, x: Array) -> Array:
    for axis, matrix in enumerate(matrices, 1):
        x = _rows(x, matrix, stride, axis)
    return x


def _at_once(matrices: Sequence[np.ndarray], stride: int, x: Array) -> Array:
    bands = [_bands(matrix, stride) for matrix in matrices]
    ends = [
        (max(0, -min(band)), max(0, stride * (len(m) - 1) + max(band) + 1 - m.shape[1]), 0)
        for band, m in zip(bands, matrices, strict=True)
    ]
    padded = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *ends, (0, 0, 0)])
    total = None
    for offsets in itertools.product(*bands):
        term = padded
        for axis, (offset, (low, _, _), m) in enumerate(zip(offsets, ends, matrices, strict=True), 1):
            start = offset + low
            term = lax.slice_in_dim(term, start, start + stride * (len(m) - 1) + 1, stride, axis)
        for axis, (offset, band) in enumerate(zip(offsets, bands, strict=True), 1):
            shape = [1] * x.ndim
            shape[axis] = -1
            term = term * jnp.asarray(band[offset], x.dtype).reshape(shape)
        total = term if total is None else total + term
    assert total is not None
    return total


def _bands(matrix: np.ndarray, stride: int) -> dict[int, np.ndarray]:
    """By offset d, [m] or [1]: the entries [i, stride i + d] of a matrix [m, n]. At least one offset.

    One number where all are the same; what lies outside of the matrix meets zeros and may be anything.
    """
    m, n = matrix.shape
    rows, columns = matrix.nonzero()
    bands = {}
    for d in np.unique(columns - stride * rows).tolist():
        place = stride * np.arange(m) + d
        inside = (place >= 0) & (place < n)
        band = np.where(inside, matrix[np.arange(m), place.clip(0, n - 1)], 0)
        values = np.unique(band[inside])
        bands[d] = values if len(values) == 1 else band
    return bands or {0: np.zeros(1)}


def _phases_by_axis(transposed: Sequence[np.ndarray], stride: int, y: Array) -> Array:
    phases = [y]  # of all axes so far: parts are interleaved at the end, so that the filters run on small arrays
    for axis, matrix in enumerate(transposed, 1):
        phases = [_rows(part, matrix[r::stride], 1, axis) for part in phases for r in range(stride)]
    return _interleaved(phases, stride, len(transposed))


def _phases_at_once(transposed: Sequence[np.ndarray], stride: int, y: Array) -> Array:
    choices = itertools.product(range(stride), repeat=len(transposed))
    phases = [_at_once([m[r::stride] for m, r in zip(transposed, rs, strict=True)], 1, y) for rs in choices]
    return _interleaved(phases, stride, len(transposed))


def _interleaved(phases: Sequence[Array], stride: int, n_axes: int) -> Array:
    for axis in range(n_axes, 0, -1):
        phases = [_interleave(phases[i : i + stride], axis) for i in range(0, len(phases), stride)]
    return phases[0]


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
