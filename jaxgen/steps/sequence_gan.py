"""GANs of token sequences: maximum likelihood first, then a critic, through Gumbel-softmax or by policy gradient.

Three phases in one state, told apart by its step: `pretrain` steps of maximum likelihood, `critic_pretrain` of the
critic alone, then both players. A critic that was trained enough may also choose among what the generator writes:
`judged`.
"""

import dataclasses
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from jaxgen.axes import example_keys, mean_over
from jaxgen.critic import update_critic
from jaxgen.latent import numbered_keys
from jaxgen.losses.adversarial import Loss
from jaxgen.losses.penalties import Critic, Penalty
from jaxgen.player import Player, apply, average, copy, new_if_finite, player, update
from jaxgen.types import Array, Batch, Metrics, PyTree

SHOWN = 16
"""Texts that `show` makes."""
GIVEN = ("label", "prompt")
ROUNDS = 64
"""Texts that are drawn at most for one that is judged."""


@dataclasses.dataclass(frozen=True)
class SequenceGAN:
    """The game: who plays, by which rules. Frozen and hashable, so it is a static argument; build it once.

    `models.tokens` has the two networks; others need what is called of theirs here.
    """

    gen: nn.Module
    disc: nn.Module
    loss: Loss
    likelihood_tx: optax.GradientTransformation  # of the generator, in the first phase
    gen_tx: optax.GradientTransformation
    disc_tx: optax.GradientTransformation
    length: int  # tokens of a text
    pretrain: int = 0
    critic_pretrain: int = 0
    estimator: Literal["gumbel", "reinforce"] = "gumbel"
    mle: float = 0.0  # weight of the negative log likelihood, nats a token, beside the critic's opinion
    temperature: float = 0.01  # of the relaxation, at the end of `anneal`
    anneal: int = 1  # steps of the third phase over which it falls from 1, by equal factors (Nie et al. 2019)
    rollouts: int = 8  # completions of each prefix, of REINFORCE
    never: int = -1  # a token that `sample` never has: the unknown word; -1: none
    penalties: tuple[Penalty, ...] = ()
    penalty_weight: float = 1.0
    penalty_every: int = 1
    penalty_decay: int = 0
    ema_decay: float = 0.999
    skip_nonfinite: bool = False  # leave the state as it was where a loss or an update isn't finite


class State(struct.PyTreeNode):
    """All that decides the future. Of one shape under every runner."""

    step: Array
    key: Array
    gen: Player
    disc: Player
    likelihood_opt: PyTree  # the first phase's optimiser
    ema: PyTree  # (params, stats) of the averaged generator
    skipped: Array


def init(key: Array, batch: Batch, game: SequenceGAN) -> State:
    """A new state. `batch` gives shapes only: see `train_step`."""
    gen_key, disc_key, key = jax.random.split(key, 3)
    tokens, given = batch["tokens"][:1], _given({name: a[:1] for name, a in batch.items()})
    gen = player(game.gen, game.gen_tx, gen_key, tokens, given)
    disc = player(game.disc, game.disc_tx, disc_key, tokens, given)
    zero = jnp.zeros((), jnp.int32)
    opt = game.likelihood_tx.init(gen.params)
    return State(zero, key, gen, disc, opt, copy((gen.params, gen.stats)), jnp.copy(zero))


def train_step(state: State, batch: Batch, game: SequenceGAN, axis_name: str | None = None) -> tuple[State, Metrics]:
    """One update of whoever the phase lets play.

    `batch["tokens"]` is [B, T] int32, B the local batch under `pmap`; `label` [B] and `prompt` [B, P] where the
    networks take them. Metrics are means over the global batch, `nll` in nats a token; those of a player that does not
    play are 0.
    """
    if batch["tokens"].shape[1] != game.length:
        raise ValueError(f"the texts have {batch['tokens'].shape[1]} tokens, the game {game.length}")
    step = state.step - game.pretrain
    phases = [partial(phase, batch=dict(batch), game=game, axis_name=axis_name) for phase in (_likely, _judge, _play)]
    which = jnp.where(step < 0, 0, jnp.where(step < game.critic_pretrain, 1, 2))
    players = state.gen, state.disc, state.likelihood_opt
    (gen, disc, opt), metrics = jax.lax.switch(which, phases, players, state)
    averaged = average(state.ema, (gen.params, gen.stats), state.step, game.ema_decay)
    # In the second phase the critic judges the averaged generator, which stays as it is.
    ema = jax.tree.map(lambda old, new: jnp.where(which == 1, old, new), state.ema, averaged)
    metrics = mean_over(metrics, axis_name)
    new = state.replace(step=state.step + 1, gen=gen, disc=disc, likelihood_opt=opt, ema=ema)
    if game.skip_nonfinite:
        new = new_if_finite(new, state, (metrics, gen, disc))
        metrics["skipped"] = new.skipped.astype(jnp.float32)
    return new, metrics


def sample(
    state: State, keys: Array, game: SequenceGAN, given: Batch | None = None, temperature: Array | float = 1.0
) -> Array:
    """Texts [N, T] int32 of the averaged generator, one for each key [N]; `given` is what they go with, [N, ...]."""
    return _evaluate(state, game, keys, game.length, given, method="sample", temperature=temperature, never=game.never)


def criticise(state: State, tokens: Array, game: SequenceGAN, given: Batch | None = None) -> Array:
    """The critic's logits [N] of texts [N, T]."""
    return _apply(game.disc, state.disc.params, state.disc.stats, tokens, given, train=False).astype(jnp.float32)


def judged(
    state: State,
    keys: Array,
    game: SequenceGAN,
    level: Array | float,
    given: Batch | None = None,
    temperature: Array | float = 1.0,
    at_once: int = 64,
) -> Array:
    """As `sample`, of what the critic lets pass: of a text whose logit lies d below `level` a share exp(-d), of others
    all; of `ROUNDS` the last is taken as it is.

    Drawn so, texts have the density of the generator times what passes: a critic's logit, whether of pairs or not, is
    the logarithm of how much denser the data are, but for a constant. Discriminator rejection sampling (Azadi et al.
    2019), with a ceiling; as a model of text, a residual energy-based one (Deng et al. 2020). `at_once` texts are drawn
    at a time; which come out does not depend on it.
    """
    n, places = len(keys), min(len(keys), at_once)

    def draw(rows: Array, rounds: Array) -> tuple[Array, Array]:
        own = jax.vmap(lambda key, i: jax.random.split(jax.random.fold_in(key, i)))(keys[rows], rounds)
        of = None if given is None else {name: a[rows] for name, a in given.items()}
        texts = sample(state, own[:, 0], game, of, temperature)
        passes = jnp.log(jax.vmap(jax.random.uniform)(own[:, 1])) < passing(state, texts, game, level, of)
        return texts, passes | (rounds >= ROUNDS - 1)

    def again(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        rows, rounds, begun, out = carry  # rows: of each place; n where nothing is left to be drawn there
        texts, passes = draw(jnp.minimum(rows, n - 1), rounds)
        out = out.at[jnp.where(passes, rows, n)].set(texts, mode="drop")
        # Who has passed makes room for the next that waits, so that no place draws in vain until the last are done.
        following = begun + jnp.cumsum(passes) - 1
        rows = jnp.where(passes, jnp.minimum(following, n), rows)
        return rows, jnp.where(passes, 0, rounds + 1), jnp.minimum(begun + passes.sum(), n), out

    rows, zero = jnp.arange(places), jnp.zeros(places, jnp.int32)
    start = rows, zero, jnp.asarray(places), jnp.zeros((n, game.length), jnp.int32)
    return jax.lax.while_loop(lambda carry: (carry[0] < n).any(), again, start)[3]


def passing(state: State, tokens: Array, game: SequenceGAN, level: Array | float, given: Batch | None = None) -> Array:
    """The logarithm of the chance [N] with which each text [N, T] passes in `judged`."""
    return jnp.minimum(criticise(state, tokens, game, given) - level, 0.0)


def log_likelihood(state: State, batch: Batch, game: SequenceGAN, temperature: Array | float = 1.0) -> Array:
    """log p of each text's tokens [B, T] under the averaged generator, in nats; 0 after the end."""
    logits = _evaluate(state, game, batch["tokens"], _given(batch), train=False) / temperature
    return -_token_nll(logits, batch["tokens"]) * _inside(batch["tokens"], game)


def show(state: State, key: Array, game: SequenceGAN, batch: Batch | None = None) -> dict[str, Array]:
    """What a person wants to see of a run: 16 texts, the same noise for the same key. Where they go with something,
    they go with that of the batch's first 16, which is shown too, with the texts that it belongs to."""
    keys = numbered_keys(key, SHOWN)
    if batch is None or not _given(batch):
        return {"samples": sample(state, keys, game)}
    given = {name: a[:SHOWN] for name, a in (_given(batch) or {}).items()}
    n = len(batch["tokens"][:SHOWN])
    return {"samples": sample(state, keys[:n], game, given), "originals": batch["tokens"][:SHOWN], **given}


def _likely(
    players: tuple[Player, Player, PyTree], state: State, batch: Batch, game: SequenceGAN, axis_name: str | None
) -> tuple[tuple[Player, Player, PyTree], dict[str, Array]]:
    """The first phase."""
    gen, disc, opt = players
    key = jax.random.fold_in(state.key, state.step)
    (nll, stats), grads = jax.value_and_grad(partial(_nll, gen, batch, key, game, axis_name), has_aux=True)(gen.params)
    moved = update(Player(gen.params, gen.stats, opt), game.likelihood_tx, grads, stats, axis_name)
    return (Player(moved.params, moved.stats, gen.opt), disc, moved.opt), _metrics(state, game, nll=nll)


def _judge(
    players: tuple[Player, Player, PyTree], state: State, batch: Batch, game: SequenceGAN, axis_name: str | None
) -> tuple[tuple[Player, Player, PyTree], dict[str, Array]]:
    """The second phase."""
    gen, disc, opt = players
    noise_key, disc_key = jax.random.split(jax.random.fold_in(state.key, state.step))
    keys = example_keys(noise_key, len(batch["tokens"]), axis_name)
    fake = _evaluate(state, game, keys, game.length, _given(batch), method="sample")
    disc, metrics = _update_critic(disc, batch, fake, disc_key, state.step, game, axis_name)
    return (gen, disc, opt), _metrics(state, game, **metrics)


def _play(
    players: tuple[Player, Player, PyTree], state: State, batch: Batch, game: SequenceGAN, axis_name: str | None
) -> tuple[tuple[Player, Player, PyTree], dict[str, Array]]:
    """The third phase."""
    gen, disc, opt = players
    noise_key, disc_key, gen_key, nll_key = jax.random.split(jax.random.fold_in(state.key, state.step), 4)
    keys = example_keys(noise_key, len(batch["tokens"]), axis_name)
    metrics = _metrics(state, game)
    if game.estimator == "gumbel":

        def relax(params: PyTree) -> tuple[Array, Array]:
            out = _apply(
                game.gen, params, gen.stats, keys, game.length, metrics["temperature"], _given(batch), method="relax"
            )
            return out.soft, out.tokens

        fake, pull, _ = jax.vjp(relax, gen.params, has_aux=True)
        disc, found = _update_critic(disc, batch, fake, disc_key, state.step, game, axis_name)

        def opinion(soft: Array) -> Array:
            (real, judged), _ = _criticise(disc.params, disc.stats, batch, soft, gen_key, game, axis_name)
            return game.loss(real, judged)[1].mean()

        loss, to_soft = jax.value_and_grad(opinion)(fake)
        (grads,) = pull(to_soft)
    else:
        tokens = _generate(gen, keys, batch, game)
        disc, found = _update_critic(disc, batch, tokens, disc_key, state.step, game, axis_name)
        advantage, loss = _advantage(gen, disc, keys, tokens, batch, game, axis_name)

        def policy(params: PyTree) -> Array:
            logits = _apply(game.gen, params, gen.stats, tokens, _given(batch), train=False)
            return (advantage * _token_nll(logits, tokens) * _inside(tokens, game)).sum(1).mean()

        grads = jax.grad(policy)(gen.params)
    of_nll = partial(_nll, gen, batch, nll_key, game, axis_name)
    if game.mle:
        (nll, _), more = jax.value_and_grad(of_nll, has_aux=True)(gen.params)
        grads = jax.tree.map(lambda a, b: a + game.mle * b, grads, more)
    else:
        nll, _ = of_nll(gen.params)
    gen = update(gen, game.gen_tx, grads, gen.stats, axis_name)
    return (gen, disc, opt), metrics | found | {"loss/gen": loss, "nll": nll}


def _advantage(
    gen: Player,
    disc: Player,
    keys: Array,
    tokens: Array,
    batch: Batch,
    game: SequenceGAN,
    axis_name: str | None,
) -> tuple[Array, Array]:
    """(what each token [B, T] is worth beyond the average at its place, the generator's loss).

    Its worth is the negative loss of the texts that begin with it and those before: of `rollouts` completions by the
    generator, of the last token the text itself. SeqGAN (Yu et al. 2017), equation 4.
    """
    given = _given(batch)
    more = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
    drawn = _apply(game.gen, gen.params, gen.stats, more, tokens, game.rollouts, given, method="rollouts")
    whole = jnp.concatenate([drawn.reshape(-1, *tokens.shape), tokens[None]])  # [(T - 1) n + 1, B, T]
    judge = partial(_apply, game.disc, disc.params, disc.stats, train=False)
    # A batch at a time, so that what lies between the critic's layers stays in the cache.
    judged = jax.lax.map(lambda texts: judge(texts, given).astype(jnp.float32), whole)
    real = jnp.tile(judge(batch["tokens"], given).astype(jnp.float32), len(whole))
    worth = -game.loss(real, judged.reshape(-1))[1].reshape(judged.shape)
    of_prefix = worth[:-1].reshape(game.length - 1, game.rollouts, -1).mean(1)
    each = jnp.concatenate([of_prefix, worth[-1:]]).T  # [B, T]
    average_worth = mean_over(each.mean(0, keepdims=True), axis_name)
    return each - average_worth, -worth[-1].mean()


def _generate(gen: Player, keys: Array, batch: Batch, game: SequenceGAN) -> Array:
    return _apply(game.gen, gen.params, gen.stats, keys, game.length, _given(batch), method="sample")


def _nll(
    gen: Player, batch: Batch, key: Array, game: SequenceGAN, axis_name: str | None, params: PyTree
) -> tuple[Array, PyTree]:
    """(nats a token of the global batch, new statistics)."""
    tokens = batch["tokens"]
    logits, stats = apply(game.gen, params, gen.stats, tokens, _given(batch), key=key, axis_name=axis_name)
    inside = _inside(tokens, game)
    count = mean_over(inside.sum(1).mean(), axis_name)
    return (_token_nll(logits, tokens) * inside).sum(1).mean() / count, stats


def _token_nll(logits: Array, tokens: Array) -> Array:
    """[B, T] in nats of logits [B, T, V] and tokens [B, T]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens)


def _inside(tokens: Array, game: SequenceGAN) -> Array:
    """1 for each token of a text [B, T], its end among them; 0 after that."""
    if not getattr(game.gen, "ends", True):
        return jnp.ones(tokens.shape, jnp.float32)
    before = jnp.pad(tokens, ((0, 0), (1, 0)), constant_values=1)[:, :-1]
    return jnp.cumprod(before != 0, axis=1).astype(jnp.float32)


def _criticise(
    params: PyTree, stats: PyTree, batch: Batch, fake: Array, key: Array, game: SequenceGAN, axis_name: str | None
) -> tuple[tuple[Array, Array], PyTree]:
    """((real, fake) logits [B], new statistics)."""
    given, (real_key, fake_key) = _given(batch), jax.random.split(key)
    run = partial(apply, game.disc, params, axis_name=axis_name)
    real, stats = run(stats, batch["tokens"], given, key=real_key)
    judged, stats = run(stats, fake, given, key=fake_key)
    if real.shape != (len(batch["tokens"]),):
        raise ValueError(f"the critic gives {real.shape}; it must give one logit for each text: [B]")
    return (real.astype(jnp.float32), judged.astype(jnp.float32)), stats


def _update_critic(
    disc: Player, batch: Batch, fake: Array, key: Array, step: Array, game: SequenceGAN, axis_name: str | None
) -> tuple[Player, dict[str, Array]]:
    """One update, and the metrics of this device. Penalties are on soft texts."""
    loss_key, penalty_key, t_key = jax.random.split(key, 3)
    size = getattr(game.gen, "vocabulary", 0)
    fake = jax.lax.stop_gradient(fake)

    def logits(params: PyTree) -> tuple[tuple[Array, Array], PyTree]:
        return _criticise(params, disc.stats, batch, fake, loss_key, game, axis_name)

    def critic(params: PyTree) -> Critic:
        run = partial(apply, game.disc, params, disc.stats, key=penalty_key, axis_name=axis_name)
        return lambda text: run(text, _given(batch))[0]

    points = batch["tokens"], fake, example_keys(t_key, len(fake), axis_name)
    if game.penalties:
        soft = [a if a.ndim == 3 else jax.nn.one_hot(a, size) for a in points[:2]]
        points = soft[0], soft[1], points[2]
    disc, metrics = update_critic(disc, logits, critic, points, step, game, axis_name)
    del metrics["overfitting"]
    return disc, metrics


def _metrics(state: State, game: SequenceGAN, **found: Array) -> dict[str, Array]:
    """All of a step's metrics; 0 for those not found."""
    names = ("nll", "loss/gen", "loss/disc", "logit/real", "logit/fake")
    done = jnp.clip((state.step - game.pretrain - game.critic_pretrain) / game.anneal, 0, 1)
    return {name: jnp.zeros(()) for name in names} | {"temperature": game.temperature**done} | found


def _given(batch: Batch) -> dict[str, Array] | None:
    """What the texts of a batch go with; None for nothing."""
    return {name: batch[name] for name in GIVEN if name in batch} or None


def _evaluate(state: State, game: SequenceGAN, *inputs: Any, **options: Any) -> Any:
    return _apply(game.gen, *state.ema, *inputs, **options)


def _apply(module: nn.Module, params: PyTree, stats: PyTree, *inputs: Any, **options: Any) -> Any:
    """A pass that leaves the statistics alone."""
    return module.apply({"params": params, **stats}, *inputs, **options)
