"""One latent for a passage, and a decoder that writes it slice by slice: MusicVAE (Roberts et al. 2018)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.axes import example_keys
from jaxgen.models.layers import Dense, Dropout
from jaxgen.models.recurrent import LSTM, Memory
from jaxgen.models.slices import Bound
from jaxgen.types import Array

MOST = 8
"""Entries of a slice from which on all counts are one."""
CLOCK = 16
"""Slices after which the decoder's clock begins anew: a bar of sixteenths."""


class PassageModel(nn.Module):
    """x [B, T, P] of 0 and 1 -> `Bound` with one latent [B, Z] a passage.

    The encoder reads both ways (their section 3.1); the decoder sees z and the slice before at each step. With a
    `conductor` (their section 3.2) an LSTM first makes of z an embedding for each segment of `every` slices, and the
    decoder starts anew in each from that alone: for passages whose plan is longer than an LSTM's memory. The entries of
    a slice are not independent: each logit depends linearly on those above it (`Chain`), so that chords are whole.
    """

    pitches: int
    z_dim: int
    encoder: int
    decoder: int
    conductor: int = 0
    every: int = 16
    dropout: float = 0.0
    blind: float = 0.0  # share of the slices before that the decoder isn't shown in training: it has to ask z
    axis_name: str | None = None
    dtype: Any = None

    def setup(self) -> None:
        self.ways = [LSTM(self.pitches, self.encoder, reverse=back, dtype=self.dtype) for back in (False, True)]
        self.posterior = Dense(2 * self.z_dim)
        plan = self.conductor or self.z_dim
        if self.conductor:
            self.conducting = LSTM(self.z_dim, self.conductor, dtype=self.dtype)
        self.first = Dense(2 * self.decoder)
        self.core = LSTM(self.pitches + CLOCK + plan, self.decoder, dtype=self.dtype)
        self.dropped = Dropout(self.dropout, self.axis_name)
        self.chain = Chain(self.pitches)

    def __call__(self, x: Array, length: Array, given: Array | None = None, *, train: bool) -> Bound:
        """length [B]: the slices that count. Rng stream `example`: noise by the example's place in the global batch."""
        if given is not None:
            raise ValueError("a model of passages makes whole passages; it takes nothing given")
        inside = (jnp.arange(x.shape[1])[None] < length[:, None]).astype(x.dtype)
        mu, logvar = self.encode(x)
        keys = example_keys(self.make_rng("example"), len(x), self.axis_name)
        z = mu + jnp.exp(0.5 * logvar) * jax.vmap(lambda key: jax.random.normal(key, (self.z_dim,)))(keys)
        shown = jnp.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        if train and self.blind:
            seen = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 1), (x.shape[1], 1)))(keys)
            shown = shown * (seen >= self.blind)
        h = self.dropped(self.unroll(z, shown), train=train)
        log_likelihood = self.chain(h, shown, x)
        kl = 0.5 * jnp.sum(jnp.exp(logvar) + mu**2 - 1 - logvar, axis=-1, keepdims=True)
        return Bound(log_likelihood * inside, kl)

    def encode(self, x: Array) -> tuple[Array, Array]:
        """(mu, logvar) [B, Z] of passages."""
        forward, backward = (way(x) for way in self.ways)
        ends = jnp.concatenate([forward[:, -1], backward[:, 0]], axis=-1)
        mu, logvar = jnp.split(self.posterior(ends).astype(jnp.float32), 2, axis=-1)
        return mu, logvar

    def plan(self, z: Array, length: int) -> Array:
        """[B, segments, C]: what the decoder is told of each segment."""
        if not self.conductor:
            return z[:, None]
        return self.conducting(jnp.repeat(z[:, None], self.segments(length), axis=1))

    def segments(self, length: int) -> int:
        """Raises `ValueError` where a passage of `length` slices is no whole number of them."""
        if self.conductor and length % self.every:
            raise ValueError(f"a passage of {length} slices can't be shared among segments of {self.every}")
        return length // self.every if self.conductor else 1

    def unroll(self, z: Array, before: Array) -> Array:
        """h [B, T, decoder] of the decoder, shown the slice before each [B, T, P]."""
        n, length, _ = before.shape
        plan = self.plan(z, length)
        told = plan.reshape(-1, plan.shape[-1])  # each segment is a row of its own
        x = before.reshape(len(told), -1, self.pitches)
        core = self.core.core()
        wide = jnp.broadcast_to(told[:, None], (*x.shape[:2], told.shape[-1]))
        place = jnp.broadcast_to(self._places(x.shape[1])[None], (*x.shape[:2], CLOCK))
        h = core.scan(self._start(told), core.inputs(jnp.concatenate([x, place, wide.astype(x.dtype)], axis=-1)))
        return h.reshape(n, length, -1)

    def sample(self, keys: Array, length: int, z: Array | None = None, temperature: float | Array = 1.0) -> Array:
        """x [N, length, P] of 0 and 1, one for each key [N], at latents z [N, Z] or at some drawn from the prior.

        Logits are divided by the temperature.
        """
        if z is None:
            z = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, length), (self.z_dim,)))(keys)
        plan = self.plan(z, length)
        core, chain = self.core.core(), self.chain
        steps = length // plan.shape[1]
        numbers = jnp.arange(length).reshape(-1, steps)
        clock = self._places(steps)

        def segment(x: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
            told, places = at

            def step(carry: tuple[Memory, Array], i: Array) -> tuple[tuple[Memory, Array], Array]:
                memory, x = carry
                place = jnp.broadcast_to(clock[i % steps][None], (len(keys), CLOCK))
                memory, h = core.step(memory, core.inputs(jnp.concatenate([x, place, told.astype(x.dtype)], axis=-1)))
                drawn = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, i), (self.pitches,)))(keys)
                x = chain.draw(h, x, drawn, temperature)
                return (memory, x), x

            (_, x), out = jax.lax.scan(step, (self._start(told), x), places)
            return x, out

        nothing = jnp.zeros((len(keys), self.pitches))
        _, out = jax.lax.scan(segment, nothing, (plan.swapaxes(0, 1), numbers))
        return out.reshape(length, len(keys), -1).swapaxes(0, 1)

    def _places(self, steps: int) -> Array:
        """[steps, CLOCK]: which of `CLOCK` beats each slice is, over and over: the decoder has no other clock."""
        return jax.nn.one_hot(jnp.arange(steps) % CLOCK, CLOCK)

    def _start(self, told: Array) -> Memory:
        first = jnp.tanh(self.first(told))
        return tuple(jnp.split(first.astype(self.dtype or first.dtype), 2, axis=-1))


class Chain(nn.Module):
    """Binary entries one after the other, the last first: logit of entry p = (W h + S before + b)_p + sum over q > p of
    A_pq x_q + C_pn, where n of those q are on.

    A fully visible sigmoid belief network (Frey et al. 1996) with a condition: h, and the slice before; and a count, by
    which chords come to have the right number of notes. Of pitches, the highest voice comes first.
    """

    entries: int

    def setup(self) -> None:
        self.condition = Dense(self.entries)
        self.sustain = Dense(self.entries, use_bias=False)
        self.links = self.param("links", nn.initializers.zeros, (self.entries, self.entries))
        self.counted = self.param("counted", nn.initializers.zeros, (self.entries, MOST + 1))

    def __call__(self, h: Array, before: Array, x: Array) -> Array:
        """log p(x | h, before) [B, T] of h [B, T, H], before and x [B, T, P]."""
        linked = (x.reshape(-1, self.entries) @ self._links()).reshape(x.shape)
        on = jnp.cumsum(x[..., ::-1], axis=-1)[..., ::-1] - x  # of the entries behind
        counts = nn.one_hot(jnp.minimum(on, MOST).astype(jnp.int32), MOST + 1)
        logits = self._conditioned(h, before) + linked + jnp.einsum("...pn,pn->...p", counts, self.counted)
        return (x * logits - nn.softplus(logits)).sum(-1)

    def draw(self, h: Array, before: Array, uniform: Array, temperature: float | Array = 1.0) -> Array:
        """x [N, P] of 0 and 1 given h [N, H] and before [N, P], by numbers uniform in [0, 1) [N, P]."""
        logits, links, counted, last = self._conditioned(h, before), self._links(), self.counted, self.entries - 1

        def entry(i: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            logits, x, n = state
            p = last - i
            logit = logits[:, p] + counted[p][jnp.minimum(n, MOST)]
            on = uniform[:, p] < nn.sigmoid(logit / temperature)
            logits = logits + on[:, None] * links[p][None]
            return logits, x.at[:, p].set(on.astype(jnp.float32)), n + on

        start = logits, jnp.zeros_like(logits), jnp.zeros(len(logits), jnp.int32)
        return jax.lax.fori_loop(0, self.entries, entry, start)[1]

    def _conditioned(self, h: Array, before: Array) -> Array:
        return self.condition(h).astype(jnp.float32) + self.sustain(before).astype(jnp.float32)

    def _links(self) -> Array:
        """[q, p]: what entry q adds to the logit of entry p below it."""
        return jnp.tril(self.links, -1)
