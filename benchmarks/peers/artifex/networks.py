"""artifex's networks at our sizes, ours in Flax NNX's layers, and their weights from Flax's."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (artifex is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections import Counter
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from artifex.generative_models.core.base import GenerativeModel
from artifex.generative_models.core.configuration.gan_config import DCGANConfig, GANConfig
from artifex.generative_models.core.configuration.network_configs import (
    ConvDiscriminatorConfig,
    ConvGeneratorConfig,
    DecoderConfig,
    DiscriminatorConfig,
    EncoderConfig,
    GeneratorConfig,
)
from artifex.generative_models.core.configuration.vae_config import VAEConfig
from artifex.generative_models.models.gan.base import GAN
from artifex.generative_models.models.gan.dcgan import DCGAN
from artifex.generative_models.models.vae.base import VAE
from flax import nnx


def rngs() -> nnx.Rngs:
    return nnx.Rngs(params=0, dropout=1, sample=2)


def placed(x: np.ndarray, config: Mapping[str, Any], variant: str) -> jax.Array:
    """x [B, H, W, C] as the model takes it: artifex's DCGAN wants [B, C, H, W]."""
    channels_first = variant == "own" and config["model"]["type"] == "Conv"
    return jnp.asarray(x.transpose(0, 3, 1, 2) if channels_first else x)


def gan(config: Mapping[str, Any], variant: str, check: bool) -> GAN:
    model, shape = config["model"], tuple(config["shape"])
    if variant == "same":
        return SameGAN(model, shape, config["batch"] if check else 0)
    critic = {"activation": "leaky_relu", "leaky_relu_slope": 0.2}
    if model["type"] == "MLP":
        return GAN(
            GANConfig(
                name="gan",
                generator=GeneratorConfig(
                    name="gen",
                    latent_dim=model["z_dim"],
                    hidden_dims=tuple(model["gen"]),
                    output_shape=(1, *shape),
                    activation="leaky_relu",
                ),
                discriminator=DiscriminatorConfig(
                    name="disc", hidden_dims=tuple(model["disc"]), input_shape=(1, *shape), **critic
                ),
            ),
            rngs=rngs(),
        )
    widths = tuple(model["width"] << i for i in range(model["layers"] + 1))
    first = (shape[2], *shape[:2])
    return DCGAN(
        DCGANConfig(
            name="dcgan",
            generator=ConvGeneratorConfig(
                name="gen",
                latent_dim=model["z_dim"],
                hidden_dims=widths[:0:-1],
                output_shape=first,
                activation="relu",
                batch_norm=True,
            ),
            discriminator=ConvDiscriminatorConfig(  # not normalised, as its example is: step.py says more
                name="disc", hidden_dims=widths[:-1], input_shape=first, batch_norm=False, **critic
            ),
        ),
        rngs=rngs(),
    )


class SameGenerator(nnx.Module):
    """`jaxgen.models.conv.Generator`."""

    def __init__(self, model: Mapping[str, Any], shape: tuple[int, ...], rngs: nnx.Rngs):
        layers, channels = model["layers"], model["width"] << model["layers"]
        self.size = (shape[0] >> layers, shape[1] >> layers, channels)
        stack: list[Any] = [nnx.Linear(model["z_dim"], int(np.prod(self.size)), use_bias=False, rngs=rngs)]
        norms = []
        for _ in range(layers):
            norms.append(nnx.BatchNorm(channels, momentum=0.9, rngs=rngs))
            up = nnx.ConvTranspose(channels, channels // 2, (4, 4), (2, 2), use_bias=False, rngs=rngs)
            stack.append(up)
            channels //= 2
        norms.append(nnx.BatchNorm(channels, momentum=0.9, rngs=rngs))
        self.stack, self.norms = nnx.List(stack), nnx.List(norms)
        self.out = nnx.Conv(channels, shape[2], (3, 3), rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        h = z
        for layer, norm in zip(self.stack, self.norms, strict=True):
            h = layer(h)
            h = nnx.relu(norm(h.reshape(-1, *self.size) if h.ndim == 2 else h))
        return jnp.tanh(self.out(h))


class SameCritic(nnx.Module):
    """`jaxgen.models.conv.Critic`, and artifex's sigmoid, which its objectives expect."""

    def __init__(self, model: Mapping[str, Any], shape: tuple[int, ...], rngs: nnx.Rngs):
        stack, norms, channels = [], [], shape[2]
        for i in range(model["layers"]):
            width = model["width"] << i
            stack.append(nnx.Conv(channels, width, (4, 4), (2, 2), use_bias=i == 0, rngs=rngs))
            channels = width
            if i:
                norms.append(nnx.BatchNorm(width, momentum=0.9, rngs=rngs))
        self.stack, self.norms = nnx.List(stack), nnx.List(norms)
        size = (shape[0] >> model["layers"]) * (shape[1] >> model["layers"]) * channels
        self.out = nnx.Linear(size, 1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for i, layer in enumerate(self.stack):
            x = layer(x)
            x = nnx.leaky_relu(self.norms[i - 1](x) if i else x, 0.2)
        return nnx.sigmoid(self.out(x.reshape(len(x), -1)))


class SameGAN(GAN):
    """Our pair under artifex's objectives. With `batch` above 0, `given` [batch, Z] takes the place of the noise."""

    def __init__(self, model: Mapping[str, Any], shape: tuple[int, ...], batch: int):
        streams = rngs()
        GenerativeModel.__init__(self, rngs=streams)
        self.rngs, self.latent_dim, self.loss_type = streams, model["z_dim"], "vanilla"
        self.generator = SameGenerator(model, shape, streams)
        self.discriminator = SameCritic(model, shape, streams)
        self.given = nnx.Variable(jnp.zeros((batch, model["z_dim"])))

    def _sample_latents(self, batch_size: int) -> jax.Array:
        return self.given[...] if len(self.given[...]) else super()._sample_latents(batch_size)


class GivenVAE(VAE):
    """With `given` [B, Z] in the place of the noise."""

    given: nnx.Variable

    def reparameterize(self, mean: jax.Array, log_var: jax.Array) -> jax.Array:
        return mean + jnp.exp(0.5 * log_var) * self.given[...]


def vae(config: Mapping[str, Any], check: bool) -> VAE:
    model, shape = config["model"], tuple(config["shape"])
    dense = model["type"] == "MLPVAE"
    common = {
        "hidden_dims": tuple(model["widths"]),
        "latent_dim": model["z_dim"],
        "activation": "gelu" if dense else "relu",
    }
    made = (GivenVAE if check else VAE)(
        VAEConfig(
            name="vae",
            encoder=EncoderConfig(name="encoder", input_shape=shape, use_batch_norm=False, **common),
            decoder=DecoderConfig(name="decoder", output_shape=shape, batch_norm=False, **common),
            encoder_type="dense" if dense else "cnn",
        ),
        rngs=rngs(),
    )
    if check:
        made.given = nnx.Variable(jnp.zeros((config["batch"], model["z_dim"])))
    return made


KINDS = {nnx.Linear: "Dense", nnx.Conv: "Conv", nnx.ConvTranspose: "ConvTranspose", nnx.BatchNorm: "BatchNorm"}


def load(model: SameGAN, arrays: Mapping[str, np.ndarray]) -> None:
    """Fill the pair from `gen/Dense_0/kernel` ...; raises KeyError or ValueError where they do not fit."""
    for network, prefix in ((model.generator, "gen"), (model.discriminator, "disc")):
        _fill([*_in_order(network)], arrays, prefix)


def load_vae(model: VAE, arrays: Mapping[str, np.ndarray]) -> None:
    """Fill the MLP VAE; our last encoder layer is artifex's two, side by side."""
    encoder, decoder = model.encoder, model.decoder
    last = f"encoder/Dense_{len(encoder.backbone.layers)}/"
    _fill([*encoder.backbone.layers], arrays, "encoder")
    for i, layer in enumerate((encoder.mean_proj, encoder.logvar_proj)):
        _set(layer.kernel, np.split(arrays[last + "kernel"], 2, axis=-1)[i])
        _set(layer.bias, np.split(arrays[last + "bias"], 2, axis=-1)[i])
    _fill([*decoder.backbone.layers, decoder.output_layer], arrays, "decoder")


def _in_order(network: SameGenerator | SameCritic) -> list[nnx.Module]:
    return [*network.stack, *network.norms, network.out]


def _fill(layers: list[nnx.Module], arrays: Mapping[str, np.ndarray], prefix: str) -> None:
    seen: Counter[str] = Counter()
    for layer in layers:
        kind = KINDS[type(layer)]
        for name in ("scale" if kind == "BatchNorm" else "kernel", "bias"):
            variable = getattr(layer, name)
            if variable is not None:
                _set(variable, arrays[f"{prefix}/{kind}_{seen[kind]}/{name}"])
        seen[kind] += 1


def _set(variable: nnx.Variable, value: np.ndarray) -> None:
    if variable.get_value().shape != value.shape:
        raise ValueError(f"a weight of {value.shape}; artifex's has {variable.get_value().shape}")
    variable.set_value(jnp.asarray(value))
