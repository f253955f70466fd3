"""jaxgen's networks in PyTorch, and their weights from Flax's.

A convolutional network runs in one of two memory layouts, NCHW or channels_last; `ToImage` and `FromImage` stand at the
turns from vectors to images, so that neither layout pays for a copy there.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

Arrays = Mapping[str, np.ndarray]

FLAX_NAMES = {
    nn.Linear: "Dense",
    nn.Conv2d: "Conv",
    nn.ConvTranspose2d: "ConvTranspose",
    nn.BatchNorm2d: "BatchNorm",
}


class ToImage(nn.Linear):
    """h [B, F] -> [B, C, H, W]; `size` is (H, W, C)."""

    def __init__(self, features: int, size: tuple[int, int, int], channels_last: bool, bias: bool):
        super().__init__(features, size[0] * size[1] * size[2], bias)
        self.size, self.channels_last = size, channels_last

    def forward(self, h):
        height, width, channels = self.size
        h = super().forward(h)
        if self.channels_last:
            return h.view(-1, height, width, channels).permute(0, 3, 1, 2)
        return h.view(-1, channels, height, width)


class FromImage(nn.Linear):
    """h [B, C, H, W] -> [B, F]; `size` is (H, W, C)."""

    def __init__(self, size: tuple[int, int, int], features: int, channels_last: bool):
        super().__init__(size[0] * size[1] * size[2], features)
        self.size, self.channels_last = size, channels_last

    def forward(self, h):
        return super().forward((h.permute(0, 2, 3, 1) if self.channels_last else h).flatten(1))


def leaky_relu() -> nn.Module:
    return nn.LeakyReLU(0.2)


def gelu() -> nn.Module:
    """Flax's `nn.gelu` is the approximation by tanh."""
    return nn.GELU(approximate="tanh")


class Residual(nn.Sequential):
    """h + layers(h)."""

    def forward(self, h):
        return h + super().forward(h)


def _residual(width: int) -> nn.Module:
    return Residual(nn.Linear(width, width), nn.Hardswish())


def mlp(sizes: Sequence[int], activation=leaky_relu, dropout: float = 0.0, last: Sequence[nn.Module] = ()):
    """Linear layers with `activation`, and dropout after it, between them; nothing after the last but `last`."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes[:-1]):
        layers += [nn.Linear(before, after), activation()]
        layers += [nn.Dropout(dropout)] * bool(dropout)
    return nn.Sequential(*layers, nn.Linear(*sizes[-2:]), *last)


def conv_generator(model: Mapping[str, Any], shape: Sequence[int], channels_last: bool) -> nn.Module:
    """z [B, Z] -> [B, C, H, W] in [-1, 1]."""
    layers, channels = model["layers"], model["width"] << model["layers"]
    size = (shape[0] >> layers, shape[1] >> layers, channels)
    stack: list[nn.Module] = [ToImage(model["z_dim"], size, channels_last, bias=False), nn.BatchNorm2d(channels)]
    for _ in range(layers):
        up = nn.ConvTranspose2d(channels, channels // 2, 4, 2, padding=1, bias=False)
        channels //= 2
        stack += [nn.ReLU(), up, nn.BatchNorm2d(channels)]
    return nn.Sequential(*stack, nn.ReLU(), nn.Conv2d(channels, shape[2], 3, padding=1), nn.Tanh())


def conv_critic(model: Mapping[str, Any], shape: Sequence[int], channels_last: bool) -> nn.Module:
    """x [B, C, H, W] -> logits [B, 1]."""
    layers, channels = model["layers"], shape[2]
    stack: list[nn.Module] = []
    for i in range(layers):
        stack.append(nn.Conv2d(channels, model["width"] << i, 4, 2, padding=1, bias=i == 0))
        channels = model["width"] << i
        stack += [nn.BatchNorm2d(channels)] * (i > 0)
        stack.append(leaky_relu())
        stack += [nn.Dropout(model["dropout"])] * bool(model["dropout"])
    size = (shape[0] >> layers, shape[1] >> layers, channels)
    return nn.Sequential(*stack, FromImage(size, 1, channels_last))


def conv_encoder(model: Mapping[str, Any], shape: Sequence[int], channels_last: bool) -> nn.Module:
    """x [B, C, H, W] -> (mu, logvar) as [B, 2Z]."""
    stack: list[nn.Module] = []
    for before, after in pairwise([shape[2], *model["widths"]]):
        stack += [nn.Conv2d(before, after, 4, 2, padding=1), nn.Hardswish()]
    halvings = len(model["widths"])
    size, hidden = (shape[0] >> halvings, shape[1] >> halvings, model["widths"][-1]), model["hidden"]
    head = [FromImage(size, hidden, channels_last), nn.Hardswish(), _residual(hidden)]
    return nn.Sequential(*stack, *head, nn.Linear(hidden, 2 * model["z_dim"]))


def conv_decoder(model: Mapping[str, Any], shape: Sequence[int], channels_last: bool) -> nn.Module:
    """z [B, Z] -> [B, C, H, W]."""
    widths = model["widths"][::-1]
    size = (shape[0] >> len(widths), shape[1] >> len(widths), widths[0])
    hidden = model["hidden"]
    stack: list[nn.Module] = [
        nn.Linear(model["z_dim"], hidden),
        nn.Hardswish(),
        _residual(hidden),
        ToImage(hidden, size, channels_last, bias=True),
    ]
    for before, after in pairwise([*widths, shape[2]]):
        stack += [nn.Hardswish(), nn.ConvTranspose2d(before, after, 4, 2, padding=1)]
    return nn.Sequential(*stack)


def load(network: nn.Module, arrays: Arrays, prefix: str) -> None:
    """Fill `network` from Flax's parameters `prefix/Dense_0/kernel` ..., counted by kind in the order of the layers.

    Raises KeyError for a parameter that is missing and ValueError where some are left over or have another shape.
    """
    seen: Counter[str] = Counter()
    used: set[str] = set()
    for layer in network.modules():
        kind = next((name for cls, name in FLAX_NAMES.items() if isinstance(layer, cls)), None)
        if kind is None:
            continue
        path = f"{prefix}/{kind}_{seen[kind]}/"
        seen[kind] += 1
        for target, name in ((layer.weight, "scale" if kind == "BatchNorm" else "kernel"), (layer.bias, "bias")):
            if target is None:
                continue
            used.add(path + name)
            fill(layer, name, target, arrays, path + name)
    if extra := {n for n in arrays if n.startswith(prefix + "/")} - used:
        raise ValueError(f"PyTorch's network has no place for {sorted(extra)}")


def fill(layer: nn.Module, name: str, target: torch.Tensor, arrays: Arrays, path: str) -> None:
    """Fill one parameter of `layer`, `name` in Flax, from the array `path`. A layer that differs from Flax's in more
    than the order of axes has `from_flax(name, array)`. Raises ValueError for another shape."""
    value = arrays[path]
    if hasattr(layer, "from_flax"):
        value = layer.from_flax(name, value)  # pyright: ignore[reportCallIssue]
    value = torch.from_numpy(np.ascontiguousarray(_as_torch(layer, name, value)))
    if value.shape != target.shape:
        raise ValueError(f"{path} is {tuple(value.shape)}; PyTorch's has {tuple(target.shape)}")
    with torch.no_grad():
        target.copy_(value)


def _as_torch(layer: nn.Module, name: str, value: np.ndarray) -> np.ndarray:
    """Flax's parameter in PyTorch's order of axes."""
    if isinstance(layer, nn.ConvTranspose2d) and name == "kernel":
        return value[::-1, ::-1].transpose(2, 3, 0, 1)  # Flax does not reverse the kernel
    if isinstance(layer, nn.Conv2d) and name == "kernel":
        return value.transpose(3, 2, 0, 1)
    if isinstance(layer, nn.Conv3d) and name == "kernel":
        return value.transpose(4, 3, 0, 1, 2)
    if isinstance(layer, nn.Linear):
        value = value.T  # a bias is its own transpose
        if isinstance(layer, ToImage) and not layer.channels_last:
            value = np.moveaxis(value.reshape(*layer.size, *value.shape[1:]), 2, 0).reshape(value.shape)
        if isinstance(layer, FromImage) and not layer.channels_last and name == "kernel":
            value = np.moveaxis(value.reshape(-1, *layer.size), 3, 1).reshape(value.shape)
    return value
