import importlib.metadata
import sys

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import crafter_maps, crafter_views
from jaxgen.errors import UserError
from jaxgen.levels.tiles import TILESETS

crafter = pytest.importorskip("crafter")
NAMES = TILESETS["crafter"].names
CREATURES = ("cow", "zombie", "skeleton")


@pytest.fixture
def few(monkeypatch):
    """Two worlds of few views, noise in place of the game's; gives the seeds of the worlds that were drawn."""
    made = []

    def noise(seed, count):
        made.append(seed)
        rng = np.random.default_rng(seed)
        maps, images = rng.integers(0, 10, (count, 8, 8)), rng.integers(0, 256, (count, 64, 64, 3))
        return {"map": maps.astype(np.uint8), "image": images.astype(np.uint8)}

    monkeypatch.setattr(crafter_maps, "SEEDS", {"train": (0,), "test": (1000,)})
    monkeypatch.setattr(crafter_views, "COUNTS", {"train": 4, "test": 2})
    monkeypatch.setattr(crafter_views, "draw", noise)
    return made


def texture(name):
    """uint8 [8, 8, 4]: the game's file of this name, at the size of a cell."""
    with Image.open(crafter.constants.root / "assets" / f"{name}.png") as file:
        return np.asarray(file.convert("RGBA").resize((8, 8), Image.Resampling.NEAREST))


def cells(images):
    """[N, 64, 64, 3] -> [N, 8, 8, 8, 8, 3]: the pixels of the cell at each row and column."""
    return images.reshape(-1, 8, 8, 8, 8, 3).swapaxes(2, 3)


def test_by_day_each_cell_is_the_texture_of_its_tile_perhaps_below_a_creature():
    views = crafter_views.draw(0, 40, daylight=1.0)
    assert views["map"].shape == (40, 8, 8)
    assert views["image"].shape == (40, 64, 64, 3)
    assert views["map"].dtype == views["image"].dtype == np.uint8
    ground = np.stack([texture(name)[..., :3] for name in NAMES])
    drawn = cells(views["image"])
    bare = (drawn == ground[views["map"]]).all((-3, -2, -1))
    others = {}
    for tile, cell in zip(views["map"][~bare], drawn[~bare], strict=True):
        for name in CREATURES:
            alpha = texture(name)[..., 3:] / 255
            expected = alpha * texture(name)[..., :3] + (1 - alpha) * ground[tile]
            if np.abs(cell - expected).max() <= 1:  # the game rounds down
                others[name] = others.get(name, 0) + 1
                assert NAMES[tile] in ("grass", "sand", "path")  # where one can walk
    assert set(others) == set(CREATURES)
    assert sum(others.values()) == (~bare).sum()  # nothing else, and no player
    assert 0.003 < (~bare).mean() < 0.04


def test_maps_are_windows_of_the_world():
    world = crafter_maps.world(3)
    windows = np.lib.stride_tricks.sliding_window_view(world, (8, 8))
    found = crafter_views.draw(3, 30)["map"]
    assert all((windows == window).all((-2, -1)).any() for window in found)
    seen = np.bincount(found.ravel(), minlength=10) / found.size
    there = np.bincount(world.ravel(), minlength=10) / world.size
    rare = (there > 0) & (there < 0.01)
    assert rare.any()
    assert seen[rare].sum() > 1.5 * there[rare].sum()
    assert (seen[there > 0] > 0).all()


def test_the_light_is_drawn_and_creatures_move_on():
    drawn = crafter_views.draw(0, 12)
    again = crafter_views.draw(0, 12)
    night, day = crafter_views.draw(0, 12, daylight=0.0), crafter_views.draw(0, 12, daylight=1.0)
    for views in (again, night, day):
        np.testing.assert_array_equal(views["map"], drawn["map"])  # light and place do not depend on each other
    np.testing.assert_array_equal(again["image"], drawn["image"])
    light = [views["image"].mean((1, 2, 3)) for views in (night, drawn, day)]
    assert (light[0] < light[2]).all()
    share = (light[1] - light[0]) / (light[2] - light[0])
    assert share.min() < 0.3
    assert share.max() > 0.7


def test_views_are_those_of_each_world(monkeypatch, tmp_path):
    monkeypatch.setattr(crafter_maps, "SEEDS", {"train": (0, 1), "test": (1000,)})
    monkeypatch.setattr(crafter_views, "COUNTS", {"train": 3, "test": 2})
    train, test = (crafter_views.views(split, str(tmp_path)) for split in ("train", "test"))
    for key in ("map", "image"):
        np.testing.assert_array_equal(train[key][3:], crafter_views.draw(1, 3)[key])
        np.testing.assert_array_equal(test[key], crafter_views.draw(1000, 2)[key])


def test_views_are_made_once(few, tmp_path):
    train = crafter_views.views("train", str(tmp_path))
    test = crafter_views.views("test", str(tmp_path))
    assert few == [0, 1000]
    assert train["map"].shape == (4, 8, 8)
    assert test["image"].shape == (2, 64, 64, 3)
    version = importlib.metadata.version("crafter")
    names = [f"crafter-views-{version}.lock", f"crafter-views-{version}.npz"]
    assert sorted(path.name for path in (tmp_path / "levels").iterdir()) == names


@pytest.mark.parametrize("damage", ["text", "cut", "flipped", "seeds", "count", "type", "side", "no tile"])
def test_a_damaged_cache_is_made_anew(few, tmp_path, damage):
    before = crafter_views.views("train", str(tmp_path))
    (path,) = (tmp_path / "levels").glob("*.npz")
    good = path.read_bytes()
    with np.load(path, allow_pickle=False) as opened:
        arrays = dict(opened)
    changed = {
        "seeds": {"train_seeds": np.array([7])},
        "count": {"test_map": arrays["test_map"][:1], "test_image": arrays["test_image"][:1]},
        "type": {"test_image": arrays["test_image"].astype(np.float32)},
        "side": {"test_image": arrays["test_image"][:, :32]},
        "no tile": {"train_map": arrays["train_map"] + np.uint8(10)},
    }
    if damage == "text":
        path.write_bytes(b"hello")
    elif damage == "cut":
        path.write_bytes(good[: len(good) // 2])
    elif damage == "flipped":
        path.write_bytes(good[:200] + bytes([good[200] ^ 255]) + good[201:])
    else:
        np.savez(path, allow_pickle=False, **(arrays | changed[damage]))
    after = crafter_views.views("train", str(tmp_path))
    for key in ("map", "image"):
        np.testing.assert_array_equal(after[key], before[key])
    assert few == [0, 1000] * 2
    crafter_views.views("test", str(tmp_path))
    assert len(few) == 4


def test_bad_calls(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no split 'dev'; choose from train, test"):
        crafter_views.views("dev")
    (tmp_path / "levels").write_text("in the way")
    with pytest.raises(UserError, match="Cannot write to"):
        crafter_views.views("train", str(tmp_path))
    monkeypatch.setitem(sys.modules, "crafter", None)
    with pytest.raises(UserError, match=r'^crafter is needed for worlds of Crafter .*pip install "jaxgen\[games\]"'):
        crafter_views.draw(0, 1)
