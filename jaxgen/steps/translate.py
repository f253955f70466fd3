"""Image to image: from pairs (pix2pix: Isola et al. 2017), or from two sets without pairs (CycleGAN: Zhu et al. 2017).

One step for any x -> y: what differs is the game that it plays, `Paired` or `Unpaired`.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from jaxgen.augment import Augment
from jaxgen.axes import example_keys, mean_over
from jaxgen.critic import mean_of_means, total, two_sides, update_critic
from jaxgen.latent import numbered_keys, prior, prior_map
from jaxgen.losses.adversarial import Loss
from jaxgen.losses.penalties import Penalty
from jaxgen.losses.reconstruction import l1
from jaxgen.player import Player, apply, average, copy, evaluate, new_if_finite, player, update
from jaxgen.types import Array, Batch, Metrics, PyTree

Degrade: TypeAlias = Callable[[Array, Array], Array]
"""(images [B, ...], keys [B]) -> sources [B, ...]: what a restoration has to undo. Hashable by value."""
Compare: TypeAlias = Callable[[Array], PyTree]
"""images [B, ...] -> an array or several [B, ...], each of which counts the same. Hashable by value."""


@dataclasses.dataclass(frozen=True)
class Paired:
    """x -> y from examples of both. Frozen and hashable, so it is a static argument; build it once.

    The networks are Flax modules called as `gen(x, train=...)`, with `z_dim` `gen(x, z, train=...)`, and
    `disc(y, x, train=...)`, whose logits [B, ...] may be as many an example as it likes, or a tuple of such arrays,
    each of which counts the same; with `matching` it gives (logits, features), features an array or several [B, ...].
    Under `jax.pmap`, modules with batch normalisation need its `axis_name`.
    """

    gen: nn.Module
    disc: nn.Module
    loss: Loss
    gen_tx: optax.GradientTransformation
    disc_tx: optax.GradientTransformation
    l1: float = 100.0  # weight of the mean absolute difference
    compare: Compare | None = None  # of what that is the difference; None: of y
    adversarial: float = 1.0  # weight of the critic's loss in the generator's; 0 leaves the critic out of it
    matching: float = 0.0  # weight of the difference between the critic's features of fake and real
    z_dim: int = 0  # > 0: the generator gets noise too, and several y fit one x
    z_map: bool = False  # the noise is [B, H, W, Z], a latent at each place of x (`latent.prior_map`), not [B, Z]
    degrade: Degrade | None = None  # makes x from y; else x is the batch's `source`
    # Of x and y as the channels of one image, before both networks: what moves them, as color would mix the two; they
    # must have one size.
    augment: Augment | None = None
    augment_p: float = 1.0
    penalties: tuple[Penalty, ...] = ()  # on the sum of an example's logits
    penalty_weight: float = 1.0
    penalty_every: int = 1
    penalty_decay: int = 0
    ema_decay: float = 0.999
    skip_nonfinite: bool = False


@dataclasses.dataclass(frozen=True)
class Unpaired:
    """x -> y, and back, from examples of either that belong to no pairs. Frozen and hashable, as `Paired`.

    `gen(x, train=...)` is a network from images to images of one shape, `disc(y, train=...)` gives logits [B, ...];
    each plays twice, with parameters of its own: there, and back.
    """

    gen: nn.Module
    disc: nn.Module
    loss: Loss
    gen_tx: optax.GradientTransformation
    disc_tx: optax.GradientTransformation
    cycle: float = 10.0  # weight of the difference between x and what it comes to there and back
    identity: float = 5.0  # weight of the change that a generator makes to what is of its kind already
    adversarial: float = 1.0
    pool: int = 50  # fakes of earlier steps that the critics learn from too (Shrivastava et al. 2017); 0: none
    penalties: tuple[Penalty, ...] = ()  # on the sum of an example's logits
    penalty_weight: float = 1.0
    penalty_every: int = 1
    penalty_decay: int = 0
    ema_decay: float = 0.999
    skip_nonfinite: bool = False


Game: TypeAlias = Paired | Unpaired


class State(struct.PyTreeNode):
    """All that decides the future. Of one shape under every runner. `back` is empty in a paired game."""

    step: Array
    key: Array
    gen: Player
    disc: Player
    ema: PyTree  # (params, stats) of the averaged generator, of an unpaired game also of the one back
    skipped: Array
    back: "Back | tuple[()]" = ()


class Back(struct.PyTreeNode):
    """What an unpaired game has beside a paired one: the players of the way back, and the pools of both ways."""

    gen: Player
    disc: Player
    pools: tuple["Pool", "Pool"]  # of fakes there, and back


class Pool(struct.PyTreeNode):
    """Fakes of earlier steps, the same on every device."""

    images: Array  # [P, ...]
    held: Array  # [] int32: how many it has so far


def init(key: Array, batch: Batch, game: Game) -> State:
    """A new state. `batch` gives shapes only: `image` [B, ...] and, where the game does not make it, `source`. Raises
    ValueError where that is missing."""
    gen_key, disc_key, back_key, key = jax.random.split(key, 4)
    y, zero = batch["image"][:1], jnp.zeros((), jnp.int32)
    x = sources({name: a[:1] for name, a in batch.items()}, numbered_keys(key, 1), game)
    if isinstance(game, Paired):
        gen = player(game.gen, game.gen_tx, gen_key, x, *_noise(x, numbered_keys(key, 1), game))
        disc = player(game.disc, game.disc_tx, disc_key, y, x)
        return State(zero, key, gen, disc, copy((gen.params, gen.stats)), jnp.copy(zero))
    gen = player(game.gen, game.gen_tx, gen_key, x)
    disc = player(game.disc, game.disc_tx, disc_key, y)
    gen_key, disc_key = jax.random.split(back_key)
    back = player(game.gen, game.gen_tx, gen_key, y), player(game.disc, game.disc_tx, disc_key, x)
    pools = tuple(Pool(jnp.zeros((game.pool, *one.shape[1:])), jnp.zeros((), jnp.int32)) for one in (y, x))
    ema = copy(((gen.params, gen.stats), (back[0].params, back[0].stats)))
    return State(zero, key, gen, disc, ema, jnp.copy(zero), Back(*back, (pools[0], pools[1])))


def train_step(state: State, batch: Batch, game: Game, axis_name: str | None = None) -> tuple[State, Metrics]:
    """One update of each player.

    `batch["image"]` y is [B, ...] in [-1, 1], B the local batch under `pmap`; `source` x [B, ...] is its partner, or in
    an unpaired game any other; a game that makes x from y needs none. Metrics are means over the global batch. Raises
    ValueError where the batch does not fit the game.
    """
    step = _paired_step if isinstance(game, Paired) else _unpaired_step
    new, metrics = step(state, batch, game, axis_name)  # pyright: ignore[reportArgumentType]
    metrics = mean_over(metrics, axis_name)
    new = new.replace(step=state.step + 1)
    if game.skip_nonfinite:
        new = new_if_finite(new, state, (metrics, new.gen, new.disc, new.back))
        metrics["skipped"] = new.skipped.astype(jnp.float32)
    return new, metrics


def translate(state: State, x: Array, keys: Array, game: Game, back: bool = False) -> Array:
    """x [N, ...] -> y [N, ...], about in [-1, 1], of the averaged generator, its noise by the keys [N]; with `back`, in
    an unpaired game, y -> x."""
    if isinstance(game, Unpaired):
        return evaluate(game.gen, state.ema[1 if back else 0], x)
    return evaluate(game.gen, state.ema, x, *_noise(x, keys, game))


def sources(batch: Batch, keys: Array, game: Game) -> Array:
    """x [N, ...] of a batch: what it brings, or what a game with `degrade` makes of its images, by the keys [N]."""
    if isinstance(game, Paired) and game.degrade is not None:
        return game.degrade(batch["image"], keys)
    if "source" not in batch:
        raise ValueError("the batch has no `source`, and the game has no `degrade` to make it from `image`")
    return batch["source"]


def show(state: State, key: Array, game: Game, batch: Batch | None = None) -> dict[str, Array]:
    """What a person wants to see of a run: sources, what is made of them, and what they should be, 16 held-out ones; of
    an unpaired game what is made of either."""
    if batch is None:
        return {}
    some = {name: a[:16] for name, a in batch.items()}
    keys = numbered_keys(key, len(some["image"]))
    x = sources(some, keys, game)
    shown = {"sources": x, "samples": translate(state, x, keys, game)}
    if isinstance(game, Paired):
        return shown | {"targets": some["image"]}
    y = some["image"]
    return shown | {"sources_back": y, "samples_back": translate(state, y, keys, game, back=True)}


def _paired_step(state: State, batch: Batch, game: Paired, axis_name: str | None) -> tuple[State, dict[str, Array]]:
    key = jax.random.fold_in(state.key, state.step)
    x_key, z_key, gen_key, disc_key = jax.random.split(key, 4)
    n = len(batch["image"])
    keys = partial(example_keys, n=n, axis_name=axis_name)
    x, y = _pairs(batch, keys(x_key), game)
    noise = _noise(x, keys(z_key), game)

    # One forward pass of the generator serves both updates; `pull` carries its gradient.
    fake, pull, stats = jax.vjp(
        lambda params: apply(game.gen, params, state.gen.stats, x, *noise, key=gen_key, axis_name=axis_name),
        state.gen.params,
        has_aux=True,
    )
    if fake.shape != y.shape:
        raise ValueError(f"the generator makes {fake.shape}, the data are {y.shape}")
    disc, metrics = _update_critic(state.disc, y, fake, (x,), disc_key, state.step, game, axis_name)

    def gen_loss(images: Array) -> tuple[Array, dict[str, Array]]:
        away = _difference(game.compare(images), game.compare(y)) if game.compare else l1(images, y).mean()
        fooled, matching = _fooled(disc, y, images, (x,), disc_key, game, axis_name)
        found = {"loss/gen": fooled, "l1": away} | ({"matching": matching} if game.matching else {})
        return game.l1 * away + game.adversarial * fooled + game.matching * matching, found

    (_, parts), to_images = jax.value_and_grad(gen_loss, has_aux=True)(fake)
    gen = update(state.gen, game.gen_tx, pull(to_images)[0], stats, axis_name)
    ema = average(state.ema, (gen.params, gen.stats), state.step, game.ema_decay)
    return state.replace(gen=gen, disc=disc, ema=ema), metrics | parts


def _unpaired_step(state: State, batch: Batch, game: Unpaired, axis_name: str | None) -> tuple[State, dict[str, Array]]:
    other = state.back
    assert isinstance(other, Back)
    key = jax.random.fold_in(state.key, state.step)
    there_key, back_key, *gen_keys, pool_key = jax.random.split(key, 9)
    x, y = sources(batch, key, game), batch["image"]
    if x.shape != y.shape:
        raise ValueError(f"both kinds of image must have one shape, not {x.shape} and {y.shape}")

    def made(params: tuple[PyTree, PyTree]) -> tuple[dict[str, Array], tuple[PyTree, PyTree]]:
        """Everything that both generators make of the batch, and their new statistics."""
        stats = [state.gen.stats, other.gen.stats]
        keys = iter(gen_keys)

        def run(way: int, images: Array) -> Array:
            given = params[way], stats[way], images
            out, stats[way] = apply(game.gen, *given, key=next(keys), axis_name=axis_name)
            return out

        out = {"y": run(0, x), "x": run(1, y)}
        out |= {"x_again": run(1, out["y"]), "y_again": run(0, out["x"])}
        if game.identity:
            out |= {"y_same": run(0, y), "x_same": run(1, x)}
        return out, (stats[0], stats[1])

    out, pull, stats = jax.vjp(made, (state.gen.params, other.gen.params), has_aux=True)
    discs, metrics, pools = [], {}, []
    ways = ((state.disc, y, out["y"], there_key), (other.disc, x, out["x"], back_key))
    for way, (disc, real, fake, disc_key) in enumerate(ways):
        seen, pool = _pooled(other.pools[way], fake, jax.random.fold_in(pool_key, way), game, axis_name)
        disc, found = _update_critic(disc, real, seen, (), disc_key, state.step, game, axis_name)
        discs.append(disc)
        pools.append(pool)
        metrics |= {name + ("/back" if way else ""): value for name, value in found.items()}

    def gen_loss(out: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        there, _ = _fooled(discs[0], y, out["y"], (), there_key, game, axis_name)
        back, _ = _fooled(discs[1], x, out["x"], (), back_key, game, axis_name)
        cycle = l1(out["x_again"], x).mean() + l1(out["y_again"], y).mean()
        found = {"loss/gen": there, "loss/gen/back": back, "cycle": cycle}
        total = game.adversarial * (there + back) + game.cycle * cycle
        if game.identity:
            found["identity"] = l1(out["y_same"], y).mean() + l1(out["x_same"], x).mean()
            total += game.identity * found["identity"]
        return total, found

    (_, parts), to_out = jax.value_and_grad(gen_loss, has_aux=True)(out)
    grads = pull(to_out)[0]
    gen = update(state.gen, game.gen_tx, grads[0], stats[0], axis_name)
    back = update(other.gen, game.gen_tx, grads[1], stats[1], axis_name)
    averaged = (gen.params, gen.stats), (back.params, back.stats)
    new = state.replace(
        gen=gen,
        disc=discs[0],
        ema=average(state.ema, averaged, state.step, game.ema_decay),
        back=Back(back, discs[1], (pools[0], pools[1])),
    )
    return new, metrics | parts


def _noise(x: Array, keys: Array, game: Paired) -> tuple[Array, ...]:
    """What the generator gets beside x."""
    if not game.z_dim:
        return ()
    return (prior_map(keys, x.shape[1:3], game.z_dim) if game.z_map else prior(keys, game.z_dim),)


def _pairs(batch: Batch, keys: Array, game: Paired) -> tuple[Array, Array]:
    """(x, y), both augmented alike."""
    y = batch["image"]
    x = sources(batch, keys, game)
    if game.augment is None:
        return x, y
    if x.shape[:3] != y.shape[:3]:
        raise ValueError(f"pairs are augmented together, so x {x.shape} and y {y.shape} must have one height and width")
    own = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
    both = game.augment(jnp.concatenate([x, y], axis=-1), own, jnp.asarray(game.augment_p))
    return both[..., : x.shape[-1]], both[..., x.shape[-1] :]


def _seen(
    params: PyTree,
    stats: PyTree,
    real: Array,
    fake: Array,
    given: tuple[Array, ...],
    key: Array,
    game: Game,
    axis_name: str | None,
) -> tuple[tuple[PyTree, PyTree], tuple[PyTree, PyTree], PyTree]:
    """((real, fake) logits, (real, fake) features, new statistics); `given` is what a critic of pairs sees beside the
    image. Without `matching` there are no features."""
    run = partial(apply, game.disc, params, axis_name=axis_name)
    real_key, fake_key = jax.random.split(key)
    of_real, stats = run(stats, real, *given, key=real_key)
    of_fake, stats = run(stats, fake, *given, key=fake_key)
    if not _matches(game):
        of_real, of_fake = (of_real, ()), (of_fake, ())
    logits, features = jax.tree.map(lambda a: a.astype(jnp.float32), tuple(zip(of_real, of_fake, strict=True)))
    return logits, features, stats


def _matches(game: Game) -> bool:
    return isinstance(game, Paired) and game.matching > 0


def _difference(x: PyTree, y: PyTree) -> Array:
    """The mean absolute difference of two arrays, or of several the mean of theirs."""
    return mean_of_means(jax.tree.map(l1, x, y))


def _fooled(
    disc: Player, real: Array, fake: Array, given: tuple[Array, ...], key: Array, game: Game, axis_name: str | None
) -> tuple[Array, Array]:
    """(the generator's side of the adversarial loss, how far the critic's features of fake are from those of real)."""
    nothing = jnp.zeros(())
    if not game.adversarial and not _matches(game):
        return nothing, nothing
    logits, features, _ = _seen(disc.params, disc.stats, real, fake, given, key, game, axis_name)
    return two_sides(game.loss, *logits)[1], _difference(*features) if _matches(game) else nothing


def _update_critic(
    disc: Player,
    real: Array,
    fake: Array,
    given: tuple[Array, ...],
    key: Array,
    step: Array,
    game: Game,
    axis_name: str | None,
) -> tuple[Player, dict[str, Array]]:
    """One update, and the metrics of this device."""
    penalty_key, t_key = jax.random.split(jax.random.fold_in(key, 1))
    fake = jax.lax.stop_gradient(fake)

    def critic(params: PyTree) -> Callable[[Array], Array]:
        run = partial(apply, game.disc, params, disc.stats, key=penalty_key, axis_name=axis_name)
        return lambda y: total(run(y, *given)[0][0] if _matches(game) else run(y, *given)[0])

    def logits(params: PyTree) -> tuple[tuple[PyTree, PyTree], PyTree]:
        logits, _, stats = _seen(params, disc.stats, real, fake, given, key, game, axis_name)
        return logits, stats

    disc, metrics = update_critic(
        disc,
        logits,
        critic,
        (real, fake, example_keys(t_key, len(real), axis_name)),
        step,
        game,
        axis_name,
    )
    metrics.pop("overfitting")
    return disc, metrics


def _pooled(pool: Pool, fakes: Array, key: Array, game: Unpaired, axis_name: str | None) -> tuple[Array, Pool]:
    """(what the critic sees, the pool after it): each fake, or at even odds an earlier one, whose place it then takes.

    All devices' fakes pass through the pool, in the order of the global batch, so that it is the same on each.
    """
    if not game.pool:
        return fakes, pool
    n, fakes = len(fakes), jax.lax.stop_gradient(fakes)
    everyone = fakes if axis_name is None else jax.lax.all_gather(fakes, axis_name, tiled=True)

    def one(pool: Pool, given: tuple[Array, Array]) -> tuple[Pool, Array]:
        fake, key = given
        u = jax.random.uniform(key, (2,))
        room = pool.held < game.pool
        place = jnp.where(room, pool.held, (u[0] * game.pool).astype(jnp.int32))
        swap = ~room & (u[1] < 0.5)
        seen = jnp.where(swap, pool.images[place], fake)
        kept = jnp.where(room | swap, fake, pool.images[place])
        return Pool(pool.images.at[place].set(kept), pool.held + room.astype(jnp.int32)), seen

    pool, seen = jax.lax.scan(one, pool, (everyone, numbered_keys(key, len(everyone))))
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * n
    return jax.lax.dynamic_slice_in_dim(seen, first, n), pool
