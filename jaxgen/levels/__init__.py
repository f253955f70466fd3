"""Games whose levels are grids of tiles: their tiles, their files, and solvers that play them.

A level is uint8 [H, W] of tile numbers. Nothing here knows how levels are made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Cell = tuple[int, int]
"""(row, column), from the top left corner."""


@dataclass(frozen=True)
class Play:
    """What a solver found out about one level."""

    solved: bool
    progress: float  # 1 where solved, else in [0, 1): how much of it could be played
    nodes: int  # states that were looked at
    moves: str = ""  # of the solution, in the game's own letters; empty where there is none
    path: tuple[Cell, ...] = ()  # cells the player stands in, the first one included
    why: str = ""  # what is wrong with a level that is not solved
    facts: Mapping[str, float] = field(default_factory=dict)
    """Numbers of a level that one may ask for: `length` (moves of the solution, 0 without one), and the game's own."""
