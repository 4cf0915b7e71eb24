"""Mazes against slow, independent references: labels, law, and the need by trying every other end."""

from collections import deque

import pytest
import torch

from sp_search.tasks.mazes import Mazes


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
