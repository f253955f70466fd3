"""What restoration undoes: images made smaller, noisy, or with holes in them.

A degradation makes the input of a paired game from the target, anew at every visit, by the example's own key.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxgen.errors import UserError
from jaxgen.types import Array

STROKES, CORNERS = 4, 5
"""Of a free-form hole: how many brush strokes at most, and the corners of each."""


@dataclass(frozen=True)
class Degrade:
    """images [B, H, W, C] in [-1, 1], keys [B] -> [B, H / scale, W / scale, C + masked]. A value: may be static.

    `downsample`: cubic and antialiased, as `jax.image.resize`. `noise`: white, Gaussian, of `amount` grey levels of
    256; cut off and rounded to 8 bits, as a file would have it. `holes`: free-form (Yu et al. 2019, appendix): brush
    strokes of several corners and of a width of `amount` percent of the longer side; missing pixels are 0, and a last
    channel is 1 where a pixel is missing, 0 elsewhere. At least one pixel is missing, and one is left.
    """

    kind: str
    amount: int

    @property
    def scale(self) -> int:
        """How many times smaller each side becomes."""
        return self.amount if self.kind == "downsample" else 1

    @property
    def masked(self) -> bool:
        """Whether there is a channel that says what is missing."""
        return self.kind == "holes"

    def __call__(self, images: Array, keys: Array) -> Array:
        return _KINDS[self.kind](images, keys, self.amount)


def degradation(name: str) -> Degrade:
    """`downsample-2`, `noise-25`, `holes-15`, ... Raises `UserError` for another."""
    kind, _, amount = name.partition("-")
    if kind not in _KINDS or not re.fullmatch("[1-9][0-9]{0,2}", amount):
        raise UserError(
            f"There is no degradation {name!r}; choose downsample-2 (times smaller), noise-25 (grey levels of 256) or "
            "holes-15 (width of the strokes in percent of the longer side), or other numbers."
        )
    if kind == "downsample" and amount == "1":
        raise UserError("downsample-1 changes nothing; use downsample-2 or more.")
    return Degrade(kind, int(amount))


def _downsample(images: Array, keys: Array, amount: int) -> Array:
    b, h, w, c = images.shape
    return jax.image.resize(images, (b, h // amount, w // amount, c), "cubic")


def _noise(images: Array, keys: Array, amount: int) -> Array:
    noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))(keys)
    return jnp.round((jnp.clip(images + amount / 127.5 * noise, -1, 1) + 1) * 127.5) / 127.5 - 1


def _holes(images: Array, keys: Array, amount: int) -> Array:
    mask = jax.vmap(lambda key: _strokes(key, images.shape[1], images.shape[2], amount / 100))(keys)[..., None]
    return jnp.concatenate([images * (1 - mask), mask], axis=-1)


def _strokes(key: Array, height: int, width: int, brush: float) -> Array:
    """[H, W] of 0 and 1: the pixels near to one of up to `STROKES` broken lines; the middle of the first is one."""
    long, size = max(height, width), jnp.array([height, width])
    keys = jax.random.split(key, 4)
    start = jax.random.uniform(keys[0], (STROKES, 1, 2)) * size.reshape(1, 1, 2)
    turn = jax.random.uniform(keys[1], (STROKES, CORNERS - 1, 1), maxval=2 * jnp.pi)
    length = jax.random.uniform(keys[2], (STROKES, CORNERS - 1, 1), minval=0.1, maxval=0.4) * long
    steps = length * jnp.concatenate([jnp.sin(turn), jnp.cos(turn)], axis=-1)
    corners = start + jnp.concatenate([jnp.zeros((STROKES, 1, 2)), jnp.cumsum(steps, axis=1)], axis=1)
    a, b = corners[:, :-1].reshape(1, 1, -1, 2), corners[:, 1:].reshape(1, 1, -1, 2)
    used = jnp.repeat(jnp.arange(STROKES) <= jax.random.randint(keys[3], (), 0, STROKES), CORNERS - 1)
    rows, columns = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij")
    points = jnp.stack([rows, columns], axis=-1)[:, :, None]
    along, away = b - a, points - a
    t = jnp.clip((away * along).sum(-1) / jnp.maximum((along**2).sum(-1), 1e-6), 0, 1)
    near = ((away - t[..., None] * along) ** 2).sum(-1) <= (brush * long / 2) ** 2
    mask = (near & used.reshape(1, 1, -1)).any(-1)
    first = jnp.clip(start[0, 0].astype(int), 0, size - 1)
    mask = mask.at[first[0], first[1]].set(True)
    keep = (first + size // 2) % size
    return mask.at[keep[0], keep[1]].set(False).astype(jnp.float32)


_KINDS: dict[str, Callable[..., Array]] = {"downsample": _downsample, "noise": _noise, "holes": _holes}
