"""The generator of `jaxgen.models.spade` in PyTorch, of the layers of `residual`: their forms are chosen there.

What is read from the map is spread over finer places by broadcasting, not written out. The weights go by Flax's names:
`residual.load`.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers.torch.residual import Dense, blocks_at, leaky_relu, named

Tensor = torch.Tensor


class SpatialNorm(nn.Module):
    """Batch normalisation, then 1 + scale and shift, both read from a map: x [B, C, H, W], condition [B, F, h, w]."""

    def __init__(self, channels: int, condition: int, channels_last: bool):
        super().__init__()
        self.BatchNorm_0 = nn.BatchNorm2d(channels)
        self.Dense_0 = Dense(condition, 2 * channels, channels_last)

    def forward(self, x, condition):
        scale, shift = (part[:, :, :, None, :, None] for part in self.Dense_0(condition).chunk(2, 1))
        (height, width), (h, w) = x.shape[2:], condition.shape[2:]
        wide = self.BatchNorm_0(x).unflatten(2, (h, height // h)).unflatten(4, (w, width // w))
        return torch.addcmul(shift, wide, 1 + scale).flatten(4).flatten(2, 3)


class SpadeBlock(nn.Module):
    """x [B, C, H, W] -> the same: x + 1x1(3x3(1x1(x))), the first two of what was normalised."""

    def __init__(self, width: int, condition: int, channels_last: bool):
        super().__init__()
        half = width // 2
        self.SpatialNorm_0 = SpatialNorm(width, condition, channels_last)
        self.Dense_0 = Dense(width, half, channels_last, bias=False)
        self.SpatialNorm_1 = SpatialNorm(half, condition, channels_last)
        self.Conv_0 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.Dense_1 = Dense(half, width, channels_last)

    def forward(self, x, condition):
        h = self.Dense_0(leaky_relu(self.SpatialNorm_0(x, condition)))
        h = self.Conv_0(leaky_relu(self.SpatialNorm_1(h, condition)))
        return x + self.Dense_1(leaky_relu(h))


class SpadeGenerator(nn.Module):
    """x [B, T, h, w] and noise z [B, Z, h, w] -> [B, channels, H, W] in [-1, 1]."""

    def __init__(self, model: Mapping[str, Any], kinds: int, channels: int, channels_last: bool):
        super().__init__()
        widths, hidden, self._patch = model["gen"], model["hidden"], model["patch"]
        given = kinds + model["z_dim"]
        self.Conv_0 = nn.Conv2d(given, hidden, 3, padding=1)
        self.Conv_1 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.Conv_2 = nn.Conv2d(given, widths[0], 3, padding=1)
        chain, block = [], 0
        for i, width in enumerate(widths):
            if i:
                chain.append((f"Dense_{i - 1}", Dense(widths[i - 1], 4 * width, channels_last, bias=False)))
            for _ in range(blocks_at(model["blocks"], i)):
                chain.append((f"SpadeBlock_{block}", SpadeBlock(width, hidden, channels_last)))
                block += 1
        self._chain = named(self, chain)
        self.Conv_3 = nn.Conv2d(widths[-1], channels * self._patch**2, 3, padding=1)

    def forward(self, x, z):
        given = torch.cat([x, z], 1)
        condition = leaky_relu(self.Conv_1(leaky_relu(self.Conv_0(given))))
        h = self.Conv_2(given)
        for name in self._chain:
            layer = getattr(self, name)
            h = layer(h, condition) if isinstance(layer, SpadeBlock) else F.pixel_shuffle(layer(h), 2)
        return torch.tanh(F.pixel_shuffle(self.Conv_3(leaky_relu(h)).float(), self._patch))


def noise_map(x: Tensor, z_dim: int) -> Tensor:
    """[B, Z, h, w] for x [B, ..., h, w]: the first half the same at every place."""
    whole = torch.randn(len(x), z_dim // 2, 1, 1, device=x.device).expand(-1, -1, *x.shape[2:])
    own = torch.randn(len(x), z_dim - z_dim // 2, *x.shape[2:], device=x.device)
    return torch.cat([whole, own], 1)
