"""A run that was stopped and goes on is the run that never stopped: bit for bit, however it was stopped."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from etils import epath

from jaxgen import assemble, cli, preview, run_directory
from jaxgen import train as training
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import (
    MLPVAE,
    Adam,
    Adversarial,
    AdversarialSequence,
    Config,
    Conv,
    Loop,
    Paired,
    Recurrent,
    SliceVAE,
    UNet,
    Unpaired,
    Variational,
    VariationalSequence,
)
from jaxgen.data import synthetic

pytestmark = pytest.mark.usefixtures("compiled_once")

ROOT = Path(__file__).parent.parent

# Large eps: nearly plain gradient descent with momentum. With the usual one, the first updates of a parameter are
# lr * sign(gradient), which turns rounding into a difference where the gradient is nearly 0.
GENTLE = Adam(lr=0.1, b1=0.5, eps=1.0)
CONFIG = """
from jaxgen.config import MLP, Adversarial, Config, Loop


def get_config():
    return Config(
        domain="digits",
        data="DATA",
        shape=(8, 8, 1),
        model=MLP(z_dim=4, gen=(16,), disc=(16,)),
        game=Adversarial(penalty="r1", penalty_every=4),
        batch=8,
        loop=Loop(steps=1_000_000, steps_per_call=10, log_every=10, sample_every=1_000_000, save_every=20),
    )
"""
GAMES = {
    "gan": Config(  # batch normalisation in both networks, dropout, a penalty at every other step
        domain="digits",
        model=Conv(z_dim=4, width=4, layers=1, dropout=0.3),
        game=Adversarial(gen=GENTLE, disc=GENTLE, penalty="r1", penalty_every=2),
    ),
    "vae": Config(
        domain="image",
        model=MLPVAE(z_dim=3, widths=(16,)),
        game=Variational(tx=GENTLE, beta_warmup=3, binarise=True),
    ),
    "paired": Config(  # inputs made anew at every visit
        domain="restoration",
        model=UNet(gen=(4,), disc=(4,)),
        game=Paired(gen=GENTLE, disc=GENTLE, degrade="noise-25", augment="flip+translation", l1=1.0),
    ),
    "unpaired": Config(  # pools that are full after two steps
        domain="style",
        model=UNet(gen=(4,), disc=(4,)),
        game=Unpaired(gen=GENTLE, disc=GENTLE, identity=0.0, pool=32),
    ),
    "slices": Config(  # a schedule for everything
        domain="music/accompaniment",
        model=SliceVAE(z_dim=2, width=3, hidden=3),
        game=VariationalSequence(tx=GENTLE, beta_warmup=3, free_nats=1.0, free_until=3, transpose=2),
        shape=(4, 88),
    ),
    "tokens": Config(  # likelihood, the critic, and from where it is saved on both
        domain="text/tokens",
        model=Recurrent(vocabulary=6, embedding=3, width=3, dropout=0.3, critic=(3,), critic_embedding=3),
        game=AdversarialSequence(likelihood=GENTLE, pretrain=1, critic_pretrain=1, gen=GENTLE, disc=GENTLE, anneal=2),
        shape=(4,),
    ),
}


@pytest.fixture
def config(request, tmp_path, monkeypatch):
    """The config of a tiny game, by name; previews are left out (tests/test_cli.py has them)."""
    images, config = synthetic.images((8, 8, 1), 50)["image"], GAMES[request.param]
    data = str(tmp_path / ("images" if config.domain == "style" else "images.npz"))
    if config.domain == "style":
        for i, image in enumerate(images):
            preview.write_png(epath.Path(data) / "AB"[i % 2] / f"{i:02}.png", image)
    elif config.domain == "music/accompaniment":
        pieces = [[[40 + n % 5, 60 + 3 * n % 7] for n in range(i, i + 12)] for i in range(16)]
        data = str(tmp_path / "chorales.json")
        Path(data).write_text(json.dumps({"train": pieces[:12], "test": pieces[12:]}))
    elif config.domain == "text/tokens":
        tokens = np.random.default_rng(0).integers(0, 6, (50, 4))
        np.savez(data, train=tokens[:40], test=tokens[40:])
    else:
        np.savez(data, image=images)
    monkeypatch.setattr(training._Run, "write_pictures", lambda *_: None)
    loop = Loop(steps=4, steps_per_call=1, log_every=1, sample_every=4, save_every=2)
    shape = config.shape if "/" in config.domain else (8, 8, 1)
    return dataclasses.replace(config, data=data, shape=shape, batch=16, parallel="single", loop=loop)


def until(config, steps, parallel="single"):
    return dataclasses.replace(config, parallel=parallel, loop=dataclasses.replace(config.loop, steps=steps))


def manifest(run, step):
    """{leaf: its SHA-256} of everything that decides the future of a run."""
    leaves = json.loads((run / "checkpoints" / str(step) / "manifest" / "metadata").read_text())["leaves"]
    return {name: leaf["sha256"] for name, leaf in leaves.items()}


def logged(run):
    """The lines of metrics.jsonl, without what a clock wrote."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: v for name, v in line.items() if name not in ("time", "examples_per_second")} for line in lines]


@pytest.mark.parametrize("config", GAMES, indirect=True)
def test_four_steps_are_two_and_two(config, tmp_path):
    training.train(config, tmp_path / "straight", quiet=True)
    first = training.train(until(config, 2), tmp_path / "halves", quiet=True)
    assert (first.step, first.finished, first.trained) == (2, True, True)
    second = training.train(config, tmp_path / "halves", quiet=True)
    assert (second.step, second.finished, second.trained) == (4, True, True)
    for step in (2, 4):
        hashes = manifest(tmp_path / "straight", step)
        assert manifest(tmp_path / "halves", step) == hashes
    assert len(hashes) > 20
    assert manifest(tmp_path / "straight", 2) != hashes
    assert [line["step"] for line in logged(tmp_path / "straight")] == [1, 2, 3, 4]
    assert logged(tmp_path / "halves") == logged(tmp_path / "straight")


@pytest.mark.parametrize("config", ["gan"], indirect=True)
def test_a_run_may_move_to_other_devices(config, tmp_path):
    """Two steps each on one device, under pmap on four, under jit on four: as six on one."""
    training.train(until(config, 6), tmp_path / "one", quiet=True)
    for steps, parallel in ((2, "single"), (4, "pmap"), (6, "jit")):
        training.train(until(config, steps, parallel), tmp_path / "moved", quiet=True)
    abstract = assemble.abstract_state(config, assemble.build(config).game)
    found = []
    for name in ("one", "moved"):
        with Checkpoints(run_directory.checkpoints(tmp_path / name)) as checkpoints:
            restored = checkpoints.restore(abstract, 6)
            assert restored is not None
            found.append(restored[0])
    one, moved = (jax.tree.leaves(state.replace(key=jax.random.key_data(state.key))) for state in found)
    start = jax.tree.leaves(assemble.new_state(config, assemble.build(config).game).gen.params)
    assert max(np.abs(a - b).max() for a, b in zip(start, jax.tree.leaves(found[0].gen.params), strict=True)) > 1e-3
    for a, b in zip(one, moved, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.fixture
def tiny(tmp_path):
    """The path of a config that would run for many minutes."""
    np.savez(tmp_path / "images.npz", image=synthetic.images((8, 8, 1), 50)["image"])
    (tmp_path / "tiny.py").write_text(CONFIG.replace("DATA", str(tmp_path / "images.npz")))
    return tmp_path / "tiny.py"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """`start(tiny, run, ...)`: a `jaxgen train` at work in a process of its own. None outlives the tests."""
    cache, started = tmp_path_factory.mktemp("cache"), []
    known = {"JAX_PLATFORMS": "cpu", "JAXGEN_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    known["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

    def start(config, run, *words):
        command = [sys.executable, "-m", "jaxgen.cli", "train", config, "--workdir", run, *words]
        process = subprocess.Popen(
            list(map(str, command)),
            env=os.environ | known,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def newest(run):
    """The newest step that is saved, 0 where there is none."""
    return max([0, *Checkpoints(run_directory.checkpoints(run)).steps()])


def wait_for(process, condition, seconds=120):
    """Returns once the condition holds; fails where the process ends first."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)


def finish(process):
    """What a process that ends well said."""
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    return said


def assert_same_runs(a, b, step):
    assert newest(a) == newest(b) == step
    assert manifest(a, step) == manifest(b, step)
    assert logged(a) == logged(b)
    assert [line["step"] for line in logged(a)] == list(range(10, step + 1, 10))


def test_killed_five_times(tiny, start, tmp_path):
    rng, run = random.Random(0), tmp_path / "killed"
    for _ in range(5):
        before, process = newest(run), start(tiny, run)
        wait_for(process, lambda before=before: newest(run) > before)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
    steps = newest(run) + 40
    finish(start(tiny, run, f"--loop.steps={steps}"))
    finish(start(tiny, tmp_path / "straight", f"--loop.steps={steps}"))
    assert_same_runs(run, tmp_path / "straight", steps)


def test_signals_save_and_leave(tiny, start, tmp_path, capsys):
    """SIGTERM, then SIGINT; and while it runs, nobody else may use its directory."""
    run, before = tmp_path / "stopped", 0
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(tiny, run)
        wait_for(process, lambda before=before: newest(run) > before)
        if number == signal.SIGINT:
            assert cli.main(["train", str(tiny), "--workdir", str(run), "--parallel", "single"]) == 2
            assert f"is in use by process {process.pid} on " in capsys.readouterr().err
        process.send_signal(number)
        said = finish(process)
        before = newest(run)
        assert f"Stopped by a signal at step {before}, which is saved." in said
        assert before % 10 == 0
        assert ("Going on from step" in said) == (number == signal.SIGINT)
    steps = before + 20
    finish(start(tiny, run, f"--loop.steps={steps}"))
    finish(start(tiny, tmp_path / "straight", f"--loop.steps={steps}"))
    assert_same_runs(run, tmp_path / "straight", steps)


SLOW = """
import time

from jaxgen.checkpoint import Checkpoints

save = Checkpoints.save
Checkpoints.save = lambda self, step, state: (save(self, step, state), time.sleep(600))
"""


def test_a_second_signal_leaves_at_once(tiny, start, tmp_path):
    """On a disk that takes for ever."""
    run = tmp_path / "run"
    (tmp_path / "slow.py").write_text(SLOW + tiny.read_text())
    process = start(tmp_path / "slow.py", run)
    wait_for(process, lambda: newest(run) > 0)
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    process.communicate()
    assert newest(run) == 20
