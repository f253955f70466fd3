"""The GAN step against NumPy in float64, whose gradients are finite differences and share no code with jaxgen."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.axes import example_keys
from jaxgen.latent import numbered_keys, prior
from jaxgen.losses.adversarial import nonsaturating, relativistic, wasserstein
from jaxgen.losses.penalties import r1, r2
from jaxgen.steps.gan import GAN, criticise, decode, init, sample, show, train_step

B, Z = 4, 2
BATCH = {"image": jnp.array(np.random.default_rng(0).normal(size=(B, 2)) + 1, jnp.float32)}
LABELS = jnp.array([0, 2, 2, 1])
GEN_LR, DISC_LR = 0.3, 0.5
step = jax.jit(train_step, static_argnames=("game", "axis_name"))


class Gen(nn.Module):
    @nn.compact
    def __call__(self, z, *, train):
        h = nn.tanh(nn.Dense(3)(z))
        return nn.Dense(2)(h)


class Disc(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        h = nn.tanh(nn.Dense(3)(x))
        return nn.Dense(1)(h)[:, 0]


GAME = GAN(Gen(), Disc(), nonsaturating, optax.sgd(GEN_LR), optax.sgd(DISC_LR), Z)


@pytest.fixture(scope="module")
def start():
    return jax.jit(partial(init, game=GAME))(jax.random.key(0), BATCH)


# The reference: a network is [W0, b0, W1, b1].
def numbers(params):
    return [np.asarray(params[f"Dense_{i}"][n], np.float64) for i in (0, 1) for n in ("kernel", "bias")]


def network(p, x):
    return np.tanh(x @ p[0] + p[1]) @ p[2] + p[3]


def input_gradient(p, x):
    """Of a network with one output: [B, inputs]."""
    return (1 - np.tanh(x @ p[0] + p[1]) ** 2) * p[2][:, 0] @ p[0].T


def differences(f, params, eps=1e-5):
    """The gradient of f at a list of arrays."""
    grads = []
    for i, a in enumerate(params):
        grads.append(np.zeros_like(a))
        for index in np.ndindex(a.shape):
            values = []
            for sign in (1, -1):
                moved = [b.copy() for b in params]
                moved[i][index] += sign * eps
                values.append(f(moved))
            grads[i][index] = (values[0] - values[1]) / (2 * eps)
    return grads


def descend(params, f, lr):
    return [a - lr * g for a, g in zip(params, differences(f, params), strict=True)]


def softplus(x):
    return np.logaddexp(0, x)


REFERENCE_LOSS = {
    nonsaturating: (lambda r, f: softplus(-r) + softplus(f), lambda r, f: softplus(-f)),
    relativistic: (lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
}


def step_latents(state, parts):
    """The latents of each critic update, by the step's own keys; those of the generator's come last."""
    key = jax.random.fold_in(state.key, state.step)
    early = [jax.random.split(k, 3)[0] for k in jax.random.split(jax.random.fold_in(key, 1), max(parts - 1, 1))]
    last = jax.random.split(jax.random.fold_in(key, 0), 3)[0]
    keys = [*early[: parts - 1], last]
    draw = [prior(example_keys(jax.random.split(k)[0], B // parts, None), Z) for k in keys]
    return [np.asarray(z, np.float64) for z in draw]


def reference_step(state, game, gen_sees_updated_critic=True, shift=0.0):
    """(generator, critic, metrics) after one step; the critic sees its inputs `shift`ed."""
    gen, disc = numbers(state.gen.params), numbers(state.disc.params)
    disc_loss, gen_loss = REFERENCE_LOSS[game.loss]
    old, metrics = disc, {}
    for j, z in enumerate(step_latents(state, game.critic_steps)):
        x, fake = np.asarray(BATCH["image"], np.float64)[j :: game.critic_steps] + shift, network(gen, z) + shift

        def logits(p, x=x, fake=fake):
            return network(p, x)[:, 0], network(p, fake)[:, 0]

        def disc_objective(p, x=x, fake=fake, logits=logits):
            places = {r1: x, r2: fake}
            penalty = sum(0.5 * (input_gradient(p, places[f]) ** 2).sum(1).mean() for f in game.penalties)
            return disc_loss(*logits(p)).mean() + game.penalty_weight * penalty

        real, fakes = logits(disc)
        metrics = {
            "loss/disc": disc_loss(real, fakes).mean(),
            "logit/real": real.mean(),
            "logit/fake": fakes.mean(),
        }
        disc = descend(disc, disc_objective, DISC_LR)
    judge = disc if gen_sees_updated_critic else old

    def gen_objective(p):
        return gen_loss(network(judge, x)[:, 0], network(judge, network(p, z) + shift)[:, 0]).mean()

    metrics["loss/gen"] = gen_objective(gen)
    return descend(gen, gen_objective, GEN_LR), disc, metrics


def distance(params, reference):
    return max(np.abs(a - b).max() for a, b in zip(numbers(params), reference, strict=True))


@pytest.mark.parametrize(
    "game",
    [
        dataclasses.replace(GAME, penalties=(r1,)),
        dataclasses.replace(GAME, loss=relativistic, penalties=(r1, r2), penalty_weight=0.3, critic_steps=2),
    ],
    ids=["nonsaturating-r1", "relativistic-r1-r2-two-critic-steps"],
)
def test_one_update_against_numpy(start, game):
    new, metrics = step(start, BATCH, game)
    gen, disc, expected = reference_step(start, game)
    assert distance(new.disc.params, disc) < 2e-6
    assert distance(new.gen.params, gen) < 2e-6
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, atol=1e-6)
    # The test sees which critic judged, and that both players moved.
    assert distance(new.gen.params, reference_step(start, game, gen_sees_updated_critic=False)[0]) > 1e-3
    assert distance(start.gen.params, gen) > 1e-3
    assert distance(start.disc.params, disc) > 1e-3
    assert int(new.step) == 1
    assert new.key == start.key


def assert_same(a, b, tolerance=0.0):
    """Whether two states without their keys are the same."""
    a, b = a.replace(key=()), b.replace(key=())
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=tolerance), a, b)


def test_a_lazy_penalty_comes_at_every_nth_step_n_times_as_strong(start):
    lazy = dataclasses.replace(GAME, penalties=(r1,), penalty_weight=0.5, penalty_every=4)
    strong = dataclasses.replace(GAME, penalties=(r1,), penalty_weight=2.0)
    for t in range(5):
        state = start.replace(step=jnp.array(t))
        new, _ = step(state, BATCH, lazy)
        with_penalty, without = step(state, BATCH, strong)[0], step(state, BATCH, GAME)[0]
        assert_same(new, without if t % 4 else with_penalty, 1e-7)
        assert distance(with_penalty.disc.params, numbers(without.disc.params)) > 1e-3


def test_the_average_follows_the_generator(start):
    first, _ = step(start, BATCH, GAME)
    second, _ = step(first, BATCH, GAME)
    a, b, c = (np.concatenate([p.ravel() for p in numbers(s.gen.params)]) for s in (start, first, second))
    averages = [np.concatenate([p.ravel() for p in numbers(s.ema[0])]) for s in (start, first, second)]
    np.testing.assert_array_equal(averages[0], a)
    np.testing.assert_allclose(averages[1], 0.1 * a + 0.9 * b, atol=1e-6)  # decay (1 + t) / (10 + t) at t = 0
    np.testing.assert_allclose(averages[2], 2 / 11 * averages[1] + 9 / 11 * c, atol=1e-6)
    late, _ = step(start.replace(step=jnp.array(100_000)), BATCH, GAME)
    late_average = np.concatenate([p.ravel() for p in numbers(late.ema[0])])
    late = np.concatenate([p.ravel() for p in numbers(late.gen.params)])
    np.testing.assert_allclose(late_average, 0.999 * a + 0.001 * late, atol=1e-6)


class NormGen(nn.Module):
    """Its batch statistics are those of z."""

    @nn.compact
    def __call__(self, z, *, train):
        return nn.BatchNorm(not train, momentum=0.9)(z)


class NormDisc(nn.Module):
    """Its batch statistics are those of its inputs."""

    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(1)(nn.BatchNorm(not train, momentum=0.8)(x))[:, 0]


def test_batch_statistics_are_moved_once_by_each_pass_that_counts():
    game = dataclasses.replace(GAME, gen=NormGen(), disc=NormDisc(), penalties=(r1,))
    state = jax.jit(partial(init, game=game))(jax.random.key(0), BATCH)
    new, _ = step(state, BATCH, game)
    (z,) = step_latents(state, 1)
    np.testing.assert_allclose(new.gen.stats["batch_stats"]["BatchNorm_0"]["mean"], 0.1 * z.mean(0), atol=1e-6)
    # The average of the statistics, with the ramp's decay of 0.1 at step 0: the old ones are 0.
    np.testing.assert_allclose(new.ema[1]["batch_stats"]["BatchNorm_0"]["mean"], 0.9 * 0.1 * z.mean(0), atol=1e-6)
    # The critic's: real, then fake; neither the penalty nor the generator's update moves them.
    fake = (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5)
    expected = 0.8 * 0.2 * np.asarray(BATCH["image"]).mean(0) + 0.2 * fake.mean(0)
    np.testing.assert_allclose(new.disc.stats["batch_stats"]["BatchNorm_0"]["mean"], expected, atol=1e-6)


def test_a_nonfinite_step_is_left_out_where_asked(start):
    game = dataclasses.replace(GAME, skip_nonfinite=True)
    bad = {"image": BATCH["image"].at[0, 0].set(jnp.nan)}
    kept, metrics = step(start, bad, game)
    assert_same(kept, start.replace(step=start.step + 1, skipped=start.skipped + 1))
    assert kept.key == start.key
    assert metrics["skipped"] == 1
    after, metrics = step(kept, BATCH, game)
    assert metrics["skipped"] == 1
    assert_same(after, step(kept, BATCH, GAME)[0], 1e-7)
    assert not np.isfinite(step(start, bad, GAME)[0].disc.params["Dense_0"]["kernel"]).all()


class LabelGen(nn.Module):
    @nn.compact
    def __call__(self, z, label, *, train):
        return nn.Embed(3, 2, name="points")(label)


class LabelDisc(nn.Module):
    @nn.compact
    def __call__(self, x, label, *, train):
        return jnp.sum(x * nn.Embed(3, 2, name="slopes")(label), axis=-1)


def test_labels_reach_both_networks_by_hand():
    """G(y) = F[y], D(x, y) = x . E[y], Wasserstein with R1: all gradients are plain."""
    batch = {**BATCH, "label": LABELS}
    game = dataclasses.replace(GAME, gen=LabelGen(), disc=LabelDisc(), loss=wasserstein, penalties=(r1,), classes=3)
    state = jax.jit(partial(init, game=game))(jax.random.key(0), batch)
    new, _ = step(state, batch, game)
    f, e = np.array(state.gen.params["points"]["embedding"]), np.array(state.disc.params["slopes"]["embedding"])
    x, y = np.asarray(BATCH["image"]), np.asarray(LABELS)
    share = np.bincount(y)[:, None] / B
    pull = np.stack([(x - f[y])[y == c].sum(0) / B for c in range(3)])
    e = e + DISC_LR * (pull - share * e)
    np.testing.assert_allclose(new.disc.params["slopes"]["embedding"], e, atol=1e-6)
    f = f + GEN_LR * share * e
    np.testing.assert_allclose(new.gen.params["points"]["embedding"], f, atol=1e-6)
    average = np.array(new.ema[0]["points"]["embedding"])
    z = jnp.zeros((5, Z))
    np.testing.assert_array_equal(decode(new, z, game), average[[0, 1, 2, 0, 1]])  # classes in turn
    np.testing.assert_array_equal(decode(new, z, game, jnp.full(5, 2)), average[[2] * 5])


def test_samples_are_the_averaged_generators_by_key(start):
    keys = numbered_keys(jax.random.key(5), 6)
    state = start.replace(ema=jax.tree.map(lambda a: a + 0.1, start.ema))
    x = sample(state, keys, GAME)
    z = prior(keys, Z)
    np.testing.assert_allclose(x, network(numbers(state.ema[0]), np.asarray(z)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(x, decode(state, z, GAME))
    np.testing.assert_allclose(sample(state, keys[:2], GAME), x[:2], atol=1e-6)
    shown = show(state, jax.random.key(5), GAME)
    assert {k: v.shape for k, v in shown.items()} == {"samples": (64, 2)}
    np.testing.assert_allclose(shown["samples"][:6], x, atol=1e-6)


class Wrong(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(1)(x)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gen": Wrong()}, r"generator makes \(4, 1\), the data are \(4, 2\)"),
        ({"disc": Wrong()}, r"critic gives \(4, 1\) for 4 examples; it must give one logit each"),
        ({"critic_steps": 3}, "batch of 4 can't be shared among 3"),
    ],
)
def test_a_game_that_does_not_fit_the_batch_is_refused(changes, words):
    game = dataclasses.replace(GAME, **changes)
    state = jax.eval_shape(partial(init, game=game), jax.random.key(0), BATCH)
    with pytest.raises(ValueError, match=words):
        jax.eval_shape(partial(train_step, game=game), state, BATCH)


def test_a_fresh_state_may_be_donated(start):
    state = jax.tree.map(jnp.copy, start.replace(key=()))
    donated = init(jax.random.key(0), BATCH, GAME)
    new, _ = jax.jit(train_step, static_argnames="game", donate_argnums=0)(donated, BATCH, GAME)
    assert donated.gen.params["Dense_0"]["kernel"].is_deleted()
    assert_same(new, step(state.replace(key=start.key), BATCH, GAME)[0], 1e-7)


def test_the_game_is_static():
    assert hash(GAME) == hash(dataclasses.replace(GAME))
    assert dataclasses.replace(GAME) == GAME
    assert dataclasses.replace(GAME, critic_steps=2) != GAME


def shifted(images, keys, p):
    """An augmentation whose result NumPy knows."""
    assert keys.shape == images.shape[:1]
    return images + p


@pytest.mark.parametrize("critic_steps", [1, 2])
def test_real_and_fake_are_augmented_alike_in_both_updates_and_under_the_penalties(start, critic_steps):
    penalties = {"penalties": (r1, r2), "penalty_weight": 0.7, "critic_steps": critic_steps}
    game = dataclasses.replace(GAME, loss=relativistic, augment=shifted, augment_p=0.25, **penalties)
    state = start.replace(augment_p=jnp.float32(0.25))
    gen, disc, metrics = reference_step(state, game, shift=0.25)
    new, found = step(state, BATCH, game)
    for ours, theirs in zip(numbers(new.gen.params) + numbers(new.disc.params), gen + disc, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    for name, value in metrics.items():
        np.testing.assert_allclose(found[name], value, atol=2e-6)
    assert new.augment_p == 0.25  # fixed where there is no target


@pytest.mark.parametrize("target", [0.1, 0.9])
def test_the_probability_of_augmentation_follows_the_critic(target):
    """By batch / ada_images times how far the share of right orderings, in [-1, 1], is from its target."""
    game = dataclasses.replace(GAME, augment=shifted, augment_p=0.5, ada_target=target, ada_images=8)
    state = jax.jit(partial(init, game=game))(jax.random.key(0), BATCH)
    assert state.augment_p == 0.5
    new, metrics = step(state, BATCH, game)
    expected = np.clip(0.5 + (float(metrics["overfitting"]) - target) * B / 8, 0, 1)
    assert abs(float(metrics["overfitting"])) in (0, 0.5, 1)  # of four pairs
    np.testing.assert_allclose(new.augment_p, expected, atol=1e-6)
    assert metrics["augment_p"] == new.augment_p
    at_once = dataclasses.replace(game, ada_images=1)
    unbounded = 0.5 + (float(metrics["overfitting"]) - target) * B
    np.testing.assert_allclose(step(state, BATCH, at_once)[0].augment_p, np.clip(unbounded, 0, 1), atol=1e-6)


def test_truncated_latents_stay_within_their_bound(start):
    keys = numbered_keys(jax.random.key(0), 50)
    z = np.asarray(prior(keys, 8, bound=0.5))
    assert np.abs(z).max() <= 0.5
    assert np.abs(z).mean() > 0.2
    np.testing.assert_allclose(
        sample(start, keys, GAME, bound=0.5), decode(start, prior(keys, Z, 0.5), GAME), atol=1e-6
    )


def test_the_critic_can_be_asked_afterwards(start):
    x = np.asarray(BATCH["image"])
    logits = criticise(start, x, GAME)
    np.testing.assert_allclose(logits, network(numbers(start.disc.params), x.astype(np.float64))[:, 0], atol=1e-6)
