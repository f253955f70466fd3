"""Sequences of tokens: a recurrent generator and a convolutional critic, for GANs of text.

A text is tokens [B, T], whole numbers below the vocabulary's size. Token 0 is what the generator is shown before the
first one; where texts `end`, it also ends them, and only zeros follow it.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.models.layers import Dense, Dropout
from jaxgen.models.recurrent import LSTM, Core, Memory, RelationalMemory
from jaxgen.types import Array

Given = Mapping[str, Array]
"""What texts go with: `label` [B], `prompt` [B, P] tokens; whatever the networks were built for."""


class Relaxed(NamedTuple):
    """Texts that a gradient passes through: `soft` [B, T, V], whose values are one-hot, and their `tokens` [B, T]."""

    soft: Array
    tokens: Array


class Generator(nn.Module):
    """log-odds of the next token after those before, by an LSTM or a relational memory; with a label, a prompt or
    neither."""

    vocabulary: int
    embedding: int
    width: int
    core: Literal["lstm", "memory"] = "lstm"
    slots: int = 1
    heads: int = 2
    dropout: float = 0.0
    classes: int = 0
    prompted: bool = False
    ends: bool = True
    axis_name: str | None = None
    dtype: Any = None

    def setup(self) -> None:
        normal = nn.initializers.normal(self.embedding**-0.5)
        self.embed = self.param("embed", normal, (self.vocabulary, self.embedding))
        told = self.embedding * (bool(self.classes) + self.prompted) + self.width * self.prompted
        if self.classes:
            self.label = self.param("label", normal, (self.classes, self.embedding))
        if self.prompted:
            self.reader = LSTM(self.embedding, self.width, reverse=True, dtype=self.dtype)
        if self.core == "lstm":
            self.cell: LSTM | RelationalMemory = LSTM(self.embedding + told, self.width, dtype=self.dtype)
        else:
            features = self.embedding + told
            self.cell = RelationalMemory(features, self.width, self.slots, self.heads, dtype=self.dtype)
        self.before, self.after = (Dropout(self.dropout, self.axis_name) for _ in range(2))
        height = self.width * (self.slots if self.core == "memory" else 1)
        self.kernel = self.param("kernel", nn.initializers.lecun_normal(), (height, self.vocabulary))
        self.bias = self.param("bias", nn.initializers.zeros, (self.vocabulary,))

    def __call__(self, tokens: Array, given: Given | None = None, *, train: bool) -> Array:
        """Logits [B, T, V] of each token after those before it (teacher forcing)."""
        shown = self.embed[jnp.pad(tokens, ((0, 0), (1, 0)))[:, :-1]]
        told = self._told(given, len(tokens))
        x = jnp.concatenate([shown, jnp.broadcast_to(told[:, None], (*shown.shape[:2], told.shape[-1]))], axis=-1)
        core = self.cell.core()
        h = core.scan(core.start(len(tokens)), core.inputs(self.before(x, train=train)))
        return self._logits(self.after(h, train=train))

    def sample(
        self,
        keys: Array,
        length: int,
        given: Given | None = None,
        temperature: float | Array = 1.0,
        never: int = -1,
    ) -> Array:
        """Tokens [N, length], one text for each key [N]; logits are divided by the temperature. No text has the token
        `never`."""
        core, told = self.cell.core(), self._told(given, len(keys))
        uniform = jax.vmap(lambda key: jax.random.uniform(key, (length,)))(keys)

        def step(carry: tuple[Memory, Array, Array], u: Array) -> tuple[tuple[Memory, Array, Array], Array]:
            memory, token, alive = carry
            memory, logits = self._next(core, memory, self.embed[token], told)
            logits = logits.at[:, never].set(-jnp.inf) if never >= 0 else logits
            token = jnp.where(alive, draw(logits / temperature, u), 0)
            return (memory, token, alive & ((token != 0) | (not self.ends))), token

        start = core.start(len(keys)), jnp.zeros(len(keys), jnp.int32), jnp.ones(len(keys), bool)
        return jax.lax.scan(step, start, uniform.T)[1].T

    def relax(self, keys: Array, length: int, temperature: Array, given: Given | None = None) -> Relaxed:
        """Texts that are drawn, and through which a gradient passes: Gumbel-softmax at a temperature, straight through
        (Jang et al. 2017, section 2.2). The next step is shown the embedding of the drawn token."""
        core, told = self.cell.core(), self._told(given, len(keys))
        shape = (length, self.vocabulary)
        noise = jax.vmap(lambda key: jax.random.gumbel(key, shape))(keys).swapaxes(0, 1)
        end = jax.nn.one_hot(0, self.vocabulary)[None]

        def step(carry: tuple[Memory, Array, Array], gumbel: Array) -> tuple[Any, Relaxed]:
            memory, shown, alive = carry
            memory, logits = self._next(core, memory, shown, told)
            soft = nn.softmax((logits + gumbel) / temperature)
            token = jnp.argmax(logits + gumbel, axis=-1)
            hard = jax.nn.one_hot(token, self.vocabulary)
            out = jnp.where(alive[:, None], hard + (soft - jax.lax.stop_gradient(soft)), end)  # exactly one-hot
            token = jnp.where(alive, token, 0)
            return (memory, out @ self.embed, alive & ((token != 0) | (not self.ends))), Relaxed(out, token)

        shown = jnp.broadcast_to(self.embed[:1], (len(keys), self.embedding))
        start = core.start(len(keys)), shown, jnp.ones(len(keys), bool)
        _, out = jax.lax.scan(step, start, noise)
        return Relaxed(out.soft.swapaxes(0, 1), out.tokens.T)

    def rollouts(self, keys: Array, tokens: Array, n: int, given: Given | None = None) -> Array:
        """Completions of every prefix of texts [B, T]: tokens [T - 1, n, B, T], of prefixes of 1 to T - 1 tokens.

        All at once: the memory after each prefix is kept from one pass over the texts, and each step draws the next
        token of every prefix that is there by then. One key for each text. SeqGAN (Yu et al. 2017), section 3.1.
        """
        batch, length = tokens.shape
        core, told = self.cell.core(), self._told(given, batch)
        uniform = jax.vmap(lambda key: jax.random.uniform(key, (length, length, n)))(keys)  # [B, step, prefix, n]
        told = jnp.tile(told, (n, 1))  # row r of a prefix is text r % B
        memory, rows = core.start(batch), None
        shown, out = jnp.zeros(batch, jnp.int32), []
        for t in range(length):  # unrolled, since there are more rows at each step
            if rows is not None:
                of, last, alive = rows
                wide = jnp.tile(told, (t, 1))
                of, logits = self._next(core, of, self.embed[last], wide)
                u = uniform[:, t, :t].transpose(1, 2, 0).reshape(-1)
                last = jnp.where(alive, draw(logits, u), 0)
                rows = of, last, alive & ((last != 0) | (not self.ends))
            memory, _ = core.step(memory, core.inputs(self._beside(self.embed[shown], told[:batch])))
            shown = tokens[:, t]
            if t < length - 1:  # a new prefix: t + 1 tokens
                repeat = lambda a: jnp.tile(a, (n, *(1,) * (a.ndim - 1)))  # noqa: E731
                fresh = jax.tree.map(repeat, memory), repeat(shown), repeat((shown != 0) | (not self.ends))
                drawn = [] if rows is None else [rows[1]]
                out.append(jnp.concatenate([*drawn, repeat(shown)]))
                rows = fresh if rows is None else jax.tree.map(lambda a, b: jnp.concatenate([a, b]), rows, fresh)
            else:
                assert rows is not None
                out.append(rows[1])
        prefixes = (length - 1) * n * batch
        padded = [jnp.pad(column, (0, prefixes - len(column))) for column in out]
        drawn = jnp.stack(padded, axis=-1).reshape(length - 1, n, batch, length)
        inside = jnp.arange(length)[None] <= jnp.arange(length - 1)[:, None]  # [prefix, place]
        return jnp.where(inside[:, None, None], tokens[None, None], drawn)

    def _next(self, core: Core, memory: Memory, shown: Array, told: Array) -> tuple[Memory, Array]:
        memory, h = core.step(memory, core.inputs(self._beside(shown, told)))
        return memory, self._logits(h)

    @staticmethod
    def _beside(shown: Array, told: Array) -> Array:
        return jnp.concatenate([shown, told.astype(shown.dtype)], axis=-1)

    def _told(self, given: Given | None, n: int) -> Array:
        """What every step is told [N, ...]: the label's embedding, what the reader makes of the prompt."""
        parts = [jnp.zeros((n, 0))]
        if self.classes:
            parts.append(self.label[_given(given, "label")])
        if self.prompted:
            prompt = _given(given, "prompt")
            words, here = self.embed[prompt], (prompt > 0)[..., None]
            # From the end, so that the padding there is read first and forgotten.
            parts.append(self.reader(words)[:, 0])
            # What it is about, wherever it is said: of captions' halves this is worth more than what the reader keeps.
            parts.append((words * here).sum(1) / jnp.sqrt(jnp.maximum(here.sum(1), 1)))
        return jnp.concatenate(parts, axis=-1)

    def _logits(self, h: Array) -> Array:
        flat = h.reshape(-1, h.shape[-1]) @ self.kernel.astype(h.dtype)
        return (flat.astype(jnp.float32) + self.bias[None]).reshape(*h.shape[:-1], -1)


class Critic(nn.Module):
    """Convolutions over the embedded tokens, of spans of 2, 3, ... tokens, each followed by the maximum over the text
    (Kim 2014); texts [B, T] of tokens, or soft ones [B, T, V], -> logits [B].

    A label is judged by projection (Miyato & Koyama 2018); a prompt goes through convolutions of the same kind, and a
    hidden layer sees its features, the text's, and their products.
    """

    vocabulary: int
    embedding: int
    channels: tuple[int, ...] = (64, 64, 64)
    dropout: float = 0.0
    classes: int = 0
    prompted: bool = False
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, text: Array, given: Given | None = None, *, train: bool) -> Array:
        normal = nn.initializers.normal(self.embedding**-0.5)
        embed = self.param("embed", normal, (self.vocabulary, self.embedding))
        h = self._features(text, embed, "text", train)
        if self.prompted:
            p = self._features(_given(given, "prompt"), embed, "prompt", train)
            both = jnp.concatenate([h, p, h * p], axis=-1)
            h = nn.leaky_relu(Dense(h.shape[-1], dtype=self.dtype, name="both")(both), 0.2)
        h = Dropout(self.dropout, self.axis_name)(h, train=train)
        logit = Dense(1, name="logit")(h)[:, 0]
        if self.classes:
            of_label = self.param("label", normal, (self.classes, h.shape[-1]))
            logit = logit + (of_label[_given(given, "label")] * h).sum(-1)
        return logit

    def _features(self, text: Array, embed: Array, name: str, train: bool) -> Array:
        """[B, T] or [B, T, V] -> [B, sum of the channels]."""
        hard = jnp.issubdtype(text.dtype, jnp.integer)
        table = None
        if hard and not train and text.size > self.vocabulary:
            x, table = text, embed
        else:
            x = embed[text] if hard else (text.reshape(-1, self.vocabulary) @ embed).reshape(*text.shape[:2], -1)
        found = [
            Span(channels, span, self.dtype, name=f"{name}_{span}")(x, table)
            for span, channels in enumerate(self.channels, start=2)
        ]
        return jnp.concatenate(found, axis=-1).astype(jnp.float32)


class Span(nn.Module):
    """A convolution over `span` tokens, leaky ReLU, the maximum over the text: x [B, T, E] -> [B, features].

    Or of tokens [B, T] and their embeddings [V, E]: what each token adds at each place of a span is then computed once
    and looked up (19,456 texts of 20 tokens, one EPYC core: 227 ms, this 101, in parts of 64 texts 43).
    """

    features: int
    span: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, embed: Array | None = None) -> Array:
        size = (x if embed is None else embed).shape[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.span * size, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        kernel, bias = (jnp.asarray(a, self.dtype or a.dtype) for a in (kernel, bias))
        seen = [x[:, i : x.shape[1] - self.span + 1 + i] for i in range(self.span)]
        if embed is None:
            # A product of matrices: windows side by side. XLA's convolutions of one axis are slower on CPU.
            wide = jnp.concatenate(seen, axis=-1).astype(kernel.dtype)
            h = (wide.reshape(-1, wide.shape[-1]) @ kernel).reshape(*wide.shape[:2], -1)
        else:
            tables = [embed.astype(kernel.dtype) @ tap for tap in jnp.split(kernel, self.span)]
            h = sum((table[at] for table, at in zip(tables[1:], seen[1:], strict=True)), start=tables[0][seen[0]])
        return nn.leaky_relu(h.max(axis=1) + bias[None], 0.2)  # the largest stays the largest


def draw(logits: Array, uniform: Array, blocks: int = 16) -> Array:
    """One token a row by its probability: logits [N, V], numbers uniform in [0, 1) [N] -> int32 [N].

    By the inverse of the distribution function: one random number a row, where Gumbel's way takes V. Sums are first
    over blocks of tokens, then within the one that is hit.
    """
    n, size = logits.shape
    width = -(-size // blocks)
    padded = jnp.pad(logits, ((0, 0), (0, blocks * width - size)), constant_values=-jnp.inf)
    p = jnp.exp(padded - logits.max(-1, keepdims=True)).reshape(n, blocks, width)
    sums = p.sum(-1)
    ends = jnp.cumsum(sums, axis=-1)
    goal = (uniform * ends[:, -1] * (1 - 1e-6))[:, None]  # below the sum whatever is rounded
    # Tokens that are impossible have no width, but rounding can put the goal into them, or behind a block's last one.
    block = jnp.argmax((ends > goal) & (sums > 0), axis=-1)
    inside = jnp.take_along_axis(p, block[:, None, None], axis=1)[:, 0]
    before = jnp.take_along_axis(ends - sums, block[:, None], axis=1)
    hit = (jnp.cumsum(inside, axis=-1) + before > goal) & (inside > 0)
    last = width - 1 - jnp.argmax((inside > 0)[:, ::-1], axis=-1)
    place = jnp.where(hit.any(-1), jnp.argmax(hit, axis=-1), last)
    return (block * width + place).astype(jnp.int32)


def _given(given: Given | None, name: str) -> Array:
    if given is None or name not in given:
        raise ValueError(f"the networks were built for texts with a {name}; give them one")
    return given[name]
