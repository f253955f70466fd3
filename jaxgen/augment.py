"""Differentiable augmentation of what a critic sees, for GANs on small data.

Real and generated images are augmented alike and gradients pass through, so that the generator does not learn the
augmentation (DiffAugment: Zhao et al. 2020). Each operation meets each example with probability p, which stays below
about 0.8 for the same reason (ADA: Karras et al. 2020).
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxgen.config import nearest
from jaxgen.errors import UserError
from jaxgen.types import Array

Augment = Callable[[Array, Array, Array], Array]
"""(images [B, H, W, C] in [-1, 1], keys [B], p [] in [0, 1]) -> images of the same shape and type.

Colour may take them out of [-1, 1]. All chance of an example comes from its own key."""

_DRAWS = {"color": 3, "translation": 2, "cutout": 2, "flip": 1}
"""What each operation draws: so many numbers from U(0, 1), and as many gates that are open with probability p."""


def augmentation(names: str) -> Augment:
    """The operations in `names`, joined by "+": any of color, translation, cutout, flip; always applied in that order.

    color: brightness + U(-0.5, 0.5), then saturation * U(0, 2), then contrast * U(0.5, 1.5), each with a gate of its
    own. translation: by whole pixels, up to 1/8 of the height and of the width either way; zeros come in. cutout: zeros
    in a rectangle of half the height and half the width, centred anywhere in the image. flip: left and right exchanged,
    or not, at even odds. (It is made before the two others, whose draws favour no side: that changes no distribution.)

    Two results for the same operations are equal, as are their hashes: one may be static under jit. "" leaves images as
    they are. Raises `UserError` on other names.
    """
    asked = names.split("+") if names else []
    for name in asked:
        if name not in _DRAWS:
            raise UserError(f"There is no augmentation {name!r}{nearest(name, _DRAWS)}. Join several by +.")
    return _Augmentation(tuple(name for name in _DRAWS if name in asked))


@dataclass(frozen=True)
class _Augmentation:
    """A value, not a closure: a game that holds one is a static argument and must compare equal when built anew."""

    names: tuple[str, ...]

    def __call__(self, images: Array, keys: Array, p: Array) -> Array:
        """See `Augment`. With p = 0 the result is `images`, bit for bit. Reverse-differentiable to any order in them.

        Raises `ValueError` where the images are not [B, H, W, C], or the keys not one an image.
        """
        if images.ndim != 4 or len(keys) != len(images):
            raise ValueError(f"images {images.shape} must be [B, H, W, C] with one key each; got {len(keys)} keys")
        if not self.names:
            return images
        # As many draws whatever is asked for: an operation's do not change when another joins it.
        total = sum(_DRAWS.values())
        drawn = jax.vmap(lambda key: jax.random.uniform(key, (2 * total,)))(keys)
        on, u, start = {}, {}, 0
        for name, n in _DRAWS.items():
            gates = drawn[:, start : start + n] < p
            on[name] = gates if name in self.names else jnp.zeros_like(gates)
            u[name] = drawn[:, total + start : total + start + n]
            start += n
        x = images.astype(jnp.promote_types(images.dtype, jnp.float32))  # bf16 would round the means
        if "color" in self.names:
            x = _colored(x, u["color"], on["color"])
        if self.names != ("color",):
            height, width = x.shape[1:3]
            by = _translation((height, width), u["translation"], on["translation"])
            hole = _cutout((height, width), u["cutout"], on["cutout"])
            x = _placed(x, by, hole, on["flip"][:, 0] & (u["flip"][:, 0] < 0.5))
        return x.astype(images.dtype)


def _colored(x: Array, u: Array, on: Array) -> Array:
    """Saturation scales distances to a pixel's mean over channels, contrast those to the image's mean. u, on [B, 3].

    After the brightness b, saturation s and contrast c are together c s x + c (1 - s) pixel + (1 - c) image + b.
    """
    brightness = _wide(jnp.where(on[:, 0], u[:, 0] - 0.5, 0)).astype(x.dtype)
    saturation = _wide(jnp.where(on[:, 1], u[:, 1] * 2, 1)).astype(x.dtype)
    contrast = _wide(jnp.where(on[:, 2], u[:, 2] + 0.5, 1)).astype(x.dtype)
    if x.shape[3] == 1:  # grey: a pixel is its own mean
        saturation = jnp.ones_like(saturation)
    mixed = _mixed(x, contrast * saturation, contrast * (1 - saturation), 1 - contrast) + brightness
    return jnp.where(_wide(on.any(1)), mixed, x)  # untouched to the bit


@jax.custom_vjp
def _mixed(x: Array, own: Array, pixel: Array, image: Array) -> Array:
    """own x + pixel (mean over channels) + image (mean of the image), the factors [B, 1, 1, 1].

    Its own transpose. JAX's has a reduction over the channels that takes ten times as long on CPU, as `x.mean(3)` does.
    """
    y = own * x + image * x.mean((1, 2, 3), keepdims=True)
    if x.shape[3] == 1:
        return y + pixel * x
    channels = x.shape[3]
    return y + pixel * (sum(x[..., c : c + 1] for c in range(channels)) / channels)


def _mixed_forward(x: Array, own: Array, pixel: Array, image: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    return _mixed(x, own, pixel, image), (own, pixel, image)


def _mixed_backward(factors: tuple[Array, Array, Array], gradient: Array) -> tuple[Array, None, None, None]:
    return _mixed(gradient, *factors), None, None, None


_mixed.defvjp(_mixed_forward, _mixed_backward)


def _translation(size: tuple[int, int], u: Array, on: Array) -> Array:
    """How far each image goes down and right: [B, 2], from u, on [B, 2]. One gate opens both."""
    by = [_below(2 * _reach(n) + 1, u[:, axis]) - _reach(n) for axis, n in enumerate(size)]
    return jnp.where(on[:, :1], jnp.stack(by, 1), 0)


def _cutout(size: tuple[int, int], u: Array, on: Array) -> Array:
    """The first row and column of each image's hole, maybe outside: [B, 2], from u, on [B, 2]. One gate opens both."""
    first = []
    for axis, n in enumerate(size):
        side = _side(n)  # an even hole has one place more for its centre, as in the paper's code
        first.append(_below(n + 1 - side % 2, u[:, axis]) - side // 2)
    return jnp.where(on[:, :1], jnp.stack(first, 1), 2 * max(size))  # closed: so far out that no move brings it back


@jax.custom_vjp
def _placed(x: Array, by: Array, hole: Array, mirrored: Array) -> Array:
    """x [B, H, W, C] `mirrored` [B] or not, moved down and right by `by` [B, 2], then zeros from `hole` [B, 2] on.

    One slice an image, out of zeros that hold it both ways round. They are written there, not padded and joined: XLA on
    CPU would compute what is padded anew at every element of every slice. One EPYC core, shared; 32 images of 64x64x1,
    all four operations, ms of the value | value and gradient: this 0.3 | 0.8, padded and joined 1.6 | 2.2. The move
    alone by one-hot products 0.6 | 1.6, by 17 masked sums 2.4 | 3.8, by a step for each binary digit 1.4 | 4.2.
    """
    size = x.shape[1:]
    h, w = _reach(size[0]), _reach(size[1])
    both = jnp.zeros((len(x), size[0] + 2 * h, 2 * size[1] + 3 * w, size[2]), x.dtype)
    both = jax.lax.dynamic_update_slice(both, x, (0, h, w, 0))
    both = jax.lax.dynamic_update_slice(both, x[:, :, ::-1], (0, h, size[1] + 2 * w, 0))
    first = jnp.stack([h - by[:, 0], w - by[:, 1] + jnp.where(mirrored, size[1] + w, 0)], 1)
    y = jax.vmap(lambda x, first: jax.lax.dynamic_slice(x, (first[0], first[1], 0), size))(both, first)
    rows, columns = (_within(jnp.arange(n)[None] - hole[:, axis, None], _side(n)) for axis, n in enumerate(size[:2]))
    return jnp.where(rows[:, :, None, None] & columns[:, None, :, None], 0, y)


def _placed_forward(x: Array, by: Array, hole: Array, mirrored: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    return _placed(x, by, hole, mirrored), (by, hole, mirrored)


def _placed_backward(residuals: tuple[Array, Array, Array], gradient: Array) -> tuple[Array, None, None, None]:
    """The transpose cuts, moves back, mirrors, and equals a `_placed` of its own: mirror, move, cut.

    The hole goes where the image goes, and mirrored means to the left where it was to the right.
    """
    by, hole, mirrored = residuals
    width = gradient.shape[2]
    back = jnp.stack([-by[:, 0], jnp.where(mirrored, by[:, 1], -by[:, 1])], 1)
    rows, columns = hole[:, 0] - by[:, 0], hole[:, 1] - by[:, 1]
    columns = jnp.where(mirrored, width - _side(width) - columns, columns)
    return _placed(gradient, back, jnp.stack([rows, columns], 1), mirrored), None, None, None


_placed.defvjp(_placed_forward, _placed_backward)


def _reach(n: int) -> int:
    """How far a translation goes along an axis of `n` pixels: an eighth, rounded."""
    return (n + 4) // 8


def _side(n: int) -> int:
    """The length of the hole along an axis of `n` pixels: half, rounded up."""
    return (n + 1) // 2


def _below(n: int, u: Array) -> Array:
    """One of 0, ..., n - 1, all equally probable, from `u` uniform in [0, 1)."""
    return jnp.minimum((u * n).astype(jnp.int32), n - 1)  # u * n may round up to n


def _within(place: Array, length: int) -> Array:
    return (place >= 0) & (place < length)


def _wide(x: Array) -> Array:
    return x[:, None, None, None]
