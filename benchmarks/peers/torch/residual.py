"""The residual pair of `jaxgen.models.residual` in PyTorch, and its weights from Flax's.

Layers bear Flax's names, so that weights go by name. Forms, each exact, by CPU time of value and gradients, one core,
32x64x16x16 and 32x16x64x64, contiguous | channels_last:

    dense over channels     batched product 4.2, 7.2 (1x1 convolution 5.9, 20) | linear 3.5, 8.4 (convolution 3.7, 8.1)
    blur of stride 2        banded products 1.6, 6.5 (depthwise 5.7, 39)       | the same 2.0, 8.5 (depthwise 3.2, 10.7)
    bilinear to that size   banded products 2.5, 7.5 (interpolate 9.5, 41)     | interpolate 1.5, 9.1 (products 2.2, 11)

Cards were not there to measure on.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers.torch.bands import bilinear_matrix, blur_matrix
from benchmarks.peers.torch.device import DEVICE
from benchmarks.peers.torch.networks import Arrays, ToImage, fill

Tensor = torch.Tensor

FAR = 1e4
"""Beyond any logit, as in `jaxgen.models.residual`."""


class Dense(nn.Linear):
    """Over the channels: x [B, I, H, W] -> [B, O, H, W]."""

    def __init__(self, before: int, after: int, channels_last: bool, bias: bool = True):
        super().__init__(before, after, bias)
        self.channels_last = channels_last

    def forward(self, x):
        if self.channels_last:
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        weight = self.weight.expand(len(x), *self.weight.shape)
        flat = x.flatten(2)
        y = torch.bmm(weight, flat) if self.bias is None else torch.baddbmm(self.bias[:, None], weight, flat)
        return y.unflatten(2, x.shape[2:])


class Banded(nn.Module):
    """A matrix along the height and one along the width: x [B, C, H, W] -> [B, C, H', W']."""

    def __init__(self, rows: np.ndarray, columns: np.ndarray, channels_last: bool):
        super().__init__()
        self.channels_last = channels_last
        # No buffers: the moving average would take them along.
        self._rows, self._columns = (torch.from_numpy(m.astype(np.float32)).to(DEVICE) for m in (rows, columns))

    def forward(self, x):
        if not self.channels_last:
            return torch.matmul(torch.matmul(self._rows, x), self._columns.T)
        y = x.permute(0, 2, 3, 1)
        y = torch.matmul(self._rows, y.flatten(2)).unflatten(2, y.shape[2:])
        return torch.matmul(self._columns, y).permute(0, 3, 1, 2)


def blur(size: Sequence[int], channels_last: bool) -> nn.Module:
    return Banded(blur_matrix(size[0]), blur_matrix(size[1]), channels_last)


def bilinear(size: Sequence[int], channels_last: bool) -> nn.Module:
    if channels_last:
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return Banded(bilinear_matrix(size[0]), bilinear_matrix(size[1]), False)


def leaky_relu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation, then 1 + scale and shift, both linear in a condition [B, F]."""

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.BatchNorm_0 = nn.BatchNorm2d(channels)
        self.scale, self.shift = nn.Linear(condition, channels), nn.Linear(condition, channels)

    def forward(self, x, condition):
        scale, shift = self.scale(condition)[:, :, None, None], self.shift(condition)[:, :, None, None]
        return torch.addcmul(shift, self.BatchNorm_0(x), 1 + scale)


class Block(nn.Module):
    """x [B, C, H, W] -> the same: x + 1x1(3x3(1x1(x)))."""

    def __init__(self, width: int, channels_last: bool, norm: str = "none", condition: int = 0):
        super().__init__()
        half, bias = width // 2, norm == "none"
        self.Dense_0 = Dense(width, half, channels_last, bias=bias)
        self.Conv_0 = nn.Conv2d(half, half, 3, padding=1, bias=bias)
        self.Dense_1 = Dense(half, width, channels_last)
        self._batch = norm == "batch"
        if self._batch:
            self.ConditionalBatchNorm_0 = ConditionalBatchNorm(half, condition)
            self.ConditionalBatchNorm_1 = ConditionalBatchNorm(half, condition)

    def forward(self, x, *condition):
        h = self.Dense_0(x)
        h = self.Conv_0(leaky_relu(self.ConditionalBatchNorm_0(h, *condition) if self._batch else h))
        return x + self.Dense_1(leaky_relu(self.ConditionalBatchNorm_1(h, *condition) if self._batch else h))


class Generator(nn.Module):
    """z [B, Z] (and label [B]) -> [B, C, H, W] in [-1, 1]."""

    def __init__(self, model: Mapping[str, Any], shape: Sequence[int], classes: int, channels_last: bool):
        super().__init__()
        widths, self._classes, self._patch = model["gen"], classes, model["patch"]
        height, width = (n // self._patch >> len(widths) - 1 for n in shape[:2])
        self.Dense_0 = ToImage(model["z_dim"] + classes, (height, width, widths[0]), channels_last, bias=True)
        condition = model.get("style") or model["z_dim"] + classes  # as many features as it has
        chain, made = [], 0
        for i, channels in enumerate(widths):
            if i:
                dense = Dense(widths[i - 1], channels, channels_last, bias=False)
                up = bilinear((height, width), channels_last)
                chain += [(f"Dense_{i}", dense), (f"up_{i}", up)]
                height, width = 2 * height, 2 * width
            for _ in range(blocks_at(model["blocks"], i)):
                chain.append((f"Block_{made}", Block(channels, channels_last, model["norm"], condition)))
                made += 1
        self._chain, self._made = named(self, chain), made
        self.Conv_0 = nn.Conv2d(widths[-1], shape[2] * self._patch**2, 3, padding=1)

    def forward(self, z, *label, style=None):
        return torch.tanh(F.pixel_shuffle(self._last(self._features(z, *label, style=style)), self._patch))

    def _features(self, z, *label, style=None):
        """[B, C, H, W] at the size of the output."""
        start = torch.cat([z, F.one_hot(label[0], self._classes).to(z.dtype)], 1) if label else z
        return through(self, self._chain, self.Dense_0(start), start if style is None else style)

    def _last(self, h):
        return self.Conv_0(leaky_relu(h)).float()


class LevelGenerator(Generator):
    """z [B, Z] -> [B, T, H, W], one-hot along T; those in `placed` are put into one cell each, on `ground`."""

    def __init__(
        self, model: Mapping[str, Any], shape: Sequence[int], placed: Sequence[int], ground: int, channels_last: bool
    ):
        super().__init__(model, shape, 0, channels_last)
        self._placed, self._ground, n, width = bool(placed), ground, len(model["gen"]), model["gen"][-1]
        self._temperature = model["temperature"]
        height, breadth, tiles = shape

        def straight(channels: int) -> nn.Module:
            return ToImage(model["z_dim"], (height, breadth, channels), channels_last, bias=True)

        layers: list[tuple[str, nn.Module]] = [(f"Dense_{n}", straight(tiles))]
        if placed:
            layers += [(f"Dense_{n + 1}", Dense(tiles, width, channels_last))]
            layers += [(f"Block_{self._made}", Block(width, channels_last, model["norm"], model["z_dim"]))]
            layers += [(f"Dense_{n + 2}", straight(len(placed)))]
            self.Conv_1 = nn.Conv2d(width, len(placed), 3, padding=1)
            never = torch.zeros(tiles, 1, 1, device=DEVICE)
            never[list(placed)] = -torch.inf
            self._never, self._kinds = never, torch.eye(tiles, device=DEVICE)[list(placed)].T
        self._ends = named(self, layers)

    def forward(self, z, *label, style=None):
        h = self._features(z)
        kinds = self._last(h) + getattr(self, self._ends[0])(z).float()
        if not self._placed:
            return straight_through(kinds, self._temperature)
        beside, block, straight = (getattr(self, name) for name in self._ends[1:])
        rest = straight_through(kinds + self._never, self._temperature)
        ground = rest.detach()
        h = block(h.detach() + beside(ground), z)
        cells = self.Conv_1(leaky_relu(h)).float() + straight(z).float()
        maps = place(cells.flatten(2), ground[:, self._ground].flatten(1) > 0.5, self._temperature)
        pieces = torch.matmul(self._kinds, maps).unflatten(2, rest.shape[2:])
        return rest * (1 - maps.sum(1)).view(-1, 1, *rest.shape[2:]) + pieces


def blocks_at(blocks: Sequence[int], i: int) -> int:
    """How many at the i-th resolution: the last number holds for all finer ones."""
    return blocks[min(i, len(blocks) - 1)]


def named(network: nn.Module, layers: Sequence[tuple[str, nn.Module]]) -> tuple[str, ...]:
    """The names of the layers, which become `network`'s."""
    for name, layer in layers:
        setattr(network, name, layer)
    return tuple(name for name, _ in layers)


def through(network: nn.Module, names: Sequence[str], h: Tensor, *condition: Tensor) -> Tensor:
    """One layer after the other; blocks are told the condition."""
    for name in names:
        layer = getattr(network, name)
        h = layer(h, *condition) if isinstance(layer, Block) else layer(h)
    return h


def place(logits: Tensor, ground: Tensor, temperature: float = 1.0) -> Tensor:
    """[B, P, H W], ground [B, H W] -> [B, P, H W]: in each map a 1 in the likeliest cell that no map before has taken,
    on the ground where it has room."""
    maps, off = [], torch.where(ground, 0.0, FAR)
    for p in range(logits.shape[1]):
        maps.append(straight_through(logits[:, p] - off, temperature))
        off = torch.add(off, maps[-1].detach(), alpha=2 * FAR)
    return torch.stack(maps, 1)


def straight_through(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """One-hot along axis 1, with the gradient of the softmax at a temperature."""
    shares = (logits / temperature).softmax(1)
    hard = torch.zeros_like(shares).scatter_(1, shares.argmax(1, keepdim=True), 1.0)
    return (hard - shares).detach() + shares


class Critic(nn.Module):
    """x [B, C, H, W] (and label [B]) -> logits [B, 1]."""

    def __init__(self, model: Mapping[str, Any], shape: Sequence[int], classes: int, totals: bool, channels_last: bool):
        super().__init__()
        widths, self._totals, self._channels_last = model["disc"], totals, channels_last
        self._patch = model["patch"]
        height, width, inputs = shape[0] // self._patch, shape[1] // self._patch, shape[2]
        self.Conv_0 = nn.Conv2d(inputs * self._patch**2, widths[-1], 3, padding=1)
        chain, made, dense = [], 0, 0
        for i, channels in reversed(list(enumerate(widths))):
            if i < len(widths) - 1:
                down = blur((height, width), channels_last)
                chain += [(f"down_{dense}", down)]
                chain += [(f"Dense_{dense}", Dense(widths[i + 1], channels, channels_last, bias=False))]
                height, width, dense = -(-height // 2), -(-width // 2), dense + 1
            for _ in range(blocks_at(model["blocks"], i)):
                chain.append((f"Block_{made}", Block(channels, channels_last)))
                made += 1
        self._chain, features = named(self, chain), widths[0]
        self.where = nn.Parameter(torch.randn(height, width, features) * (height * width) ** -0.5)
        heads = [nn.Linear(features + inputs, features), nn.Linear(features, features)] * totals
        heads.append(nn.Linear(features, 1))
        self._heads = named(self, [(f"Dense_{dense + i}", head) for i, head in enumerate(heads)])
        if classes:
            self.Embed_0 = nn.Embedding(classes, features)

    def forward(self, x, *label):
        h = through(self, self._chain, self.Conv_0(F.pixel_unshuffle(x, self._patch)))
        where = self.where.permute(2, 0, 1)
        features = (leaky_relu(h) * (where if self._channels_last else where.contiguous())).sum((2, 3))
        if self._totals:
            features = torch.cat([features, x.sum((2, 3)).to(features.dtype)], 1)
            for name in self._heads[:-1]:
                features = leaky_relu(getattr(self, name)(features))
        logit = getattr(self, self._heads[-1])(features)
        if label:
            logit = logit + (self.Embed_0(label[0]) * features).sum(1, keepdim=True) * features.shape[1] ** -0.5
        return logit


def load(network: nn.Module, arrays: Arrays, prefix: str) -> None:
    """Fill `network` from Flax's parameters `prefix/Block_0/Dense_0/kernel` ..., by name.

    Raises KeyError for a parameter that is missing and ValueError where some are left over or have another shape.
    """
    leaves = {nn.BatchNorm2d: "scale", nn.Embedding: "embedding"}
    used: set[str] = set()
    for path, layer in network.named_modules():
        for own, target in layer.named_parameters(recurse=False):
            kind = next((leaf for of, leaf in leaves.items() if isinstance(layer, of)), "kernel")
            name = kind if own == "weight" else own
            full = "/".join([prefix, *filter(None, path.split(".")), name])
            fill(layer, name, target, arrays, full)
            used.add(full)
    if extra := {n for n in arrays if n.startswith(prefix + "/")} - used:
        raise ValueError(f"PyTorch's network has no place for {sorted(extra)}")
