"""One file a domain: its networks, its arrays, its pictures. Found by file name.

A domain is the one place that knows what the numbers mean; games, losses and the loop see arrays. A file has a
`DOMAIN`, or several `DOMAINS` by name, which a config calls `file/name`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from etils import epath
from flax import linen as nn

from jaxgen.config import Config
from jaxgen.errors import UserError
from jaxgen.types import Array, Batch, Split

Raw = Mapping[str, np.ndarray]
"""What a data set holds, as it lies in memory: `image` uint8 [N, H, W, C] and perhaps `label` int32 [N], or `source`
[N, ...], what a translation begins with; of music `roll` and `length`, of text `tokens`. All have N examples."""
Pictures = Mapping[str, np.ndarray]
"""What a game shows, by name (`samples`, `reconstructions`, ...): model outputs [N, ...]."""
Found = dict[str, Any]
"""Metrics by name, and what they were measured with: plain JSON values."""


class Source(Protocol):
    """A trained run, as a domain sees it. `trained.Trained` says what the functions do."""

    @property
    def config(self) -> Config: ...
    @property
    def z_dim(self) -> int: ...
    @property
    def classes(self) -> int: ...
    def draw(self, n: int, seed: int, label: np.ndarray | None = None, bound: float = 0.0) -> np.ndarray: ...
    def latents(self, n: int, seed: int, bound: float = 0.0) -> np.ndarray: ...
    def decode(self, z: np.ndarray, label: np.ndarray | None = None) -> np.ndarray: ...
    def walk(self, n: int, seed: int, frames: int = 48) -> np.ndarray: ...
    def criticise(self, x: np.ndarray, label: np.ndarray | None = None) -> np.ndarray: ...
    def translate(self, x: np.ndarray, seed: int, back: bool = False, chunk: int = ...) -> np.ndarray: ...
    def sources(self, batch: Batch, seed: int) -> np.ndarray: ...
    def sequences(
        self, n: int, seed: int, given: Mapping[str, np.ndarray] | None = None, temperature: float = 1.0
    ) -> np.ndarray: ...
    def judged(
        self, n: int, seed: int, given: Mapping[str, np.ndarray] | None = None, temperature: float = 1.0
    ) -> np.ndarray: ...
    def passing(self, tokens: np.ndarray, given: Mapping[str, np.ndarray] | None = None) -> np.ndarray: ...
    def encode(self, batch: Mapping[str, Any]) -> np.ndarray: ...
    def log_likelihood(self, batch: Mapping[str, Any], temperature: float = 1.0) -> np.ndarray: ...
    def bounds(self, batch: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]: ...
    def shuffled(self, batch: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]: ...
    def examples(self) -> Raw: ...
    def kept(self, name: str) -> str: ...
    def other(self, workdir: str) -> "Source": ...


@dataclass(frozen=True)
class SampleOptions:
    """What `jaxgen sample` can be asked for of every domain, which may add to it."""

    num: int = 64  # how many
    seed: int = 0
    out: str = ""  # .png a grid, .npz arrays, else a folder of single files


@dataclass(frozen=True)
class LatentOptions(SampleOptions):
    """What can be asked for where samples come from latents alone."""

    out: str = ""  # .png a grid, .gif a walk through latent space, .npz arrays, else a folder of single files
    truncation: float = 0.0  # redraw latents beyond so many standard deviations: more typical, less varied; 0: never
    balance: tuple[float, ...] = ()  # share of each class, as 0.5 0.5; nothing: all classes in turn
    interpolate: bool = False  # rows of eight, each from one latent to another, in place of independent samples


@dataclass(frozen=True)
class Domain:
    """What a domain gives to the rest of the house."""

    networks: Callable[[Config, str | None], tuple[nn.Module, ...]]
    """(config, axis_name) -> the game's network, or the two. Raises `UserError` where model and shape don't fit."""
    load: Callable[[Config, Split], Raw]
    """(config, "train" or "test") -> the split. Raises `UserError` where it can't be had."""
    to_batch: Callable[[Any], Batch]
    """Raw arrays, on the device, to what the step takes. Runs inside `jit`."""
    to_raw: Callable[[Array | np.ndarray], np.ndarray]
    """Model outputs back to what the data set holds."""
    write: Callable[..., list[epath.Path]]
    """(pictures, stem) -> files written: what a game shows, in files named after a stem. Where the domain has something
    `kept`, it gets that as `kept`."""
    measure: Callable[[Source, Raw, Raw], Found] | None = None
    """(a trained run, train, held-out) -> sample metrics."""
    options: type[SampleOptions] = LatentOptions
    sample: Callable[[Source, Any, epath.Path], list[epath.Path]] | None = None
    """(a trained run, `options`, the run's folder of samples) -> files written. None: pictures, by `jaxgen.sample`."""
    source: Callable[[Config], tuple[int, ...] | None] = lambda config: None
    """The shape of one raw `source`, uint8; None where the data have none."""
    raw: Callable[[Config], Raw] | None = None
    """A raw example of zeros, [1, ...] each. None: an image of the config's shape, and its label and source."""
    rules: Callable[[Config], Mapping[str, Any]] = lambda config: {}
    """What the domain says of a paired game beside the config: `degrade`, `compare`."""
    walks: bool = True
    """Whether a run that makes images from latents ends with a walk through latent space."""
    kept: Callable[[Config], Mapping[str, str]] | None = None
    """Text files by name that a run keeps beside its config, so that it can be sampled without its data set: a
    vocabulary."""


def count(raw: Raw) -> int:
    """How many examples raw arrays hold."""
    return len(next(iter(raw.values())))


def check_halvings(shape: tuple[int, ...], n: int, least: int = 1) -> None:
    """Raises `UserError` where the height or width of images can't be halved n times, to `least` or more."""
    if any(side % (1 << n) for side in shape[:2]):
        raise UserError(
            f"Images of {shape[0]}x{shape[1]} can't be halved {n} times; "
            f"choose --shape with sides that are multiples of {1 << n}, or fewer layers."
        )
    if n and min(shape[:2]) >> n < least:
        raise UserError(
            f"Images of {shape[0]}x{shape[1]} are too small to be halved {n} times; choose a larger --shape, or fewer "
            "layers."
        )
