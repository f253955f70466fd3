"""DCGAN generator and critic of images (Radford et al. 2016): strided convolutions, batch normalisation."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxgen.models.convolution import Conv, ConvTranspose
from jaxgen.models.layers import Dropout, leaky_relu, normalised, with_label
from jaxgen.models.normalisation import BatchNorm
from jaxgen.types import Array

_normal = nn.initializers.normal(0.02)  # DCGAN, section 4


class Generator(nn.Module):
    """z [B, Z] (and label [B]) -> [B, *shape] in [-1, 1]; height and width are doubled `layers` times."""

    shape: tuple[int, int, int]
    width: int
    layers: int
    classes: int = 0
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool) -> Array:
        norm = partial(BatchNorm, not train, momentum=0.9, axis_name=self.axis_name, dtype=self.dtype)
        height, width = (n >> self.layers for n in self.shape[:2])
        channels = self.width << self.layers
        h = nn.Dense(height * width * channels, use_bias=False, dtype=self.dtype, kernel_init=_normal)(
            with_label(z, label, self.classes)
        )
        h = nn.relu(norm()(h.reshape(len(z), height, width, channels)))
        for _ in range(self.layers):
            channels //= 2
            up = ConvTranspose(channels, (4, 4), (2, 2), use_bias=False, dtype=self.dtype, kernel_init=_normal)
            h = nn.relu(norm()(up(h)))
        x = Conv(self.shape[-1], (3, 3), dtype=self.dtype, kernel_init=_normal)(h)
        return nn.tanh(x).astype(jnp.float32)


class Critic(nn.Module):
    """x [B, H, W, C] (and label [B]) -> logits [B]; the label enters by projection (Miyato & Koyama 2018)."""

    width: int
    layers: int
    dropout: float = 0.0
    spectral_norm: bool = False  # in place of batch normalisation
    classes: int = 0
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> Array:
        h = x
        for i in range(self.layers):
            bias = i == 0 or self.spectral_norm  # batch normalisation has its own
            down = partial(Conv, self.width << i, (4, 4), (2, 2), use_bias=bias, dtype=self.dtype, kernel_init=_normal)
            h = normalised(down, self.spectral_norm, h, train=train)
            if not bias:
                h = BatchNorm(not train, momentum=0.9, axis_name=self.axis_name, dtype=self.dtype)(h)
            h = Dropout(self.dropout, self.axis_name)(leaky_relu(h), train=train)
        h = h.reshape(len(h), -1)
        head = partial(nn.Dense, 1, dtype=self.dtype, kernel_init=_normal)
        logit = normalised(head, self.spectral_norm, h, train=train)[:, 0]
        if label is not None:
            logit += jnp.sum(nn.Embed(self.classes, h.shape[-1], dtype=self.dtype)(label) * h, axis=-1)
        return logit.astype(jnp.float32)
