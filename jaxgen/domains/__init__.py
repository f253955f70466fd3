"""One file a domain: its networks, its arrays, its pictures. Found by file name.

A domain is the one place that knows what the numbers mean; games, losses and the loop see arrays.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from etils import epath
from flax import linen as nn

from jaxgen.config import Config
from jaxgen.errors import UserError
from jaxgen.types import Array, Batch, Split

Raw = Mapping[str, np.ndarray]
"""What a data set holds, as it lies in memory: `image` uint8 [N, H, W, C] and perhaps `label` int32 [N]."""
Pictures = Mapping[str, np.ndarray]
"""What a game shows, by name (`samples`, `reconstructions`, ...): model outputs [N, ...]."""


@dataclass(frozen=True)
class Domain:
    """What a domain gives to the rest of the house."""

    networks: Callable[[Config, str | None], tuple[nn.Module, nn.Module]]
    """(config, axis_name) -> the two networks of the game. Raises `UserError` where model and shape don't fit."""
    load: Callable[[Config, Split], Raw]
    """(config, "train" or "test") -> the split. Raises `UserError` where it can't be had."""
    to_batch: Callable[[Any], Batch]
    """Raw arrays, on the device, to what the step takes. Runs inside `jit`."""
    to_raw: Callable[[Array | np.ndarray], np.ndarray]
    """Model outputs back to what the data set holds."""
    write: Callable[[Pictures, epath.Path], list[epath.Path]]
    """Writes what a game shows into files named after a stem; returns their paths."""
    measure: Callable[[np.ndarray, Raw, Raw, Config], dict[str, float | int | str]] | None = None
    """(samples, train, held-out, config) -> sample metrics, all raw."""


def check_halvings(shape: tuple[int, ...], n: int) -> None:
    """Raises `UserError` where the height or width of images can't be halved n times."""
    if any(side % (1 << n) for side in shape[:2]):
        raise UserError(
            f"Images of {shape[0]}x{shape[1]} can't be halved {n} times; "
            f"choose --shape with sides that are multiples of {1 << n}, or fewer layers."
        )
