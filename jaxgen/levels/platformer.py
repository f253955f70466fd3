"""Plays windows of Super Mario Bros levels.

Time goes in ticks. In a tick the player, one tile large, first moves up or down, then sideways by one tile or not at
all, and only into free tiles:

- standing on a solid tile, it stays in its row or starts to jump;
- jumping, it rises one row a tick, five at most; it may end the jump at any tick, and must under a solid tile;
- otherwise it falls one row a tick. Below the bottom row it is dead.

So it gets onto what is five tiles higher, and over a gap of nine columns to the same height: about what Mario does at a
run. It needs no run-up: kinder than the game; it cannot smash blocks or run over narrow gaps: harsher than the game.
All 15 levels of the Video Game Level Corpus can be played from end to end, although the corpus leaves out their lifts.

Ground, blocks, pipes and cannons are solid. Enemies and coins are passable: an enemy can be stomped, or waited for.
Above the top row is open sky, but a column whose top tile is solid goes on upward, so that nobody walks over the top of
the window. There is no way out on the left.

A window is cut from a longer level, so the player may enter at any height. It starts in the leftmost of the first three
columns that has a standing place (a free tile on a solid one): at the lowest place from which the last column can be
reached, or at the lowest where there is none. The goal is to be alive in the last column.

`Play.moves` has one letter a tick: `r`, `l` and `n` for right, left and not sideways, on the ground or falling; `R`,
`L` and `N` the same while rising. In `Play.path` a player above the window is put into the top row.
`Play.progress` of an unsolved window is the share of its columns, the first left out, up to the furthest reached alive.
"""

from heapq import heappop, heappush
from itertools import pairwise

import numpy as np
from numba import njit

from jaxgen.levels import Cell, Play
from jaxgen.levels.inputs import check_level
from jaxgen.levels.tiles import TILESETS

LIMIT = 100_000
"""States looked at before a window is given up. A window of 14 x 28 has at most 2,800."""

RISE = 5  # rows of a full jump; after its first tick a player may rise 4, 3, ... 0 rows more, which is its lift
_SKY = RISE + 1  # rows above the window that are searched: nothing stands there, so nothing rises to the first of them
_FIRST = 3  # columns that one may start in
_TICK = 2**16  # what a tick costs; a jump costs 1, so jumps only decide between solutions of equal length
_SIDES = np.array([0, 1, -1])
_LETTERS = "nrlNRL"  # n, r, l: not sideways, right, left; capital where it rises

_TILES = TILESETS["mario"]
_SOLID = np.array([char in _TILES.solid for char in _TILES.chars])
_ENEMY, _COIN = _TILES.chars.index("E"), _TILES.chars.index("o")


def play(level: np.ndarray, limit: int = LIMIT) -> Play:
    """The quickest way through `level` uint8 [H, W], with the fewest jumps among the quickest.

    Facts: `length` (ticks) and `jumps` of the solution, 0 where there is none; `gaps` (runs of columns without a solid
    tile in the bottom row), `enemies`, `coins`; `difficulty` = jumps + 2 gaps + enemies. Raises `UserError` for what is
    not a level.
    """
    level = check_level(level, _TILES)
    blocked, width = _padded(_SOLID[level]), level.shape[1]
    column, rows = _starts(blocked)
    nodes, furthest, end, parents = 0, 0, -1, np.empty(0, np.int32)
    for row in rows:
        end, seen, right, parents = _search(blocked, row, column, limit - nodes)
        nodes, furthest = nodes + seen, max(furthest, right - 1)
        if end >= 0 or nodes >= limit:
            break
    moves, jumps, path = _trace(parents, end, width + 2) if end >= 0 else ("", 0, ())
    facts = _facts(level, len(moves), jumps)
    if end >= 0:
        return Play(True, 1.0, nodes, moves, path, facts=facts)
    if not rows:
        why = f"no place to stand in the first {_FIRST} columns"
    elif nodes >= limit:
        why = f"not solved within {limit:,} states"
    else:
        why = f"no way on from column {furthest + 1} of {width}"
    return Play(False, furthest / max(width - 1, 1), nodes, why=why, facts=facts)


def _padded(solid: np.ndarray) -> np.ndarray:
    """bool [_SKY + H + 1, W + 2]: where the player cannot be. The last row lies below the bottom, where it dies."""
    sky = np.repeat(solid[:1], _SKY, axis=0)
    rows = np.concatenate([sky, solid, np.zeros_like(solid[:1])])
    return np.pad(rows, ((0, 0), (1, 1)), constant_values=True)


def _starts(blocked: np.ndarray) -> tuple[int, list[int]]:
    """The column to start in, and the rows to start from, the lowest first; no rows where there is no such place."""
    inside = blocked[_SKY:]
    standing = ~inside[:-1] & inside[1:]
    for column in range(1, min(_FIRST, blocked.shape[1] - 2) + 1):
        if standing[:, column].any():
            return column, [_SKY + int(row) for row in np.flatnonzero(standing[:, column])[::-1]]
    return 0, []


@njit(cache=True)
def _search(blocked, row, column, limit):
    """A* by ticks; the columns that are left are its lower bound.

    Returns (state at the goal or -1, states looked at, rightmost column reached alive, the state before each state).
    A state is (row * columns + column) * RISE + lift.
    """
    height, columns = blocked.shape
    states = height * columns * RISE
    goal, bottom = columns - 2, height - 1
    cost = np.full(states, np.iinfo(np.int64).max)
    parents = np.full(states, -1, np.int32)
    done = np.zeros(states, np.bool_)
    start = (row * columns + column) * RISE
    cost[start] = 0
    heap = [np.int64((goal - column) * _TICK * states + start)]
    nodes, furthest = 0, column
    while len(heap) > 0 and nodes < limit:
        state = heappop(heap) % states
        if done[state]:
            continue
        done[state] = True
        nodes += 1
        lift = state % RISE
        r, c = state // RISE // columns, state // RISE % columns
        furthest = max(furthest, c)
        if c == goal:
            return state, nodes, furthest, parents
        stands = blocked[r + 1, c]
        for rises in range(2):
            jumps = 0
            if rises == 0:
                new_r, new_lift = (r if stands else r + 1), 0
            elif lift > 0:
                new_r, new_lift = r - 1, lift - 1
            elif stands:
                new_r, new_lift, jumps = r - 1, RISE - 1, 1
            else:
                continue
            if blocked[new_r, c] or new_r == bottom:
                continue
            for side in _SIDES:
                if blocked[new_r, c + side]:
                    continue
                new = (new_r * columns + c + side) * RISE + new_lift
                price = cost[state] + _TICK + jumps
                if price < cost[new]:
                    cost[new] = price
                    parents[new] = state
                    heappush(heap, np.int64((price + (goal - c - side) * _TICK) * states + new))
    return -1, nodes, furthest, parents


def _trace(parents: np.ndarray, end: int, columns: int) -> tuple[str, int, tuple[Cell, ...]]:
    """Moves, the number of jumps, and path that lead to the state `end`."""
    states = [end]
    while parents[states[-1]] >= 0:
        states.append(int(parents[states[-1]]))
    steps = [(*divmod(state // RISE, columns), state % RISE) for state in reversed(states)]
    moves, jumps = "", 0
    for (row, column, _), (new_row, new_column, new_lift) in pairwise(steps):
        moves += _LETTERS[(new_column - column) % 3 + 3 * (new_row < row)]
        jumps += new_lift == RISE - 1
    return moves, jumps, tuple((max(row - _SKY, 0), column - 1) for row, column, _ in steps)


def _facts(level: np.ndarray, length: int, jumps: int) -> dict[str, float]:
    empty = ~_SOLID[level[-1]]
    gaps = int(empty[0]) + int((empty[1:] & ~empty[:-1]).sum())
    enemies, coins = int((level == _ENEMY).sum()), int((level == _COIN).sum())
    return {
        "length": length,
        "jumps": jumps,
        "gaps": gaps,
        "enemies": enemies,
        "coins": coins,
        "difficulty": jumps + 2 * gaps + enemies,
    }
