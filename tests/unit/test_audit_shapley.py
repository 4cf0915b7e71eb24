"""Exact Shapley values of steps, against their definition and in programs whose steps are known."""

from itertools import permutations

import pytest
import torch
from torch import nn

from sp_search.audits import audit
from sp_search.audits.instruments.shapley import coalitions, shapley
from sp_search.plugins import discover
from sp_search.pricing import HaltingRule, Prices
from sp_search.program import Program, ProgramModel
from sp_search.tasks.flagged_bits import FlaggedBits

torch.set_num_threads(1)
TASK = FlaggedBits(length=6, trigger=2)


class Summed(ProgramModel):
    """Adds `gains[n]` times the right answer's sign to its state at step n + 1; right where the sum reaches .7."""

    shares_weights, any_length = False, False

    def __init__(self, gains):
        super().__init__()
        self.gains, self.exits = gains, len(gains)
        self.weight = nn.Parameter(torch.ones(1))

    def start(self, x_BTC):
        return x_BTC, x_BTC.new_zeros((len(x_BTC), 1))

    def step(self, state, exit_index):
        sign_B = TASK.answer_key(state[0])[:, 0] * 2.0 - 1.0
        return state[0], state[1] + self.gains[exit_index - 1] * sign_B[:, None]

    def answer(self, state, exit_index):
        right_B = TASK.answer_key(state[0])[:, 0] * 2.0 - 1.0
        said_B = torch.where(state[1][:, 0].abs() >= 0.7, state[1][:, 0].sign(), -right_B)
        return torch.stack([-said_B, said_B], 1)[:, None] + 0.0 * self.weight

    def prices(self, positions, exits):
        return Prices(10.0, (100.0,) * exits, (0.0,) * exits, (10.0,) * exits, 1, 2)


def heard(gains, budget=100_000):
    one = Program(Summed(gains), HaltingRule(), len(gains))
    return audit(one, TASK, audits=[discover("audits")["contribution"](n=128)], budget=budget)[0].details


def values(gains):
    said = heard(gains)
    return [round(said[f"shapley_{step}"], 6) for step in range(1, len(gains) + 1)]


@pytest.mark.parametrize(
    ("gains", "worth"),
    [
        ([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]),  # one step does it all
        ([1.0, 1.0, 0.0], [0.5, 0.5, 0.0]),  # two stand in for each other
        ([0.5, 0.5, 0.0], [0.5, 0.5, 0.0]),  # two need each other
        ([1.0, 0.5, 0.5], [0.666667, 0.166667, 0.166667]),  # one, or the two others together
    ],
)
def test_the_worth_of_steps_is_shared_as_the_game_says(gains, worth):
    assert values(gains) == worth


def test_removal_in_turn_misses_neither_of_two_that_stand_in_for_each_other_and_shapley_credits_both():
    said = heard([1.0, 1.0])
    assert (said["missed_1"], said["missed_2"], said["silenced"]) == (0.0, 0.0, "1")
    assert (said["shapley_1"], said["shapley_2"]) == (0.5, 0.5)


def test_values_are_the_mean_gain_over_all_orders_and_add_up_to_what_all_steps_are_worth():
    worth_SB = torch.rand((2**4, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value_KB = shapley(worth_SB)
    expected_KB = torch.zeros_like(value_KB)
    orders = list(permutations(range(4)))
    for order in orders:
        joined = 0
        for step in order:
            expected_KB[step] += (worth_SB[joined | 1 << step] - worth_SB[joined]) / len(orders)
            joined |= 1 << step
    torch.testing.assert_close(value_KB, expected_KB)
    torch.testing.assert_close(value_KB.sum(0), worth_SB[-1] - worth_SB[0])


def test_a_coalition_is_what_silencing_the_others_gives():
    from sp_search.audits.instruments.ablation import right_without

    spec = discover("models")["ponder_cell"]()
    model = spec.build(TASK.shape(), 3, halting=True, generator=torch.Generator().manual_seed(0)).eval()
    one, batch = Program(model, HaltingRule("quantile"), 3), TASK.sample(50, "iid", "train", torch.Generator())
    exit_B = torch.arange(50) % 3 + 1
    right_SB = coalitions(one, TASK, batch, exit_B, 3)
    for running in range(8):
        out = [step for step in (1, 2, 3) if not running >> (step - 1) & 1]
        assert torch.equal(right_SB[running], right_without(one, TASK, batch, exit_B, out))


@pytest.mark.parametrize(
    ("steps", "budget", "why"), [(11, 10**9, "of 10 steps at most, it takes 11"), (6, 3_000, "64 coalitions need 64")]
)
def test_where_there_are_too_many_steps_or_too_few_examples_it_says_that_it_used_removal_only(steps, budget, why):
    said = heard([1.0] + [0.0] * (steps - 1), budget)
    assert why in said["shapley"]
    assert "greedy removal only" in said["shapley"]
    assert "shapley_1" not in said


def test_the_budget_bounds_the_examples_of_every_coalition():
    assert heard([1.0, 0.0, 0.0])["shapley_examples"] == 64
    big = Program(Summed([1.0] * 6), HaltingRule(), 6)
    one = discover("audits")["contribution"](n=1024)
    said = audit(big, TASK, audits=[one], budget=20_000)[0].details
    assert said["shapley_examples"] == (20_000 - 512 * 17) // 64
