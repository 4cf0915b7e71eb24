"""The graded task: what it asks, how hard its inputs are, and that its caps are those of the best local program."""

import itertools
from collections import defaultdict

import pytest
import torch

from sp_search.tasks.graded_depth import GradedDepth

LAWS = ("rare", "geometric", "uniform")


def sample(task, n, distribution="iid", seed=0):
    return task.sample(n, distribution, "train", torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("law", LAWS)
def test_the_answer_is_the_bit_that_was_written_last_after_the_changes_since(law):
    task = GradedDepth(positions=9)
    batch = sample(task, 300, law)
    for x_TC, answer, difficulty in zip(batch.x_BTC > 0, batch.y_BT[:, 0], task.difficulty(batch), strict=True):
        written, steps = None, None
        for position, (writes, bit) in enumerate(x_TC.tolist()):
            if writes:
                written, steps = bit, 8 - position
            elif written is not None:
                written ^= bit
        assert (answer, difficulty) == (written, steps)


@pytest.mark.parametrize("law", LAWS)
def test_inputs_are_as_hard_as_the_law_says_and_both_answers_are_alike(law):
    task = GradedDepth(positions=9, hard=0.3)
    batch = sample(task, 20_000, law)
    shares = torch.bincount(task.difficulty(batch).long(), minlength=9)[1:] / 20_000
    expected = torch.tensor(task.law_of_difficulty(law))
    torch.testing.assert_close(shares, expected, atol=0.015, rtol=0)
    assert expected.sum() == pytest.approx(1.0)
    assert law == "uniform" or expected[1:].sum() == pytest.approx(0.3, abs=1e-3)
    for length in (1, 2):
        own = batch.y_BT[task.difficulty(batch) == length].double()
        assert own.mean() == pytest.approx(0.5, abs=0.05)


def best_local_accuracy(task, distribution, seen):
    """Return the best accuracy of all functions of the last 1 + `seen` positions, by trying every input."""
    positions = task.positions
    weight = defaultdict(lambda: [0.0, 0.0])
    for length, share in enumerate(task.law_of_difficulty(distribution), start=1):
        source = positions - 1 - length
        inputs = list(itertools.product(*[[(0, 0), (0, 1), (1, 0), (1, 1)]] * source, (0, 1), *[(0, 1)] * length))
        for text in inputs:
            tokens = (*text[:source], (1, text[source]), *((0, bit) for bit in text[source + 1 :]))
            answer = sum(text[source:]) % 2
            weight[tokens[positions - 1 - seen :]][answer] += share / len(inputs)
    return sum(max(both) for both in weight.values())


@pytest.mark.parametrize("distribution", LAWS)
@pytest.mark.parametrize(("reach", "rollouts"), [(1, 0), (1, 1), (1, 2), (2, 1), (1, 3), (2, 2)])
def test_the_cap_is_the_best_that_any_local_program_can_do(distribution, reach, rollouts):
    task = GradedDepth(positions=5, hard=0.3)
    best = best_local_accuracy(task, distribution, min(reach * rollouts, 4))
    assert task.accuracy_cap(distribution, reach, rollouts) == pytest.approx(best, abs=1e-12)


def test_a_static_network_needs_every_block_where_hard_inputs_are_rare():
    task = GradedDepth()
    assert task.accuracy_cap("iid", 2, 7) == pytest.approx(0.99)
    assert task.least_rollouts_for("iid", 2, 0.991) == 8
    mean_need = task.minimal_rollouts(sample(task, 20_000), 2).double().mean()
    assert mean_need == pytest.approx(1.0 + 0.15 * (14 / 15 * 5 - 1 + 1 / 15), abs=0.05)
    assert 8 / mean_need > 4
