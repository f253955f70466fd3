import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.levels.explorer import play
from jaxgen.levels.tiles import TILESETS

CRAFTER = TILESETS["crafter"]
WATER, GRASS, STONE, PATH, SAND, TREE, LAVA, COAL, IRON, DIAMOND = range(10)
LETTERS = {"w": WATER, ".": GRASS, "s": STONE, "p": PATH, "y": SAND, "t": TREE, "l": LAVA, "c": COAL, "i": IRON}
WAYS = {"l": (0, -1), "u": (-1, 0), "r": (0, 1), "d": (1, 0)}


def world(*rows):
    return np.array([[LETTERS[char] for char in row] for row in rows], np.uint8)


def met(level, cell):
    """The needs that are met on this cell."""
    row, column = cell
    beside = {
        int(level[row + i, column + j])
        for i, j in WAYS.values()
        if 0 <= row + i < len(level) and 0 <= column + j < level.shape[1]
    }
    return frozenset(beside & {TREE, WATER, STONE})


def steps(level, cell, needs):
    """(letter, cell, needs, turns) after each step that the rules allow."""
    for letter, by in WAYS.items():
        to = (cell[0] + by[0], cell[1] + by[1])
        if not all(0 <= at < size for at, size in zip(to, level.shape, strict=True)):
            continue
        if level[to] in (GRASS, SAND, PATH):
            yield letter, to, needs | met(level, to), 1
        elif level[to] in (STONE, COAL) and TREE in needs:
            yield letter.upper(), to, needs | met(level, to), 2


def check(level, found):
    assert found.solved
    assert found.progress == 1
    cell = found.path[0]
    needs, path = met(level, cell), [cell]
    for move in found.moves:
        cell, needs = {letter: (to, then) for letter, to, then, _ in steps(level, cell, needs)}[move]
        path.append(cell)
    assert needs == {TREE, WATER, STONE}
    assert tuple(path) == found.path
    assert found.facts["length"] == len(found.moves)
    assert found.facts["digs"] == sum(move.isupper() for move in found.moves)


def fewest(level, start):
    """The least number of turns by trying everything, None where there is no way."""
    waiting, seen = {0: [(start, met(level, start))]}, set()
    for turn in range(1000):
        for cell, needs in waiting.pop(turn, []):
            if needs == {TREE, WATER, STONE}:
                return turn
            if (cell, needs) not in seen:
                seen.add((cell, needs))
                for _, to, then, turns in steps(level, cell, needs):
                    waiting.setdefault(turn + turns, []).append((to, then))
    return None


def test_by_hand():
    level = world("t....", ".....", "....w", "....s")
    found = play(level)
    check(level, found)
    assert found.path[0] == (1, 2)
    assert len(found.moves) == fewest(level, (1, 2)) == 7  # two to the tree, four to the water, one to the stone
    assert found.facts["trees"] == found.facts["water"] == found.facts["stone"] == 1 / 20
    assert found.facts["digs"] == found.facts["coal"] == found.facts["iron"] == found.facts["diamonds"] == 0


@pytest.mark.parametrize("tile", LETTERS)
def test_which_tiles_block_the_way(tile):
    level = world("lllsl", f"t.{tile}.w", "lllll")
    found = play(level)
    assert found.solved == (tile in ".pysc")
    assert found.facts["digs"] == (tile in "sc")
    if found.solved:
        assert found.path[0] == ((1, 1) if tile in "sc" else (1, 2))


def test_digs_only_after_a_tree():
    found = play(world("t..sscw", "lllllll"))
    assert (found.moves, found.facts["digs"]) == ("lrRRR", 3)
    found = play(world("i..sstw", "lllllll"))  # the tree lies behind the stone
    assert (found.solved, found.why) == (False, "no way to tree, no way to water")


def test_a_detour_is_taken_where_it_is_quicker_than_digging():
    short = world("lt...ll", "lt.s.wl", "llllsll")
    found = play(short)
    check(short, found)
    assert found.facts["digs"] == 0


def test_progress():
    assert play(world("lll", "lwl")).progress == 0
    assert play(world("lll", "lwl")).why == "no grass, sand or path to start on"
    found = play(world("t.ll", "lsll"))
    assert (found.progress, found.why) == (pytest.approx(2 / 3), "no water")
    near, far = play(world("t.lw", "lsll")), play(world("llltslllw", "lllt.llll"))
    assert near.progress == pytest.approx((2 + 0.9 / 2) / 3)
    assert near.why == "no way to water"
    assert 2 / 3 < far.progress < near.progress


def test_limit():
    found = play(world("t....", ".....", "....w", "....s"), limit=2)
    assert (found.solved, found.nodes, found.why) == (False, 2, "not solved within 2 states")
    assert 0 < found.progress < 1


def test_same_as_trying_everything():
    rng = np.random.default_rng(0)
    solved = 0
    for _ in range(80):
        chances = rng.dirichlet([1, 6, 2, 1, 1, 1, 3, 1, 1, 0.5])
        level = rng.choice(10, rng.integers(4, 10, 2), p=chances).astype(np.uint8)
        found = play(level)
        assert found == play(level)
        walkable = np.argwhere(np.isin(level, (GRASS, SAND, PATH)))
        if not len(walkable):
            assert found.nodes == 0
            continue
        start = tuple(min(walkable.tolist(), key=lambda cell: np.hypot(*(cell - (np.array(level.shape) - 1) / 2))))
        least = fewest(level, start)
        assert found.solved == (least is not None)
        assert found.solved or 0 <= found.progress < 1
        if found.solved:
            check(level, found)
            assert found.path[0] == start
            assert found.facts["length"] + found.facts["digs"] == least
            solved += 1
    assert 15 < solved < 75


def test_refuses():
    with pytest.raises(UserError, match="tiles 0 to 9"):
        play(np.full((3, 3), 10, np.uint8))
