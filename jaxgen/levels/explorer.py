"""Explores maps of Crafter (Hafner 2021).

The walker starts on the walkable tile (grass, sand, path) nearest to the centre of the map, the first in reading order
of several, and steps left, up, right and down. It looks for what Crafter's player needs first: it has to come beside a
tree, water and stone, in any order. Once it has been beside a tree it owns a pickaxe, and can dig through stone and
coal: a step onto them takes two turns. Tiles that were dug are not remembered, so a step back onto one takes two again.
Water, trees, iron and diamonds block the way, and so does lava: it is deadly. Crafter itself wants a table and more
wood for a pickaxe.

`Play.moves` has `l`, `u`, `r`, `d` for steps, capitals for steps that dig. `Play.progress` of an unsolved map is the
mean, over the three needs, of 1 where one is met and of 0.9 / (1 + d) where not: d is how many steps, across whatever
lies between, are left from where the walker gets to a place beside the nearest such tile. It is 0 where there is none.
"""

from heapq import heappop, heappush
from itertools import pairwise

import numpy as np
from numba import njit

from jaxgen.levels import Cell, Play
from jaxgen.levels.inputs import check_level
from jaxgen.levels.tiles import TILESETS

LIMIT = 1_000_000
"""States looked at before a map is given up; a map has at most 8 H W."""

_LETTERS = "lurdLURD"
_NEEDS = ("tree", "water", "stone")  # bit k of a state: the k-th has been met
_TREE, _ALL = 1, 7

_TILES = TILESETS["crafter"]
_COUNTED = {"trees": "tree", "water": "water", "stone": "stone", "coal": "coal", "iron": "iron", "diamonds": "diamond"}
_NUMBERS = {fact: _TILES.numbers(name)[0] for fact, name in _COUNTED.items()}
_WALK, _DIG = (
    np.isin(np.arange(_TILES.size), _TILES.numbers(*names)) for names in (("grass", "sand", "path"), ("stone", "coal"))
)


def play(level: np.ndarray, limit: int = LIMIT) -> Play:
    """The quickest way past all needs of `level` uint8 [H, W].

    Facts: `length` (steps) and `digs` of the solution, 0 where there is none; the share of the map's tiles that are
    `trees`, `water`, `stone`, `coal`, `iron` and `diamonds`. Raises `UserError` for what is not a level.
    """
    level = check_level(level, _TILES)
    facts = {"length": 0, "digs": 0} | {fact: float((level == tile).mean()) for fact, tile in _NUMBERS.items()}
    start = _start(level)
    if start is None:
        return Play(False, 0.0, 0, why="no grass, sand or path to start on", facts=facts)
    kinds = np.pad(np.where(_WALK[level], 1, np.where(_DIG[level], 2, 0)), 1)  # turns of a step onto a tile; 0: none
    columns = kinds.shape[1]
    beside = np.zeros(kinds.shape, np.int64)
    for k, name in enumerate(_NEEDS):
        there = np.pad(level == _TILES.numbers(name)[0], 1)
        for axis, by in ((0, 1), (0, -1), (1, 1), (1, -1)):
            beside |= np.roll(there, by, axis).astype(np.int64) << k
    end, nodes, found, reached, parents = _search(
        kinds.ravel(), beside.ravel(), (start[0] + 1) * columns + start[1] + 1, columns, limit
    )
    if end < 0:
        met = int(found)
        why = f"not solved within {limit:,} states" if nodes >= limit else _missing(beside, met)
        return Play(False, _progress(reached.reshape(kinds.shape), beside, met), nodes, why=why, facts=facts)
    moves, path = _trace(parents, int(end), kinds, columns)
    facts |= {"length": len(moves), "digs": sum(move.isupper() for move in moves)}
    return Play(True, 1.0, nodes, moves, path, facts=facts)


def _start(level: np.ndarray) -> Cell | None:
    rows, columns = np.nonzero(_WALK[level])
    if not len(rows):
        return None
    height, width = level.shape
    near = np.argmin((2 * rows - height + 1) ** 2 + (2 * columns - width + 1) ** 2)
    return int(rows[near]), int(columns[near])


@njit(cache=True)
def _search(turns, beside, start, columns, limit):
    """Dijkstra's shortest way (1959) over states 8 * cell + needs met.

    Returns (state with all needs met or -1, states looked at, needs met, bool [cells] of those reached, the state
    before each).
    """
    states = 8 * len(turns)
    cost = np.full(states, np.iinfo(np.int64).max)
    parents = np.full(states, -1, np.int32)
    done = np.zeros(states, np.bool_)
    reached = np.zeros(len(turns), np.bool_)
    first = 8 * start + beside[start]
    cost[first] = 0
    heap = [np.int64(first)]
    nodes, met = 0, 0
    while len(heap) > 0 and nodes < limit:
        state = heappop(heap) % states
        if done[state]:
            continue
        done[state] = True
        nodes += 1
        cell, needs = state // 8, state % 8
        reached[cell] = True
        met |= needs
        if needs == _ALL:
            return state, nodes, met, reached, parents
        for offset in (-1, -columns, 1, columns):
            to = cell + offset
            if turns[to] == 0 or (turns[to] == 2 and not needs & _TREE):
                continue
            new = 8 * to + (needs | beside[to])
            if cost[state] + turns[to] < cost[new]:
                cost[new] = cost[state] + turns[to]
                parents[new] = state
                heappush(heap, np.int64(cost[new] * states + new))
    return -1, nodes, met, reached, parents


def _missing(beside: np.ndarray, met: int) -> str:
    there = np.bitwise_or.reduce(beside, axis=None)
    lacks = [f"no {'way to ' if there >> k & 1 else ''}{name}" for k, name in enumerate(_NEEDS) if not met >> k & 1]
    return ", ".join(lacks)


def _progress(reached: np.ndarray, beside: np.ndarray, met: int) -> float:
    rows, columns = np.nonzero(reached)
    total = 0.0
    for k in range(len(_NEEDS)):
        if met >> k & 1:
            total += 1
            continue
        inside = (beside[1:-1, 1:-1] >> k & 1).astype(bool)
        to_rows, to_columns = np.nonzero(inside)
        if len(to_rows):
            steps = abs(rows[:, None] - 1 - to_rows) + abs(columns[:, None] - 1 - to_columns)
            total += 0.9 / (1 + int(steps.min()))
    return total / len(_NEEDS)


def _trace(parents: np.ndarray, end: int, turns: np.ndarray, columns: int) -> tuple[str, tuple[Cell, ...]]:
    """Moves and path that lead to the state `end`."""
    states = [end]
    while parents[states[-1]] >= 0:
        states.append(int(parents[states[-1]]))
    cells = [state // 8 for state in reversed(states)]
    ways = {-1: 0, -columns: 1, 1: 2, columns: 3}
    steps = (ways[to - cell] + 4 * (turns.flat[to] == 2) for cell, to in pairwise(cells))
    return "".join(_LETTERS[step] for step in steps), tuple((cell // columns - 1, cell % columns - 1) for cell in cells)
