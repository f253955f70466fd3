"""The networks of `jaxgen.models.unet` in PyTorch, of the layers of `residual`: their forms are chosen there.

The weights go by Flax's names: `residual.load`.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers.torch.degrade import Degrade, resized
from benchmarks.peers.torch.residual import Block, Dense, bilinear, blocks_at, blur, leaky_relu, named, through


class UNet(nn.Module):
    """x [B, I, h, w] -> [B, C, H, W], about in [-1, 1]; `shape` is (H, W, C), `before` I without a mask, and `spoil`
    what made x."""

    def __init__(
        self, model: Mapping[str, Any], shape: Sequence[int], before: int, spoil: Degrade | None, channels_last: bool
    ):
        super().__init__()
        self._size, self._channels, self._patch, self._residual = shape[:2], shape[2], model["patch"], model["residual"]
        self._scale, self._masked = (spoil.scale, spoil.masked) if spoil else (1, False)
        widths, blocks = model["gen"], model["blocks"]
        height, width = (n // self._patch for n in shape[:2])
        inputs = before + self._masked
        self.Conv_0 = nn.Conv2d(inputs * self._patch**2, widths[-1], 3, padding=1)
        finest, dense, block = len(widths) - 1, 0, 0
        down, up = [], []
        for i in range(finest, -1, -1):
            part = []
            if i < finest:
                part.append((f"down_{dense}", blur((height, width), channels_last)))
                part.append((f"Dense_{dense}", Dense(widths[i + 1], widths[i], channels_last, bias=False)))
                height, width, dense = height // 2, width // 2, dense + 1
            for _ in range(blocks_at(blocks, i)):
                part.append((f"Block_{block}", Block(widths[i], channels_last)))
                block += 1
            down.append(named(self, part))
        for i in range(finest + 1):
            steps, beside, part = [], [], []
            if i:
                narrow = Dense(widths[i - 1], widths[i], channels_last, bias=False)
                steps = [(f"Dense_{dense}", narrow), (f"up_{dense}", bilinear((height, width), channels_last))]
                beside = [(f"Dense_{dense + 1}", Dense(widths[i], widths[i], channels_last))]
                height, width, dense = 2 * height, 2 * width, dense + 2
            for _ in range(blocks_at(blocks, i)):
                part.append((f"Block_{block}", Block(widths[i], channels_last)))
                block += 1
            up.append((named(self, steps), named(self, beside), named(self, part)))
        self._down, self._up = down, up
        self.Conv_1 = nn.Conv2d(widths[-1], self._channels * self._patch**2, 3, padding=1)
        if self._residual:
            nn.init.zeros_(self.Conv_1.weight)

    def forward(self, x):
        if self._scale > 1:
            x = resized(x, self._size)
        h, ways = self.Conv_0(F.pixel_unshuffle(x, self._patch)), []
        for part in self._down:
            h = through(self, part, h)
            ways.append(h)
        for i, (steps, beside, part) in enumerate(self._up):
            if i:
                h = through(self, steps, h) + through(self, beside, ways[-1 - i])
            h = through(self, part, h)
        out = F.pixel_shuffle(self.Conv_1(leaky_relu(h)).float(), self._patch)
        base = x[:, : self._channels]
        out = base + out if self._residual else torch.tanh(out)
        return torch.lerp(base, out, x[:, -1:]) if self._masked else out


class PatchCritic(nn.Module):
    """y [B, C, H, W] (and what it was made of, brought to its size, [B, I, H, W]) -> logits [B, h w], fp32."""

    def __init__(self, model: Mapping[str, Any], size: Sequence[int], inputs: int, channels_last: bool):
        super().__init__()
        widths, self._patch = model["disc"], model["patch"]
        height, width = (n // self._patch for n in size)
        self.Conv_0 = nn.Conv2d(inputs * self._patch**2, widths[-1], 3, padding=1)
        chain, block, dense = [], 0, 0
        for i, channels in reversed(list(enumerate(widths))):
            if i < len(widths) - 1:
                chain.append((f"down_{dense}", blur((height, width), channels_last)))
                chain.append((f"Dense_{dense}", Dense(widths[i + 1], channels, channels_last, bias=False)))
                height, width, dense = -(-height // 2), -(-width // 2), dense + 1
            for _ in range(blocks_at(model["blocks"], i)):
                chain.append((f"Block_{block}", Block(channels, channels_last)))
                block += 1
        self._chain = named(self, chain)
        self._last = named(self, [(f"Dense_{dense}", Dense(widths[0], 1, channels_last))])

    def forward(self, y, *given):
        y = torch.cat([y, *given], 1) if given else y
        h = through(self, self._chain, self.Conv_0(F.pixel_unshuffle(y, self._patch)))
        return through(self, self._last, leaky_relu(h)).flatten(1).float()
