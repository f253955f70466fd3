"""Level GANs: one-hot in and out, what is refused, and the files that a user gets."""

import dataclasses

import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen import assemble
from jaxgen.config import MLP, Adversarial, Config, Residual
from jaxgen.domains import levels
from jaxgen.domains.levels import DOMAINS, LevelOptions, parse_goal
from jaxgen.errors import UserError
from jaxgen.levels import text, tiled
from jaxgen.levels.games import game
from jaxgen.levels.tiles import TILESETS
from jaxgen.models import residual

SOKOBAN, MARIO = TILESETS["sokoban"], TILESETS["mario"]
CONFIG = Config(
    "levels/sokoban", Residual(z_dim=3, gen=(8, 4), disc=(6, 4), placed="@$."), Adversarial(), shape=(6, 6, 7)
)
GOOD = """######
#@   #
# $. #
#    #
#    #
######
"""
BAD = GOOD.replace("@", " ")


def numbers(level):
    return text.parse(level, SOKOBAN, "a test")[0]


class Run:
    """A trained run whose generator knows two levels: the good one where the first latent is positive."""

    config, z_dim, classes = CONFIG, 3, 0

    def latents(self, n, seed, bound=0.0):
        return np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)

    def decode(self, z, label=None):
        both = levels.one_hot(np.stack([numbers(BAD), numbers(GOOD)]), 7)
        return both[(z[:, 0] > 0).astype(int)].astype(np.float32)

    def draw(self, n, seed, label=None, bound=0.0):
        return self.decode(self.latents(n, seed, bound))

    def walk(self, n, seed, frames=48):
        return np.stack([self.draw(n, seed)] * 2)

    def criticise(self, x, label=None):
        return np.zeros(len(x))


def sample(folder, **options):
    return DOMAINS["sokoban"].sample(Run(), LevelOptions(**options), epath.Path(folder))


def test_domains_are_found_by_file_and_name():
    assert assemble.domain(CONFIG) is DOMAINS["sokoban"]
    with pytest.raises(UserError, match=r"no domain levels/ 'soko'; did you mean 'sokoban'\?"):
        assemble.domain(dataclasses.replace(CONFIG, domain="levels/soko"))
    with pytest.raises(UserError, match=r"no domain 'level'; did you mean 'levels'\?"):
        assemble.domain(dataclasses.replace(CONFIG, domain="level/mario"))


def test_tiles_go_to_one_hot_and_back():
    level = numbers(GOOD)
    raw = levels.one_hot(level[None], 7)
    batch = DOMAINS["sokoban"].to_batch({"image": raw})
    assert batch["image"].dtype == np.float32
    np.testing.assert_array_equal(batch["image"].sum(-1), 1)
    soft = batch["image"] * 0.4 + 0.05  # the likeliest tile is what counts
    np.testing.assert_array_equal(levels.tile_numbers(soft)[0], level)
    np.testing.assert_array_equal(DOMAINS["sokoban"].to_raw(soft), raw)


def test_networks_are_the_configs():
    gen, critic = DOMAINS["sokoban"].networks(CONFIG, "data")
    assert gen == residual.Generator((6, 6, 7), (8, 4), output="one_hot", placed=(4, 3, 2), ground=1, axis_name="data")
    assert critic == residual.Critic((6, 4), totals=True)
    warm = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, temperature=4.0))
    assert DOMAINS["sokoban"].networks(warm, None)[0].temperature == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": MLP()}, "has no model MLP; choose Residual"),
        ({"shape": (6, 6, 13)}, "Levels of sokoban have 7 tiles: --shape H W 7"),
        ({"shape": (7, 6, 7)}, "7x6 can't be halved 1 times"),
        ({"game": Adversarial(classes=2)}, "Levels have no classes"),
        ({"model": Residual(gen=(8, 4), disc=(8, 4), patch=2)}, "leave out --model.patch"),
        ({"model": Residual(gen=(8, 4), disc=(8, 4), placed="@X")}, r"names 'X'; the tiles of sokoban are # \.\$@\*\+"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    config = dataclasses.replace(CONFIG, model=Residual(gen=(8, 4), disc=(8, 4)))
    with pytest.raises(UserError, match=message):
        DOMAINS["sokoban"].networks(dataclasses.replace(config, **change), None)


def test_levels_of_a_folder(tmp_path):
    for i in range(10):
        (tmp_path / f"{i}.txt").write_text(GOOD if i % 5 < 4 else BAD)
    config = dataclasses.replace(CONFIG, data=str(tmp_path))
    train, test = (DOMAINS["sokoban"].load(config, split)["image"] for split in ("train", "test"))
    assert train.shape == (8, 6, 6, 7)
    np.testing.assert_array_equal(levels.tile_numbers(test), np.stack([numbers(BAD)] * 2))
    with pytest.raises(UserError, match="crafter_maps are levels of crafter, not of sokoban"):
        DOMAINS["sokoban"].load(dataclasses.replace(CONFIG, data="crafter_maps"), "train")


def test_files_of_levels(tmp_path):
    paths = sample(tmp_path, num=3, seed=1)
    assert [p.name for p in paths] == ["level-000.tmj", "level-001.tmj", "level-002.tmj"]
    drawn = levels.tile_numbers(Run().draw(3, 1))
    for i, path in enumerate(paths):
        stem = tmp_path / "seed-1" / f"level-{i:03}"
        np.testing.assert_array_equal(tiled.read(path, SOKOBAN), drawn[i])
        np.testing.assert_array_equal(text.parse(stem.with_suffix(".txt").read_text(), SOKOBAN, "")[0], drawn[i])
        with Image.open(stem.with_suffix(".png")) as image:
            assert image.size == (6 * 16, 6 * 16)
    assert not list((tmp_path / "seed-1").glob("*solution*"))


def test_playable_levels_come_with_a_solution(tmp_path):
    """Half of the latents make a level without a player: those are searched from."""
    assert {play.solved for play in map(game("sokoban").play, levels.tile_numbers(Run().draw(8, 0)))} == {True, False}
    paths = sample(tmp_path / "a", num=8, seed=0, playable=True, out=str(tmp_path / "out"))
    assert len(paths) == 8
    for i in range(8):
        level = text.parse((tmp_path / "out" / f"level-{i:03}.txt").read_text(), SOKOBAN, "")[0]
        moves, *facts = (tmp_path / "out" / f"level-{i:03}.solution.txt").read_text().splitlines()
        assert moves == game("sokoban").play(level).moves != ""
        assert "pushes: 1" in facts
        assert (tmp_path / "out" / f"level-{i:03}.solution.png").exists()


def test_arrays_and_pictures(tmp_path):
    (path,) = sample(tmp_path, num=3, out=str(tmp_path / "levels.npz"))
    with np.load(path) as file:
        np.testing.assert_array_equal(file["level"], levels.tile_numbers(Run().draw(3, 0)))
    for name, more in (("grid.png", {}), ("rows.png", {"interpolate": True}), ("walk.gif", {})):
        assert sample(tmp_path, num=2, out=str(tmp_path / name), **more) == [tmp_path / name]


def test_a_goal_is_a_fact_and_a_number():
    assert parse_goal(("pushes=3", "length=20"), "sokoban") == {"pushes": 3, "length": 20}
    with pytest.raises(UserError, match=r"no fact 'pushs' of sokoban levels; did you mean 'pushes'\?"):
        parse_goal(("pushs=3",), "sokoban")
    with pytest.raises(UserError, match="must be a fact and a number"):
        parse_goal(("pushes=many",), "sokoban")


def test_a_goal_prefers_the_level_that_is_closer_and_any_playable_one():
    play = game("sokoban").play
    costs = [levels._cost(play, {"pushes": n}, numbers(GOOD)) for n in (1, 2)]
    assert costs == [0, 0.5]
    assert levels._cost(play, {"pushes": 1000}, numbers(GOOD)) < levels._cost(play, {"pushes": 1}, numbers(BAD))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": (1.0,)}, "no classes to balance"),
        ({"out": "levels.tmx"}, "must be a folder, or end in"),
        ({"interpolate": True}, "--interpolate makes a picture"),
    ],
)
def test_options_that_make_no_sense(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        sample(tmp_path, **options)


def test_a_generator_that_makes_nothing_playable_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "decode", lambda self, z, label=None: levels.one_hot(np.stack([numbers(BAD)] * len(z)), 7))
    with pytest.raises(UserError, match="None of 20 searches of 33 levels found one that can be played"):
        sample(tmp_path, num=2, playable=True, evaluations=33)
