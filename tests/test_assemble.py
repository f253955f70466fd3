"""From a config to a game, and from a name to a config."""

import dataclasses

import jax
import numpy as np
import pytest

import jaxgen
from jaxgen import assemble
from jaxgen.config import MLP, MLPVAE, Adam, Adversarial, Config, Conv, Paired, UNet, Variational
from jaxgen.errors import UserError
from jaxgen.losses.adversarial import hinge
from jaxgen.losses.penalties import r1, r2
from jaxgen.steps import gan, vae

GAN = Config(domain="digits", shape=(8, 8, 1), model=MLP(4, (8,), (8,)), game=Adversarial(), batch=8, parallel="single")
VAE = dataclasses.replace(GAN, domain="image", model=MLPVAE(3, (8,)), game=Variational())
PAIRS = dataclasses.replace(GAN, domain="restoration", model=UNet(), game=Paired(degrade="noise-25"))


def rules(config, **changes):
    return dataclasses.replace(config, game=dataclasses.replace(config.game, **changes))


def test_build_is_the_triple_of_the_readme():
    game, init, train_step = jaxgen.build(GAN)
    assert (init, train_step) == (gan.init, gan.train_step)
    batch = {"image": np.zeros((8, 8, 8, 1), np.float32)}
    state = init(jax.random.key(0), batch, game)
    step = jax.jit(train_step, static_argnames=("game", "axis_name"), donate_argnums=0)
    state, metrics = step(state, batch, game)
    assert int(state.step) == 1
    assert np.isfinite(metrics["loss/gen"])


def test_the_rules_reach_the_game():
    game = assemble.build(
        rules(GAN, loss="hinge", penalty="r1+r2", penalty_weight=0.5, penalty_every=4, critic_steps=2, ema_decay=0.9)
    ).game
    assert (game.loss, game.penalties, game.penalty_weight, game.penalty_every) == (hinge, (r1, r2), 0.5, 4)
    assert (game.critic_steps, game.ema_decay, game.z_dim, game.skip_nonfinite) == (2, 0.9, 4, False)
    skipping = dataclasses.replace(VAE, loop=dataclasses.replace(VAE.loop, nonfinite="skip"))
    built = assemble.build(rules(skipping, beta=2.0, beta_warmup=10, binarise=True))
    assert (built.init, built.train_step) == (vae.init, vae.train_step)
    assert [float(built.game.beta(step)) for step in (0, 5, 10, 20)] == [0, 1, 2, 2]
    assert (built.game.binarise, built.game.skip_nonfinite, built.game.samples) == (True, True, 1)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (dataclasses.replace(GAN, domain="digit"), "no domain 'digit'; did you mean 'digits'"),
        (rules(GAN, loss="wassertein"), "no loss 'wassertein'; did you mean 'wasserstein'"),
        (rules(GAN, penalty="r1+wgangp"), "no penalty 'wgangp'; did you mean 'wgan_gp'"),
        (rules(VAE, likelihood="bernouli"), "no likelihood 'bernouli'; did you mean 'bernoulli'"),
        (rules(GAN, critic_steps=3), "batch of 8 can't be shared among 3 critic steps"),
        (rules(GAN, critic_steps=0), r"--game\.critic-steps must be at least 1, not 0"),
        (rules(GAN, penalty_every=0), r"--game\.penalty-every must be at least 1, not 0"),
        (rules(GAN, ema_decay=1.0), r"--game\.ema-decay must be at least 0 and below 1, not 1\.0"),
        (rules(VAE, samples=0), r"--game\.samples must be at least 1, not 0"),
        (rules(GAN, gen=Adam(b1=float("nan"))), r"--game\.gen\.b1 must be at least 0 and below 1, not nan"),
        (
            dataclasses.replace(GAN, model=MLP(dropout=1.5)),
            r"--model\.dropout must be at least 0 and below 1",
        ),
        (dataclasses.replace(GAN, model=MLP(gen=(64, 0))), r"--model\.gen must be at least 1, not 0"),
        (rules(VAE, samples=5, beta=2.0), "has no beta"),
        (rules(VAE, samples=5, beta_warmup=10), "has no beta"),
        (rules(GAN, gen=Adam(lr=-1.0)), "learning rate must be positive, not -1"),
        (rules(GAN, disc=Adam(warmup=10, decay=5)), "can't decay to 0 at step 5, within a warm-up of 10 steps"),
        (dataclasses.replace(GAN, model=MLPVAE()), "no model MLPVAE; choose MLP or Conv"),
        (dataclasses.replace(VAE, model=Conv()), "no model Conv; choose MLPVAE or ConvVAE"),
        (dataclasses.replace(GAN, model=Conv(layers=4)), "8x8 can't be halved 4 times"),
        (dataclasses.replace(GAN, batch=6, parallel="pmap"), "sizes that fit: 4, 8, 12"),
        (rules(PAIRS, augment="flip+color"), "color would mix the two images of a pair"),
    ],
)
def test_configs_that_make_no_sense(config, said):
    with pytest.raises(UserError, match=said):
        assemble.build(config)


def test_pmap_builds_networks_with_the_axis():
    conv = dataclasses.replace(GAN, model=Conv(z_dim=4, width=4, layers=1))
    axes = {}
    for mode in ("single", "jit", "pmap", "auto"):
        game = assemble.build(dataclasses.replace(conv, parallel=mode)).game
        axes[mode] = game.gen.axis_name, game.disc.axis_name
    assert axes == dict.fromkeys(("single", "jit"), (None, None)) | dict.fromkeys(("pmap", "auto"), ("data", "data"))
    assert assemble.build(assemble.on_one_device(conv)).game.gen.axis_name is None


def test_states_are_a_function_of_the_seed():
    game = assemble.build(GAN).game
    a, again, other = (assemble.new_state(dataclasses.replace(GAN, seed=seed), game) for seed in (0, 0, 1))
    kernels = [np.asarray(jax.tree.leaves(state.gen.params)[-1]) for state in (a, again, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 1e-3
    abstract = assemble.abstract_state(GAN, game)
    assert jax.tree.structure(abstract) == jax.tree.structure(a)
    for want, have in zip(jax.tree.leaves(abstract), jax.tree.leaves(a), strict=True):
        assert (want.shape, want.dtype) == (have.shape, have.dtype)


def test_example_batch_has_labels_where_the_game_has():
    assert {k: v.shape for k, v in assemble.example_batch(GAN).items()} == {"image": (1, 8, 8, 1)}
    assert {k: v.shape for k, v in assemble.example_batch(rules(GAN, classes=3)).items()} == {
        "image": (1, 8, 8, 1),
        "label": (1,),
    }


def test_configs_by_name_and_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, config = assemble.config_named("digits_gan")
    assert name == "digits_gan"
    assert assemble.config_named(str(assemble.configs()["digits_gan"])) == (name, config)
    (tmp_path / "mine.py").write_text(
        "from jaxgen.assemble import config_named\n\nget_config = lambda: config_named('image_vae')[1]\n"
    )
    assert assemble.config_named("mine.py") == ("mine", assemble.config_named("image_vae")[1])
    with pytest.raises(UserError, match=r"no config 'digit_gan'; did you mean 'digits_gan'\?\. Or give the path"):
        assemble.config_named("digit_gan")
    shipped = ", ".join(sorted(assemble.configs()))
    with pytest.raises(UserError, match=rf"no file their\.py\. Configs that came with jaxgen: {shipped}\."):
        assemble.config_named("their.py")
