"""A latent for each slice of a sequence: the stochastic recurrent network of Fraccaro et al. 2016."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.axes import example_keys
from jaxgen.models.layers import Dense, Dropout
from jaxgen.models.recurrent import LSTM
from jaxgen.types import Array

NARROW = 2.0
"""How much smaller than the prior's the posterior's log variance is at first: so that its means can be told apart."""


class Bound(NamedTuple):
    """What a variational model says of sequences, in nats: log p(x | z) of each slice [B, T], and the KL of each latent
    [B, T] or, of one latent for all, [B, 1]. Both are 0 after the end of a sequence."""

    log_likelihood: Array
    kl: Array


class SliceModel(nn.Module):
    """x [B, T, P] of 0 and 1 -> `Bound`; P Bernoullis a slice, independent given its latent and what came before.

    d_t = LSTM(x_1..t-1); prior p(z_t | z_t-1, d_t); posterior q(z_t | z_t-1, a_t), where a is an LSTM that reads d and
    x from the end, and the posterior's mean is a difference from the prior's (their "Res_q"); decoder
    p(x_t | z_t, d_t). `given` [B, T, Q], if any, is known as a whole before x is: an LSTM reads it from the end, too.
    """

    pitches: int
    z_dim: int
    width: int
    hidden: int
    dropout: float = 0.0
    given: int = 0
    axis_name: str | None = None
    dtype: Any = None

    def setup(self) -> None:
        ahead = self.width if self.given else 0
        known = self.pitches + self.given + ahead
        if self.given:
            self.ahead = LSTM(self.given, self.width, reverse=True, dtype=self.dtype)
        self.forward = LSTM(known, self.width, dtype=self.dtype)
        self.backward = LSTM(self.width + self.pitches, self.width, reverse=True, dtype=self.dtype)
        self.dropped = [Dropout(self.dropout, self.axis_name) for _ in range(4)]
        self.prior, self.posterior = (Transition(self.z_dim, self.hidden, self.width, self.dtype) for _ in range(2))
        self.hidden_layer = Dense(2 * self.hidden, dtype=self.dtype)
        self.logits = Dense(self.pitches)
        self.direct = Dense(self.pitches, use_bias=False)
        self.sustain = Dense(self.pitches, use_bias=False)

    def __call__(self, x: Array, length: Array, given: Array | None = None, *, train: bool) -> Bound:
        """length [B]: the slices that count. Rng stream `example`: noise by the example's place in the global batch."""
        inside = (jnp.arange(x.shape[1])[None] < length[:, None]).astype(x.dtype)
        z, d, kl = self.infer(x, inside, given, train=train)
        return Bound(self.log_likelihood(z, d, x, train=train) * inside, kl * inside)

    def shuffled(self, x: Array, length: Array, given: Array | None = None) -> dict[str, Array]:
        """log p(x | z) with each sequence's `own` latents, with the `other` ones of its neighbour, and with some of the
        `prior`: sums [B] in nats over the `slices` [B] that both have. What the latents are worth to the decoder."""
        inside = (jnp.arange(x.shape[1])[None] < length[:, None]).astype(x.dtype)
        z, d, _ = self.infer(x, inside, given, train=False)
        both = inside * jnp.roll(inside, 1, axis=0)
        unseen, _, _ = self.infer(x, inside, given, train=False, blind=True)
        latents = {"own": z, "other": jnp.roll(z, 1, axis=0), "prior": unseen}
        of = {name: (self.log_likelihood(each, d, x, train=False) * both).sum(1) for name, each in latents.items()}
        return of | {"slices": both.sum(1)}

    def log_likelihood(self, z: Array, d: Array, x: Array, *, train: bool) -> Array:
        """log p(x | z, what came before) [B, T], after the end too."""
        logits = self.emit(z, d, _before(x), train=train).astype(jnp.float32)
        return (x * logits - nn.softplus(logits)).sum(-1)

    def infer(
        self, x: Array, inside: Array, given: Array | None = None, *, train: bool, blind: bool = False
    ) -> tuple[Array, Array, Array]:
        """(z of the posterior [B, T, Z], or if `blind` of the prior; d [B, T, width]; KL [B, T])."""
        before = self.dropped[0](_before(x), train=train)
        d = self.dropped[1](self.forward(self._beside(before, given)), train=train)
        a = self.backward(jnp.concatenate([d, x], axis=-1) * inside[..., None])
        a = self.dropped[2](a, train=train)
        keys = example_keys(self.make_rng("example"), len(x), self.axis_name)
        noise = jax.vmap(lambda key: jax.random.normal(key, (x.shape[1], self.z_dim)))(keys)
        prior, posterior = self.prior.bind_inputs(d), self.posterior.bind_inputs(a)
        of_prior, of_posterior = self.prior.step, self.posterior.step

        def step(z: Array, at: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
            mu, logvar = of_prior(z, at[0])
            shift, log_ratio = of_posterior(z, at[1])
            log_ratio = log_ratio - NARROW
            if blind:
                shift, log_ratio = jnp.zeros_like(shift), jnp.zeros_like(log_ratio)
            z = mu + shift + jnp.exp(0.5 * (logvar + log_ratio)) * at[2]
            kl = 0.5 * jnp.sum(jnp.exp(log_ratio) + shift**2 * jnp.exp(-logvar) - 1 - log_ratio, axis=-1)
            return z, (z, kl)

        first = jnp.zeros((len(x), self.z_dim))
        prior, posterior, noise = (a.swapaxes(0, 1) for a in (prior, posterior, noise))
        _, (z, kl) = jax.lax.scan(step, first, (prior, posterior, noise))
        return z.swapaxes(0, 1), d, kl.T

    def emit(self, z: Array, d: Array, before: Array, *, train: bool) -> Array:
        """Logits [..., P] of slices with latents z [..., Z] after d [..., width], the last slice before being
        `before` [..., P].

        The latents also reach them directly: behind the hidden layer alone they were not used (JSB, 1,500 steps: a KL
        of 0.1 nats a slice). So does the slice before: most of what sounds goes on.
        """
        h = nn.relu(self.hidden_layer(jnp.concatenate([z.astype(d.dtype), d], axis=-1)))
        return self.logits(self.dropped[3](h, train=train)) + self.direct(z) + self.sustain(before)

    def sample(self, keys: Array, length: int, given: Array | None = None, temperature: float | Array = 1.0) -> Array:
        """x [N, length, P] of 0 and 1 from the prior, one for each key [N]; logits and the latents' standard deviations
        are divided and multiplied by the temperature."""
        core, emit, prior = self.forward.core(), self.emit, self.prior
        context = self._context(given, length, len(keys))

        def step(carry: Sequence[Any], at: tuple[Array, Array]) -> tuple[Any, Array]:
            memory, z, x = carry
            i, known = at
            memory, d = core.step(memory, core.inputs(jnp.concatenate([x, known], axis=-1)))
            both = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, i)))(keys)
            noise = jax.vmap(lambda key: jax.random.normal(key, (self.z_dim,)))(both[:, 0])
            mu, logvar = prior.step(z, prior.bind_inputs(d))
            z = mu + jnp.exp(0.5 * logvar) * noise * temperature
            p = nn.sigmoid(emit(z, d, x, train=False).astype(jnp.float32) / temperature)
            drawn = jax.vmap(lambda key: jax.random.uniform(key, (self.pitches,)))(both[:, 1])
            x = (drawn < p).astype(jnp.float32)
            return (memory, z, x), x

        n = len(keys)
        start = core.start(n), jnp.zeros((n, self.z_dim)), jnp.zeros((n, self.pitches))
        _, x = jax.lax.scan(step, start, (jnp.arange(length), context.swapaxes(0, 1)))
        return x.swapaxes(0, 1)

    def _context(self, given: Array | None, length: int, n: int) -> Array:
        """What is known of each slice beforehand: [N, T, 0 or more]."""
        if not self.given or given is None:
            return jnp.zeros((n, length, 0))
        return jnp.concatenate([given, self.ahead(given)], axis=-1)

    def _beside(self, x: Array, given: Array | None) -> Array:
        context = self._context(given, x.shape[1], len(x))
        return jnp.concatenate([x, context.astype(x.dtype)], axis=-1)


class Transition(nn.Module):
    """(mu, logvar) [B, Z] of a latent from the one before and a context, by a hidden layer."""

    z_dim: int
    hidden: int
    width: int
    dtype: Any = None

    def setup(self) -> None:
        init, small = nn.initializers.lecun_normal(), nn.initializers.variance_scaling(0.1, "fan_in", "normal")
        self.of_context = Dense(self.hidden)
        self.of_latent = self.param("of_latent", init, (self.z_dim, self.hidden))
        self.out = self.param("out", small, (self.hidden, 2 * self.z_dim))

    def bind_inputs(self, context: Array) -> Array:
        """[..., width] -> what `step` takes of it [..., hidden]: for all steps at once where all are known."""
        return self.of_context(context.astype(jnp.float32))

    def step(self, z: Array, context: Array) -> tuple[Array, Array]:
        h = jnp.tanh(context + z @ self.of_latent) @ self.out
        mu, logvar = jnp.split(h, 2, axis=-1)
        return mu, logvar


def _before(x: Array) -> Array:
    """The slice before each of x [B, T, P]; before the first, nothing."""
    return jnp.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :-1]
