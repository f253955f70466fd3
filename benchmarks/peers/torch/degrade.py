"""`jaxgen.degrade` in PyTorch: the same images from the same distributions, all of a batch at once."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

Tensor = torch.Tensor

STROKES, CORNERS = 4, 5


@dataclass(frozen=True)
class Degrade:
    """images [B, C, H, W] in [-1, 1] -> [B, C + masked, H / scale, W / scale]."""

    kind: str
    amount: int

    @property
    def scale(self) -> int:
        return self.amount if self.kind == "downsample" else 1

    @property
    def masked(self) -> bool:
        return self.kind == "holes"

    @property
    def random(self) -> bool:
        return self.kind != "downsample"

    def __call__(self, images: Tensor) -> Tensor:
        return _KINDS[self.kind](images, self.amount)


def degradation(name: str) -> Degrade:
    """`downsample-2`, `noise-25`, `holes-15`, ..."""
    kind, _, amount = name.partition("-")
    return Degrade(kind, int(amount))


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """Cubic, antialiased where it gets smaller, as `jax.image.resize`; without `antialias` PyTorch's cubic differs."""
    return F.interpolate(x, tuple(size), mode="bicubic", antialias=True)


def _downsample(images: Tensor, amount: int) -> Tensor:
    return resized(images, (images.shape[2] // amount, images.shape[3] // amount))


def _noise(images: Tensor, amount: int) -> Tensor:
    noisy = torch.add(images, torch.randn_like(images), alpha=amount / 127.5).clamp(-1, 1)
    return torch.round((noisy + 1) * 127.5) / 127.5 - 1


def _holes(images: Tensor, amount: int) -> Tensor:
    mask = _strokes(images, amount / 100)
    return torch.cat([images * (1 - mask), mask], 1)


def _strokes(images: Tensor, brush: float) -> Tensor:
    """[B, 1, H, W] of 0 and 1: broken lines as wide as `brush` of the longer side, and not without an end.

    Along the height and the width apart, as long as that goes: a square distance is linear in products of the two.
    """
    b, height, width, device = len(images), *images.shape[2:], images.device
    long = max(height, width)
    start = torch.rand(b, STROKES, 1, 2, device=device) * torch.tensor([height, width], device=device)
    turn = torch.rand(b, STROKES, CORNERS - 1, device=device) * (2 * math.pi)
    length = (torch.rand(b, STROKES, CORNERS - 1, device=device) * 0.3 + 0.1) * long
    steps = length[..., None] * torch.stack([turn.sin(), turn.cos()], -1)
    corners = torch.cat([start, start + steps.cumsum(2)], 2)
    # [B, strokes' parts, 1] each: where they begin, and where they lead.
    row, column = corners[:, :, :-1].reshape(b, -1, 1, 2).unbind(-1)
    down, right = steps.reshape(b, -1, 1, 2).unbind(-1)
    rows = torch.arange(height, device=device) + 0.5 - row  # [B, parts, H]
    columns = torch.arange(width, device=device) + 0.5 - column
    square = (down**2 + right**2).clamp_min(1e-6)
    t = ((rows * (down / square))[..., None] + (columns * (right / square))[:, :, None]).clamp_(0, 1)
    away = (rows[..., None] - t * down[..., None]) ** 2 + (columns[:, :, None] - t * right[..., None]) ** 2
    count = torch.randint(0, STROKES, (b, 1), device=device)
    used = (torch.arange(STROKES, device=device) <= count).repeat_interleave(CORNERS - 1, 1)
    mask = ((away <= (brush * long / 2) ** 2) & used[..., None, None]).any(1).to(images.dtype)
    first, n = start[:, 0, 0].long(), torch.arange(b, device=device)
    first_row, first_column = first[:, 0].clamp_max(height - 1), first[:, 1].clamp_max(width - 1)
    mask[n, first_row, first_column] = 1
    mask[n, (first_row + height // 2) % height, (first_column + width // 2) % width] = 0
    return mask[:, None]


_KINDS: dict[str, Callable[[Tensor, int], Tensor]] = {"downsample": _downsample, "noise": _noise, "holes": _holes}
