"""Tasks whose input is seen whole: parity and pointer chasing, recomputed one example at a time."""

import pytest
import torch

from sp_search.tasks.parity import Parity
from sp_search.tasks.pointer_chasing import PointerChasing


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("distribution", "length", "counts"),
    [("iid", 6, {1, 2, 3}), ("harder", 6, {4, 5, 6}), ("longer", 9, set(range(1, 10)))],
)
def test_parity_counts_the_plus_ones_among_a_uniform_number_of_nonzeros(distribution, length, counts):
    task = Parity(size=6, most_nonzeros=3, longer_size=9)
    batch = task.sample(9_000, distribution, "train", generator())
    rows = batch.x_BTC[..., 0].tolist()
    assert batch.y_BT[:, 0].tolist() == [row.count(1.0) % 2 for row in rows]
    nonzeros = [length - row.count(0.0) for row in rows]
    assert task.difficulty(batch).tolist() == nonzeros
    assert set(nonzeros) == counts
    shares = [nonzeros.count(count) / len(rows) for count in counts]
    assert max(shares) - min(shares) < 0.03
    assert (batch.x_BTC != 0).float().mean(0).std() < 0.01, "places alike"


def test_parity_is_even_where_all_but_one_sign_is_known():
    batch = Parity().sample(20_000, "iid", "train", generator())
    for nonzeros in (1, 6, 12):
        labels = batch.y_BT[Parity().difficulty(batch) == nonzeros, 0].float()
        assert labels.mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("distribution", "hops"), [("iid", {1, 2, 3}), ("harder", {4, 5, 6})])
def test_the_answer_is_where_the_pointers_lead(distribution, hops):
    task = PointerChasing(nodes=7, most_hops=3)
    batch = task.sample(500, distribution, "train", generator())
    seen = set()
    for x_TC, y_T, difficulty in zip(*batch, task.difficulty(batch).tolist(), strict=True):
        successor = x_TC[:, :7].argmax(1).tolist()
        assert sorted(successor) == list(range(7))
        here = int(x_TC[:, 7].argmax())
        for _ in range(round(x_TC[0, 8].item() * 3)):
            here = successor[here]
        assert y_T.tolist() == [here]
        seen.add(difficulty)
    assert seen == hops


def test_without_following_the_pointers_every_other_node_is_as_likely():
    task = PointerChasing(nodes=5, most_hops=4)
    batch = task.sample(20_000, "iid", "train", generator())
    start_B = batch.x_BTC[..., 5].argmax(1)
    offset_B = (batch.y_BT[:, 0] - start_B) % 5
    for hops in range(1, 5):
        shares = offset_B[task.difficulty(batch) == hops].bincount(minlength=5) / (task.difficulty(batch) == hops).sum()
        assert shares[0] == 0
        assert (shares[1:] - 0.25).abs().max() < 0.03


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        (Parity, {"size": 4, "most_nonzeros": 5}, "at most size"),
        (PointerChasing, {"nodes": 4, "most_hops": 4}, "nodes - 1 = 3"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(part, fields, message):
    with pytest.raises(ValueError, match=message):
        part(**fields)
