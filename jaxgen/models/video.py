"""Clips from a content and a motion, and critics of frames, of clips and of paths (MoCoGAN: Tulyakov et al. 2018).

One latent holds for the whole clip; a recurrent core makes the motion, from a start and from noise at each frame.
Frames are made by the bottlenecks of `residual`. Where what moves keeps its shape (`placed`), it is drawn once a clip
and put into each frame by linear interpolation, which along each axis is a product of matrices (the writing of DRAW:
Gregor et al. 2015): a fiftieth of the work, and what it is cannot change on the way. It turns back at the borders: that
is given, not learnt. Starts, directions, speeds and their changes are.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.axes import example_keys
from jaxgen.models import residual
from jaxgen.models.convolution import Conv
from jaxgen.models.layers import Dense, leaky_relu, projection, with_label
from jaxgen.models.residual import space_to_depth
from jaxgen.types import Array

SHARP = 0.999  # of the sine: how suddenly what moves turns at a border; 1 is a mirror. With .98 no way is straight
GAIN = 0.03  # of changes of speed, which noise would turn into jitter
LEVER = 0.3  # share of a path's gradient that passes: else the penalty, which is by pixels, holds its critic down most
JITTER = 0.03  # a change of a step that is half a change, in units of `put`: a quarter of a pixel of 32
WAVES = (2.0, 4.0, 8.0)  # of a path's speed, in a unit of `put` a frame
SHIFT = 2.0  # pixels by which what is drawn once a clip may move
DARK = 1e-6  # brightness that all pixels have: the middle of a dark frame is its own

_he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
_small = nn.initializers.variance_scaling(0.04, "fan_in", "normal")  # of speeds: a tenth of the way in a frame


class Mover(nn.Module):
    """One frame on: ((h [B, hidden], way [B, 2], speed [B, 2]), noise [B, M]) -> ((h, way, speed), (h, place [B, 2])).

    The place, `folded` from the way gone, is in units of half the way from border to border, the middle 0; the speed is
    how far it goes in a frame. What the recurrent core says is how the speed changes: without a reason, things go on as
    they went.
    """

    hidden: int

    @nn.compact
    def __call__(
        self, carry: tuple[Array, Array, Array], noise: Array
    ) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
        h, way, speed = carry
        turn = way * (math.pi / 2)
        h, _ = nn.GRUCell(self.hidden)(h, jnp.concatenate([noise, jnp.sin(turn), jnp.cos(turn), speed], axis=-1))
        speed = speed + GAIN * nn.Dense(2, kernel_init=nn.initializers.zeros)(h)
        return (h, way + speed, speed), (h, folded(way + speed))


def folded(way: Array) -> Array:
    """Any number to a place from -1 to 1: there and back, and so on, one way in 2.

    So nothing leaves the frame and is cut by it. The corners are rounded a little: the gradient ends nowhere.
    """
    return jnp.arcsin(SHARP * jnp.sin(way * (math.pi / 2))) / math.asin(SHARP)


class Motion(nn.Module):
    """start [B, M], noise [B, T, M] -> (codes [B, T, hidden], places [B, T, 2]), T of the same recurrent core."""

    hidden: int

    @nn.compact
    def __call__(self, start: Array, noise: Array) -> tuple[Array, Array]:
        h = nn.tanh(nn.Dense(self.hidden)(start))
        first = leaky_relu(nn.Dense(self.hidden, kernel_init=_he)(h))
        place, speed = nn.Dense(2)(first), nn.Dense(2, kernel_init=_small)(first)
        run = nn.scan(Mover, variable_broadcast="params", split_rngs={"params": False}, in_axes=1, out_axes=1, unroll=4)
        return run(self.hidden)((h, place, speed), noise)[1]


class Generator(nn.Module):
    """z [B, `z_dim`] (and label [B]) -> clips [B, *shape] in [-1, 1], shape (T, H, W, C).

    z holds the content, the start of the motion and the noise of each frame, in this order (`parts`). `widths` and
    `patch` as those of `residual.Generator`. With `placed`, one thing of half the height and width moves before what
    is dark (-1); without, content and motion make each frame. The class is part of the content and of the start.

    With `still`, content and class also make one picture a clip, which motion shifts a little, and frames are drawn
    only where a mask says so, before that picture (VGAN: Vondrick et al. 2016): what does not move stays as it is.
    """

    shape: tuple[int, int, int, int]
    content: int
    motion: int
    hidden: int
    widths: tuple[int, ...]
    placed: bool = False
    patch: int = 1
    norm: residual.Norm = "none"
    still: bool = False  # not with placed
    classes: int = 0
    axis_name: str | None = None
    dtype: Any = None

    @property
    def z_dim(self) -> int:
        return self.content + self.motion * (self.shape[0] + 1)

    def parts(self, z: Array) -> tuple[Array, Array, Array]:
        """(content [B, content], start [B, motion], noise [B, T, motion])."""
        noise = z[:, self.content + self.motion :].reshape(len(z), self.shape[0], self.motion)
        return z[:, : self.content], z[:, self.content : self.content + self.motion], noise

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool) -> Array:
        if self.still and self.placed:
            raise ValueError("what is placed is drawn once a clip anyway; leave out still")
        content, start, noise = self.parts(z)
        frames, height, width, channels = self.shape
        codes, places = Motion(self.hidden)(with_label(start, label, self.classes), noise)
        if self.placed:
            draw = self._draw((height // 2, width // 2, channels))
            return 2 * put((draw(content, label, train=train) + 1) / 2, places, (height, width)) - 1
        each = jnp.broadcast_to(content[:, None], (len(z), frames, self.content))
        inputs = jnp.concatenate([each, codes], axis=-1).reshape(len(z) * frames, -1)
        repeated = None if label is None else jnp.repeat(label, frames)
        # What the content says of the channels holds for all frames, so that colours do not change on the way.
        style = each.reshape(-1, self.content)
        draw = self._draw((height, width, channels + self.still))
        drawn = draw(inputs, repeated, style, train=train).reshape(len(z), frames, height, width, -1)
        if not self.still:
            return drawn
        picture = self._draw((height, width, channels), "still")(content, label, train=train)
        by = SHIFT * nn.tanh(nn.Dense(2, kernel_init=_small)(codes))
        mask = (1 + drawn[..., -1:]) / 2
        return mask * drawn[..., :-1] + (1 - mask) * (2 * shifted((picture + 1) / 2, by) - 1)

    def _draw(self, shape: tuple[int, int, int], name: str = "draw") -> residual.Generator:
        return residual.Generator(
            shape,
            self.widths,
            norm=self.norm,
            patch=self.patch,
            classes=self.classes,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name=name,
        )


def put(thing: Array, places: Array, size: tuple[int, int]) -> Array:
    """thing [B, h, w, C], places [B, T, 2] -> [B, T, *size, C]: the thing with its middle there, zeros around it.

    At places of -1 and 1 it touches the borders; beyond, it leaves the frame. Between pixels it is interpolated
    linearly.
    """
    return _laid(thing, [(places[..., i] + 1) * (size[i] - thing.shape[i + 1]) / 2 for i in (0, 1)], size)


def shifted(picture: Array, by: Array) -> Array:
    """picture [B, H, W, C], by [B, T, 2] in pixels -> [B, T, H, W, C], zeros where nothing comes to lie."""
    return _laid(picture, [by[..., 0], by[..., 1]], picture.shape[1:3])


def _laid(thing: Array, first: Sequence[Array], size: Sequence[int]) -> Array:
    """thing [B, h, w, C] -> [B, T, *size, C], its first row and column at `first`, each [B, T], in pixels."""
    rows, columns = (_taps(first[i], thing.shape[i + 1], size[i]).astype(thing.dtype) for i in (0, 1))
    tall = jnp.einsum("btih,bhwc->btiwc", rows, thing)
    return jnp.einsum("btjw,btiwc->btijc", columns, tall)


def _taps(first: Array, small: int, big: int) -> Array:
    """first [B, T] -> [B, T, big, small]: the share that each of `big` pixels takes of each of `small`."""
    away = (jnp.arange(big)[:, None] - jnp.arange(small)[None, :])[None, None] - first[..., None, None]
    return nn.relu(1 - jnp.abs(away))


def followed(x: Array) -> Array:
    """x [B, H, W, C] in [-1, 1] -> [B, H / 2, W / 2, C]: the part around the middle of what is brighter than -1.

    Between pixels it is interpolated linearly, as DRAW reads; beyond the borders all is -1. The middle is
    differentiated: it moves with the thing, so a critic of what is followed has no opinion about where that is.
    """
    light, sizes = (x + 1) / 2, x.shape[1:3]
    middle = _near(light.mean(-1)) + 1
    firsts = [middle[:, i, None] * (size - size // 2) / 2 for i, size in enumerate(sizes)]
    rows, columns = (
        _taps(first, size // 2, size)[:, 0].astype(x.dtype) for first, size in zip(firsts, sizes, strict=True)
    )
    flat = jnp.einsum("bih,bijc->bhjc", rows, light)
    return 2 * jnp.einsum("bjw,bhjc->bhwc", columns, flat) - 1


def path(x: Array) -> Array:
    """x [B, T, H, W, C] in [-1, 1] -> [B, T, 2]: where the middle of what is brighter than -1 is, in units of `put`."""
    light = ((x + 1) / 2).mean(-1)
    return _near(light.reshape(-1, *light.shape[2:])).reshape(*x.shape[:2], 2)


def _near(light: Array) -> Array:
    """[N, H, W] of 0 and more -> [N, 2]: the middle of what lies within a quarter of the sides from its middle.

    Further pixels have the longest levers: they would have the largest gradients, and penalties.
    """
    first = jax.lax.stop_gradient(_middle(light))
    for axis, size in enumerate(light.shape[1:]):
        at = (jnp.arange(size) - (size - 1) / 2) * (4 / size)
        near = jnp.abs(at[None] - first[:, axis, None]) <= 1
        light = light * jnp.expand_dims(near, 2 - axis)
    return _middle(light)


def _middle(light: Array) -> Array:
    """[N, H, W] of 0 and more -> [N, 2]: its middle, in units of `put`."""
    light = light + DARK
    total = light.sum((1, 2))
    along = []
    for axis, size in enumerate(light.shape[1:]):
        at = (jnp.arange(size, dtype=light.dtype) - (size - 1) / 2) * (4 / size)
        along.append(light.sum(2 - axis) @ at / total)
    return jnp.stack(along, axis=-1)


class FrameCritic(nn.Module):
    """x [B, T, H, W, C] (and label [B]) -> logits [B, frames]: of as many frames of each clip, in training drawn anew
    each time (rng stream `example`, by the clip's place in the global batch), else evenly spaced; all of them in order.

    With `follow` it looks at `followed` frames, so that it need not know the same thing in all places."""

    widths: tuple[int, ...]
    frames: int = 1
    follow: bool = False
    patch: int = 1
    classes: int = 0
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> Array:
        total = x.shape[1]
        if not 1 <= self.frames <= total:
            raise ValueError(f"the critic of frames can't see {self.frames} of a clip's {total} frames")
        if train and self.frames < total:
            keys = example_keys(self.make_rng("example"), len(x), self.axis_name)
            chosen = jax.vmap(lambda key: jax.random.permutation(key, total)[: self.frames])(keys)
        else:
            even = jnp.arange(self.frames) * total // self.frames
            chosen = jnp.broadcast_to(even[None], (len(x), self.frames))
        # A product with one-hot rows: the gradient of a gather is slow on CPU.
        picked = jnp.einsum("bft,bthwc->bfhwc", jax.nn.one_hot(chosen, total, dtype=x.dtype), x)
        flat = picked.reshape(len(x) * self.frames, *x.shape[2:])
        flat = followed(flat) if self.follow else flat
        critic = residual.Critic(self.widths, patch=self.patch, classes=self.classes, dtype=self.dtype)
        logits = critic(flat, None if label is None else jnp.repeat(label, self.frames), train=train)
        return logits.reshape(len(x), self.frames)


class ClipCritic(nn.Module):
    """x [B, T, H, W, C] (and label [B]) -> logits [B], by convolutions over time and space, each of which halves all
    three; the label enters by projection.

    `widths` are the channels, the coarsest resolution first; `patch` x `patch` pixels of a frame are one place of the
    finest.
    """

    widths: tuple[int, ...]
    patch: int = 1
    classes: int = 0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> Array:
        frames = x.shape[1]
        h = space_to_depth(x.reshape(-1, *x.shape[2:]), self.patch)
        h = h.reshape(len(x), frames, *h.shape[1:])
        for width in reversed(self.widths):
            h = leaky_relu(Conv(width, (4, 4, 4), (2, 2, 2), dtype=self.dtype, kernel_init=_he)(h))
        features = h.reshape(len(x), -1)
        logit = Dense(1, dtype=self.dtype)(features)[:, 0]
        if label is not None:
            logit += projection(features, label, self.classes, self.dtype)
        return logit.astype(jnp.float32)


class PathCritic(nn.Module):
    """x [B, T, H, W, C] -> logits [B]: of the `path` of what moves, its steps, how long they are, and how they change.

    Strided convolutions hardly see a fraction of a pixel, which is what makes motion jitter. How fast a clip is it sees
    by Fourier features too (Tancik et al. 2020): without, all of them came to have much the same speed.
    """

    features: int = 128
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        places = path(x.astype(jnp.float32))
        places = LEVER * places + (1 - LEVER) * jax.lax.stop_gradient(places)
        steps = jnp.diff(places, axis=1)
        changes = jnp.diff(steps, axis=1)
        changed = changes**2 / (changes**2 + JITTER**2)
        fast = jnp.sqrt((steps**2).sum(-1) + DARK)
        both = jnp.concatenate([places, 4 * steps, 8 * changes, changed], axis=1)  # all about as large
        waves = 2 * math.pi * fast.mean(1, keepdims=True) * jnp.array(WAVES)[None]
        h = jnp.concatenate([both.reshape(len(x), -1), 4 * fast, jnp.sin(waves), jnp.cos(waves)], axis=1)
        for _ in range(2):
            h = leaky_relu(Dense(self.features, dtype=self.dtype, kernel_init=_he)(h))
        return Dense(1, dtype=self.dtype)(h)[:, 0].astype(jnp.float32)


class Critics(nn.Module):
    """x [B, T, H, W, C] (and label [B]) -> (logits of frames [B, frames], clips [B], and with `follow` paths [B]).

    `follow` is `FrameCritic`'s too: half of the sides in half of the patch makes as many places."""

    disc: tuple[int, ...]
    clip: tuple[int, ...]
    frames: int = 1
    patch: int = 1
    follow: bool = False
    classes: int = 0
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> tuple[Array, ...]:
        patch = max(1, self.patch // 2) if self.follow else self.patch
        frame = FrameCritic(self.disc, self.frames, self.follow, patch, self.classes, self.axis_name, self.dtype)
        clip = ClipCritic(self.clip, self.patch, self.classes, self.dtype)
        logits = frame(x, label, train=train), clip(x, label, train=train)
        return (*logits, PathCritic(dtype=self.dtype)(x, train=train)) if self.follow else logits
