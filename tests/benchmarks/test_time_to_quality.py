import io
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxgen
from benchmarks import suites, throughput, time_to_quality
from benchmarks.peers import Peer
from benchmarks.protocol import Kinds, serve
from benchmarks.suites import Case
from benchmarks.time_to_quality import holds, line, negative_bound, reach, row
from benchmarks.worker import Command, Worker
from jaxgen.config import MLP, MLPVAE, Adversarial, Config, Loop, Variational
from jaxgen.data import synthetic

SHAPE = (8, 8, 1)
LOOP = Loop(steps_per_call=2, log_every=4, save_every=8, sample_every=8)
GAN = Config("digits", MLP(z_dim=3, gen=(8,), disc=(8,)), Adversarial(), shape=SHAPE, batch=8, loop=LOOP)
VAE = Config("image", MLPVAE(z_dim=2, widths=(8,)), Variational(binarise=True), shape=SHAPE, batch=8, loop=LOOP)
GAN_ALONE = replace(GAN, parallel="single")
PEAK = {"matmul_flops_per_s": {"fp32": 1e10, "bf16": 2e10}, "copy_bytes_per_s": 1e10}
OPTIONS = {"metric": "steps_drawn", "bar": {"size": {"low": 25}}, "turn": 10, "limit": 50, "seeds": 3}
CASE = Case("paper", GAN, "train", OPTIONS)


class Pupil:
    """Takes 0.5 s a step, and draws how many it has taken; 4 in its warm-up, of 0.25 s each."""

    compile_s, step_s, unit = 3.0, 0.25, 2

    def __init__(self):
        self.steps, self.turns = 4, []

    def turn(self, steps):
        self.steps += steps
        self.turns.append(steps)
        return 0.5

    def draw(self, path):
        np.savez(path, steps=self.steps)


def size(drawn):
    return {"size": float(drawn["steps"])}


def test_a_run_ends_at_the_first_look_at_which_the_rule_holds(tmp_path):
    pupil = Pupil()
    run = reach(pupil, size, OPTIONS, tmp_path / "drawn.npz")
    assert pupil.turns == [6, 10, 10]  # the warm-up's four count: looks are at 10, 20, 30
    assert run["reached"]
    assert (run["steps"], run["seconds"], run["compile_s"]) == (30, 4 * 0.25 + 26 * 0.5, 3.0)
    assert run["curve"] == [
        {"step": 10, "seconds": 4.0, "size": 10.0},
        {"step": 20, "seconds": 9.0, "size": 20.0},
        {"step": 30, "seconds": 14.0, "size": 30.0},
    ]


def test_a_run_that_does_not_reach_the_bar_is_given_up_at_the_limit(tmp_path):
    pupil = Pupil()
    run = reach(pupil, lambda drawn: {"size": math.nan}, OPTIONS, tmp_path / "drawn.npz")
    assert not run["reached"]
    assert run["steps"] == pupil.steps == 50
    assert run["curve"][0] == {"step": 10, "seconds": 4.0, "size": None}
    json.dumps(run, allow_nan=False)


def test_the_suite_s_looks_are_at_whole_calls_after_the_warm_up():
    for case in suites.load("time_to_quality"):
        assert case.config
        k = case.config.loop.steps_per_call
        assert case.options["turn"] % k == case.options["limit"] % case.options["turn"] == 0
        assert case.options["turn"] > 2 * k
        assert case.options["metric"] in time_to_quality.METRICS


def test_a_rule_is_all_of_its_parts_each_from_one_side():
    bar = {"classes_present": {"low": 10}, "class_tv": {"high": 0.15}}
    good = {"classes_present": 10.0, "class_tv": 0.15, "coverage": 0.0}
    assert holds(good, bar)
    assert not holds(good | {"class_tv": 0.151}, bar)
    assert not holds(good | {"classes_present": 9.0}, bar)
    assert not holds(good | {"class_tv": math.nan}, bar)


def runs(*seconds, reached=True):
    return [
        {"seed": i, "seconds": s, "steps": 10 * s, "reached": reached, "compile_s": 1.0 + i, "curve": [{"step": i}]}
        for i, s in enumerate(seconds)
    ]


def side(*seconds, **more):
    return {"device": "paper", "versions": {}, "idle_cpu": 0.0, "runs": runs(*seconds, **more)}


@pytest.fixture
def paper_metric(monkeypatch):
    def steps_drawn(config):
        """of what was drawn"""
        return size

    monkeypatch.setitem(time_to_quality.METRICS, "steps_drawn", steps_drawn)


def test_medians_over_seeds_and_their_ratio_by_hand(paper_metric):
    theirs = side(9.0, 3.0, 30.0) | {"variant": "compile", "variants": {}, "failed": {}}
    found = row(CASE, {"ours": side(4.0, 2.0, 6.0), "torch": theirs})
    assert (found["seconds"], found["steps"], found["reached"]) == (4.0, 40.0, True)
    assert found["compile_s"] == 2.0
    assert found["seconds_with_compile"] == 5.0  # of 5, 4 and 9
    assert found["seed"] == [0, 1, 2]
    assert [run["seconds"] for run in found["runs"]] == [4.0, 2.0, 6.0]
    assert found["against"]["torch"]["seconds"] == 9.0
    assert found["against"]["torch"]["seconds_with_compile"] == 10.0
    assert found["ratio_to_torch"] == pytest.approx(9 / 4)
    assert found["metric"] == "size >= 25 (of what was drawn)"
    assert "2.25 to torch compile (9.0 s, 90 steps, compile 2.0 s)" in line(found)


@pytest.mark.parametrize("late", ["ours", "torch"])
def test_no_ratio_where_a_run_of_either_side_did_not_get_there(paper_metric, late):
    sides = {"ours": side(4.0), "torch": side(9.0) | {"variant": "eager"}}
    sides[late]["runs"] += runs(50.0, reached=False)
    found = row(CASE, sides)
    assert found["ratio_to_torch"] is None
    assert (found if late == "ours" else found["against"]["torch"])["seconds"] is None
    assert "- to torch eager" in line(found)
    assert len(line(None).split("ratio")[0]) == len(line(found).split("- to torch")[0])


def test_the_bound_by_hand():
    x = np.array([[1, 0], [1, 1]], np.uint8)
    mu, logvar = np.array([[1.0], [0.0]]), np.array([[0.0], [math.log(2)]])
    logits = np.array([[0.0, 0.0], [math.log(3), -1000.0]])
    first = 2 * math.log(2) + 0.5
    second = math.log(4 / 3) + 1000 + 0.5 * (2 - 1 - math.log(2))
    assert negative_bound(x, mu, logvar, logits) == pytest.approx((first + second) / 2)


def test_what_is_asked_to_draw_does_and_what_can_not_says_so(tmp_path):
    class Plain:
        unit, facts = 2, {}

        def __init__(self, job):
            pass

        def run(self, steps):
            pass

    class Drawer(Plain):
        def draw(self, path):
            np.savez(path, samples=np.ones(2))

    def talk(build):
        replies = io.StringIO()
        asked = [{"do": "build", "job": {}}, {"do": "draw", "path": str(tmp_path / "x.npz")}]
        serve(build, io.StringIO("".join(json.dumps(one) + "\n" for one in asked)), replies)
        return json.loads(replies.getvalue().splitlines()[1])

    assert "draws nothing" in talk(Plain)["error"]
    assert talk(Drawer)["drawn"] == str(tmp_path / "x.npz")
    assert np.load(tmp_path / "x.npz")["samples"].sum() == 2


PAPER = """
import sys, time
import numpy as np
from benchmarks.protocol import serve_standard_streams

class Paper:
    unit, steps = 2, 0

    def __init__(self, job):
        assert job["kind"] == "train" and job["options"]["data"]
        if job.get("variant") == "broken":
            raise OSError("no compiler")
        self.pace = {"slow": 4e-3, "fast": 2e-3}.get(job.get("variant"), 1e-3)
        self.facts = {"device": "paper", "versions": {}}

    def run(self, steps):
        time.sleep(self.pace * steps)
        self.steps += steps

    def draw(self, path):
        np.savez(path, steps=self.steps)

serve_standard_streams(Paper)
"""


def test_a_suite_with_processes(paper_metric, monkeypatch, tmp_path, capsys):
    """Ours and a peer's fastest variant that starts, each seed of each in a process of its own, to a row."""
    command = Command((sys.executable, "-c", PAPER))

    class PaperPeer(Peer):
        def command(self):
            return command

    alive = []

    class One(Worker):
        def __init__(self, command, job):
            super().__init__(command, job)
            alive.append(job["config"]["seed"])

    peer = PaperPeer("torch", lambda case, device: ("slow", "fast", "broken"))
    monkeypatch.setattr(time_to_quality, "Worker", One)
    monkeypatch.setattr(time_to_quality, "CHOICE_SECONDS", 0.01)
    monkeypatch.setattr(time_to_quality, "_write", lambda path, config: str(path))
    monkeypatch.setattr(suites, "ours", lambda python: command)
    monkeypatch.setattr(throughput, "measure_peak", lambda python: ("paper", PEAK))
    monkeypatch.setattr(throughput, "PEERS", {"torch": peer})
    monkeypatch.setattr(suites, "load", lambda name: (CASE,))
    path = tmp_path / "out.json"
    assert throughput.main(["--suite", "time_to_quality", "--peers", "torch", "--json", str(path)]) == 0
    (found,) = json.loads(path.read_text())["rows"]
    assert alive == [0, 0, 0, 0, 1, 1, 2, 2]  # two variants first; then ours and theirs in turn
    assert found["suite"] == "time_to_quality"
    assert found["reached"]
    assert found["steps"] == 30
    assert found["seconds"] >= 0.03
    assert found["against"]["torch"]["variant"] == "fast"
    assert found["against"]["torch"]["failed"].keys() == {"broken"}
    assert found["ratio_to_torch"] > 1
    out = capsys.readouterr().out
    assert line(found) in out
    assert "torch broken did not run: OSError: no compiler" in out


@pytest.fixture
def given(tmp_path):
    """A file of a few images, and a function that trains on it."""
    image = synthetic.images(SHAPE, 20)["image"]

    def built(config, **more):
        np.savez(tmp_path / "given.npz", image=image, **more)
        case = Case("tiny", config, "train", {"data": str(tmp_path / "given.npz")})
        return Kinds("benchmarks.ours")(case.job())

    return built


def drawn(training, folder: Path):
    training.draw(str(folder / "drawn.npz"))
    return dict(np.load(folder / "drawn.npz"))


def test_samples_are_the_averaged_generator_s(given, tmp_path):
    noise = np.random.default_rng(0).standard_normal((5, 3), np.float32)
    training = given(GAN, noise=noise)
    first = drawn(training, tmp_path)["samples"]
    training.run(2)
    found = drawn(training, tmp_path)["samples"]
    assert found.shape == (5, *SHAPE)
    assert np.abs(found).max() <= 1
    assert np.abs(found - first).max() > 0

    gen = jaxgen.build(GAN_ALONE).game.gen

    def by(params):
        return np.asarray(gen.apply({"params": params}, noise, train=False))

    params, _ = training._calls.state.ema
    assert int(training._calls.state.step) == 2
    np.testing.assert_allclose(found, by(params), atol=1e-6)
    assert np.abs(found - by(training._calls.state.gen.params)).max() > 1e-6


def test_a_bound_s_parts_are_the_averaged_networks(given, tmp_path):
    x = np.random.default_rng(0).integers(2, size=(5, 64)).astype(np.uint8)
    training = given(VAE, x=x, noise=np.zeros((5, 2), np.float32))
    training.run(2)
    found = drawn(training, tmp_path)
    assert {name: a.shape for name, a in found.items()} == {"mu": (5, 2), "logvar": (5, 2), "logits": (5, 64)}
    assert 0 < negative_bound(x, **found) < 200
    vae = training._calls.state.vae
    zeros = vae.replace(params=jax.tree.map(np.zeros_like, vae.params))
    training._calls.state = training._calls.state.replace(vae=zeros)
    np.testing.assert_array_equal(found["logits"], drawn(training, tmp_path)["logits"])


def test_training_sees_the_batches_of_a_run_and_goes_on_where_it_was(given, tmp_path):
    together, apart = (given(replace(GAN, seed=3), noise=np.zeros((1, 3), np.float32)) for _ in range(2))
    together.run(4)
    apart.run(2)
    apart.run(2)
    for a, b in zip(*(jax.tree.leaves(t._calls.state.gen.params) for t in (together, apart)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_file_has_what_both_sides_train_on(monkeypatch, tmp_path):
    np.savez(tmp_path / "images.npz", image=synthetic.images(SHAPE, 50)["image"])
    for config, names in ((GAN, {"gen/Dense_0/kernel", "disc/Dense_1/bias"}), (VAE, {"x", "encoder/Dense_0/kernel"})):
        of = replace(config, data=str(tmp_path / "images.npz"))
        file = time_to_quality._write(tmp_path / "given.npz", of)
        with np.load(file) as found:
            assert names | {"image", "noise"} <= set(found)
            assert found["image"].dtype == np.uint8
            assert found["noise"].shape == ((5, 2) if config is VAE else (time_to_quality.SAMPLES, 3))
        training = Kinds("benchmarks.ours")(Case("tiny", of, "train", {"data": file}).job())
        training.run(2)
        assert drawn(training, tmp_path).keys() & {"samples", "mu"}
