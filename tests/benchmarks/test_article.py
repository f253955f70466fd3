"""The article's encoder-decoder GAN, and DCGAN at its size."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from benchmarks import peers, suites
from benchmarks.ours import article
from benchmarks.protocol import Kinds
from jaxgen.config import Conv

CASES = {case.name: case for case in suites.load("step")}
CASE = CASES["article_encoder_decoder_64"]
assert CASE.config
SMALL = replace(CASE, config=replace(CASE.config, model=Conv(z_dim=192, width=2, layers=2), shape=(8, 8, 3), batch=4))


def kernels(module, *inputs):
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, train=False))
    return {name: layer["kernel"].shape for name, layer in variables["params"].items() if "kernel" in layer}


def test_the_generator_goes_down_and_up_as_the_article_says():
    game = article.article(CASE.config).game
    halving = [(3, 64), (64, 128), (128, 256), (256, 512)]
    doubling = [(512, 256), (256, 128), (128, 64), (64, 3)]
    wanted = {f"Conv_{i}": (4, 4, *ends) for i, ends in enumerate(halving)}
    wanted |= {f"ConvTranspose_{i}": (4, 4, *ends) for i, ends in enumerate(doubling)}
    assert kernels(game.gen, np.zeros((1, 64 * 64 * 3), np.float32)) == wanted
    critic = {f"Conv_{i}": (4, 4, *ends) for i, ends in enumerate(halving)}
    assert kernels(game.disc, np.zeros((1, 64, 64, 3), np.float32)) == critic | {"Dense_0": (4 * 4 * 512, 1)}


def test_dcgan_at_64_has_a_thousand_channels_at_the_bottom():
    game = article.jaxgen.build(replace(CASES["dcgan_64"].config, parallel="single")).game
    assert kernels(game.gen, np.zeros((1, 100), np.float32))["ConvTranspose_0"] == (4, 4, 1024, 512)


def test_a_step_runs_and_its_weights_go_to_a_peer(tmp_path):
    step = Kinds("benchmarks.ours")(SMALL.job())
    step.run(1)
    assert int(step._state.step) == 1
    losses = Kinds("benchmarks.ours")(SMALL.job(check=True)).losses(2, str(tmp_path / "given.npz"))
    assert np.isfinite(losses).all()
    given = np.load(tmp_path / "given.npz")
    assert given["noise"].shape == (2, 4, 192)
    assert given["gen/ConvTranspose_1/kernel"].shape == (4, 4, 2, 3)


def test_its_arithmetic_is_the_articles_and_not_dcgans():
    ours = Kinds("benchmarks.ours")
    assert (
        ours(SMALL.job()).costs()["flops_per_step"] != ours(replace(SMALL, kind="step").job()).costs()["flops_per_step"]
    )


def test_noise_of_another_size_is_refused():
    with pytest.raises(ValueError, match="must be an image"):
        article.article(replace(CASE.config, model=Conv(z_dim=100, width=2, layers=2)))


def test_torch_has_it_and_artifex_has_not():
    assert peers.PEERS["torch"].variants(CASE, "cpu") == ("eager", "channels_last", "compile")
    assert peers.PEERS["artifex"].variants(CASE, "cpu") == ()


def test_artifex_takes_our_pair_where_it_convolves():
    artifex = peers.PEERS["artifex"]
    assert artifex.variants(CASES["dcgan_28"], "cpu") == ("own", "same")
    assert artifex.variants(CASES["digits_gan"], "cpu") == artifex.variants(CASES["conv_vae"], "cpu") == ("own",)
    assert CASE.config
    assert artifex.variants(replace(CASE, kind="step", config=replace(CASE.config, precision="bf16")), "cpu") == ()
