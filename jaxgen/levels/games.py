"""The games that can be played, by name."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from jaxgen.config import nearest
from jaxgen.errors import UserError, needed
from jaxgen.levels import Play

_GAMES = {
    "mario": ("platformer", ("length", "jumps", "gaps", "enemies", "coins", "difficulty")),
    "sokoban": ("sokoban", ("length", "pushes", "boxes", "difficulty")),
    "crafter": ("explorer", ("length", "digs", "trees", "water", "stone", "coal", "iron", "diamonds")),
}
"""name -> (the solver's module, its facts)."""

NAMES = tuple(_GAMES)


@dataclass(frozen=True)
class Game:
    """A game with a solver."""

    name: str
    play: Callable[..., Play]  # (level uint8 [H, W], limit: int = the game's own) -> Play
    facts: tuple[str, ...]  # keys of `Play.facts`


def game(name: str) -> Game:
    """The game of this name. Compiled solvers are imported here, not before.

    Raises `UserError` for a name it does not know, or where Numba is not installed.
    """
    if name not in _GAMES:
        raise UserError(f"There is no game {name!r}{nearest(name, _GAMES)}.")
    module, facts = _GAMES[name]
    with needed("numba", "playing levels", "games"):
        solver = importlib.import_module(f"jaxgen.levels.{module}")
    return Game(name, solver.play, facts)
