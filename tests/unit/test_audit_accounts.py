"""Cost accounting beside its verdict: how other measures rank a pool, and what a clock says."""

import pytest
import torch
from torch import Generator

from sp_search.audits import audit
from sp_search.audits.cost_accounting import EXECUTED, OTHERS, ranked
from sp_search.audits.instruments.clock import REPEATS, Turn, summary
from sp_search.plugins import discover
from sp_search.pricing import HaltingRule
from sp_search.program import Program
from sp_search.tasks.flagged_bits import FlaggedBits

torch.set_num_threads(1)
TASK = FlaggedBits(length=5, trigger=1)
COUNT = discover("audits")["cost_accounting"]


def of(executed, **others):
    return {EXECUTED: executed, **dict.fromkeys(OTHERS, executed), **others}


def built(seed):
    model = discover("models")["ponder_cell"]().build(
        TASK.shape(), 3, halting=True, generator=Generator().manual_seed(seed)
    )
    return Program(model.eval(), HaltingRule("quantile"), 3)


@pytest.mark.parametrize(
    ("own", "pool", "tau", "cheaper"),
    [
        (of(3.0), [of(1.0), of(2.0)], 1.0, 0),  # a true ledger ranks as the executed work does
        (of(3.0, mean_flops=0.5), [of(1.0), of(2.0)], -1 / 3, 2),  # it hides most of its work
        (of(3.0, mean_flops=1.5), [of(1.0), of(2.0)], 1 / 3, 1),
        (of(0.5, mean_flops=3.0), [of(1.0), of(2.0)], -1 / 3, 0),  # it is charged for more than it runs
        (of(1.0), [of(1.0)], None, 0),  # nothing to rank
    ],
)
def test_the_ranking_of_a_pool_by_what_is_charged_is_compared_with_that_by_what_runs(own, pool, tau, cheaper):
    said = ranked(own, pool)
    assert said["cheaper_by_mean_flops"] == cheaper
    assert said.get("tau_mean_flops") == (tau if tau is None else pytest.approx(tau))


def test_a_program_of_few_wide_rollouts_ranks_low_by_rollouts_and_high_by_what_runs():
    wide = of(9.0, mean_rollouts=1.0)
    said = ranked(wide, [of(4.0, mean_rollouts=2.0), of(6.0, mean_rollouts=3.0)])
    assert (said["tau_mean_rollouts"], said["cheaper_by_mean_rollouts"]) == (pytest.approx(-1 / 3), 2)
    assert said["tau_mean_flops"] == 1.0


def test_beside_honest_programs_the_verdict_says_the_rankings_and_without_them_it_does_not():
    one = COUNT(clock=False)
    beside = audit(built(0), TASK, audits=[one], honest=[built(seed) for seed in (1, 2, 3)], budget=500)[0]
    alone = audit(built(0), TASK, audits=[one], budget=500)[0]
    assert beside.verdict == alone.verdict == "passed"
    assert beside.details["cheaper_by_mean_flops"] == 0.0
    assert {name for name in beside.details if name not in alone.details} <= {
        *(f"tau_{name}" for name in OTHERS),
        *(f"cheaper_by_{name}" for name in OTHERS),
    }


def turns(*pairs):
    return [Turn(*pair) for pair in pairs] + [Turn(2.0, 2.0)] * (REPEATS - len(pairs))


def test_the_growth_of_time_is_a_median_that_one_disturbed_turn_moves_nowhere():
    said = summary(turns((90.0, 1.0), (0.1, 1.0)), 4e9)
    assert said == (1.0, 1.0, 1.0, 0.5)
    assert summary(turns((90.0, 1.0), (60.0, 1.0), (0.1, 1.0)), 4e9)[:3] == (1.0, 1.0, 60.0)


def test_where_operations_take_no_longer_on_more_inputs_a_clock_says_nothing():
    assert summary(turns((1.0, 0.0)), 1.0) is None


def test_what_a_clock_says_stands_apart_from_what_is_the_same_in_every_run():
    timed, untimed = (audit(built(0), TASK, audits=[COUNT(clock=clock)])[0] for clock in (True, False))
    assert set(timed.timed) <= {"growth", "low", "high", "nanoseconds_per_flop"}
    assert timed.model_copy(update={"timed": {}, "reason": ""}) == untimed
