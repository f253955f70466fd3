"""The loop: where the data lie, what stops it, what it refuses."""

import dataclasses
import json
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import assemble, run_directory
from jaxgen import train as training
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import MLPVAE, Adam, Adversarial, Config, Loop, Variational
from jaxgen.data import synthetic
from jaxgen.errors import UserError
from jaxgen.steps import vae

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture
def config(tmp_path):
    """A VAE of a few hundred weights; 45 images to train on, so that four batches of 16 pass the end of an epoch."""
    data = str(tmp_path / "images.npz")
    np.savez(data, image=synthetic.images((8, 8, 1), 50)["image"])
    return Config(
        domain="image",
        data=data,
        shape=(8, 8, 1),
        model=MLPVAE(z_dim=3, widths=(16,)),
        game=Variational(tx=Adam(lr=1e-3), binarise=True),
        batch=16,
        parallel="single",
        loop=Loop(steps=8, steps_per_call=2, log_every=2, sample_every=8, save_every=2),
    )


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr(training._Run, "write_pictures", lambda *_: None)


def with_loop(config, **changes):
    return dataclasses.replace(config, loop=dataclasses.replace(config.loop, **changes))


def hashes(run, step):
    """{leaf: its SHA-256} of a checkpoint."""
    leaves = json.loads((run / "checkpoints" / str(step) / "manifest" / "metadata").read_text())["leaves"]
    return {name: leaf["sha256"] for name, leaf in leaves.items()}


def logged(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def restored(run, config):
    with Checkpoints(run_directory.checkpoints(run)) as checkpoints:
        found = checkpoints.restore(assemble.abstract_state(config, assemble.build(config).game))
    assert found is not None
    return found


def test_held_out_data_that_cannot_be_read_stop_a_run_before_it_begins(config, tmp_path, monkeypatch):
    images = synthetic.images((8, 8, 1), 50)["image"]
    held_out = np.full((20, 8, 8, 1), np.nan, np.float32)
    np.savez(tmp_path / "images.npz", x_train=images, y_train=np.zeros(50, int), x_test=held_out, y_test=[0] * 20)
    monkeypatch.setattr(training.parallel, "compile_call", lambda *_: pytest.fail("compiled"))
    with pytest.raises(UserError, match=r"`x_test` in .*holds NaN"):
        training.train(config, tmp_path / "run", quiet=True)


@pytest.mark.parametrize("parallel", ["single", "pmap", "jit"])
def test_data_on_the_host_or_on_the_device_are_one(config, parallel, tmp_path, monkeypatch, no_pictures):
    config = dataclasses.replace(with_loop(config, steps=4), parallel=parallel)
    training.train(config, tmp_path / "resident", quiet=True)
    monkeypatch.setattr(training, "RESIDENT_BYTES", 0)
    training.train(config, tmp_path / "streamed", quiet=True)
    for step in (2, 4):
        assert hashes(tmp_path / "streamed", step) == hashes(tmp_path / "resident", step)
    assert hashes(tmp_path / "resident", 2) != hashes(tmp_path / "resident", 4)


def test_the_outcome(config, tmp_path, capfd):
    run = tmp_path / "run"
    outcome = training.train(with_loop(config, steps=4, sample_every=2), run)
    assert (outcome.step, outcome.finished, outcome.trained) == (4, True, True)
    assert outcome.checkpoint == run / "checkpoints" / "4"
    assert [path.name for path in outcome.pictures] == ["4.gif", "4.png"]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["2.png", "4.gif", "4.png"]
    assert "step 4/4" in capfd.readouterr().err
    again = training.train(with_loop(config, steps=2), run)  # fewer than it has
    assert (again.step, again.finished, again.trained) == (4, True, False)
    assert capfd.readouterr().err == ""
    assert [line["step"] for line in logged(run)] == [2, 4]


def test_log_lines_are_means_over_their_call(config, tmp_path, no_pictures):
    training.train(with_loop(config, steps=4, steps_per_call=1, log_every=1), tmp_path / "each", quiet=True)
    training.train(with_loop(config, steps=4), tmp_path / "pairs", quiet=True)
    each = [line["loss"] for line in logged(tmp_path / "each")]
    pairs = [line["loss"] for line in logged(tmp_path / "pairs")]
    np.testing.assert_allclose(pairs, [(each[0] + each[1]) / 2, (each[2] + each[3]) / 2], rtol=1e-5)
    assert len(set(each)) == 4


def test_only_the_newest_are_kept(config, tmp_path, no_pictures):
    training.train(with_loop(config, keep=2), tmp_path / "run", quiet=True)
    assert Checkpoints(run_directory.checkpoints(tmp_path / "run")).steps() == [6, 8]


@pytest.fixture
def poisoned(monkeypatch):
    """A NaN in the batch of step 5, the sixth."""
    step = vae.train_step

    def train_step(state, batch, game, axis_name=None):
        x = jnp.where(state.step == 5, jnp.nan, batch["image"])
        return step(state, {**batch, "image": x}, game, axis_name)

    monkeypatch.setattr(vae, "train_step", train_step)


def test_a_nan_stops_the_run_or_is_left_out(config, tmp_path, poisoned, no_pictures):
    config = dataclasses.replace(config, game=dataclasses.replace(config.game, binarise=False))
    run = tmp_path / "run"
    with pytest.raises(UserError, match=rf"is not finite at step 5; the last good checkpoint is {run}/checkpoints/4\."):
        training.train(config, run, quiet=True)
    assert Checkpoints(run_directory.checkpoints(run)).steps() == [2, 4]
    assert [line["step"] for line in logged(run)] == [2, 4]
    # The same run goes on without that step.
    skipping = with_loop(config, nonfinite="skip")
    assert training.train(skipping, run, quiet=True).step == 8
    assert [line["step"] for line in logged(run)] == [2, 4, 6, 8]
    assert logged(run)[2]["loss"] == "nan"
    assert logged(run)[3]["skipped"] == 1
    assert np.isfinite(logged(run)[3]["loss"])
    state, step, _ = restored(run, skipping)
    assert (step, int(state.step), int(state.skipped)) == (8, 8, 1)


def test_a_nan_before_anything_was_saved(config, tmp_path, poisoned, no_pictures):
    config = dataclasses.replace(config, game=dataclasses.replace(config.game, binarise=False))
    with pytest.raises(UserError, match=r"is not finite at step 5; nothing was saved\. Lower the learning rate"):
        training.train(with_loop(config, save_every=8), tmp_path / "run", quiet=True)


@pytest.fixture
def small_disk(disk):
    return disk("6m")


def test_a_full_disk(config, small_disk, no_pictures, capfd):
    """0.8 MB a checkpoint, all kept: the run stops, its last good step can be used, and with more space it goes on."""
    config = with_loop(dataclasses.replace(config, model=MLPVAE(z_dim=3, widths=(400,))), steps=24, keep=100)
    with pytest.raises(UserError, match=r"The disk is full: .*Free some space and start again"):
        training.train(config, small_disk / "run", quiet=True)
    assert capfd.readouterr().err == ""  # Orbax would print a traceback for every leaf
    _, step, notes = restored(small_disk / "run", config)
    assert 2 <= step < 24
    assert notes == []
    subprocess.run(["mount", "-o", "remount,size=60m", small_disk], check=True)
    assert training.train(config, small_disk / "run", quiet=True).step == 24
    assert restored(small_disk / "run", config)[1] == 24
    assert [line["step"] for line in logged(small_disk / "run")] == list(range(2, 25, 2))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"steps": 5},
            r"--loop\.steps 5 is no multiple of the 2 steps .*use --loop\.steps 6, or --loop\.steps-per-call",
        ),
        ({"log_every": 1}, r"--loop\.log-every 1 is no multiple"),
        ({"sample_every": 7}, r"--loop\.sample-every 7 is no multiple"),
        ({"save_every": 3}, r"--loop\.save-every 3 is no multiple"),
        ({"steps": 0}, r"--loop\.steps must be 1 or more, not 0"),
        ({"steps_per_call": -1}, r"--loop\.steps-per-call must be 1 or more, not -1"),
        ({"keep": 0}, r"--loop\.keep must be 1 or more, not 0"),
    ],
)
def test_loops_that_make_no_sense(config, changes, said, tmp_path):
    with pytest.raises(UserError, match=said):
        training.train(with_loop(config, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_that_do_not_fit_the_game(config, tmp_path):
    for batch, said in ((46, "45 training examples, fewer than a batch of 46; use --batch 45"), (0, "can't be split")):
        with pytest.raises(UserError, match=said):
            training.train(dataclasses.replace(config, batch=batch), tmp_path / "run")
    labelled = str(tmp_path / "labelled.npz")
    images = synthetic.images((8, 8, 1), 50)
    np.savez(labelled, image=images["image"], label=images["label"])
    conditional = dataclasses.replace(config, domain="digits", game=Adversarial(classes=5))
    with pytest.raises(UserError, match=r"conditional, but the data have no labels; use --game\.classes 0"):
        training.train(conditional, tmp_path / "run")
    with pytest.raises(UserError, match="labels up to 9, the game has 5 classes"):
        training.train(dataclasses.replace(conditional, data=labelled), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_damaged_checkpoint_is_passed_over_and_set_aside(config, tmp_path, no_pictures, capfd):
    """The newest one is cut short; the run goes on from the one before, to the same end."""
    run = tmp_path / "run"
    training.train(with_loop(config, steps=6), run, quiet=True)
    expected = hashes(run, 6)
    for path in (run / "checkpoints" / "6" / "state").rglob("*"):
        if path.is_file() and path.stat().st_size > 2000:
            path.write_bytes(path.read_bytes()[:-1000])
    training.train(with_loop(config, steps=6), run)
    said = capfd.readouterr().err
    assert "The checkpoint of step 6 is damaged and was passed over" in said
    assert "Going on from step 4." in said
    assert hashes(run, 6) == expected
    assert [path.name for path in (run / "corrupt").iterdir()] == ["6"]
    assert [line["step"] for line in logged(run)] == [2, 4, 6]
