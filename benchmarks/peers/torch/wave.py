"""The networks of `jaxgen.models.wave` in PyTorch, and the layers along time that `vocoder` shares.

A waveform is an image of one row, [B, C, 1, T]: `Conv1d` is computed as that anyway, and has no channels_last.

Time runs backwards in strided layers. SAME padding has an odd place at the end; PyTorch pads alike on both sides, and
leaves out what is over at the end, so that what is left has the odd place at the start. Of the mirrored waveform and
mirrored kernels that is the same network, and no layer pays for a padded copy.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers.torch.networks import FromImage, ToImage
from benchmarks.peers.torch.residual import leaky_relu, named

Tensor = torch.Tensor

TAPS, STRIDE = 25, 4


class Along(nn.Conv2d):
    """A convolution along time, SAME: x [B, I, 1, T] -> [B, O, 1, ceil(T / stride)]; `backwards` if its input is."""

    def __init__(self, before: int, after: int, taps: int, stride: int = 1, backwards: bool = False):
        super().__init__(before, after, (1, taps), (1, stride))
        self._backwards = backwards

    def forward(self, x):
        n, taps, stride = x.shape[3], self.kernel_size[1], self.stride[1]
        total = max((-(-n // stride) - 1) * stride + taps - n, 0)
        if total % 2 and not self._backwards:
            raise ValueError(f"{n} samples are padded unevenly under {taps} taps {stride} apart")
        return F.conv2d(x, self.weight, self.bias, self.stride, (0, -(-total // 2)))

    def from_flax(self, name: str, value: np.ndarray) -> np.ndarray:
        """[taps, I, O] -> [1, taps, I, O]."""
        if name == "bias":
            return value
        return (value[::-1] if self._backwards else value)[None]


class AlongTransposed(nn.ConvTranspose2d):
    """Its transpose, backwards: [B, I, 1, T] -> [B, O, 1, 4 T]."""

    def __init__(self, before: int, after: int):
        spare = TAPS - STRIDE
        super().__init__(
            before, after, (1, TAPS), (1, STRIDE), padding=(0, -(-spare // 2)), output_padding=(0, spare % 2)
        )

    def from_flax(self, name: str, value: np.ndarray) -> np.ndarray:
        return value if name == "bias" else value[::-1][None]


class Start(ToImage):
    """h [B, F] -> [B, C, 1, T], backwards."""

    def from_flax(self, name: str, value: np.ndarray) -> np.ndarray:
        return _backwards(value, -1, self.size)


class End(FromImage):
    """h [B, C, 1, T], backwards -> [B, F]."""

    def from_flax(self, name: str, value: np.ndarray) -> np.ndarray:
        return value if name == "bias" else _backwards(value, 0, self.size)


class Embedding(nn.Embedding):
    """Labels [B] -> [B, C T] in the order of `End`'s input."""

    def __init__(self, classes: int, size: tuple[int, int, int], channels_last: bool):
        super().__init__(classes, size[0] * size[1] * size[2])
        self._size, self._channels_last = size, channels_last

    def from_flax(self, name: str, value: np.ndarray) -> np.ndarray:
        value = _backwards(value, -1, self._size)
        if self._channels_last:
            return value
        return value.reshape(-1, *self._size).transpose(0, 3, 1, 2).reshape(value.shape)


def _backwards(value: np.ndarray, axis: int, size: tuple[int, int, int]) -> np.ndarray:
    """An axis that holds (1, T, C), its T reversed."""
    whole = np.moveaxis(value, axis, -1)
    turned = whole.reshape(*whole.shape[:-1], *size)[..., ::-1, :].reshape(whole.shape)
    return np.moveaxis(turned, -1, axis)


class Generator(nn.Module):
    """z [B, Z] (and label [B]) -> [B, 1, 1, T] in [-1, 1]."""

    def __init__(self, model: Mapping[str, Any], length: int, classes: int, channels_last: bool):
        super().__init__()
        layers, self._classes = model["layers"], classes
        channels = model["width"] << (layers - 1)
        size = (1, length // STRIDE**layers, channels)
        self.Dense_0 = Start(model["z_dim"] + classes, size, channels_last, bias=True)
        widths = [channels >> i for i in range(layers)] + [1]
        stack = [(f"ConvTranspose_{i}", AlongTransposed(widths[i], widths[i + 1])) for i in range(layers)]
        self._stack = named(self, stack)

    def forward(self, z, *label):
        h = torch.cat([z, F.one_hot(label[0], self._classes).to(z.dtype)], 1) if label else z
        h = self.Dense_0(h)
        for name in self._stack:
            h = getattr(self, name)(torch.relu(h))
        return torch.tanh(h).float().flip(3)


class Critic(nn.Module):
    """x [B, 1, 1, T] (and label [B]) -> logits [B, 1]."""

    def __init__(self, model: Mapping[str, Any], length: int, classes: int, channels_last: bool):
        super().__init__()
        layers, self._shuffle = model["layers"], model["shuffle"]
        widths = [1] + [model["width"] << i for i in range(layers)]
        stack = [(f"Conv_{i}", Along(widths[i], widths[i + 1], TAPS, STRIDE, True)) for i in range(layers)]
        self._stack = named(self, stack)
        size = (1, length // STRIDE**layers, widths[-1])
        self.Dense_0 = End(size, 1, channels_last)
        if classes:
            self.Embed_0 = Embedding(classes, size, channels_last)

    def forward(self, x, *label):
        h = x.flip(3)
        for i, name in enumerate(self._stack):
            if i and self._shuffle:
                h = phase_shuffle(h, self._shuffle)
            h = leaky_relu(getattr(self, name)(h))
        logit = self.Dense_0(h)
        if label:
            flat = (h.permute(0, 2, 3, 1) if self.Dense_0.channels_last else h).flatten(1)
            logit = logit + (self.Embed_0(label[0]) * flat).sum(1, keepdim=True) * flat.shape[1] ** -0.5
        return logit


def phase_shuffle(h: Tensor, most: int) -> Tensor:
    """h [B, C, 1, T], each example shifted by its own draw from -most to most, the gap filled by reflection.

    One gather, of indices that are reflected themselves.
    """
    n = h.shape[3]
    by = torch.randint(-most, most + 1, (len(h), 1), device=h.device)
    places = (torch.arange(n, device=h.device) + by).abs()
    places = (n - 1) - ((n - 1) - places).abs()
    return h.gather(3, places[:, None, None].expand(-1, h.shape[1], -1, -1))
