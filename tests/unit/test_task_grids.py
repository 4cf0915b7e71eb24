"""Tasks on grids against slow, independent references: labels, laws, and needs by trying every change."""

from collections import deque

import pytest
import torch

from sp_search.tasks.circuit_value import CircuitValue
from sp_search.tasks.mazes import Mazes
from sp_search.tasks.reachability import Reachability


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def way_by_search(walls, start, end, side):
    """Return the places on the shortest way, by breadth-first search over tuples."""
    before, queue = {start: None}, deque([start])
    while queue:
        row, column = here = queue.popleft()
        for near in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            if near not in before and near not in walls and all(0 <= part < side for part in near):
                before[near] = here
                queue.append(near)
    way, here = set(), end
    while here is not None:
        way.add(here)
        here = before[here]
    return way, set(before)


def as_tuples(x_TC, side):
    places = [(place // side, place % side) for place in range(side**2)]
    walls = {place for place, value in zip(places, x_TC[:, 0].tolist(), strict=True) if value < 0}
    return walls, places[int(x_TC[:, 1].argmax())], places[int(x_TC[:, 2].argmax())]


@pytest.mark.parametrize(("distribution", "side"), [("iid", 9), ("longer", 17)])
def test_mazes_are_perfect_and_their_labels_are_the_shortest_way(distribution, side):
    batch = Mazes().sample(30, distribution, "train", generator())
    for x_TC, y_T, difficulty in zip(*batch, Mazes().difficulty(batch).tolist(), strict=True):
        walls, start, end = as_tuples(x_TC, side)
        way, reached = way_by_search(walls, start, end, side)
        assert {(place // side, place % side) for place in y_T.nonzero()[:, 0].tolist()} == way
        assert difficulty == len(way) - 1
        rooms = (side // 2 + 1) ** 2
        assert len(reached) == side**2 - len(walls) == 2 * rooms - 1, "connected, and without a circle"
        assert x_TC[:, 1:].sum(0).tolist() == [1, 1]
        assert start != end


def test_the_need_of_a_maze_is_shown_by_another_end_that_no_window_sees():
    side, batch = 7, Mazes(side=7).sample(12, "iid", "train", generator(1))
    needs = Mazes(side=7).minimal_rollouts(batch, 1).tolist()
    for x_TC, need in zip(batch.x_BTC, needs, strict=True):
        walls, start, end = as_tuples(x_TC, side)
        own, _ = way_by_search(walls, start, end, side)
        best = 0
        for other in [(row, column) for row in range(0, side, 2) for column in range(0, side, 2)]:
            if other in (start, end):
                continue
            for row, column in own ^ way_by_search(walls, start, other, side)[0]:
                unseen = [max(abs(row - marker[0]), abs(column - marker[1])) for marker in (end, other)]
                best = max(best, min(unseen))
        assert need == best


def test_ends_are_uniform_over_the_other_rooms_and_openings_over_directions():
    batch = Mazes(side=5).sample(20_000, "iid", "train", generator())
    start_B, end_B = batch.x_BTC[..., 1].argmax(1), batch.x_BTC[..., 2].argmax(1)
    pairs = (start_B * 25 + end_B).unique(return_counts=True)[1]
    assert len(pairs) == 72
    assert (pairs / 20_000 - 1 / 72).abs().max() < 0.005
    from_the_middle = batch.x_BTC[start_B == 12][..., 0]
    opened = (from_the_middle[:, [7, 17, 11, 13]] > 0).float().mean(0)
    assert (opened - opened.mean()).abs().max() < 0.05


@pytest.mark.parametrize(("distribution", "side"), [("iid", 5), ("shifted", 5), ("longer", 8)])
def test_reachable_is_what_a_search_from_the_source_finds(distribution, side):
    task = Reachability(side=5, longer_side=8)
    batch = task.sample(60, distribution, "train", generator())
    for x_TC, y_T, farthest in zip(*batch, task.difficulty(batch).tolist(), strict=True):
        walls, source = as_tuples(torch.nn.functional.pad(x_TC, (0, 1)), side)[:2]
        assert source not in walls
        reached = way_by_search(walls, source, source, side)[1]
        assert {(place // side, place % side) for place in y_T.nonzero()[:, 0].tolist()} == reached
        assert farthest == max(len(way_by_search(walls, source, end, side)[0]) for end in reached) - 1


def test_the_need_of_reachability_is_shown_by_another_source_that_no_window_sees():
    side, task = 5, Reachability(side=5)
    batch = task.sample(40, "iid", "train", generator(2))
    places = [(place // side, place % side) for place in range(side**2)]
    for x_TC, need in zip(batch.x_BTC, task.minimal_rollouts(batch, 1).tolist(), strict=True):
        walls, source = as_tuples(torch.nn.functional.pad(x_TC, (0, 1)), side)[:2]
        own, best = way_by_search(walls, source, source, side)[1], 1
        for other in set(places) - walls - {source}:
            for row, column in own ^ way_by_search(walls, other, other, side)[1]:
                unseen = [max(abs(row - marker[0]), abs(column - marker[1])) for marker in (source, other)]
                best = max(best, min(unseen))
        assert need == best


def value_of(x_HWC, row, column):
    """Return what a place says, by recursion."""
    bit, *kind = x_HWC[row][column]
    if not any(kind):
        return bit > 0
    last = len(x_HWC) - 1
    a, b = (value_of(x_HWC, row - 1, near) for near in (max(column - 1, 0), min(column + 1, last)))
    return [a and b, a or b, a != b, not (a and b)][kind.index(1.0)]


@pytest.mark.parametrize(("distribution", "side"), [("iid", 5), ("harder", 5), ("longer", 7)])
def test_gates_say_what_recursion_says_and_some_gate_hangs_on_a_bit_as_far_away_as_the_need(distribution, side):
    task = CircuitValue(side=5, longer_side=7)
    batch = task.sample(15, distribution, "train", generator(3))
    needs = task.minimal_rollouts(batch, 1).tolist()
    for x_TC, y_T, need, layers in zip(*batch, needs, task.difficulty(batch).tolist(), strict=True):
        x_HWC = x_TC.reshape(side, side, 5).tolist()
        y_HW = [[value_of(x_HWC, row, column) for column in range(side)] for row in range(side)]
        assert y_T.reshape(side, side).bool().tolist() == y_HW
        bits_row = side - 1 - int(layers)
        deepest = 1
        for flipped in range(side):
            x_HWC[bits_row][flipped][0] *= -1.0
            for row in range(bits_row + 1, side):
                for column in range(side):
                    if value_of(x_HWC, row, column) != y_HW[row][column]:
                        deepest = max(deepest, row - bits_row, abs(column - flipped))
            x_HWC[bits_row][flipped][0] *= -1.0
        assert need == deepest
    assert distribution != "harder" or set(task.difficulty(batch).tolist()) == {4.0}
