"""Names for what is passed around."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import jax

Array: TypeAlias = jax.Array
PyTree: TypeAlias = Any
Batch: TypeAlias = Mapping[str, Array]
"""One batch: `image` [B, ...], of sequences `sequence` or `tokens` [B, T, ...]; where there are classes, `label` [B]
int32."""
Split: TypeAlias = Literal["train", "test"]
Metrics: TypeAlias = Mapping[str, Array]
