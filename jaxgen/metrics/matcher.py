"""Does a reply fit its prompt? Asked of a network that learned from real pairs alone and knows no generator.

Two towers, one for prompts and one for replies, learn to tell the right reply from the others of a batch (InfoNCE, van
den Oord et al. 2018). The shuffled pairs that it is measured against have replies of other prompts that are as long as
the right one: the halves of a sentence are of one length, and to know that is not to understand them.

`Matcher.auc` of held-out real pairs among shuffled ones, the mean of two shuffles (of the manual .05 apart):

                                 all words   without those at the junction
    halves of COCO captions            .92                             .82
    the same in Texygen's split        .81                             .65
    halves of scripture               .745                             .65
    halves of the Python manual        .66                             .61
    turns of tinyshakespeare           .55                             .53

Texygen's training captions are of bathrooms and motorcycles, its test captions of zebras and fields; the first row has
the ends of both held out. So it can judge captions, and nothing can be said with that of turns. 2,000 replies to the
captions' prompts that copy that of a training prompt with the same last word are at .83, without the junction at .58:
they can follow, and are about something else. One reply to all is at .45.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.errors import UserError
from jaxgen.text.vocabulary import Vocabulary, build, split

Pairs = Sequence[tuple[str, str]]

_VOCABULARY, _LENGTH = 4_000, 16  # words known; words of either text that are looked at, from the junction on
_WIDTH, _NEAR = 64, 3  # of a tower; words next to the junction whose order counts
_BATCH, _EPOCHS = 256, 20
_FORGOTTEN = 0.4  # the share of words that a training step does not see
_LEAST = 20  # pairs


@dataclass(frozen=True)
class Matcher:
    """What `matcher` trained."""

    params: Any
    vocabulary: Vocabulary
    junction: bool

    def logits(self, pairs: Pairs) -> np.ndarray:
        """float64 [N]: the larger, the better the reply of each pair fits. Raises `UserError` without a pair."""
        if not len(pairs):
            raise UserError("There is no pair to score; pass one at least.")
        return np.asarray(_logits(self.params, *_encode(pairs, self.vocabulary, self.junction)), np.float64)

    def score(self, pairs: Pairs, others: Pairs) -> np.ndarray:
        """float64 [N]: what share of `others` each of `pairs` fits better than; ties count half. Raises `UserError`."""
        logits, ranked = self.logits(pairs), np.sort(self.logits(others))
        below = np.searchsorted(ranked, logits, "left") + np.searchsorted(ranked, logits, "right")
        return below / (2 * len(ranked))

    def auc(self, pairs: Pairs, others: Pairs) -> float:
        """The mean of `score`: how often one of `pairs` fits better than one of `others`; 0.5 where neither does."""
        return float(self.score(pairs, others).mean())


def matcher(pairs: Pairs, junction: bool = True, seed: int = 0) -> Matcher:
    """Trains on the real `pairs` (prompt, reply), 20 and more. The same pairs give the same matcher.

    Without `junction`, the last word of prompts and the first of replies are hidden, in training and in use: what is
    left is what they are about, not whether the one can follow the other. 10,000 pairs of ten words take 10 seconds on
    one core. Raises `UserError` where there are too few pairs.
    """
    if len(pairs) < _LEAST:
        raise UserError(f"A matcher learns from {_LEAST} pairs and more, not {len(pairs)}; add some.")
    vocabulary = build((text for pair in pairs for text in pair), _VOCABULARY)
    rng = np.random.default_rng(seed)
    return Matcher(_train(*_encode(pairs, vocabulary, junction), vocabulary.size, rng), vocabulary, junction)


def shuffled(pairs: Pairs, seed: int = 0) -> list[tuple[str, str]]:
    """Each prompt with the reply of another pair that is as long as its own, in words, or nearly so.

    Where many replies are equal, some prompts get their own again. Raises `UserError` for fewer than two pairs.
    """
    if len(pairs) < 2:
        raise UserError("A single pair cannot be shuffled; pass two at least.")
    lengths = np.array([len(split(reply)) for _, reply in pairs])
    order = np.lexsort((np.random.default_rng(seed).random(len(pairs)), lengths))
    return [(pairs[i][0], pairs[j][1]) for i, j in sorted(zip(order, np.roll(order, 1), strict=True))]


def fit(trained: Matcher, generated: Pairs, heldout: Pairs) -> dict[str, float]:
    """How well generated replies fit, beside real ones. Each is the mean of `Matcher.score` among shuffled pairs.

    matcher_auc: of the real `heldout` pairs, among these shuffled; below .75 the rest is void. generated_auc: of
    `generated`, among the same; .5 where they fit no better. score_share: the second by the first. own_auc: of
    `generated` among themselves shuffled; .5 where replies do not depend on their prompts, however well they are made.
    Raises `UserError` for fewer than two pairs of either.
    """
    others = shuffled(heldout)
    real, ours = trained.auc(heldout, others), trained.auc(generated, others)
    return {
        "matcher_auc": real,
        "generated_auc": ours,
        "score_share": ours / real,
        "own_auc": trained.auc(generated, shuffled(generated)),
    }


class _Tower(nn.Module):
    """int [B, T], the word at the junction first, -> unit vectors [B, D]. `seen` [B, T]: which words count."""

    words: int

    @nn.compact
    def __call__(self, tokens: jax.Array, seen: jax.Array) -> jax.Array:
        x = nn.Embed(self.words, _WIDTH, embedding_init=nn.initializers.normal(0.1))(tokens) * seen[..., None]
        about = x.sum(1) / jnp.sqrt(1 + seen.sum(1, keepdims=True))
        near = nn.Dense(_WIDTH)(x[:, :_NEAR].reshape(len(x), -1))
        x = nn.Dense(_WIDTH)(nn.relu(nn.Dense(2 * _WIDTH)(jnp.concatenate([about, near], -1))))
        return x * jax.lax.rsqrt(1e-6 + (x**2).sum(-1, keepdims=True))  # finite for a text without words


def _encode(pairs: Pairs, vocabulary: Vocabulary, junction: bool) -> tuple[np.ndarray, np.ndarray]:
    """Prompts from their last word back, and replies: int32 [N, T] each."""
    skipped = 0 if junction else 1
    prompts = [" ".join(split(prompt)[::-1][skipped:]) for prompt, _ in pairs]
    replies = [" ".join(split(reply)[skipped:]) for _, reply in pairs]
    return vocabulary.encode(prompts, _LENGTH), vocabulary.encode(replies, _LENGTH)


def _train(prompts: np.ndarray, replies: np.ndarray, words: int, rng: np.random.Generator) -> Any:
    batch = min(_BATCH, len(prompts))
    steps = _EPOCHS * len(prompts) // batch
    tower, key = _Tower(words), jax.random.key(int(rng.integers(2**31)))
    both = [tower.init(k, prompts[:1], prompts[:1] > 0) for k in jax.random.split(key)]
    params = {"prompt": both[0], "reply": both[1], "scale": jnp.ones(())}
    tx = optax.adamw(optax.cosine_decay_schedule(3e-3, steps), weight_decay=1.0)

    def loss(params: Any, p: jax.Array, r: jax.Array, key: jax.Array) -> jax.Array:
        kept = jax.random.uniform(key, (2, *p.shape)) > _FORGOTTEN
        a, b = tower.apply(params["prompt"], p, (p > 0) & kept[0]), tower.apply(params["reply"], r, (r > 0) & kept[1])
        logits, right = jnp.exp(params["scale"]) * jnp.asarray(a) @ jnp.asarray(b).T, jnp.arange(batch)
        wrong = optax.softmax_cross_entropy_with_integer_labels
        return (wrong(logits, right) + wrong(logits.T, right)).mean()

    @jax.jit
    def step(params: Any, opt: Any, p: jax.Array, r: jax.Array, i: jax.Array) -> tuple[Any, Any]:
        grads = jax.grad(loss)(params, p, r, jax.random.fold_in(key, i))
        updates, opt = tx.update(grads, opt, params)
        return optax.apply_updates(params, updates), opt

    opt = tx.init(params)
    for i in range(steps):
        rows = rng.choice(len(prompts), batch, replace=False)
        params, opt = step(params, opt, prompts[rows], replies[rows], jnp.asarray(i))
    return params


@jax.jit
def _logits(params: Any, prompts: jax.Array, replies: jax.Array) -> jax.Array:
    tower = _Tower(params["prompt"]["params"]["Embed_0"]["embedding"].shape[0])
    a, b = tower.apply(params["prompt"], prompts, prompts > 0), tower.apply(params["reply"], replies, replies > 0)
    return (jnp.asarray(a) * jnp.asarray(b)).sum(-1)
