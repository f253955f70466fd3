import subprocess
import sys

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.levels.games import NAMES, game
from jaxgen.levels.tiles import TILESETS


@pytest.mark.parametrize("name", NAMES)
def test_every_game_fills_its_facts(name):
    found = game(name)
    assert found.name == name
    for level in np.random.default_rng(0).integers(0, TILESETS[name].size, (20, 8, 9)).astype(np.uint8):
        play = found.play(level)
        assert tuple(play.facts) == found.facts
        assert play.solved == (play.progress == 1) == (not play.why) == bool(play.path)
        assert 0 <= play.progress <= 1
        assert len(play.path) == len(play.moves) + 1 or not play.solved


def test_unknown_name():
    with pytest.raises(UserError, match="did you mean 'sokoban'"):
        game("socoban")


def test_numba_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "jaxgen.levels.platformer", raising=False)
    with pytest.raises(UserError, match=r"^numba is needed for playing levels .*pip install \"jaxgen\[games\]\""):
        game("mario")


def test_numba_is_not_imported_before_a_game_is_asked_for():
    code = "import sys, jaxgen.levels.games; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
