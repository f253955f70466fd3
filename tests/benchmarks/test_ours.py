from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from benchmarks.ours import step as ours_step
from benchmarks.ours import system
from benchmarks.protocol import Kinds
from benchmarks.suites import Case, deterministic
from jaxgen.assemble import build
from jaxgen.config import MLP, MLPVAE, Adversarial, Config, Conv, Paired, Residual, Spade, UNet, Unpaired, Variational
from jaxgen.degrade import degradation

pytestmark = pytest.mark.usefixtures("compiled_quickly")
build_job = Kinds("benchmarks.ours")
SHAPE = (8, 8, 1)
GAN = Config(
    domain="digits",
    model=MLP(z_dim=3, gen=(8,), disc=(8,), dropout=0.3),
    game=Adversarial(penalty="r1+r2", penalty_every=2),
    shape=SHAPE,
    batch=4,
)
CLASSES = Config(
    domain="face",
    model=Residual(z_dim=3, gen=(8, 4), disc=(8, 4), norm="batch"),
    game=Adversarial(penalty="r1", penalty_every=2, classes=2, augment="color+translation+cutout+flip"),
    shape=SHAPE,
    batch=4,
)
LEVELS = Config(
    domain="levels/sokoban",
    model=Residual(z_dim=3, gen=(8, 4), disc=(8, 4), placed="@$."),
    game=Adversarial(),
    shape=(4, 6, 7),
    batch=4,
)
NETWORKS = UNet(gen=(4,), disc=(4,))
RULES = {"penalty": "r1", "penalty_every": 2}
RESTORED = Config("restoration", NETWORKS, Paired(degrade="downsample-2", **RULES), shape=SHAPE, batch=4)
PAIRS = Config("style", NETWORKS, Paired(augment="flip", **RULES), shape=SHAPE, batch=4)
TWO_SETS = Config("style", NETWORKS, Unpaired(loss="relativistic", pool=3, **RULES), shape=SHAPE, batch=4)
SCENES = Config("scenes", Spade(4, (4, 4, 4), (4, 4), hidden=4), Paired(), shape=(16, 16, 3), batch=4)
VAE = Config(domain="image", model=MLPVAE(z_dim=3, widths=(8,)), game=Variational(binarise=True), shape=SHAPE, batch=4)


def nested(arrays, prefix):
    """`gen/Dense_0/kernel` ... as Flax takes them."""
    tree = {}
    for name, value in arrays.items():
        if name.startswith(prefix + "/"):
            *layers, leaf = name.removeprefix(prefix + "/").split("/")
            at = tree
            for layer in layers:
                at = at.setdefault(layer, {})
            at[leaf] = value
    return {"params": tree}


def test_a_step_runs_and_moves_the_state():
    step = build_job(Case("vae", VAE).job())
    assert step.unit == 1
    before = np.array(step._state.vae.params["encoder"]["Dense_0"]["kernel"])
    step.run(2)
    assert int(step._state.step) == 2
    assert np.abs(np.array(step._state.vae.params["encoder"]["Dense_0"]["kernel"]) - before).max() > 0
    assert step.facts["versions"]["jax"] == jax.__version__


def test_a_call_takes_its_k_steps_and_turns_are_whole_calls():
    call = build_job(Case("gan", GAN, "call", {"steps_per_call": 3}).job())
    assert call.unit == 3
    call.run(6)
    assert int(call._calls.state.step) == 6
    assert build_job(Case("gan", GAN, "call", {"steps_per_call": 1}).job()).unit == 2  # a penalty at every second step


def test_what_a_peer_is_given_is_what_the_gan_played_with(tmp_path):
    case = deterministic(Case("gan", GAN))
    losses = build_job(case.job(check=True)).losses(3, str(tmp_path / "given.npz"))
    given = dict(np.load(tmp_path / "given.npz"))
    assert given["noise"].shape == (3, 4, 3)
    game = build(case.config).game
    fake = game.gen.apply(nested(given, "gen"), given["noise"][0], train=False)
    real, fake = (game.disc.apply(nested(given, "disc"), x, train=False) for x in (given["x"], fake))
    assert losses[0][0] == pytest.approx(float(np.log1p(np.exp(fake - real)).mean()), abs=1e-6)
    assert np.ptp([disc for disc, _ in losses]) > 0


def test_a_peer_is_given_the_labels_too(tmp_path):
    case = deterministic(Case("classes", CLASSES))
    losses = build_job(case.job(check=True)).losses(2, str(tmp_path / "given.npz"))
    given = dict(np.load(tmp_path / "given.npz"))
    z, label, game = given["noise"][0], given["label"], build(system.config_of(case.job())).game
    np.testing.assert_array_equal(label, [0, 1, 0, 1])
    assert label.dtype == np.int32
    fake, _ = game.gen.apply(nested(given, "gen"), z, label, train=True, mutable=["batch_stats"])

    def loss(label):
        real, of_fake = (game.disc.apply(nested(given, "disc"), x, label, train=False) for x in (given["x"], fake))
        return float(np.log1p(np.exp(of_fake - real)).mean())

    assert losses[0][0] == pytest.approx(loss(label), abs=1e-6)
    assert abs(losses[0][0] - loss(1 - label)) > 1e-4


CALL = ("call", {"steps_per_call": 2})


@pytest.mark.parametrize(
    ("config", "kind"), [(LEVELS, ("step", {})), (CLASSES, CALL), (RESTORED, ("step", {})), (TWO_SETS, CALL)]
)
def test_tiles_labels_and_sources_go_through_a_step(config, kind):
    contestant = build_job(Case("residual", config, *kind).job())
    assert contestant.unit == (1 if config is LEVELS else 2)
    contestant.run(2)
    assert int((contestant._calls.state if kind is CALL else contestant._state).step) == 2


def test_what_a_peer_is_given_is_what_the_vae_drew(tmp_path):
    case = deterministic(Case("vae", VAE))
    losses = build_job(case.job(check=True)).losses(2, str(tmp_path / "given.npz"))
    given = dict(np.load(tmp_path / "given.npz"))
    x, game = given["x"], build(case.config).game
    assert 0 <= x.min() < x.max() <= 1
    mu, logvar = game.encoder.apply(nested(given, "encoder"), x, train=False)
    z = mu + np.exp(0.5 * logvar) * given["noise"][0]
    logits = np.array(game.decoder.apply(nested(given, "decoder"), z, train=False))
    log_likelihood = (x * logits - np.logaddexp(0, logits)).sum((1, 2, 3))
    kl = 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar).sum(1)
    assert losses[0] == [pytest.approx(float((kl - log_likelihood).mean()), rel=1e-6)]


def played(config, tmp_path, steps=2):
    """(losses, what a peer is given, the game)."""
    case = deterministic(Case("translation", config))
    losses = build_job(case.job(check=True)).losses(steps, str(tmp_path / "given.npz"))
    return losses, dict(np.load(tmp_path / "given.npz")), build(system.config_of(case.job())).game


def run(module, given, prefix, *inputs):
    return np.array(module.apply(nested(given, prefix), *inputs, train=False))


def relativistic(given, game, prefix, real, fake, *beside):
    real, fake = (run(game.disc, given, prefix, y, *beside) for y in (real, fake))
    return float(np.log1p(np.exp(fake - real)).mean())


def test_what_a_peer_is_given_is_what_was_restored(tmp_path):
    losses, given, game = played(RESTORED, tmp_path)
    x, y = given["source"], given["x"]
    np.testing.assert_allclose(
        x, [degradation("downsample-2")(y, jax.random.split(jax.random.key(0), 4))] * 2, atol=1e-6
    )
    fake = run(game.gen, given, "gen", x[0])
    assert losses[0][2] == pytest.approx(np.abs(fake - y).mean(), abs=1e-6)
    assert losses[0][0] == pytest.approx(relativistic(given, game, "disc", y, fake, x[0]), abs=1e-6)
    assert len(losses) == 2
    assert losses[0] != losses[1]


def test_a_peer_is_given_the_noise_of_each_step(tmp_path):
    noisy = replace(RESTORED, game=Paired(degrade="noise-25"))
    losses, given, game = played(noisy, tmp_path)
    x, y = given["source"], given["x"]
    assert x.shape == (2, *y.shape)
    assert np.abs(x[0] - x[1]).max() > 0.1
    assert losses[0][2] == pytest.approx(np.abs(run(game.gen, given, "gen", x[0]) - y).mean(), abs=1e-6)


def test_a_peer_is_given_maps_of_noise(tmp_path):
    losses, given, game = played(SCENES, tmp_path)
    x, y, z = given["source"], given["x"], given["noise"]
    assert (x.shape, y.shape, z.shape) == ((4, 2, 2, 10), (4, 16, 16, 3), (2, 4, 2, 2, 4))
    assert np.abs(z[0] - z[1]).max() > 0.1
    fake, _ = game.gen.apply(nested(given, "gen"), x, z[0], train=True, mutable=["batch_stats"])
    assert losses[0][2] == pytest.approx(np.abs(fake - y).mean(), abs=1e-6)
    assert losses[0][0] == pytest.approx(relativistic(given, game, "disc", y, fake, x), abs=1e-6)


def test_a_peer_is_given_the_partners(tmp_path):
    losses, given, game = played(PAIRS, tmp_path)
    assert given["source"].shape == given["x"].shape == (4, *SHAPE)
    fake = run(game.gen, given, "gen", given["source"])
    assert losses[0][2] == pytest.approx(np.abs(fake - given["x"]).mean(), abs=1e-6)


def test_a_peer_is_given_the_players_of_both_ways(tmp_path):
    losses, given, game = played(TWO_SETS, tmp_path)
    x, y = given["source"], given["x"]
    assert {name.split("/")[0] for name in given} == {"source", "x", "gen", "disc", "back_gen", "back_disc"}
    assert all(value.any() for name, value in given.items() if name.endswith("kernel"))  # none that keeps others still
    there, back = (lambda z, who=who: run(game.gen, given, who, z) for who in ("gen", "back_gen"))
    disc, _, disc_back, _, cycle, identity = losses[0]
    assert disc == pytest.approx(relativistic(given, game, "disc", y, there(x)), abs=1e-6)
    assert disc_back == pytest.approx(relativistic(given, game, "back_disc", x, back(y)), abs=1e-6)
    assert cycle == pytest.approx(np.abs(back(there(x)) - x).mean() + np.abs(there(back(y)) - y).mean(), abs=1e-6)
    assert identity == pytest.approx(np.abs(there(y) - y).mean() + np.abs(back(x) - x).mean(), abs=1e-6)


def test_flax_layers_stand_in_for_ours(monkeypatch):
    for module in (ours_step.conv, ours_step.vae):
        monkeypatch.setattr(module, "ConvTranspose", module.ConvTranspose)  # put back afterwards
    config = Config(domain="digits", model=Conv(z_dim=3, width=2, layers=1), game=Adversarial(), shape=SHAPE, batch=4)
    job = Case("dcgan", config, options={"flax_layers": True}).job(check=True)

    def layers():
        gen, seen = build_job(job)._game.gen, set()

        def listen(call, args, kwargs, context):
            seen.add(type(context.module))
            return call(*args, **kwargs)

        with nn.intercept_methods(listen):
            jax.eval_shape(lambda z: gen.init(jax.random.key(0), z, train=False), jnp.zeros((1, 3)))
        return seen

    assert nn.ConvTranspose in layers()
    assert ours_step.conv.Conv in layers()  # nothing else is exchanged
    job["options"] = {}
    monkeypatch.undo()
    assert nn.ConvTranspose not in layers()


def test_images_are_in_the_range_of_the_game():
    for config, low in ((GAN, -1), (RESTORED, -1), (TWO_SETS, -1), (VAE, 0)):
        x = system.images(config, 50)
        assert x.shape == (50, *SHAPE)
        assert x.dtype == jnp.float32
        assert low <= x.min() < low + 0.1
        assert 0.9 < x.max() <= 1


def test_levels_are_tiles_one_hot():
    x = system.images(LEVELS, 50)
    assert x.shape == (50, *LEVELS.shape)
    assert x.dtype == jnp.float32
    assert set(np.unique(x)) == {0, 1}
    np.testing.assert_array_equal(x.sum(-1), 1)
    assert (x.sum((0, 1, 2)) > 0).all()  # every tile occurs


def test_examples_have_labels_where_the_game_has_classes():
    assert system.examples(GAN, 3).keys() == {"image"}
    np.testing.assert_array_equal(system.examples(CLASSES, 5)["label"], [0, 1, 0, 1, 0])


def test_examples_have_sources_where_the_domain_has():
    assert system.examples(RESTORED, 3).keys() == {"image"}
    for config in (PAIRS, TWO_SETS):
        batch = system.examples(config, 50)
        x = batch["source"]
        assert x.shape == batch["image"].shape
        assert x.dtype == jnp.float32
        assert -1 <= x.min() < -0.9
        assert 0.9 < x.max() <= 1
        assert np.abs(x - batch["image"]).mean() > 0.5
