import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.levels import text
from jaxgen.levels.platformer import play
from jaxgen.levels.tiles import TILESETS

MARIO = TILESETS["mario"]
VGLC = Path(__file__).parents[3] / "shared" / "data" / "levels" / "vglc" / "vglc-processed.zip"


def window(*rows, height=14):
    """A window with these rows at the bottom and nothing above."""
    rows = ["-" * len(rows[0])] * (height - len(rows)) + list(rows)
    return np.array([[MARIO.chars.index(char) for char in row] for row in rows], np.uint8)


def is_free(level, row, column):
    """The rules once more, cell by cell: above the window each column goes on as its top tile does."""
    height, width = level.shape
    if not 0 <= column < width:
        return False
    return row >= height or MARIO.chars[level[max(row, 0), column]] not in MARIO.solid


def steps(level, state):
    """(letter, state) after one tick from (row, column, rows it may still rise); whoever falls out is left out."""
    row, column, lift = state
    height = len(level)
    stands = row + 1 < height and not is_free(level, row + 1, column)
    kinds = [(row if stands else row + 1, 0, str.lower)]
    if lift or stands:
        kinds.append((row - 1, (lift or 5) - 1, str.upper))
    for to_row, to_lift, case in kinds:
        if to_row >= height or not is_free(level, to_row, column):
            continue
        for letter, side in (("n", 0), ("r", 1), ("l", -1)):
            if is_free(level, to_row, column + side):
                yield case(letter), (to_row, column + side, to_lift)


def replay(level, moves, start):
    """The cells that `moves` lead through; an assertion fails at the first move that the rules do not allow."""
    state = (*start, 0)
    path = [start]
    for move in moves:
        after = dict(steps(level, state))
        assert move in after, (state, move)
        state = after[move]
        path.append((max(state[0], 0), state[1]))
    return path


def starts(level):
    """Standing places of the leftmost column that has one, of the first three; the lowest first."""
    for column in range(3):
        rows = [
            row for row in range(len(level) - 1) if is_free(level, row, column) and not is_free(level, row + 1, column)
        ]
        if rows:
            return [(row, column) for row in reversed(rows)]
    return []


def fewest(level, start):
    """(ticks, jumps) of the best way by trying everything, or how far right one comes."""
    layer, seen, ticks, furthest = {(*start, 0): 0}, set(), 0, start[1]
    while layer:
        furthest = max(furthest, *(column for _, column, _ in layer))
        if furthest == level.shape[1] - 1:
            return ticks, min(jumps for (_, column, _), jumps in layer.items() if column == furthest)
        seen |= layer.keys()
        following = {}
        for state, jumps in layer.items():
            for _, new in steps(level, state):
                if new not in seen:
                    following[new] = min(following.get(new, 99), jumps + (new[2] == 4))
        layer, ticks = following, ticks + 1
    return furthest


def check(level, found):
    """A solution is legal, ends in the last column, and is what its facts say."""
    assert found.solved
    assert found.progress == 1
    assert replay(level, found.moves, found.path[0]) == list(found.path)
    assert found.path[0] in starts(level)
    assert found.path[-1][1] == level.shape[1] - 1
    assert found.facts["length"] == len(found.moves)


def test_flat_ground_is_run_over():
    found = play(window("X" * 28))
    assert found.moves == "r" * 27
    assert found.path == tuple((12, column) for column in range(28))
    assert found.facts == {"length": 27, "jumps": 0, "gaps": 0, "enemies": 0, "coins": 0, "difficulty": 0}


def test_facts_by_hand():
    found = play(window("--E-o-------------o", "XX--XX---------SS--"))
    assert found.facts == {"length": 18, "jumps": 2, "gaps": 3, "enemies": 1, "coins": 2, "difficulty": 2 + 2 * 3 + 1}
    assert play(window("E" * 9, "X--------")).facts["enemies"] == 9


@pytest.mark.parametrize(("gap", "solved"), [(1, True), (9, True), (10, False)])
def test_a_gap_of_ten_is_too_wide(gap, solved):
    level = window("XXX" + "-" * gap + "XXXX")
    found = play(level)
    assert found.solved == solved
    assert found.facts["jumps"] == solved
    if not solved:
        assert found.why == "no way on from column 13 of 17"  # the last one of the gap
        assert found.progress == 12 / 16
        assert found.facts["length"] == 0
        assert found.moves == ""


@pytest.mark.parametrize(("wall", "solved"), [(1, True), (5, True), (6, False)])
def test_a_wall_of_six_is_too_high(wall, solved):
    found = play(window(*["-----X----"] * wall, "X" * 10))
    assert found.solved == solved
    assert found.progress == (1 if solved else 4 / 9)


@pytest.mark.parametrize("tile", MARIO.chars)
def test_which_tiles_block(tile):
    level = window(*[f"---{tile}---"] * 13, "XXXXXXX")
    assert play(level).solved == (tile in "-Eo")


@pytest.mark.parametrize(
    ("rows", "gap", "solved"), [(1, 1, False), (2, 1, True), (2, 2, False), (3, 3, True), (3, 4, False)]
)
def test_a_ceiling_ends_the_jump(rows, gap, solved):
    floor = "XXX" + "-" * gap + "XXX"
    wide = len(floor)
    assert play(window(*["X" * wide] * (13 - rows), *["-" * wide] * rows, floor)).solved == solved


def test_a_ceiling_can_be_walked_on():
    found = play(window("XXXXXXX", "---X---", "XXXXXXX"))
    assert found.moves == "rrrrrr"
    assert found.path[0] == (10, 0)


def test_nobody_walks_over_the_window():
    assert not play(window("--X--", "--X--", "XXXXX", height=3)).solved
    found = play(window("-----", "--X--", "XXXXX", height=3))
    assert found.solved
    assert min(found.path)[0] == 0


def test_a_jump_may_leave_the_window_at_the_top():
    level = window("XXX---------XX", height=2)  # as wide a gap as there can be, from the second row
    found = play(level)
    check(level, found)
    assert found.path[8][0] == 0


def test_starts_where_it_can_get_on():
    pit = window("XXX---", "-X----", "-X----", "-X----", "-X----", "-X----", "-X----", "-XXXXX", "XX----")
    found = play(pit)
    check(pit, found)
    assert found.path[0] == (4, 0)  # on top: from the pit at (12, 0) there is no way out
    assert play(window("----", "XX--", "-X--", "XX--")).progress > 0


def test_no_place_to_start():
    found = play(window("---XXX"))
    assert (found.solved, found.progress, found.nodes) == (False, 0, 0)
    assert found.why == "no place to stand in the first 3 columns"
    assert play(window("--XXXX")).path[0] == (12, 2)
    assert play(window("XXXX", height=1)).why == found.why  # there is no row to stand in


def test_progress_rises_with_the_obstacle():
    found = [play(window(*["-" * at + "X" + "-" * (27 - at)] * 8, "X" * 28)).progress for at in range(3, 28)]
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert 0 < found[0] < found[-1] < 1


def test_limit():
    found = play(window("X" * 28), limit=5)
    assert (found.solved, found.nodes, found.why) == (False, 5, "not solved within 5 states")
    assert found.progress == 4 / 27


def test_same_as_trying_everything():
    rng = np.random.default_rng(0)
    solved = 0
    for _ in range(120):
        level = (rng.random((rng.integers(3, 9), rng.integers(4, 10))) < rng.uniform(0.1, 0.5)).astype(np.uint8)
        found = play(level)
        assert found == play(level)
        ways = [fewest(level, start) for start in starts(level)]
        ends = [way for way in ways if isinstance(way, tuple)]
        assert found.solved == bool(ends)
        if ends:
            check(level, found)
            assert (found.facts["length"], found.facts["jumps"]) == ends[0]  # of the lowest start that gets there
            solved += 1
        else:
            assert found.progress == (max(ways, default=0) / (level.shape[1] - 1))
    assert 20 < solved < 100


@pytest.mark.parametrize(
    ("bad", "says"),
    [(np.zeros((2, 2)), "uint8"), (np.zeros(4, np.uint8), "H, W"), (np.full((2, 2), 13, np.uint8), "tiles 0 to 12")],
)
def test_refuses(bad, says):
    with pytest.raises(UserError, match=says):
        play(bad)


def test_play_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        play(window("XXXX")).solved = False


@pytest.mark.skipif(not VGLC.exists(), reason="the Video Game Level Corpus is not here")
def test_real_levels_can_be_played():
    with zipfile.ZipFile(io.BytesIO(VGLC.read_bytes())) as archive:
        names = [n for n in archive.namelist() if "Super Mario Bros/Processed/" in n and n.endswith(".txt")]
        levels = [level for n in names for level in text.parse(archive.read(n), MARIO, n)]
    assert len(levels) == 15
    for level in levels:
        check(level, play(level))
    windows = [level[:, i : i + 28] for level in levels for i in range(0, level.shape[1] - 27, 7)]
    found = [play(one) for one in windows]
    for one, result in zip(windows, found, strict=True):
        if result.solved:
            check(one, result)
    assert np.mean([result.solved for result in found]) > 0.97
