"""What every audit promises, over a small program of every model and over a user's own; new audits are found here."""

from functools import cache

import pytest
import torch
from torch import Generator, nn

import sp_search
from sp_search.audits import audit
from sp_search.audits.base import Verdict
from sp_search.audits.panel import chosen
from sp_search.plugins import discover
from sp_search.pricing import HaltingRule
from sp_search.program import Program
from sp_search.tasks.flagged_bits import FlaggedBits
from sp_search.tasks.prefix_sums import PrefixSums

torch.set_num_threads(1)
AUDITS = sorted(discover("audits"))
MODELS = sorted(discover("models"))
TASK = FlaggedBits(length=5, trigger=1)
BUDGET = 400
SMALL = {
    "truncation": {"steps": 2, "held": 64, "cuts": 1},
    "noise": {"draws": 1, "sizes": [0.1]},
    "withheld_knowledge": {"fit": 60, "held": 60, "steps": 5},
    "predictor_honesty": {"fit": 60, "held": 60, "steps": 5},
    "exit_shift": {"permutations": 20},
    "triggered_search": {"contexts": 1},
    "unseen_tokens": {"contexts": 1},
}
RULES = {"last": HaltingRule(), "quantile": HaltingRule("quantile"), "confidence": HaltingRule("confidence", 0.6)}
BUILT = [model for model in MODELS if discover("models")[model]().refuses(TASK.shape()) is None]


def small(kind):
    return discover("audits")[kind](**SMALL.get(kind, {}))


@cache
def built(kind, seed=0, task=TASK):
    spec = discover("models")[kind]()
    return spec.build(task.shape(), 3, halting=True, generator=Generator().manual_seed(seed)).eval()


def check(verdict, kind):
    assert isinstance(verdict, Verdict)
    assert verdict.audit == kind
    assert verdict.sees
    assert verdict.blind_to
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    if verdict.verdict == "not_applicable":
        assert verdict.reason
        assert verdict.statistic is None
    else:
        assert verdict.statistic.low <= verdict.statistic.value <= verdict.statistic.high
    assert (verdict.threshold is None) == (verdict.verdict in ("uncalibrated", "not_applicable"))


@pytest.mark.parametrize("kind", AUDITS)
@pytest.mark.parametrize("model", BUILT)
def test_it_gives_a_verdict_on_a_program_of_every_model(kind, model):
    check(audit(Program(built(model), RULES["quantile"], 3), TASK, audits=[small(kind)], budget=BUDGET)[0], kind)


@pytest.mark.parametrize("kind", AUDITS)
@pytest.mark.parametrize("rule", ["last", "confidence", "patience", "sample"])
def test_it_gives_a_verdict_under_every_kind_of_rule(kind, rule):
    program = Program(built("exit_mlp"), RULES.get(rule, HaltingRule(rule)), 3)
    check(audit(program, TASK, audits=[small(kind)], budget=BUDGET)[0], kind)


@pytest.mark.parametrize("kind", AUDITS)
@pytest.mark.parametrize("model", ["recall_conv", "exit_conv"])
def test_it_gives_a_verdict_where_every_position_answers(kind, model):
    task = PrefixSums(bits=4)
    check(
        audit(Program(built(model, 0, task), RULES["quantile"], 3), task, audits=[small(kind)], budget=BUDGET)[0], kind
    )


@pytest.mark.parametrize("kind", AUDITS)
def test_it_gives_a_verdict_on_a_users_own_module(kind):
    own = nn.Sequential(nn.Flatten(), nn.Linear(50, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))
    model = sp_search.with_exits(own, ["2"], example=torch.zeros(2, 5, 10), halting=True)
    program = Program(model, HaltingRule("quantile"), 2)
    check(audit(program, TASK, audits=[small(kind)], budget=BUDGET)[0], kind)
    assert model.training


@pytest.mark.parametrize("kind", AUDITS)
def test_it_gives_a_verdict_on_finite_data_whose_right_answers_nobody_else_knows(kind):
    task = discover("tasks")["digits"]()
    model = discover("models")["exit_mlp"]().build(task.shape(), 2, halting=True, generator=Generator().manual_seed(0))
    check(audit(Program(model.eval(), RULES["confidence"], 2), task, audits=[small(kind)], budget=BUDGET)[0], kind)


@pytest.mark.parametrize("kind", AUDITS)
def test_the_same_seed_says_the_same_and_honest_programs_calibrate_it(kind):
    program = Program(built("ponder_cell"), RULES["quantile"], 3)
    honest = [Program(built("ponder_cell", seed), RULES["quantile"], 3) for seed in (1, 2)]
    alone, again = (audit(program, TASK, audits=[small(kind)], seed=3, budget=BUDGET)[0] for _ in range(2))
    assert alone == again
    beside = audit(program, TASK, audits=[small(kind)], seed=3, budget=BUDGET, honest=honest)[0]
    check(beside, kind)
    assert beside.verdict != "uncalibrated"


@pytest.mark.parametrize("kind", AUDITS)
def test_a_program_of_one_exit_is_questioned_or_the_reason_is_said(kind):
    model = discover("models")["exit_mlp"]().build(TASK.shape(), 1, halting=False, generator=Generator().manual_seed(0))
    check(audit(Program(model.eval(), HaltingRule(), 1), TASK, audits=[small(kind)], budget=BUDGET)[0], kind)


@pytest.mark.parametrize("kind", AUDITS)
def test_it_leaves_the_program_and_the_global_generator_as_they_were(kind):
    program = Program(built("ponder_cell"), RULES["quantile"], 3)
    before = {name: part.clone() for name, part in program.model.state_dict().items()}
    state = torch.get_rng_state()
    audit(program, TASK, audits=[small(kind)], budget=BUDGET)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(part, before[name]) for name, part in program.model.state_dict().items())
    assert all(part.grad is None for part in program.model.parameters())


def test_all_seventeen_are_found_by_their_names():
    assert len(chosen(None)) == len(AUDITS) == 17
