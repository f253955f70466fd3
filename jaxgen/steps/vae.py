"""Variational autoencoders (Kingma & Welling 2014), and their importance-weighted bound (Burda et al. 2016)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from jaxgen.axes import example_keys, mean_over
from jaxgen.latent import line, numbered_keys, prior
from jaxgen.losses.elbo import (
    Likelihood,
    bernoulli,
    doubly_reparameterised,
    elbo,
    importance_bound,
    kl_normal,
    log_normal,
)
from jaxgen.player import Player, apply, average, copy, evaluate, new_if_finite, player, update
from jaxgen.types import Array, Batch, Metrics, PyTree


@dataclasses.dataclass(frozen=True)
class VAE:
    """The game: networks, likelihood, optimiser. Frozen and hashable, so it is a static argument; build it once.

    The networks are Flax modules: `encoder(x, train=...) -> (mu, logvar)` [B, Z] and `decoder(z, train=...)`, which
    gives what the likelihood takes. With batch normalisation under `jax.pmap` they need its `axis_name`.
    """

    encoder: nn.Module
    decoder: nn.Module
    likelihood: Likelihood
    tx: optax.GradientTransformation
    z_dim: int
    beta: float | Callable[[Array], Any] = 1.0  # of the step; times the KL
    samples: int = 1  # K > 1: the bound of K importance samples, which has no beta
    binarise: bool = False  # x in [0, 1] is a probability, drawn anew at every visit
    ema_decay: float = 0.999
    skip_nonfinite: bool = False  # leave the state as it was where a loss or an update isn't finite

    def __post_init__(self):
        if self.samples > 1 and self.beta != 1.0:
            raise ValueError("the importance-weighted bound (samples > 1) has no beta; leave beta at 1")


class State(struct.PyTreeNode):
    """All that decides the future. Of one shape under every runner."""

    step: Array
    key: Array
    vae: Player  # params and stats are {"encoder": ..., "decoder": ...}
    ema: PyTree  # (params, stats), averaged
    skipped: Array  # steps left out as not finite


def init(key: Array, batch: Batch, game: VAE) -> State:
    """A new state. `batch["image"]` [B, ...] gives shapes only."""
    encoder_key, decoder_key, key = jax.random.split(key, 3)
    none = optax.identity()
    encoder = player(game.encoder, none, encoder_key, batch["image"][:1])
    decoder = player(game.decoder, none, decoder_key, jnp.zeros((1, game.z_dim)))
    params = {"encoder": encoder.params, "decoder": decoder.params}
    stats = {"encoder": encoder.stats, "decoder": decoder.stats}
    zero = jnp.zeros((), jnp.int32)
    return State(zero, key, Player(params, stats, game.tx.init(params)), copy((params, stats)), jnp.copy(zero))


def train_step(state: State, batch: Batch, game: VAE, axis_name: str | None = None) -> tuple[State, Metrics]:
    """One update on the negative bound in nats.

    `batch["image"]` is [B, ...], in [0, 1] for the Bernoulli likelihood; B is the local batch under `pmap`. Metrics are
    means over the global batch, in nats. With several samples the encoder has the doubly reparameterised gradient.
    """
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), 4)
    x = batch["image"]
    if game.binarise:
        x = binarised(example_keys(keys[0], len(x), axis_name), x)
    z_keys = example_keys(keys[1], len(x), axis_name)
    beta = jnp.asarray(game.beta(state.step) if callable(game.beta) else game.beta)

    def loss(params: PyTree) -> tuple[Array, tuple[PyTree, dict[str, Array]]]:
        stats = state.vae.stats
        (mu, logvar), encoder_stats = apply(
            game.encoder, params["encoder"], stats["encoder"], x, key=keys[2], axis_name=axis_name
        )
        z = draw(z_keys, mu, logvar, game.samples)  # [B, K, Z]: an example's K latents stay on its device
        z, tie = doubly_reparameterised(z) if game.samples > 1 else (z, 0.0)
        flat = z.reshape(-1, game.z_dim)
        out, decoder_stats = apply(
            game.decoder, params["decoder"], stats["decoder"], flat, key=keys[3], axis_name=axis_name
        )
        if out.shape[1:] != x.shape[1:]:
            raise ValueError(f"the decoder makes {out.shape[1:]}, the data are {x.shape[1:]}")
        log_likelihood = game.likelihood(out, jnp.repeat(x, game.samples, axis=0)).reshape(len(x), game.samples)
        kl = kl_normal(mu, logvar)
        if game.samples == 1:
            bound = elbo(log_likelihood[:, 0], kl, beta)
        else:
            fixed_mu, fixed_logvar = jax.lax.stop_gradient((mu[:, None], logvar[:, None]))
            log_weights = log_likelihood + log_normal(z) - log_normal(z, fixed_mu, fixed_logvar) + tie
            bound = importance_bound(log_weights.T)
        metrics = {"loss": -bound.mean(), "kl": kl.mean(), "reconstruction": -log_likelihood.mean()}
        return metrics["loss"], ({"encoder": encoder_stats, "decoder": decoder_stats}, metrics)

    (_, (stats, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(state.vae.params)
    vae = update(state.vae, game.tx, grads, stats, axis_name)
    ema = average(state.ema, (vae.params, vae.stats), state.step, game.ema_decay)
    metrics = mean_over({**metrics, "beta": beta}, axis_name)
    new = state.replace(step=state.step + 1, vae=vae, ema=ema)
    if game.skip_nonfinite:
        new = new_if_finite(new, state, (metrics, vae))
        metrics["skipped"] = new.skipped.astype(jnp.float32)
    return new, metrics


def binarised(keys: Array, x: Array) -> Array:
    """x [B, ...] in [0, 1] as probabilities -> 0 or 1, by one key for each example."""
    return jax.vmap(lambda k, p: jax.random.uniform(k, p.shape) < p)(keys, x).astype(x.dtype)


def draw(keys: Array, mu: Array, logvar: Array, n: int) -> Array:
    """n latents of each posterior by reparameterisation: keys [B], mu and logvar [B, Z] -> [B, n, Z]."""
    noise = jax.vmap(lambda k: jax.random.normal(k, (n, mu.shape[-1])))(keys)
    return mu[:, None] + jnp.exp(0.5 * logvar[:, None]) * noise


def encode(state: State, x: Array, game: VAE) -> tuple[Array, Array]:
    """(mu, logvar) [B, Z] of the averaged encoder."""
    return evaluate(game.encoder, _half(state, "encoder"), x)


def decode(state: State, z: Array, game: VAE) -> Array:
    """The expected x [N, ...] of the averaged decoder at latents z [N, Z]."""
    out = evaluate(game.decoder, _half(state, "decoder"), z)
    return jax.nn.sigmoid(out) if game.likelihood is bernoulli else out


def sample(state: State, keys: Array, game: VAE) -> Array:
    """Expected images [N, ...] for latents from the prior, one for each key [N]."""
    return decode(state, prior(keys, game.z_dim), game)


def show(state: State, key: Array, game: VAE, batch: Batch | None = None) -> dict[str, Array]:
    """What a person wants to see of a run: 64 samples; of a batch of 32 or more, 16 originals with their
    reconstructions, 4 interpolations of 8 images between pairs of them, and a map of all: the posterior means at
    their two principal axes. The same noise for the same key."""
    shown = {"samples": sample(state, numbered_keys(key, 64), game)}
    if batch is not None:
        x = batch["image"][:32]
        x = binarised(numbered_keys(key, len(x)), x) if game.binarise else x
        mu, _ = encode(state, x, game)
        between = line(mu[16:20], mu[20:24], 8).reshape(-1, game.z_dim)
        shown |= {
            "originals": x[:16],
            "reconstructions": decode(state, mu[:16], game),
            "interpolations": decode(state, between, game),
        }
        means, _ = encode(state, batch["image"], game)
        centred = means - means.mean(0, keepdims=True)
        axes = jnp.linalg.svd(centred, full_matrices=False)[2][:2]
        shown |= {"map": batch["image"], "map_points": centred @ axes.T}
    return shown


def bounds(state: State, batch: Batch, keys: Array, game: VAE, samples: int) -> dict[str, Array]:
    """Per example, in nats, with the averaged networks and without noise: x [B, ...] as it is, keys [B].

    `elbo` [B] with analytic KL, from `samples` latents; `log_likelihood` [B], the importance-sampled estimate of
    log p(x) from as many (Burda et al. 2016, equation 8), a lower bound that tightens with `samples`;
    `kl` [B]; `mu` [B, Z].
    """
    x = batch["image"]
    mu, logvar = encode(state, x, game)
    kl = kl_normal(mu, logvar)

    def one(_: None, key: Array) -> tuple[None, tuple[Array, Array]]:
        z = draw(jax.vmap(lambda k: jax.random.fold_in(k, key))(keys), mu, logvar, 1)[:, 0]
        log_likelihood = game.likelihood(evaluate(game.decoder, _half(state, "decoder"), z), x)
        return None, (log_likelihood, log_likelihood + log_normal(z) - log_normal(z, mu, logvar))

    _, (log_likelihoods, log_weights) = jax.lax.scan(one, None, jnp.arange(samples))
    return {
        "elbo": elbo(log_likelihoods.mean(0), kl),
        "log_likelihood": importance_bound(log_weights),
        "kl": kl,
        "mu": mu,
    }


def _half(state: State, name: str) -> tuple[PyTree, PyTree]:
    params, stats = state.ema
    return params[name], stats[name]
