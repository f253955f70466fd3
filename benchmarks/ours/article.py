"""The article's encoder-decoder GAN, repaired: a training step of it, the rest as kind `step`.

What is known of it (not its text): the generator turns an image into an image, by strided convolutions down and
transposed ones up, and the critic is a strided convolutional network to one logit. As printed it does not run: names
are undefined and shapes do not fit. Here every layer halves or doubles (kernel 4, stride 2, padding 1), the widths on
the way up are those on the way down, and the noise is an image: z of H W C numbers, reshaped.

The article's other networks: all of its text, video and speech GANs are one 28x28 image pair, the row `digits_gan`
(100-256-512-1024-784, 784-1024-512-256-1); its VAE has neither posterior nor KL, the row `image_vae` has both.
"""

import dataclasses
from functools import partial

import jax
from flax import linen as nn

import jaxgen
from benchmarks.ours.call import Call
from benchmarks.ours.step import PlainStep
from benchmarks.protocol import Contestant, Job
from jaxgen import config as config_module
from jaxgen.assemble import Built
from jaxgen.config import Config
from jaxgen.models.convolution import Conv, ConvTranspose
from jaxgen.models.layers import leaky_relu
from jaxgen.models.normalisation import BatchNorm

_normal = nn.initializers.normal(0.02)  # as in `jaxgen.models.conv`


class EncoderDecoder(nn.Module):
    """z [B, H W C] -> [B, H, W, C] in [-1, 1]; height and width are halved `layers` times, then doubled as often."""

    shape: tuple[int, int, int]
    width: int
    layers: int

    @nn.compact
    def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
        norm = partial(BatchNorm, not train, momentum=0.9)
        halve = partial(Conv, kernel_size=(4, 4), strides=(2, 2), kernel_init=_normal)
        double = partial(ConvTranspose, kernel_size=(4, 4), strides=(2, 2), kernel_init=_normal)
        h = leaky_relu(halve(self.width)(z.reshape(-1, *self.shape)))
        for i in range(1, self.layers):
            h = leaky_relu(norm()(halve(self.width << i, use_bias=False)(h)))
        for i in reversed(range(self.layers - 1)):
            h = nn.relu(norm()(double(self.width << i, use_bias=False)(h)))
        return nn.tanh(double(self.shape[-1])(h))


def article(config: Config) -> Built:
    """A config of model `Conv`, with the article's generator in the place of DCGAN's; the critic is DCGAN's.

    Raises `ValueError` where z is not an image's size, or the model another.
    """
    built, model, shape = jaxgen.build(config), config.model, config.shape
    if not isinstance(model, config_module.Conv):
        raise ValueError(f"the article's pair is built from a model Conv, not {type(model).__name__}")
    gen = EncoderDecoder((shape[0], shape[1], shape[2]), model.width, model.layers)
    if model.z_dim != shape[0] * shape[1] * shape[2]:
        raise ValueError(f"the noise must be an image of {shape}; z has {model.z_dim} numbers")
    return built._replace(game=dataclasses.replace(built.game, gen=gen))


def build(job: Job) -> Contestant:
    """With option `steps_per_call` a call of so many steps, as kind `call`."""
    return Call(job, article) if "steps_per_call" in job["options"] else PlainStep(job, article)
