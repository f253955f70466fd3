"""What the gates make of their data, on small sets of the same form."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io

from benchmarks import gates, olivetti
from benchmarks.gates import level_gan, medical_gan
from jaxgen import run_directory
from jaxgen.checkpoint import Checkpoints
from jaxgen.errors import UserError
from jaxgen.levels.games import game
from jaxgen.metrics import level_quality
from jaxgen.metrics.levels import column_markov, nearest_hamming


def test_olivetti_is_split_by_person(tmp_path, monkeypatch):
    """Each picture says which column it was in; none is in both splits, and all are upright."""
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path))
    faces = np.zeros((4096, 400), np.uint8)
    faces[0] = np.arange(400) // 10  # the first pixel: the person
    faces[1] = np.arange(400) % 10  # the one below it, columns first: which picture
    scipy.io.savemat(tmp_path / "olivettifaces.mat", {"faces": faces})
    with np.load(olivetti.prepare(tmp_path)) as made:
        assert made["x_train"].shape == (280, 64, 64, 1)
        assert made["x_test"].shape == (120, 64, 64, 1)
        for split in ("train", "test"):
            np.testing.assert_array_equal(made[f"x_{split}"][:, 0, 0, 0], made[f"y_{split}"])
        marks = np.concatenate([made[f"x_{split}"][:, :2, 0, 0] for split in ("train", "test")]).astype(int)
        assert sorted((marks @ [10, 1]).tolist()) == list(range(400))
        assert (np.bincount(made["y_test"]) == 3).all()


@pytest.mark.parametrize("prepare", [olivetti.prepare, lambda folder: medical_gan.measure(0, folder, folder)])
def test_missing_files_are_named(prepare, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"is missing\. Give its folder with --data"):
        prepare(tmp_path)


def test_impostors_of_labelled_sets_have_the_class_counts_of_the_real_one():
    rng = np.random.default_rng(0)
    train = {"image": rng.integers(0, 255, (40, 6, 6, 1), np.uint8), "label": np.repeat([0, 1], [10, 30])}
    made = medical_gan._impostors(train, np.array([10, 30]), seed=0)
    for name, labelled in made.items():
        assert labelled["image"].shape == (40, 6, 6, 1), name
        np.testing.assert_array_equal(np.bincount(labelled["label"]), [10, 30])
    few = made["collapsed"]
    assert len(np.unique(few["image"].reshape(40, -1), axis=0)) == 10
    firsts = {image.tobytes() for image in train["image"][train["label"] == 1]}
    assert all(image.tobytes() in firsts for image in few["image"][few["label"] == 1])


def test_flat_ground_is_played_without_a_jump_and_survives_tiled():
    levels = level_gan.flat_ground(3, (14, 28))
    play = game("mario").play(levels[0])
    assert play.solved
    assert play.facts["jumps"] == 0
    assert level_gan.round_trip(levels, "mario") == 1


def test_an_impostor_of_one_game_is_judged_on_that_game():
    rows = {"row_unigram": {"pattern_kl": 2.0}, "column_copier": {"hamming": 0.07}}
    parts = {part.name: part for part in level_gan._parts("sokoban", rows)}
    assert parts["sokoban: playable >= 40%"].met({"sokoban_playable": 0.4})
    kl = parts["sokoban: tile-pattern KL below the row-unigram sampler's"]
    assert [kl.met({"sokoban_pattern_kl": v}) for v in (1.99, 2.0)] == [True, False]
    far = parts["sokoban: farther from the training levels than the column copier"]
    assert [far.met({"sokoban_hamming": v}) for v in (0.07, 0.071)] == [False, True]
    assert "sokoban: pushes TV <= 0.3" in parts


def test_the_copier_comes_nearer_to_the_training_levels_than_unseen_ones():
    rng = np.random.default_rng(0)
    ring = np.resize(rng.integers(0, 2, (3, 37), np.uint8).T, (60, 3)).T
    train = np.stack([ring[:, i : i + 8] for i in range(37)])
    unseen = train.copy()
    unseen[:, :, 4] ^= 1
    real = level_quality.Reference(game("sokoban"), train, unseen, {}, nearest_hamming(unseen, train))
    order, levels = level_gan.copier(real, seed=0)
    assert order > 1
    assert nearest_hamming(levels, train).mean() < real.distances.mean()
    before = column_markov(train, level_gan.SAMPLES, 0, order - 1)
    assert nearest_hamming(before, train).mean() >= real.distances.mean()
    copies = level_quality.Reference(game("sokoban"), train, train, {}, np.zeros(len(train)))
    with pytest.raises(UserError, match="are these copies"):
        level_gan.copier(copies, seed=0)


def test_a_level_is_left_out_with_all_its_windows():
    """Two levels of one column each, repeated: windows of the first equal one another, and none of the second."""
    levels = np.zeros((2, 2, 9), np.uint8)
    levels[1] = 1
    levels[1, 0, 5:] = 0
    windows = np.concatenate([np.stack([level[:, i : i + 4] for i in range(6)]) for level in levels])
    distances = level_gan.left_out(windows)
    assert distances[:6].tolist() == [0.5] * 6  # to the nearest window of the other: half of it ground
    assert distances[6:].tolist() == [1, 1, 0.875, 0.75, 0.625, 0.5]
    with pytest.raises(UserError, match="windows of one level"):
        level_gan.left_out(windows[:6])


def test_half_a_run_is_not_judged(monkeypatch, tmp_path):
    cfg = gates.config("digits_gan", None, 0)

    def stopped(cfg, workdir):  # as by a signal
        with Checkpoints(run_directory.checkpoints(workdir)) as checkpoints:
            checkpoints.save(cfg.loop.steps - 1, {"a": jnp.zeros(1)})
            checkpoints.wait()

    monkeypatch.setattr(gates, "train", stopped)
    with pytest.raises(UserError, match=f"stopped before step {cfg.loop.steps} and is not judged; run the same again"):
        gates.trained(cfg, tmp_path)
