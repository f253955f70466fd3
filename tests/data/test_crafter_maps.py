import importlib.metadata
import sys

import numpy as np
import pytest

from jaxgen.data import crafter_maps
from jaxgen.errors import UserError
from jaxgen.levels.tiles import TILESETS

pytest.importorskip("crafter")
CRAFTER = TILESETS["crafter"]


@pytest.fixture
def few(monkeypatch):
    """Two worlds, and how often one was made."""
    made = []
    real = crafter_maps.world
    monkeypatch.setattr(crafter_maps, "SEEDS", {"train": (0,), "test": (1000,)})
    monkeypatch.setattr(crafter_maps, "world", lambda seed: made.append(seed) or real(seed))
    return made


def test_a_world_is_the_one_of_the_game():
    import crafter

    env = crafter.Env(seed=3)
    env.reset()
    tiles = crafter_maps.world(3)
    assert tiles.shape == (64, 64)
    assert tiles.dtype == np.uint8
    for x, y in ((0, 0), (10, 50), (50, 10), (63, 20)):
        assert CRAFTER.names[tiles[y, x]] == env._world[x, y][0]
    assert CRAFTER.names[tiles[32, 32]] == "grass"  # where the player starts
    np.testing.assert_array_equal(crafter_maps.world(3), tiles)


def test_worlds_are_made_once(few, tmp_path):
    train = crafter_maps.worlds("train", str(tmp_path))
    test = crafter_maps.worlds("test", str(tmp_path))
    assert few == [0, 1000]
    assert train.shape == test.shape == (1, 64, 64)
    assert train.max() < CRAFTER.size
    assert (train != test).any()
    version = importlib.metadata.version("crafter")
    names = [f"crafter-{version}.lock", f"crafter-{version}.npz"]
    assert sorted(path.name for path in (tmp_path / "levels").iterdir()) == names


@pytest.mark.parametrize("damage", ["text", "cut", "flipped", "other seeds", "other shape", "no tile"])
def test_a_damaged_cache_is_made_anew(few, tmp_path, damage):
    before = crafter_maps.worlds("train", str(tmp_path))
    (path,) = (tmp_path / "levels").glob("*.npz")
    good = path.read_bytes()
    other = {"train": before, "test": before, "train_seeds": np.array([0]), "test_seeds": np.array([1000])}
    if damage == "text":
        path.write_bytes(b"hello")
    elif damage == "cut":
        path.write_bytes(good[: len(good) // 2])
    elif damage == "flipped":
        path.write_bytes(good[:200] + bytes([good[200] ^ 255]) + good[201:])
    elif damage == "other seeds":
        np.savez(path, allow_pickle=False, **(other | {"train_seeds": np.array([7])}))
    elif damage == "other shape":
        np.savez(path, allow_pickle=False, **(other | {"test": before[:, :32]}))
    else:
        np.savez(path, allow_pickle=False, **(other | {"test": before + np.uint8(10)}))
    np.testing.assert_array_equal(crafter_maps.worlds("train", str(tmp_path)), before)
    assert few == [0, 1000] * 2
    crafter_maps.worlds("test", str(tmp_path))
    assert len(few) == 4


def test_what_is_placed_by_the_player_is_refused(monkeypatch):
    import crafter

    class Built(crafter.Env):
        def reset(self):
            super().reset()
            self._world[5, 5] = "table"

    monkeypatch.setattr(crafter, "Env", Built)
    with pytest.raises(UserError, match="seed 3 has table, which no new world should have"):
        crafter_maps.world(3)


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "crafter", None)
    with pytest.raises(UserError, match=r'^crafter is needed for worlds of Crafter .*pip install "jaxgen\[games\]"'):
        crafter_maps.world(0)

    def gone(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", gone)
    with pytest.raises(UserError, match=r'pip install "jaxgen\[games\]"'):
        crafter_maps.worlds("train", str(tmp_path))


def test_bad_calls(tmp_path):
    with pytest.raises(UserError, match="no split 'dev'; choose from train, test"):
        crafter_maps.worlds("dev")
    (tmp_path / "levels").write_text("in the way")
    with pytest.raises(UserError, match="Cannot write to"):
        crafter_maps.worlds("train", str(tmp_path))
