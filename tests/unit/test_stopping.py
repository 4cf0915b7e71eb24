"""Execution that really stops, against a reference that computes every exit for every example."""

import pytest
import torch
from fakes import TinyProgram
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.compute import cross_check, execute, measured_prices
from sp_search.pricing import HaltingRule
from sp_search.program import Program, halting_probabilities, unroll


def inputs(n, *, positions=3, channels=2, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, positions, channels), generator=generator, dtype=dtype)


def masked_reference(program, x_BTC):
    """Compute every exit for every example, then select: answer_BTV, exit_B."""
    with torch.no_grad():
        exits = unroll(program.model, x_BTC, exits=program.exits, halting=True)
    if program.rule.kind == "quantile":
        stops_NB = halting_probabilities(exits.halt_NB).cumsum(0) >= program.rule.threshold
    elif program.rule.kind == "confidence":
        stops_NB = exits.logits_NBTV.softmax(-1).amax(-1).amin(-1) >= program.rule.threshold
    else:
        stops_NB = torch.zeros(program.exits, len(x_BTC), dtype=torch.bool)
    stops_NB[-1] = True
    first_B = stops_NB.long().argmax(0)
    return exits.logits_NBTV[first_B, torch.arange(len(x_BTC))], first_B + 1


rules = st.one_of(
    st.just(HaltingRule()),
    st.builds(
        HaltingRule, st.sampled_from(["quantile", "confidence"]), st.sampled_from([0.0, 0.3, 0.5, 0.8, 0.95, 2.0])
    ),
)


@settings(deadline=None, max_examples=60)
@given(rules, st.integers(1, 6), st.integers(1, 9), st.integers(0, 50), st.booleans())
def test_stopping_answers_as_computing_everything_does(rule, exits, n, seed, compact):
    program = Program(TinyProgram(seed=seed).double(), rule, exits)
    x_BTC = inputs(n, seed=seed)
    execution = execute(program, x_BTC, compact=compact)
    answer_BTV, exit_B = masked_reference(program, x_BTC)
    assert torch.equal(execution.exit_B, exit_B)
    torch.testing.assert_close(execution.answer_BTV, answer_BTV)
    costs = torch.tensor(program.flops_N(3), dtype=torch.float64)
    assert torch.equal(execution.flops_B, costs[exit_B - 1])


@settings(deadline=None, max_examples=40)
@given(rules, st.integers(1, 6), st.integers(1, 9), st.integers(0, 50))
def test_what_is_charged_is_exactly_what_ran(rule, exits, n, seed):
    check = cross_check(Program(TinyProgram(seed=seed), rule, exits), inputs(n, seed=seed, dtype=torch.float32))
    assert check.agrees, check


def test_prices_are_what_every_method_costs():
    model = TinyProgram()
    measured = measured_prices(model, inputs(5, dtype=torch.float32), exits=3, halting=True)
    assert measured == model.prices(3, 3)


def test_examples_leave_at_different_exits():
    program = Program(TinyProgram(seed=2), HaltingRule("quantile", 0.5), 4)
    exit_B = execute(program, inputs(64, dtype=torch.float32)).exit_B
    assert len(exit_B.unique()) >= 3


@pytest.mark.parametrize("kind", ["quantile", "confidence"])
def test_thresholds_at_the_ends_stop_at_once_or_never(kind):
    model = TinyProgram()
    x_BTC = inputs(4, dtype=torch.float32)
    assert execute(Program(model, HaltingRule(kind, 0.0), 4), x_BTC).exit_B.tolist() == [1] * 4
    assert execute(Program(model, HaltingRule(kind, 2.0), 4), x_BTC).exit_B.tolist() == [4] * 4


def test_halted_rows_are_not_computed_and_a_lone_example_breaks_off():
    rows_seen = []

    class Watched(TinyProgram):
        def step(self, state, exit_index):
            rows_seen.append(len(state[0]))
            return super().step(state, exit_index)

    model = Watched(seed=2)
    rule = HaltingRule("quantile", 0.5)
    x_BTC = inputs(16, dtype=torch.float32)
    exit_B = execute(Program(model, rule, 4), x_BTC).exit_B
    assert rows_seen == [int((exit_B >= index).sum()) for index in range(1, int(exit_B.max()) + 1)]
    rows_seen.clear()
    lone = execute(Program(model, rule, 4), x_BTC[:1])
    assert rows_seen == [1] * int(lone.exit_B)


def test_an_empty_batch_has_an_empty_answer():
    for rule in (HaltingRule(), HaltingRule("quantile"), HaltingRule("confidence")):
        execution = execute(Program(TinyProgram(), rule, 3), inputs(0, dtype=torch.float32))
        assert execution.answer_BTV.shape == (0, 3, 2)
        assert execution.exit_B.shape == execution.flops_B.shape == (0,)


def test_dtypes_are_kept_and_nothing_is_recorded_for_gradients():
    for dtype in (torch.float32, torch.float64):
        execution = execute(Program(TinyProgram().to(dtype), HaltingRule("quantile"), 3), inputs(2, dtype=dtype))
        assert execution.answer_BTV.dtype == dtype
        assert (execution.exit_B.dtype, execution.flops_B.dtype) == (torch.int64, torch.float64)
        assert not execution.answer_BTV.requires_grad


def test_a_rule_can_take_the_place_of_the_programs_own_and_rollouts_go_beyond_the_trained_number():
    program = Program(TinyProgram(exits=4), HaltingRule("quantile", 0.0), 12)
    execution = execute(program, inputs(2, dtype=torch.float32), rule=HaltingRule())
    assert execution.exit_B.tolist() == [12, 12]
    assert execution.flops_B[0] == Program(program.model, HaltingRule(), 12).max_available_flops(3)


def test_halting_probabilities_stay_exact_where_rates_saturate():
    halt_NB = torch.tensor([[-200.0, 0.0, 200.0], [-200.0, 0.0, 5.0], [3.0, 3.0, 3.0]])
    p_NB = halting_probabilities(halt_NB)
    torch.testing.assert_close(p_NB.sum(0), torch.ones(3))
    torch.testing.assert_close(p_NB[:, 1], torch.tensor([0.5, 0.25, 0.25]))
    torch.testing.assert_close(p_NB[-1], torch.tensor([1.0, 0.25, 0.0]))
    assert halting_probabilities(torch.tensor([[-7.0]])).tolist() == [[1.0]]
