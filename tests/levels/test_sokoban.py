import io
import zipfile
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.levels import text
from jaxgen.levels.sokoban import play
from jaxgen.levels.tiles import TILESETS

SOKOBAN = TILESETS["sokoban"]
BOXOBAN = Path(__file__).parents[3] / "shared" / "data" / "levels" / "boxoban" / "boxoban.zip"
WAYS = {"l": (0, -1), "u": (-1, 0), "r": (0, 1), "d": (1, 0)}


def grid(*rows):
    return np.array([[SOKOBAN.chars.index(char) for char in row] for row in rows], np.uint8)


def read(level):
    """(walls, goals, boxes, player), sets of (row, column) but for the player."""
    where = {char: set() for char in SOKOBAN.chars}
    for cell, tile in np.ndenumerate(level):
        where[SOKOBAN.chars[tile]].add(cell)
    (player,) = where["@"] | where["+"]
    return where["#"], where["."] | where["*"] | where["+"], frozenset(where["$"] | where["*"]), player


def replay(level, moves):
    """(whether `moves` solve the level, the path); an assertion fails at the first move that the rules do not allow."""
    walls, goals, boxes, player = read(level)
    path = [player]
    for move in moves:
        by = WAYS[move.lower()]
        player = (player[0] + by[0], player[1] + by[1])
        assert player not in walls
        assert all(0 <= at < size for at, size in zip(player, level.shape, strict=True))
        assert (player in boxes) == move.isupper()
        if player in boxes:
            to = (player[0] + by[0], player[1] + by[1])
            assert to not in walls | boxes
            boxes = boxes - {player} | {to}
        path.append(player)
    return boxes == goals, path


def fewest(level):
    """The least number of pushes by trying everything, steps for nothing; None where there is no solution."""
    walls, goals, boxes, player = read(level)
    queue, seen = deque([(0, boxes, player)]), set()
    while queue:
        pushes, boxes, player = queue.popleft()
        if (boxes, player) in seen:
            continue
        seen.add((boxes, player))
        if boxes == goals:
            return pushes
        for by in WAYS.values():
            to = (player[0] + by[0], player[1] + by[1])
            beyond = (to[0] + by[0], to[1] + by[1])
            if to in boxes and beyond not in walls | boxes:
                queue.append((pushes + 1, boxes - {to} | {beyond}, to))
            elif to not in walls and to not in boxes:
                queue.appendleft((pushes, boxes, to))
    return None


def fewest_moves(level):
    """The least number of moves, steps and pushes alike."""
    walls, goals, boxes, player = read(level)
    queue, seen = deque([(0, boxes, player)]), {(boxes, player)}
    while queue:
        moves, boxes, player = queue.popleft()
        if boxes == goals:
            return moves
        for by in WAYS.values():
            to = (player[0] + by[0], player[1] + by[1])
            beyond = (to[0] + by[0], to[1] + by[1])
            if to in walls or (to in boxes and beyond in walls | boxes):
                continue
            state = (boxes - {to} | {beyond} if to in boxes else boxes, to)
            if state not in seen:
                seen.add(state)
                queue.append((moves + 1, *state))
    return None


def check(level, found):
    assert found.solved
    assert found.progress == 1
    assert replay(level, found.moves) == (True, list(found.path))
    assert found.facts["length"] == len(found.moves)
    assert found.facts["pushes"] == sum(move.isupper() for move in found.moves)


def test_one_push():
    found = play(grid("#####", "#@$.#", "#####"))
    assert found.moves == "R"
    assert found.path == ((1, 1), (1, 2))
    assert found.facts["pushes"] == found.facts["boxes"] == 1


def test_walks_round_the_box():
    found = play(grid("######", "#    #", "#.$@ #", "#    #", "######"))
    assert found.moves == "L"
    level = grid("######", "#@   #", "#  $ #", "#.   #", "######")
    found = play(level)
    check(level, found)
    assert found.facts["pushes"] == 3
    assert found.facts["length"] == fewest_moves(level)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (("#####", "#  .#", "#####"), "no player"),
        (("######", "#@$.@#", "######"), "2 players"),
        (("#####", "#@ .#", "#####"), "no box"),
        (("######", "#@$$.#", "######"), "2 boxes for 1 goal"),
        (("######", "#@$..#", "######"), "1 box for 2 goals"),
        (("#####", "#@*##", "#####"), "every box is on a goal already"),
        (("#####", " @$.#", "#####"), "the player can walk to the border; walls must close the level"),
        (("#####", "#$@.#", "#####"), "1 box can be pushed to no goal"),
        (("######", "#@$# #", "###  #", "#   .#", "######"), "1 box can be pushed to no goal"),
    ],
)
def test_what_is_not_valid(rows, why):
    found = play(grid(*rows))
    assert (found.solved, found.why, found.moves, found.nodes) == (False, why, "", 0)
    assert 0 < found.progress < 0.5
    assert set(found.facts) == {"length", "pushes", "boxes", "difficulty"}


def test_a_box_on_the_border_is_walled_in_from_outside():
    assert play(grid("#@$.#", "#####")).why == "the player can walk to the border; walls must close the level"
    assert play(grid("####.", "#@$.#", "#####")).why == "1 box for 2 goals"


def test_a_box_in_a_corner_is_lost_though_another_could_be_pushed():
    found = play(grid("#######", "#$    #", "# @$ .#", "#    .#", "#######"))
    assert found.why == "1 box can be pushed to no goal"


@pytest.mark.parametrize(
    "rows",
    [
        ("#######", "#.   .#", "#  $$ #", "#  $$ #", "#.@  .#", "#######"),  # frozen from the start: two by two
        ("########", "#@$$ ..#", "########"),  # one behind the other
    ],
)
def test_no_solution(rows):
    found = play(grid(*rows))
    assert (found.solved, found.why) == (False, "no solution")
    assert 0.5 <= found.progress < 1
    assert fewest(grid(*rows)) is None


def test_limit():
    level = grid("########", "#      #", "# $$$  #", "#  @   #", "# ...  #", "#      #", "########")
    check(level, play(level))
    found = play(level, limit=3)
    assert (found.solved, found.nodes, found.why) == (False, 3, "not solved within 3 states")
    assert 0.5 < found.progress < 1


def test_progress_rises_as_a_level_is_mended():
    stages = [
        ("#####  ", "# @$.  ", "#  @$  ", "#   ###", "#######"),
        ("#######", "# @$. #", "#  @$ #", "#   ###", "#######"),
        ("#######", "# @$. #", "#   $ #", "#   ###", "#######"),
        ("#######", "# @$. #", "#   $.#", "#   ###", "#######"),
    ]
    found = [play(grid(*rows)).progress for rows in stages]
    assert found == sorted(set(found))
    assert found[-1] == 1


def test_same_as_trying_everything():
    rng = np.random.default_rng(0)
    solved = 0
    for _ in range(150):
        level = np.zeros((6, 7), np.uint8)
        level[1:-1, 1:-1] = rng.random((4, 5)) > 0.1
        inner = rng.permutation(np.flatnonzero(level[2:-2, 2:-2]))
        boxes = [level.shape[1] * (2 + at // 3) + 2 + at % 3 for at in inner[: rng.integers(1, 4)]]
        level.flat[boxes] = 3
        others = rng.permutation(np.flatnonzero(level == 1))
        level.flat[others[0]] = 4
        goals = rng.choice([*boxes, *others[:4]], len(boxes), replace=False)
        level.flat[goals] = [{3: 5, 4: 6, 1: 2}[tile] for tile in level.flat[goals].tolist()]
        found = play(level)
        assert found == play(level)
        least = fewest(level)
        if found.why == "every box is on a goal already":
            assert least == 0
            continue
        assert found.solved == (least is not None), (level, found)
        if found.solved:
            check(level, found)
            assert found.facts["pushes"] == least
            solved += 1
        else:
            assert found.why == "no solution" or "no goal" in found.why
    assert 40 < solved < 120


def test_refuses():
    with pytest.raises(UserError, match="tiles 0 to 6"):
        play(np.full((3, 3), 7, np.uint8))


@pytest.mark.skipif(not BOXOBAN.exists(), reason="Boxoban is not here")
@pytest.mark.parametrize("name", ["hard/000.txt", "unfiltered/test/000.txt"])
def test_real_levels_are_solved(name):
    with zipfile.ZipFile(io.BytesIO(BOXOBAN.read_bytes())) as archive:
        (path,) = (one for one in archive.namelist() if one.endswith(name))
        levels = text.parse(archive.read(path), SOKOBAN, path)
    for level in levels[:100]:
        check(level, play(level))
