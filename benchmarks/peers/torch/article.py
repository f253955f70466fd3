"""The article's encoder-decoder GAN, repaired as `benchmarks.ours.article` says, on the step of the others."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from benchmarks.peers.torch.networks import conv_critic, leaky_relu
from benchmarks.peers.torch.step import TorchStep


class NoiseImage(nn.Module):
    """z [B, H W C] -> [B, C, H, W], H W C in the order of ours; `size` is (H, W, C)."""

    def __init__(self, size: Sequence[int], channels_last: bool):
        super().__init__()
        self.size, self.channels_last = tuple(size), channels_last

    def forward(self, z):
        image = z.view(-1, *self.size).permute(0, 3, 1, 2)
        return image if self.channels_last else image.contiguous()


def encoder_decoder(model: Mapping[str, Any], shape: Sequence[int], channels_last: bool) -> nn.Module:
    """z [B, H W C] -> [B, C, H, W] in [-1, 1]."""
    width, layers, channels = model["width"], model["layers"], shape[2]
    stack: list[nn.Module] = [NoiseImage(shape, channels_last)]
    for i in range(layers):
        stack.append(nn.Conv2d(channels, width << i, 4, 2, padding=1, bias=i == 0))
        channels = width << i
        stack += [nn.BatchNorm2d(channels)] * (i > 0)
        stack.append(leaky_relu())
    for i in reversed(range(layers - 1)):
        stack += [nn.ConvTranspose2d(channels, width << i, 4, 2, padding=1, bias=False), nn.BatchNorm2d(width << i)]
        stack.append(nn.ReLU())
        channels = width << i
    return nn.Sequential(*stack, nn.ConvTranspose2d(channels, shape[2], 4, 2, padding=1), nn.Tanh())


class ArticleStep(TorchStep):
    """The step of a model `Conv`, with the article's generator in the place of DCGAN's."""

    def _pair(self, config: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
        return self._formatted(
            encoder_decoder(config["model"], self._shape, self._channels_last),
            conv_critic(config["model"], self._shape, self._channels_last),
        )


build = ArticleStep
