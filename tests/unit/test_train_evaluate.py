"""Looks, calibration, bounds and diagnostics as tables."""

import pytest
import torch
from torch import Generator

from sp_search.models.exit_mlp import ExitMlp
from sp_search.models.recall_conv import RecallConv
from sp_search.pricing import HaltingRule
from sp_search.program import Program, ProgramModel
from sp_search.records import Count
from sp_search.tasks.base import Batch, Shape, Task
from sp_search.tasks.prefix_sums import PrefixSums
from sp_search.train.diagnose import diagnose
from sp_search.train.evaluate import Look, Trial, extrapolate, try_program, unrolled_for
from sp_search.train.generalise import needs, over_spend, overthinking, stability, steps_by_need
from sp_search.train.validation import calibrate

torch.set_num_threads(1)
# Two replicas, three exits, four examples. Replica 0 gets surer with n; replica 1 never halts early.
SCORE_RNB = torch.tensor([[[0.1, 0.3, 0.6, 0.9], [0.2, 0.6, 0.8, 0.95], [1.0] * 4], [[0.0] * 4, [0.01] * 4, [1.0] * 4]])
RIGHT_RNB = torch.tensor([[[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]], [[0] * 4, [0] * 4, [1] * 4]], dtype=torch.bool)
LOOK = Look(HaltingRule("confidence"), RIGHT_RNB, SCORE_RNB, 2)


@pytest.mark.parametrize(
    ("threshold", "exits", "correct"),
    [(0.05, [0, 0, 0, 0], 2), (0.5, [2, 1, 0, 0], 4), (0.99, [2, 2, 2, 2], 4)],
)
def test_an_example_halts_at_the_first_exit_whose_score_reaches_the_threshold(threshold, exits, correct):
    assert LOOK.exit_RB(threshold)[0].tolist() == exits
    assert LOOK.correct_R(threshold)[0] == correct


def test_a_score_that_is_no_number_halts_nothing():
    look = Look(HaltingRule("confidence"), RIGHT_RNB[:1], SCORE_RNB[:1].log().where(SCORE_RNB[:1] > 0.5, torch.nan), 2)
    assert look.exit_RB(-9.0)[0].tolist() == [2, 1, 0, 0]


def test_without_a_score_the_last_exit_answers():
    look = Look(HaltingRule(), RIGHT_RNB[:, -1:], None, 2)
    assert look.correct_R(0.5).tolist() == [4, 4]


def test_calibration_takes_the_strictest_threshold_that_fits_and_none_when_nothing_fits():
    cost_N = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert calibrate(LOOK, cost_N, 1.75, 0.01, exact=True) == [0.6, None]
    assert calibrate(LOOK, cost_N, 3.0, 0.01, exact=True) == [0.999, 0.999]
    assert calibrate(LOOK, cost_N, 1.75, 0.01, exact=False) == [None, None]


class Scripted(ProgramModel):
    """Answers 1 at exit n where channel n - 1 of the input is positive, so the input says which exits are right."""

    exits, shares_weights = 3, True

    def start(self, x_BTC):
        return (x_BTC,)

    def step(self, state, exit_index):
        return state

    def answer(self, state, exit_index):
        value_BT = state[0][..., exit_index - 1]
        return torch.stack([-value_BT, value_BT], dim=-1)

    def prices(self, positions, exits):
        return RecallConv().prices(Shape(positions, 1, positions, 2), exits, halting=False)

    def reach(self):
        return 1


class Needs(Task):
    def minimal_rollouts(self, batch, reach):
        return torch.tensor([1, 2, 3, 3])


def scripted(rights_BN, exits, rule):
    x_BTC = (2.0 * torch.tensor(rights_BN) - 1.0)[:, None]
    batch = Batch(x_BTC, torch.ones(4, 1, dtype=torch.long))
    exit_B = torch.tensor(exits)
    right_B = torch.tensor([row[n - 1] == 1 for row, n in zip(rights_BN, exits, strict=True)])
    program = Program(Scripted(), HaltingRule(rule, 0.5), 3)
    return program, Needs(), batch, Trial(right_B, exit_B, exit_B.double(), exact=False)


def diagnosed(rights_BN, exits, rule):
    return diagnose(*scripted(rights_BN, exits, rule))


def test_an_answer_that_is_right_at_the_halt_and_wrong_at_any_later_exit_is_unstable():
    rights_BN = [[1, 0, 1], [1, 1, 1], [0, 1, 0], [0, 0, 0]]
    found = diagnosed(rights_BN, [1, 1, 2, 1], "quantile")
    assert found["unstable_after_halt"] == pytest.approx(2 / 3)
    assert found["dead_halting"] is False


def test_stability_counts_the_right_answers_that_stay_right():
    rights_BN = [[1, 0, 1], [1, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert stability(*scripted(rights_BN, [1, 1, 2, 1], "quantile")) == Count(correct=1, n=3)
    assert stability(*scripted(rights_BN, [3, 3, 3, 3], "last")) == Count(correct=2, n=2), "nothing comes later"
    assert stability(*scripted([[0, 0, 0]] * 4, [1] * 4, "quantile")) is None


def test_over_spend_is_used_over_needed_and_rows_by_need_hold_every_input():
    program, task, batch, trial = scripted([[1, 1, 0]] * 4, [2, 2, 3, 2], "quantile")
    need_B = needs(program, task, batch)
    assert over_spend(need_B, trial, program).mean == pytest.approx((2 + 1 + 1 + 2 / 3) / 4)
    assert diagnosed([[1, 1, 0]] * 4, [2, 2, 3, 2], "quantile")["over_spend"] == pytest.approx((4 + 2 / 3) / 4)
    assert steps_by_need(need_B, trial) == [
        {"need": 1, "n": 1, "mean_exit": 2.0, "accuracy": 1.0},
        {"need": 2, "n": 1, "mean_exit": 2.0, "accuracy": 1.0},
        {"need": 3, "n": 2, "mean_exit": 2.5, "accuracy": 0.5},
    ]


def test_the_overthinking_curve_goes_on_to_four_times_the_exits_where_they_share_weights():
    task = PrefixSums(bits=5)
    network = RecallConv(width=4).build(task.shape(), 2, halting=False, generator=Generator().manual_seed(0))
    curves = overthinking(Program(network, HaltingRule(), 2), task, ["iid", "longer"], 32, 0)
    assert [(one["distribution"], one["n"], len(one["accuracy_N"])) for one in curves] == [
        ("iid", 32, 8), ("longer", 32, 8)
    ]  # fmt: skip
    own = try_program(
        Program(network, HaltingRule(), 7),
        task,
        task.sample(32, "longer", "verification", Generator().manual_seed(0)),
        exact=False,
    )
    assert curves[1]["accuracy_N"][6] == pytest.approx(own.count.correct / 32)


def test_halting_that_follows_the_need_correlates_with_it():
    found = diagnosed([[1, 1, 1]] * 4, [1, 2, 3, 3], "quantile")
    assert found["corr_need"] == pytest.approx(1.0)
    assert found["mean_need"] == 2.25


def test_halting_that_is_always_last_is_dead_and_a_fixed_program_is_not():
    dead = diagnosed([[1, 1, 1]] * 4, [3] * 4, "quantile")
    assert dead["dead_halting"] is True
    assert dead["corr_need"] is None
    fixed = diagnosed([[1, 1, 1]] * 4, [3] * 4, "last")
    assert fixed["dead_halting"] is False
    assert fixed["threshold"] is None


@pytest.mark.parametrize(
    ("exits", "trained", "positions", "rollouts"),
    [
        (8, Shape(17, 1, 17, 2), 128, 64),  # the proven least of both lengths at reach 2
        (9, Shape(17, 1, 17, 2), 17, 9),
        (6, Shape(81, 3, 81, 2, dimensions=2), 289, 12),  # mazes of side 9 and 17: twice as far
        (3, Shape(1, 4, 1, 2), 1, 3),
    ],
)
def test_longer_inputs_get_rollouts_in_proportion_to_the_distance_between_their_ends(
    exits, trained, positions, rollouts
):
    assert unrolled_for(exits, trained, positions) == rollouts


def test_longer_inputs_are_executed_with_those_rollouts():
    seen = []

    class Longer(Task):
        def sample(self, n, distribution, draw, generator):
            return Batch(torch.ones(n, 9, 1), torch.ones(n, 9, dtype=torch.long))

        def correct(self, answer_BTV, batch):
            return torch.ones(len(batch.x_BTC), dtype=torch.bool)

    class Counting(Scripted):
        def step(self, state, exit_index):
            seen.append(exit_index)
            return state

        def answer(self, state, exit_index):
            return torch.cat([state[0], state[0]], dim=-1)

    count = extrapolate(Program(Counting(), HaltingRule("last"), 3), Shape(5, 1, 5, 2), Longer(), "longer", 5, seed=0)
    assert max(seen) == 6
    assert (count.correct, count.n) == (5, 5)


def test_exits_with_layers_of_their_own_cannot_be_unrolled_further():
    model = ExitMlp(width=3).build(Shape(2, 1, 1, 2), 2, halting=False, generator=Generator())
    with pytest.raises(ValueError, match="cannot be unrolled further"):
        extrapolate(Program(model, HaltingRule("last"), 2), Shape(2, 1, 1, 2), Needs(), "longer", 5, seed=0)
