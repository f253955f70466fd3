"""Plays Sokoban levels.

A level is valid where it has one player, as many goals as boxes, at least one box that is not on a goal, and walls all
around: the player, boxes thought away, cannot come to the border of the grid. Outside the grid is wall.

The search is A* (Hart et al. 1968) by pushes, so a solution has the fewest. Its lower bound of the pushes that are left
is the cheapest matching of boxes to goals, each box pushed as if it were alone. States are the same where the boxes
stand on the same cells, and the player can walk to the same cells. A push is not made where the box, alone, could reach
no goal any more, where no matching is left, or where boxes freeze that are not all on goals: each of them blocked along
both axes by walls, by cells no box may enter, or by one another. So a search that ends without a solution proves that
there is none.

`Play.moves` is written as usual: `l`, `u`, `r`, `d` for steps, capitals for pushes. Between pushes the player takes a
shortest way.

`Play.progress` of a level that is not valid, or that has a box which can be pushed to no goal, is below 0.5: half the
mean of five terms in [0, 1], each 1 where nothing is wrong (`_structure`). Of any other unsolved level it is 0.5 or
more: it rises with the share of the least number of pushes, at the start, that the best state seen has done.
"""

from heapq import heappop, heappush

import numpy as np
from numba import njit

from jaxgen.levels import Play
from jaxgen.levels.inputs import check_level
from jaxgen.levels.tiles import TILESETS

LIMIT = 20_000
"""States that are kept before a level is given up."""

_FAR = 10**6  # more pushes than any way has: there is none
_LETTERS = "lurd"

_TILES = TILESETS["sokoban"]
_WALL = _TILES.chars.index("#")
_PLAYERS, _BOXES, _GOALS = (np.array([char in chars for char in _TILES.chars]) for chars in ("@+", "$*", ".*+"))


def play(level: np.ndarray, limit: int = LIMIT) -> Play:
    """A way to push every box of `level` uint8 [H, W] onto a goal.

    Facts: `length` (steps and pushes) and `pushes` of the solution, 0 where there is none; `boxes`; `difficulty`, the
    logarithm to base 10 of the number of states kept, 0 where the level is not valid. Raises `UserError` for what is
    not a level.
    """
    level = np.pad(check_level(level, _TILES), 1, constant_values=_WALL)
    walls = (level == _WALL).ravel()
    columns = level.shape[1]
    players, boxes, goals = (np.flatnonzero(is_one[level]) for is_one in (_PLAYERS, _BOXES, _GOALS))
    offsets = np.array([-1, -columns, 1, columns])
    distances = _distances(walls, goals, offsets)
    terms, why = _structure(walls, columns, players, boxes, goals, distances)
    facts = {"length": 0, "pushes": 0, "boxes": len(boxes), "difficulty": 0.0}
    if why:
        return Play(False, sum(terms) / len(terms) / 2, 0, why=why, facts=facts)
    nodes, end, first, best, parents, pushes = _search(walls, players[0], boxes, distances, offsets, limit)
    facts["difficulty"] = float(np.log10(max(nodes, 1)))
    if end < 0:
        why = f"not solved within {limit:,} states" if nodes >= limit else "no solution"
        return Play(False, 0.5 + (first - best) / max(first, 1) / 2, nodes, why=why, facts=facts)
    order = []
    while end > 0:
        order.append(divmod(int(pushes[end]), 4))
        end = int(parents[end])
    moves, path = _walk(walls, int(players[0]), boxes, order[::-1], offsets)
    facts |= {"length": len(moves), "pushes": len(order)}
    return Play(True, 1.0, nodes, moves, tuple((c // columns - 1, c % columns - 1) for c in path), facts=facts)


def _structure(walls, columns, players, boxes, goals, distances) -> tuple[list[float], str]:
    """Five terms of a level's progress, 1 each where nothing is wrong, and what is wrong; empty where nothing is.

    They are 1 / (1 + players too many or too few), 1 / (1 + boxes too many or too few), whether a box is to be pushed,
    the share of the border that the players cannot reach, and the share of boxes that can be pushed to some goal.
    """
    rows = len(walls) // columns
    border = np.zeros((rows, columns), bool)
    border[[1, -2], 1:-1] = border[1:-1, [1, -2]] = True
    starts = players if len(players) else np.flatnonzero(~walls)
    open_border = int((border.ravel() & _reached(walls, starts, columns)).sum())
    stuck = int((distances[:, boxes].min(0, initial=_FAR) == _FAR).sum())
    todo = len(np.setdiff1d(boxes, goals)) > 0
    terms = [
        1 / (1 + abs(len(players) - 1)),
        1 / (1 + abs(len(boxes) - len(goals))),
        float(todo),
        1 - open_border / int(border.sum()),
        1 - stuck / len(boxes) if len(boxes) else 0.0,
    ]
    if len(players) != 1:
        why = f"{len(players) or 'no'} {'players' if len(players) else 'player'}"
    elif not len(boxes):
        why = "no box"
    elif len(boxes) != len(goals):
        why = f"{_count(len(boxes), 'box', 'boxes')} for {_count(len(goals), 'goal', 'goals')}"
    elif not todo:
        why = "every box is on a goal already"
    elif open_border:
        why = "the player can walk to the border; walls must close the level"
    else:
        why = f"{_count(stuck, 'box', 'boxes')} can be pushed to no goal" if stuck else ""
    return terms, why


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def _reached(walls: np.ndarray, starts: np.ndarray, columns: int) -> np.ndarray:
    """bool [cells]: where one can walk from any of `starts`, boxes thought away."""
    seen = np.zeros(len(walls), bool)
    for start in starts:
        if not seen[start]:
            seen |= _ways(walls, int(start), columns) >= 0
    return seen


@njit(cache=True)
def _ways(blocked, start, columns):
    """Steps [cells] from `start` to each cell, -1 where one cannot walk to. The grid has a border that is blocked."""
    steps = np.full(len(blocked), -1, np.int32)
    queue = np.empty(len(blocked), np.int32)
    steps[start] = 0
    queue[0] = start
    head, tail = 0, 1
    while head < tail:
        cell = queue[head]
        head += 1
        for offset in (-1, -columns, 1, columns):
            if steps[cell + offset] < 0 and not blocked[cell + offset]:
                steps[cell + offset] = steps[cell] + 1
                queue[tail] = cell + offset
                tail += 1
    return steps


@njit(cache=True)
def _distances(walls, goals, offsets):
    """[goals, cells]: the least pushes that bring a box, alone, from a cell to a goal; `_FAR` where none do."""
    found = np.full((len(goals), len(walls)), _FAR, np.int32)
    queue = np.empty(len(walls), np.int32)
    for k in range(len(goals)):
        found[k, goals[k]] = 0
        queue[0] = goals[k]
        head, tail = 0, 1
        while head < tail:
            cell = queue[head]
            head += 1
            for offset in offsets:
                before = cell - offset
                # Two steps back: where the player would stand. A border cell has nothing behind it.
                if not walls[before] and not walls[before - offset] and found[k, before] == _FAR:
                    found[k, before] = found[k, cell] + 1
                    queue[tail] = before
                    tail += 1
    return found


@njit(cache=True)
def _bound(boxes, distances):
    """The cheapest matching of boxes to goals (Kuhn 1955, by shortest augmenting paths); `_FAR` or more: none."""
    n = len(boxes)
    box_price, goal_price = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    owner = np.zeros(n + 1, np.int64)  # of each goal; goals and boxes count from 1
    way = np.zeros(n + 1, np.int64)
    for i in range(1, n + 1):
        owner[0] = i
        goal = 0
        least = np.full(n + 1, 2**60)
        used = np.zeros(n + 1, np.bool_)
        while owner[goal] != 0:
            used[goal] = True
            box = owner[goal]
            step, following = np.int64(2**60), 0
            for j in range(1, n + 1):
                if not used[j]:
                    price = distances[j - 1, boxes[box - 1]] - box_price[box] - goal_price[j]
                    if price < least[j]:
                        least[j], way[j] = price, goal
                    if least[j] < step:
                        step, following = least[j], j
            for j in range(n + 1):
                if used[j]:
                    box_price[owner[j]] += step
                    goal_price[j] -= step
                else:
                    least[j] -= step
            goal = following
        while goal != 0:
            owner[goal] = owner[way[goal]]
            goal = way[goal]
    return -goal_price[0]


@njit(cache=True)
def _frozen(walls, alive, on_goal, occupied, boxes, columns):
    """Whether boxes that are not all on goals can never move again. `occupied` [cells] is true at boxes, and restored.

    The largest set in which each box is blocked along both axes: boxes that can move are taken out until none is left.
    """
    changed = True
    while changed:
        changed = False
        for box in boxes:
            if not occupied[box]:
                continue
            for offset in (1, columns):
                a, b = box - offset, box + offset
                blocked = walls[a] or walls[b] or occupied[a] or occupied[b] or not (alive[a] or alive[b])
                if not blocked:
                    occupied[box] = False
                    changed = True
                    break
    dead = False
    for box in boxes:
        dead = dead or (occupied[box] and not on_goal[box])
        occupied[box] = True
    return dead


@njit(cache=True)
def _slot(table, kept, players, boxes, player):
    """Where `table` has the state with these boxes and player, or the empty slot where it would be put."""
    mask = len(table) - 1
    code = np.uint64(player)
    for box in boxes:
        code = (code ^ np.uint64(box)) * np.uint64(1099511628211)
        code ^= code >> np.uint64(29)
    slot = np.int64(code & np.uint64(mask))
    while table[slot] >= 0:
        state = table[slot]
        if players[state] == player and np.array_equal(kept[state], boxes):
            break
        slot = (slot + 1) & mask
    return slot


@njit(cache=True)
def _flood(walls, occupied, start, offsets, seen, stamp, queue):
    """The first cell, in reading order, of those the player can walk to from `start`; they get `stamp` in `seen`."""
    seen[start] = stamp
    queue[0] = start
    head, tail, first = 0, 1, start
    while head < tail:
        cell = queue[head]
        head += 1
        first = min(first, cell)
        for offset in offsets:
            to = cell + offset
            if not walls[to] and not occupied[to] and seen[to] != stamp:
                seen[to] = stamp
                queue[tail] = to
                tail += 1
    return first


@njit(cache=True)
def _place(boxes, i, to):
    """Puts box `i` of the sorted `boxes` on the cell `to`, and keeps them sorted."""
    while i > 0 and boxes[i - 1] > to:
        boxes[i] = boxes[i - 1]
        i -= 1
    while i + 1 < len(boxes) and boxes[i + 1] < to:
        boxes[i] = boxes[i + 1]
        i += 1
    boxes[i] = to


@njit(cache=True)
def _key(made, bound, state):
    """The order of the heap: the least sum first, then the least bound, then the newest state."""
    return ((np.int64(made) + bound) << 43) | (min(np.int64(bound), 4095) << 31) | (2**31 - 1 - state)


@njit(cache=True)
def _search(walls, player, start, distances, offsets, limit):
    """(states kept, the solved one or -1, the bound at the start, the least bound, parents, pushes: 4 * box + way)."""
    n, cells = len(start), len(walls)
    alive, on_goal = np.zeros(cells, np.bool_), np.zeros(cells, np.bool_)
    for k in range(n):
        alive |= distances[k] < _FAR
        on_goal |= distances[k] == 0
    table = np.full(2 ** (int(np.log2(limit)) + 2), -1, np.int32)
    kept, made, bounds = np.empty((limit, n), np.int32), np.zeros(limit, np.int32), np.empty(limit, np.int32)
    players, parents, pushes = np.empty(limit, np.int32), np.zeros(limit, np.int32), np.zeros(limit, np.int32)
    done, occupied, boxes = np.zeros(limit, np.bool_), np.zeros(cells, np.bool_), start.astype(np.int32)
    seen, after, queue, stamp = np.zeros(cells, np.int32), np.zeros(cells, np.int32), np.empty(cells, np.int32), 0
    kept[0], bounds[0], count = boxes, _bound(boxes, distances), 1
    first = best = bounds[0]
    if first >= _FAR:
        return count, -1, first, best, parents, pushes
    occupied[boxes] = True
    players[0] = _flood(walls, occupied, player, offsets, seen, 1, queue)
    table[_slot(table, kept, players, boxes, players[0])] = 0
    occupied[boxes] = False
    heap = [_key(0, first, 0)]
    while len(heap) > 0:
        state = 2**31 - 1 - (heappop(heap) & (2**31 - 1))
        if done[state]:
            continue
        if bounds[state] == 0:
            return count, state, first, best, parents, pushes
        done[state] = True
        occupied[kept[state]] = True
        _flood(walls, occupied, players[state], offsets, seen, 2 + state, queue)
        for push in range(4 * n):
            box, offset = kept[state, push // 4], offsets[push % 4]
            to = box + offset
            if seen[box - offset] != 2 + state or occupied[to] or not alive[to]:
                continue
            boxes[:] = kept[state]
            _place(boxes, push // 4, to)
            occupied[box], occupied[to] = False, True
            stamp += 1
            player = _flood(walls, occupied, box, offsets, after, stamp, queue)
            slot = _slot(table, kept, players, boxes, player)
            new = table[slot]
            if new < 0 and not _frozen(walls, alive, on_goal, occupied, boxes, offsets[3]):
                bound = _bound(boxes, distances)
                if bound < _FAR and count < limit:
                    new = table[slot] = count
                    kept[new], players[new], bounds[new], made[new] = boxes, player, bound, 2**30
                    best, count = min(best, bound), count + 1
            occupied[box], occupied[to] = True, False
            if new < 0 or made[new] <= made[state] + 1:
                continue
            made[new], parents[new], pushes[new] = made[state] + 1, state, 4 * box + push % 4
            heappush(heap, _key(made[new], bounds[new], new))
            if count == limit:
                return count, -1, first, best, parents, pushes
        occupied[kept[state]] = False
    return count, -1, first, best, parents, pushes


def _walk(walls, player, boxes, order, offsets) -> tuple[str, list[int]]:
    """Moves and the cells of the player for pushes in `order`, each (box, way)."""
    blocked = walls.copy()
    blocked[boxes] = True
    moves, path = "", [player]
    for box, way in order:
        steps = _ways(blocked, box - offsets[way], offsets[3])  # from where it pushes, so back to it
        while steps[path[-1]] > 0:
            step = next(k for k in range(4) if steps[path[-1] + offsets[k]] == steps[path[-1]] - 1)
            path.append(path[-1] + int(offsets[step]))
            moves += _LETTERS[step]
        blocked[box], blocked[box + offsets[way]] = False, True
        path.append(box)
        moves += _LETTERS[way].upper()
    return moves, path
