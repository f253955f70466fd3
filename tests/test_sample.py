"""Samples from a run's directory alone: averaged weights, numbered noise, three kinds of file."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen import assemble, run_directory
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import MLP, Adversarial, Config
from jaxgen.domains import LatentOptions
from jaxgen.errors import UserError
from jaxgen.sample import balanced
from jaxgen.sample import sample as sample_files
from jaxgen.steps import gan
from jaxgen.trained import CHUNK, load

CONFIG = Config(
    domain="digits",
    data="/nowhere/images.npz",  # what sampling must not ask for
    shape=(8, 8, 1),
    model=MLP(z_dim=4, gen=(16,), disc=(8,)),
    game=Adversarial(),
    parallel="pmap",  # as trained on several devices
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one checkpoint, of step 7, whose averaged generator is not the one in training."""
    run = tmp_path_factory.mktemp("sample") / "run"
    state = assemble.new_state(CONFIG, assemble.build(CONFIG).game)
    state = state.replace(ema=jax.tree.map(lambda a: 2 * a + 0.1, state.ema))
    run_directory.write_config(run, CONFIG, data_fingerprint="none")
    with Checkpoints(run_directory.checkpoints(run)) as checkpoints:
        checkpoints.save(7, state)
    return run


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A run of three classes."""
    run = tmp_path_factory.mktemp("sample") / "conditional"
    config = dataclasses.replace(CONFIG, game=Adversarial(classes=3))
    run_directory.write_config(run, config, data_fingerprint="none")
    with Checkpoints(run_directory.checkpoints(run)) as checkpoints:
        checkpoints.save(1, assemble.new_state(config, assemble.build(config).game))
    return run


def sample(run, num=64, seed=0, out="", **more):
    """The one path that is written."""
    (path,) = sample_files(run, LatentOptions(num, seed, str(out), **more))
    return path


def arrays(path):
    with np.load(path) as file:
        return file["image"]


def test_the_averaged_generator_is_the_one_that_draws(run, tmp_path):
    """Against the generator applied by hand to the averaged parameters."""
    trained = load(run)
    assert (trained.step, trained.notes, trained.config) == (7, [], CONFIG)
    keys = jnp.stack([jax.random.fold_in(jax.random.key(3), i) for i in range(5)])
    z = jnp.stack([jax.random.normal(key, (4,)) for key in keys])
    params, stats = trained.state.ema
    expected = trained.game.gen.apply({"params": params, **stats}, z, train=False)
    np.testing.assert_allclose(trained.draw(5, seed=3), expected, atol=1e-6)
    assert np.abs(trained.game.gen.apply({"params": trained.state.gen.params}, z, train=False) - expected).max() > 0.01
    out = sample(run, 5, 3, tmp_path / "deep" / "five.npz")
    image = arrays(out)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image, (np.asarray(expected) + 1) * 127.5, atol=0.51)


def test_same_seed_same_file_and_fewer_are_the_first(run, tmp_path):
    a, again, fewer, other = (
        sample(run, n, seed, tmp_path / f"{i}.npz") for i, (n, seed) in enumerate([(9, 3), (9, 3), (4, 3), (9, 4)])
    )
    np.testing.assert_array_equal(arrays(a), arrays(again))
    np.testing.assert_array_equal(arrays(a)[:4], arrays(fewer))
    assert (arrays(a) != arrays(other)).any(axis=(1, 2, 3)).all()
    assert len(np.unique(arrays(a).reshape(9, -1), axis=0)) == 9
    pictures = [sample(run, 9, seed, tmp_path / f"{i}.png").read_bytes() for i, seed in enumerate([3, 3, 4])]
    assert pictures[0] == pictures[1] != pictures[2]


def test_more_than_a_chunk(run, tmp_path):
    image = arrays(sample(run, CHUNK + 2, 0, tmp_path / "many.npz"))
    assert image.shape == (CHUNK + 2, 8, 8, 1)
    assert len(np.unique(image.reshape(len(image), -1), axis=0)) == CHUNK + 2


def test_a_walk_is_closed_and_goes_in_small_steps(run, tmp_path):
    trained = load(run)
    frames = trained.walk(n=4, seed=0, frames=48)
    assert frames.shape == (48, 4, 8, 8, 1)
    steps = np.abs(np.roll(frames, -1, axis=0) - frames).mean(axis=(1, 2, 3, 4))  # the last one back to the start
    opposite = np.abs(frames[24] - frames[0]).mean()
    assert steps.max() < 0.3 * opposite
    with Image.open(sample(run, 4, 0, tmp_path / "walk.gif")) as image:
        assert (image.size, getattr(image, "n_frames", 1)) == ((2 * 19, 2 * 19), 48)


def test_where_a_picture_goes(run, tmp_path):
    assert sample(run, 4, 5) == run / "samples" / "seed-5.png"
    with pytest.raises(UserError, match=r"must end in \.png \(a grid\), \.gif \(a walk\) or \.npz"):
        sample(run, 4, 5, tmp_path / "four.jpg")
    with pytest.raises(UserError, match="--num must be 1 or more, not 0"):
        sample(run, 0)


def test_truncated_and_interpolated_samples(run, tmp_path):
    plain, tame = (arrays(sample(run, 40, 0, tmp_path / f"{t}.npz", truncation=t)) for t in (0.0, 0.1))
    assert tame.astype(float).std(0).mean() < 0.5 * plain.astype(float).std(0).mean()
    with pytest.raises(UserError, match="--truncation must be 0 or more"):
        sample(run, 4, truncation=-1.0)
    rows = arrays(sample(run, 3, 0, tmp_path / "rows.npz", interpolate=True)).astype(float)
    assert rows.shape == (24, 8, 8, 1)
    steps = np.abs(np.diff(rows.reshape(3, 8, -1), axis=1)).mean(-1)
    ends = np.abs(rows[7::8] - rows[::8]).mean((1, 2, 3))
    assert (steps.max(1) < 0.5 * ends).all()
    with Image.open(sample(run, 2, 0, tmp_path / "rows.png", interpolate=True)) as image:
        assert image.size == (2 * (8 * 9 + 1), 2 * (2 * 9 + 1))


def test_class_balance():
    np.testing.assert_array_equal(balanced(5, 2, ()), [0, 1, 0, 1, 0])
    assert balanced(5, 0, ()) is None
    np.testing.assert_array_equal(np.bincount(balanced(10, 3, (1, 1, 2))), [3, 2, 5])
    np.testing.assert_array_equal(np.bincount(balanced(4, 2, (0, 1)), minlength=2), [0, 4])
    for classes, balance in ((2, (1.0,)), (2, (-1.0, 2.0)), (2, (0.0, 0.0))):
        with pytest.raises(UserError, match="--balance needs 2 shares"):
            balanced(5, classes, balance)
    with pytest.raises(UserError, match="no classes to balance"):
        balanced(5, 0, (0.5, 0.5))


def test_a_labelled_folder_is_read_again(conditional, tmp_path):
    """A set of the classes asked for, as PNG files and a table, or as arrays."""
    path = sample(conditional, 6, 0, tmp_path / "set", balance=(2.0, 1.0, 0.0))
    table = (path / "labels.csv").read_text().splitlines()
    assert table[0] == "file,label"
    assert [line.split(",")[1] for line in table[1:]] == ["0"] * 4 + ["1"] * 2
    with np.load(sample(conditional, 6, 0, tmp_path / "set.npz", balance=(2.0, 1.0, 0.0))) as file:
        np.testing.assert_array_equal(file["label"], [0, 0, 0, 0, 1, 1])
        for line, image in zip(table[1:], file["image"], strict=True):
            with Image.open(path / line.split(",")[0]) as picture:
                np.testing.assert_array_equal(np.asarray(picture), image[..., 0])
    with pytest.raises(UserError, match="is not empty; choose another --out"):
        sample(conditional, 6, 0, tmp_path / "set")


def test_runs_that_have_nothing_to_show(run, tmp_path):
    with pytest.raises(UserError, match=r"There is no run at .*/nowhere"):
        sample(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no config\.json"):
        sample(tmp_path)
    run_directory.write_config(tmp_path / "young", CONFIG)
    with pytest.raises(UserError, match="has no checkpoint yet"):
        sample(tmp_path / "young")
    with pytest.raises(UserError, match=r"no checkpoint of step 8 .*; there are \[7\]"):
        load(run, 8)
    run_directory.write_config(tmp_path / "other", dataclasses.replace(CONFIG, model=MLP(4, (8,), (8,))))
    (tmp_path / "other" / "checkpoints").symlink_to(run / "checkpoints")
    with pytest.raises(UserError, match="made by another model"):
        sample(tmp_path / "other")


def test_classes_take_turns():
    conditional = dataclasses.replace(CONFIG, game=Adversarial(classes=3), parallel="single")
    game = assemble.build(conditional).game
    state = assemble.new_state(conditional, game)
    state = state.replace(ema=jax.tree.map(lambda a: 3 * a, state.ema))
    keys = jnp.stack([jax.random.key(0)] * 6)  # the same latent six times
    image = np.asarray(gan.sample(state, keys, game))
    np.testing.assert_allclose(image[:3], image[3:], atol=1e-6)
    assert min(np.abs(image[0] - image[1]).max(), np.abs(image[1] - image[2]).max()) > 1e-3


def test_another_step_shares_what_is_compiled(conditional, tmp_path):
    """And draws with its own state."""
    config, _ = run_directory.read_config(conditional)
    game = assemble.build(assemble.on_one_device(config)).game
    with Checkpoints(run_directory.checkpoints(tmp_path)) as checkpoints:
        for step, seed in ((1, 0), (2, 5)):
            checkpoints.save(step, assemble.new_state(dataclasses.replace(config, seed=seed), game))
    run_directory.write_config(tmp_path, config, data_fingerprint="none")
    last = load(tmp_path)
    first = last.at(1)
    assert (first.step, last.step) == (1, 2)
    np.testing.assert_array_equal(first.draw(4, seed=0), load(tmp_path, 1).draw(4, seed=0))
    assert np.abs(first.draw(4, seed=0) - last.draw(4, seed=0)).max() > 0
    assert last.programs is first.programs
    assert last.programs["decode"]._cache_size() == 1
