"""How likely is a text to a language model trained on held-out texts, and on nothing that a generator wrote?"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.losses.adversarial import relativistic
from jaxgen.metrics.tokens import counted
from jaxgen.models.tokens import Critic, Generator
from jaxgen.steps import sequence_gan

STEPS, BATCH, WIDTH = 1500, 64, 128
BLOCK = 200


@dataclass(frozen=True, eq=False)
class Reader:
    """What `reader` trained."""

    game: sequence_gan.SequenceGAN
    state: sequence_gan.State

    def nll(self, tokens: np.ndarray) -> float:
        """Nats a token of texts [N, T], their ends among the tokens."""
        filled = tokens[np.arange(-(-len(tokens) // BLOCK) * BLOCK) % len(tokens)]  # one compile for all
        blocks = filled.reshape(-1, BLOCK, tokens.shape[1])
        log_p = np.concatenate([np.asarray(self._log_p(self.state, block)) for block in blocks])[: len(tokens)]
        return -float(log_p.sum(dtype=np.float64) / counted(tokens))

    @cached_property
    def _log_p(self) -> Any:
        return jax.jit(lambda state, tokens: sequence_gan.log_likelihood(state, {"tokens": tokens}, self.game))


def reader(heldout: np.ndarray, vocabulary: int, seed: int = 0) -> Reader:
    """An LSTM of 128 trained by maximum likelihood on held-out texts [N, T] for 1,500 steps of 64; the same for the
    same texts."""
    adam = optax.chain(optax.clip_by_global_norm(5.0), optax.adamw(2e-3, weight_decay=0.1))
    gen, disc = Generator(vocabulary, 64, WIDTH, dropout=0.3), Critic(vocabulary, 1, (1,))
    game = sequence_gan.SequenceGAN(gen, disc, relativistic, adam, adam, adam, heldout.shape[1], pretrain=STEPS + 1)
    step = jax.jit(lambda state, tokens: sequence_gan.train_step(state, {"tokens": tokens}, game)[0], donate_argnums=0)
    state = sequence_gan.init(jax.random.key(seed), {"tokens": jnp.asarray(heldout[:1])}, game)
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        state = step(state, heldout[rng.integers(len(heldout), size=BATCH)])
    return Reader(game, state)
