"""One step under every runner: one device, pmap, jit with shardings; one call of K steps, K calls of one.

Plain SGD, since Adam hides a gradient that is wrong by a factor.
"""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import jax_utils

from jaxgen.assemble import build
from jaxgen.augment import augmentation
from jaxgen.config import MLP, Adversarial, Config
from jaxgen.errors import UserError
from jaxgen.losses.adversarial import least_squares, nonsaturating
from jaxgen.losses.elbo import bernoulli
from jaxgen.losses.penalties import r1, r2
from jaxgen.models import conv, mlp, passages, residual, slices, tokens, vae
from jaxgen.parallel import AXIS, agree, compile_call, layout, local, replicate, split
from jaxgen.steps import gan, sequence_gan, sequence_vae
from jaxgen.steps import vae as vae_step

STEPS, B, SHAPE, Z = 20, 8, (8, 8, 1), 3
P, T, V = 4, 4, 5  # entries of a slice, tokens of a text, kinds of them
RNG = np.random.default_rng(0)
FEED = {"image": RNG.uniform(-1, 1, size=(STEPS, B, *SHAPE)).astype(np.float32)}
FEED["label"] = np.arange(STEPS * B, dtype=np.int32).reshape(STEPS, B) % 3 % 2
FEED |= {n: RNG.integers(0, 2, (STEPS, B, 6, P)).astype(np.float32) for n in ("sequence", "given")}
FEED |= {n: RNG.integers(0, V, (STEPS, B, T), dtype=np.int32) for n in ("tokens", "prompt")}
FEED["length"] = RNG.integers(1, 7, (STEPS, B), dtype=np.int32)
TOLERANCE = 1e-6


@cache
def conv_gan(axis_name):
    """Batch normalisation in both networks, dropout in the critic."""
    gen = conv.Generator(SHAPE, 4, 1, axis_name=axis_name)
    disc = conv.Critic(4, 2, dropout=0.3, axis_name=axis_name)
    return gan.GAN(gen, disc, least_squares, optax.sgd(0.01), optax.sgd(0.01), Z)


@cache
def mlp_gan(axis_name):
    """Dropout, two critic steps, a lazy penalty."""
    gen, disc = mlp.Generator(SHAPE, (6,)), mlp.Critic((6, 4), dropout=0.3, axis_name=axis_name)
    txs = optax.sgd(0.01), optax.sgd(0.01)
    return gan.GAN(gen, disc, nonsaturating, *txs, Z, penalties=(r1,), penalty_every=4, critic_steps=2)


@cache
def residual_gan(axis_name):
    """Labels, batch normalisation by class, a critic by projection, augmentation whose strength adapts."""
    gen = residual.Generator(SHAPE, (4, 4), norm="batch", classes=2, axis_name=axis_name)
    disc = residual.Critic((4, 4), classes=2)
    txs, augment = (optax.sgd(0.1), optax.sgd(0.1)), augmentation("color+translation+cutout+flip")
    rules = {"penalties": (r1, r2), "penalty_every": 4, "classes": 2, "augment": augment, "augment_p": 0.5}
    return gan.GAN(gen, disc, nonsaturating, *txs, Z, ada_target=0.55, ada_images=1000, **rules)


@cache
def mlp_vae(axis_name):
    """Importance samples and binarised data."""
    encoder, decoder = vae.MLPEncoder(Z, (6,)), vae.MLPDecoder(SHAPE, (6,))
    return vae_step.VAE(encoder, decoder, bernoulli, optax.sgd(0.001), Z, samples=2, binarise=True)


@cache
def slice_vae(axis_name):
    """Dropout, sequences of several lengths that are transposed, something given; all latents' KL is free at first."""
    model = slices.SliceModel(P, Z, 4, 5, dropout=0.3, given=P, axis_name=axis_name)
    rules = {"beta_warmup": 10, "free_nats": 0.5, "free_until": 10, "transpose": 1}
    return sequence_vae.SequenceVAE(model, optax.sgd(0.05), 6, **rules)


@cache
def passage_vae(axis_name):
    """A conductor, dropout, and a decoder that isn't shown all."""
    model = passages.PassageModel(P, Z, 4, 4, conductor=4, every=3, dropout=0.3, blind=0.3, axis_name=axis_name)
    return sequence_vae.SequenceVAE(model, optax.sgd(0.05), 6)


@cache
def gumbel_gan(axis_name):
    """All three phases, labels, dropout in both networks, a lazy penalty on soft texts."""
    gen = tokens.Generator(V, 4, 5, dropout=0.3, classes=2, axis_name=axis_name)
    disc = tokens.Critic(V, 4, (3, 3), dropout=0.3, classes=2, axis_name=axis_name)
    rules = {"pretrain": 6, "critic_pretrain": 3, "mle": 0.3, "temperature": 0.5, "anneal": 4}
    penalty = {"penalties": (r1,), "penalty_every": 4}
    return sequence_gan.SequenceGAN(gen, disc, nonsaturating, *(optax.sgd(0.1),) * 3, T, **rules, **penalty)


@cache
def reinforce_gan(axis_name):
    """Prompts, the advantage over the average of all devices' texts."""
    gen = tokens.Generator(V, 4, 4, dropout=0.3, prompted=True, axis_name=axis_name)
    disc = tokens.Critic(V, 4, (3, 3), dropout=0.3, prompted=True, axis_name=axis_name)
    rules = {"pretrain": 4, "critic_pretrain": 2, "estimator": "reinforce", "rollouts": 2}
    return sequence_gan.SequenceGAN(gen, disc, nonsaturating, *(optax.sgd(0.1),) * 3, T, **rules)


@cache
def small_gan(axis_name):
    """The least there is to compile."""
    gen, disc = mlp.Generator(SHAPE, ()), mlp.Critic((), axis_name=axis_name)
    return gan.GAN(gen, disc, nonsaturating, optax.sgd(0.01), optax.sgd(0.01), Z)


GAMES = {
    "conv_gan": (conv_gan, gan),
    "mlp_gan": (mlp_gan, gan),
    "residual_gan": (residual_gan, gan),
    "mlp_vae": (mlp_vae, vae_step),
    "slice_vae": (slice_vae, sequence_vae),
    "passage_vae": (passage_vae, sequence_vae),
    "gumbel_gan": (gumbel_gan, sequence_gan),
    "reinforce_gan": (reinforce_gan, sequence_gan),
    "small_gan": (small_gan, gan),
}
SEQUENCES = [name for name, (_, module) in GAMES.items() if module in (sequence_vae, sequence_gan)]
every_game = pytest.mark.parametrize("name", [name for name in GAMES if name != "small_gan"])


@pytest.fixture(autouse=True)
def compiled_quickly_where_it_takes_long(request):
    """Games of sequences: three phases, scans and their gradients, for 20 steps."""
    quickly = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name") in SEQUENCES
    jax.config.update("jax_disable_most_optimizations", bool(quickly))
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def fed(name):
    """What the game takes of the feed."""
    return {key: a for key, a in FEED.items() if key != "given" or name == "slice_vae"}


def fetch(resident, one):
    """What lies on the device (a shift) and the step's part of the feed, to a batch."""
    return {**one, "image": one["image"] + resident}


@cache
def first(name):
    """A new state as NumPy arrays, its key as numbers."""
    make, module = GAMES[name]
    batch = {key: jnp.zeros_like(a[0, :1]) for key, a in fed(name).items()}
    return numbers(jax.jit(partial(module.init, game=make(None)))(jax.random.key(0), batch))


def start(name):
    state = jax.tree.map(jnp.array, first(name))
    return state.replace(key=jax.random.wrap_key_data(state.key))


def play(name, mode, n_devices, calls=1):
    """(state, metrics [STEPS]) after STEPS steps in so many calls, through jaxgen.parallel."""
    make, module = GAMES[name]
    where = layout(mode, B, jax.devices()[:n_devices])
    state, resident = replicate(start(name), where), replicate(jnp.zeros(()), where)
    each = STEPS // calls
    parts = [split({key: a[i * each : (i + 1) * each] for key, a in fed(name).items()}, where) for i in range(calls)]
    step = partial(module.train_step, game=make(where.axis_name))
    run = compile_call(step, fetch, where, state, resident, parts[0])
    metrics = []
    for feed in parts:
        state, new = run(state, resident, feed)
        metrics.append(local(new))
    return numbers(local(state)), jax.tree.map(lambda *a: np.concatenate(a), *metrics)


def numbers(state):
    """A state as NumPy arrays, its key as numbers."""
    return jax.tree.map(np.asarray, state.replace(key=jax.random.key_data(state.key)))


@cache
def on_one_device(name):
    return play(name, "single", 1)


def difference(a, b):
    """The largest of any leaf; relative where a value is above 1, as a VAE's nats are."""
    gaps = jax.tree.map(lambda x, y: np.max(np.abs(x.astype(float) - y) / np.maximum(np.abs(y), 1.0)), a, b)
    return max(jax.tree.leaves(gaps))


@every_game
def test_twenty_steps_are_finite_and_move_every_parameter(name):
    state, metrics = on_one_device(name)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves((state, metrics)))
    assert int(state.step) == STEPS
    assert {len(a) for a in metrics.values()} == {STEPS}
    before = first(name)
    players = [player for player, value in vars(state).items() if hasattr(value, "opt")]
    assert players == (["gen", "disc"] if "gan" in name else ["vae"] if name == "mlp_vae" else ["model"])
    for player in players:
        old, new = getattr(before, player).params, getattr(state, player).params
        assert min(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(a - b).max()), old, new))) > 1e-5


@pytest.mark.parametrize(
    ("name", "mode", "n_devices"),
    [
        *(("conv_gan", mode, n) for mode in ("pmap", "jit") for n in (2, 4)),
        *(("mlp_vae", mode, n) for mode in ("pmap", "jit") for n in (2, 4)),
        ("residual_gan", "pmap", 4),
        ("residual_gan", "jit", 2),
        ("mlp_gan", "pmap", 4),
        ("mlp_gan", "jit", 2),
        ("slice_vae", "pmap", 4),
        ("slice_vae", "jit", 2),
        ("passage_vae", "pmap", 4),
        ("gumbel_gan", "pmap", 4),
        ("gumbel_gan", "jit", 2),
        ("reinforce_gan", "pmap", 4),
        ("reinforce_gan", "jit", 2),
    ],
)
def test_every_runner_comes_to_the_state_of_one_device(name, mode, n_devices):
    assert difference(play(name, mode, n_devices), on_one_device(name)) <= TOLERANCE


@pytest.mark.parametrize(("name", "mode"), [("small_gan", "single"), ("mlp_vae", "pmap")])
def test_one_call_of_twenty_steps_is_twenty_calls_of_one(name, mode):
    assert difference(play(name, mode, 4, calls=STEPS), on_one_device(name)) <= TOLERANCE


def shards(i, n):
    """Batch i by hand: [n, B / n, ...]."""
    return {"image": FEED["image"][i].reshape(n, B // n, *SHAPE)}


def mapped(name, **axes):
    make, module = GAMES[name]
    return jax.pmap(partial(module.train_step, game=make("data"), axis_name="data"), axis_name="data", **axes)


def test_plain_pmap_with_the_state_as_it_is():
    step, state = mapped("mlp_vae", in_axes=(None, 0), out_axes=None), replicate(start("mlp_vae"), layout("pmap", B))
    for i in range(STEPS):
        state, _ = step(state, shards(i, 4))
    assert difference(numbers(local(state)), on_one_device("mlp_vae")[0]) <= TOLERANCE


def test_plain_pmap_with_a_state_replicated_by_hand():
    """The classic way: every leaf has an axis of devices, and so has what comes back."""
    step, state = mapped("conv_gan"), jax_utils.replicate(start("conv_gan"), jax.devices()[:2])
    for i in range(STEPS):
        state, metrics = step(state, shards(i, 2))
    expected, expected_metrics = on_one_device("conv_gan")
    for d in range(2):
        assert difference(numbers(jax.tree.map(lambda a, d=d: a[d], state)), expected) <= TOLERANCE
        for name, values in expected_metrics.items():
            assert abs(metrics[name][d] - values[-1]) <= TOLERANCE


@pytest.fixture
def compiled():
    """A list that grows with every compile."""
    events = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("name", ["small_gan", "mlp_vae"])
def test_plain_jit_compiles_a_step_once(name, compiled):
    make, module = GAMES[name]
    step = jax.jit(module.train_step, static_argnames=("game", "axis_name"), donate_argnums=0)
    state = start(name)
    batches = [{"image": jnp.array(FEED["image"][i])} for i in range(5)]
    compiled.clear()
    known = step._cache_size()  # shared by every jit of this function
    for batch in batches:
        state, _ = step(state, batch, dataclasses.replace(make(None)))  # an equal game, not the same object
    assert step._cache_size() == known + 1
    assert len(compiled) == 1


@pytest.mark.parametrize(("mode", "n_devices"), [("single", 1), ("pmap", 4), ("jit", 4)])
def test_a_compiled_call_never_compiles_again(mode, n_devices, compiled):
    where = layout(mode, B, jax.devices()[:n_devices])
    state, resident = replicate(start("small_gan"), where), replicate(jnp.zeros(()), where)
    feed = split(jax.tree.map(lambda a: a[:2], FEED), where)
    step = partial(gan.train_step, game=small_gan(where.axis_name))
    compiled.clear()
    run = compile_call(step, fetch, where, state, resident, feed)
    once = len(compiled)
    assert once >= 1
    for _ in range(3):
        state, _ = run(state, resident, split(jax.tree.map(lambda a: a[2:4], FEED), where))
    jax.block_until_ready(state)
    assert len(compiled) == once


def test_the_state_is_donated():
    where = layout("single", B)
    state, resident = replicate(start("mlp_vae"), where), replicate(jnp.zeros(()), where)
    feed = split(jax.tree.map(lambda a: a[:2], FEED), where)
    run = compile_call(partial(vae_step.train_step, game=mlp_vae(None)), fetch, where, state, resident, feed)
    new, _ = run(state, resident, feed)
    assert all(a.is_deleted() for a in jax.tree.leaves(state.vae.params))
    assert not any(a.is_deleted() for a in jax.tree.leaves((new, resident, feed)))


@pytest.mark.parametrize("mode", ["pmap", "jit", "auto"])
@pytest.mark.parametrize(
    ("batch", "sizes"), [(6, "4, 8, 12"), (3, "4, 8, 12"), (130, "128, 132, 136"), (0, "4, 8, 12")]
)
def test_a_batch_that_cannot_be_split_is_refused_with_sizes_that_fit(mode, batch, sizes):
    with pytest.raises(UserError, match=f"batch of {batch} can't be split over 4 devices; sizes that fit: {sizes}"):
        layout(mode, batch)


def test_critic_steps_that_a_devices_part_cannot_be_shared_among_are_refused_with_a_size_that_fits():
    config = Config("digits", MLP(gen=(4,), disc=(4,)), Adversarial(critic_steps=4), batch=8, parallel="pmap")
    with pytest.raises(UserError, match=r"gets 2 examples, which 4 critic steps can't .* multiple of 16"):
        build(config)
    assert build(dataclasses.replace(config, batch=16)).game.critic_steps == 4
    assert build(dataclasses.replace(config, parallel="jit")).game.critic_steps == 4  # one program sees all 8


def test_layouts():
    assert layout("auto", 8).mode == "pmap"
    assert layout("auto", 7, jax.devices()[:1]).mode == "single"
    assert layout("single", 7).devices == (jax.devices()[0],)
    assert [layout(m, 8).axis_name for m in ("single", "jit", "pmap")] == [None, None, AXIS]


@pytest.mark.parametrize("mode", ["single", "pmap", "jit"])
def test_split_gives_each_device_consecutive_examples(mode):
    where = layout(mode, 8)
    feed = np.arange(16).reshape(2, 8)  # [K, B]
    placed = split(feed, where)
    assert placed.shape == ((4, 2, 2) if mode == "pmap" else (2, 8))
    by_device = {shard.device: np.asarray(shard.data).reshape(2, -1) for shard in placed.addressable_shards}
    assert list(by_device) == list(where.devices)
    part = 8 // len(where.devices)
    for d, device in enumerate(where.devices):
        np.testing.assert_array_equal(by_device[device], feed[:, d * part : (d + 1) * part])


@pytest.mark.parametrize("mode", ["single", "pmap", "jit"])
def test_replicate_and_local_are_inverse(mode):
    where = layout(mode, 8)
    tree = {"a": jnp.arange(3.0), "key": jax.random.key(1), "n": 4}
    placed = replicate(tree, where)
    assert len(placed["a"].addressable_shards) == len(where.devices)
    back = local(placed)
    assert len(back["a"].devices()) == 1
    np.testing.assert_array_equal(back["a"], tree["a"])
    assert back["key"] == tree["key"]
    assert back["n"] == 4


def test_one_process_agrees_with_itself():
    assert agree(True) is True
    assert agree(False) is False
