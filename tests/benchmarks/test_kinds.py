"""The kinds of job beside the step: what they run, how much of it, and what they leave behind. Nothing is timed."""

import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from benchmarks import suites
from benchmarks.ours import compile as compile_kind
from benchmarks.ours import cost, peak, scale
from benchmarks.protocol import Kinds
from benchmarks.suites import Case
from benchmarks.worker import Worker
from jaxgen import parallel, train
from jaxgen.config import MLP, MLPVAE, Adversarial, Config, Loop, Paired, UNet, Unpaired, Variational
from jaxgen.data import synthetic

SHAPE = (8, 8, 1)
LOOP = Loop(steps_per_call=2, log_every=4, save_every=8, sample_every=8)
GAN = Config("digits", MLP(z_dim=3, gen=(8,), disc=(8,)), Adversarial(), shape=SHAPE, batch=8, loop=LOOP)


@pytest.fixture
def config(tmp_path):
    """With a set of its own."""
    np.savez(tmp_path / "images.npz", image=synthetic.images(SHAPE, 50)["image"])
    return replace(GAN, data=str(tmp_path / "images.npz"))


def built(kind, options, config):
    return Kinds("benchmarks.ours")(Case("case", config, kind, options).job())


def test_flops_of_a_step_by_hand():
    vae = Config("image", MLPVAE(z_dim=40, widths=(512,)), Variational(), batch=64)
    products = 64 * 2 * (784 * 512 + 512 * 80 + 40 * 512 + 512 * 784)
    # Forward, and backward to weights and inputs, less the gradient to the image.
    by_hand = 3 * products - 64 * 2 * 784 * 512
    found = cost.step_flops(vae)
    assert found
    assert by_hand < found < 1.15 * by_hand  # activations, the bound and Adam come on top


def test_flops_count_a_lazy_penalty_as_often_as_it_comes():
    def flops(**rules):
        found = cost.step_flops(replace(GAN, game=Adversarial(**rules)))
        assert found
        return found

    plain, always = flops(), flops(penalty="r1")
    assert always > 1.1 * plain
    assert flops(penalty="r1", penalty_every=4) == pytest.approx(plain + (always - plain) / 4)
    assert cost.step_flops(replace(GAN, game=Adversarial(critic_steps=4))) is None


@pytest.mark.parametrize("rules", [Paired, Unpaired])
def test_flops_of_a_translation_count_its_penalty_so_too(rules):
    config = Config("style", UNet(gen=(4,), disc=(4,)), rules(), shape=SHAPE, batch=4)

    def flops(**changes):
        found = cost.step_flops(replace(config, game=rules(**changes)))
        assert found
        return found

    plain, always = flops(), flops(penalty="r1")
    assert always > 1.05 * plain
    assert flops(penalty="r1", penalty_every=4) == pytest.approx(plain + (always - plain) / 4)


def test_flops_that_a_backend_does_not_count_are_not_known(monkeypatch):
    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", lambda self: None)
    assert cost.step_flops(GAN) is None
    assert cost.step_flops(replace(GAN, game=Adversarial(penalty="r1"))) is None


def test_flops_per_step_do_not_depend_on_the_steps_in_a_call():
    """XLA counts a loop's body once: K steps in a call must not show as one K-th."""
    one, ten = (built("call", {"steps_per_call": k}, GAN) for k in (1, 10))
    assert one.costs()["flops_per_step"] == ten.costs()["flops_per_step"] == cost.step_flops(GAN)


def test_the_peak_is_of_products_and_a_copy(monkeypatch):
    monkeypatch.setattr(peak, "SIZES", (16, 32))
    monkeypatch.setattr(peak, "COPY_BYTES", 4096)
    found = built("peak", {}, None).costs()
    assert found["matmul_flops_per_s"].keys() == {"fp32", "bf16"}
    assert found["copy_bytes_per_s"] > 0


def test_a_feed_makes_what_the_loop_would(monkeypatch, config):
    monkeypatch.setattr(train, "RESIDENT_BYTES", train.RESIDENT_BYTES)
    resident = built("feed", {"resident": True}, config)
    assert resident.unit == 2
    resident.run(6)
    assert resident._done == 6
    assert resident._feed(0, 2).shape == (2, 8)
    streamed = built("feed", {"resident": False}, config)
    assert streamed._feed(0, 2)["image"].shape == (2, 8, *SHAPE)


@pytest.fixture
def report_restored(monkeypatch):
    monkeypatch.setattr(train, "Report", train.Report)


@pytest.mark.usefixtures("report_restored")
def test_a_run_goes_on_from_turn_to_turn(config):
    contestant = built("run", {"pictures": True}, config)
    assert contestant.unit == 8  # a whole number of logs, checkpoints and pictures
    seen = []
    wait = contestant._gate.wait
    contestant._gate.wait = lambda step: (seen.append(step), wait(step))
    contestant.run(8)
    assert seen == [4, 8]
    contestant.run(16)
    assert seen == [4, 8, 12, 16, 20, 24]
    contestant._close()
    assert not contestant._thread.is_alive()


@pytest.mark.usefixtures("report_restored")
def test_a_run_that_fails_says_why(monkeypatch, config):
    def broken(*args, **options):
        raise OSError("no space")

    monkeypatch.setattr(train, "train", broken)
    contestant = built("run", {}, config)
    with pytest.raises(RuntimeError) as caught:
        contestant.run(8)
    assert "no space" in str(caught.value.__cause__)


def test_without_pictures_a_run_writes_none():
    contestant = built("run", {"pictures": False}, replace(GAN, loop=replace(LOOP, sample_every=100)))
    assert contestant.unit == 8
    loop = contestant._config.loop
    assert loop.sample_every == loop.steps > 1 << 30
    train.check_loop(loop)


@pytest.fixture
def cache_restored():
    names = ("jax_compilation_cache_dir", "jax_enable_compilation_cache")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.mark.usefixtures("cache_restored")
@pytest.mark.parametrize("cached", [False, True])
def test_each_step_of_compile_compiles_a_call_anew(monkeypatch, cached, config):
    made, real = [], parallel.compile_call
    monkeypatch.setattr(compile_kind.parallel, "compile_call", lambda *args: made.append(real(*args)))
    contestant = built("compile", {"batch": 1, "cached": cached}, config)
    contestant.run(2)
    assert len(made) == 2
    assert bool(jax.config.jax_compilation_cache_dir) >= cached
    assert contestant.facts["items"] == "compilations"


@pytest.mark.parametrize(("devices", "mode"), [(1, "single"), (4, "pmap"), (4, "jit")])
def test_scaled_steps_are_the_same_steps(monkeypatch, devices, mode):
    monkeypatch.setattr(scale, "_devices", lambda n: None)  # the tests have four already
    contestant = built("scale", {"devices": devices, "mode": mode, "steps_per_call": 2}, GAN)
    contestant.run(4)
    assert int(parallel.local(contestant._state).step) == 4
    assert contestant.facts["devices"] == devices
    assert len(jax.tree.leaves(contestant._state)[0].devices()) == devices


def test_two_processes_take_their_turns_together():
    options = {"devices": 4, "mode": "pmap", "processes": 2, "steps_per_call": 2}
    with Worker(suites.ours(sys.executable), Case("two", GAN, "scale", options).job(), timeout=240) as worker:
        assert worker.unit == 2
        assert worker.facts["devices"] == 4
        assert worker.turn(4) > 0
