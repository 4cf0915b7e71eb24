"""Execution that really stops, against a reference that computes every exit for every example."""

import math
from typing import get_args

import pytest
import scipy.stats
import torch
from fakes import TinyProgram
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.compute import cross_check, execute, measured_prices
from sp_search.compute.stopping import DROPPING_FLOPS, MOVING_FLOPS, pays
from sp_search.pricing import HaltingRule, RuleKind
from sp_search.program import Program, halting_probabilities, unroll


def inputs(n, *, positions=3, channels=2, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, positions, channels), generator=generator, dtype=dtype)


KINDS = get_args(RuleKind)


def tiny(seed=0, **settings):
    return TinyProgram(seed=seed, predictor=True, exits=6, **settings)


def stops(rule, logits_BTV, before_BTV, kept_B, halt_NB, predict_BN, index):
    """Say by the definition of each rule which examples exit `index` satisfies: log-free, in plain probabilities."""
    p_BTV = logits_BTV.softmax(-1)
    threshold = rule.threshold
    if rule.kind == "quantile":
        return halting_probabilities(halt_NB)[:index].sum(0) >= threshold
    if rule.kind == "accumulated":
        return halt_NB[:index].sigmoid().sum(0) >= threshold
    if rule.kind == "prediction":
        return predict_BN.softmax(-1)[:, :index].sum(-1) >= threshold
    if rule.kind == "confidence":
        return (p_BTV.max(-1).values >= threshold).all(-1)
    if rule.kind == "entropy":
        classes = logits_BTV.shape[-1]
        entropy_BT = torch.distributions.Categorical(probs=p_BTV).entropy()
        return (entropy_BT <= (1 - threshold) * math.log(classes)).all(-1)
    if rule.kind == "margin":
        ordered_BTV = p_BTV.sort(-1).values
        return (ordered_BTV[..., -1] - ordered_BTV[..., -2] >= threshold).all(-1)
    if rule.kind == "patience":
        return kept_B >= threshold
    moved_BT = (p_BTV - before_BTV.softmax(-1)).abs().sum(-1) / 2 if before_BTV is not None else None
    return (moved_BT <= 1 - threshold).all(-1) if moved_BT is not None else torch.zeros(len(p_BTV), dtype=torch.bool)


def masked_reference(program, x_BTC):
    """Compute every exit for every example, then select: answer_BTV, exit_B."""
    rule, N = program.rule, program.exits
    with torch.no_grad():
        exits = unroll(program.model, x_BTC, exits=N, halting=True, predicting=True)
    exit_B = torch.full((len(x_BTC),), N)
    kept_B = torch.zeros(len(x_BTC))
    before_BTV = None
    for index in range(1, N) if rule.kind != "last" else ():
        logits_BTV = exits.logits_NBTV[index - 1]
        if before_BTV is not None:
            kept_B = torch.where((logits_BTV.argmax(-1) == before_BTV.argmax(-1)).all(-1), kept_B + 1, 0)
        if rule.kind == "sample":
            survival_B = torch.nn.functional.logsigmoid(-exits.halt_NB[:index]).sum(0)
            drawn = torch.Generator().manual_seed(rule.seed)
            level_B = torch.empty(len(x_BTC), dtype=x_BTC.dtype).exponential_(generator=drawn)
            halts_B = -survival_B >= level_B
        else:
            halts_B = stops(
                rule, logits_BTV, before_BTV, kept_B, _with_certain_end(exits.halt_NB), exits.predict_BN, index
            )
        exit_B = torch.where(halts_B & (exit_B == N), index, exit_B)
        before_BTV = logits_BTV
    return exits.logits_NBTV[exit_B - 1, torch.arange(len(x_BTC))], exit_B


def _with_certain_end(halt_NB):
    return torch.cat([halt_NB, halt_NB[:1]])  # p_N of N + 1 exits holds the remainder, so p_1..p_N are plain


rules = st.builds(
    HaltingRule,
    st.sampled_from(KINDS),
    st.sampled_from([0.0, 0.3, 0.5, 0.8, 0.95, 2.0]),
    st.integers(0, 3),
)


@settings(deadline=None, max_examples=150)
@given(rules, st.integers(1, 6), st.integers(1, 9), st.integers(0, 50), st.sampled_from([True, False, None]))
def test_stopping_answers_as_computing_everything_does(rule, exits, n, seed, compact):
    program = Program(tiny(seed).double(), rule, exits)
    x_BTC = inputs(n, seed=seed)
    execution = execute(program, x_BTC, compact=compact)
    answer_BTV, exit_B = masked_reference(program, x_BTC)
    assert torch.equal(execution.exit_B, exit_B)
    torch.testing.assert_close(execution.answer_BTV, answer_BTV)
    costs = torch.tensor(program.flops_N(3), dtype=torch.float64)
    assert torch.equal(execution.flops_B, costs[exit_B - 1])


@settings(deadline=None, max_examples=80)
@given(rules, st.integers(1, 6), st.integers(1, 9), st.integers(0, 50))
def test_what_is_charged_is_exactly_what_ran(rule, exits, n, seed):
    check = cross_check(Program(tiny(seed), rule, exits), inputs(n, seed=seed, dtype=torch.float32))
    assert check.agrees, check


@settings(deadline=None, max_examples=60)
@given(rules, st.integers(1, 6), st.integers(0, 50))
def test_an_example_alone_stops_where_it_does_among_others(rule, exits, seed):
    program = Program(tiny(seed).double(), rule, exits)
    x_BTC = inputs(5, seed=seed)
    together = execute(program, x_BTC)
    for row in range(1 if rule.kind == "sample" else 5):  # the first draw of a seed is the same for one and for five
        alone = execute(program, x_BTC[row : row + 1])
        assert alone.exit_B == together.exit_B[row]
        torch.testing.assert_close(alone.answer_BTV[0], together.answer_BTV[row])


def test_sampled_exits_have_the_halting_probabilities_and_a_seed_repeats_them():
    program, n = Program(tiny(2, sharpness=1.0).double(), HaltingRule("sample"), 4), 4000
    x_BTC = inputs(1, seed=5).expand(n, -1, -1)
    p_N = halting_probabilities(unroll(program.model, x_BTC[:1], exits=4, halting=True).halt_NB)[:, 0].detach()
    assert p_N.min() > 0.01
    exit_B = execute(program, x_BTC).exit_B
    chi_square = ((exit_B.bincount(minlength=5)[1:] - n * p_N).square() / (n * p_N)).sum()
    assert chi_square < scipy.stats.chi2.isf(1e-4, df=3)
    assert torch.equal(exit_B, execute(program, x_BTC).exit_B)
    other = execute(program, x_BTC, rule=HaltingRule("sample", seed=1)).exit_B
    assert not torch.equal(exit_B, other)


def test_rows_are_dropped_only_where_the_next_step_saves_more_than_dropping_costs():
    rows_seen = []

    class Watched(TinyProgram):
        step_flops = 1.0

        def step(self, state, exit_index):
            rows_seen.append(len(state[0]))
            return super().step(state, exit_index)

        def prices(self, positions, exits):
            return super().prices(positions, exits)._replace(step_N=(self.step_flops,) * exits)

    model, x_BTC = Watched(seed=2), inputs(16, dtype=torch.float32)
    program = Program(model, HaltingRule("quantile", 0.5), 4)
    exit_B = execute(program, x_BTC).exit_B
    assert rows_seen == [16] * int(exit_B.max())
    rows_seen.clear()
    model.step_flops = 1e9
    assert torch.equal(execute(program, x_BTC).exit_B, exit_B)
    assert rows_seen == [int((exit_B >= index).sum()) for index in range(1, int(exit_B.max()) + 1)]
    assert len(set(rows_seen)) > 1
    assert pays(1, 10, 5, DROPPING_FLOPS + 50 * MOVING_FLOPS)
    assert not pays(1, 10, 5, DROPPING_FLOPS + 50 * MOVING_FLOPS - 1)


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
    exit_B = execute(Program(model, rule, 4), x_BTC, compact=True).exit_B
    assert rows_seen == [int((exit_B >= index).sum()) for index in range(1, int(exit_B.max()) + 1)]
    rows_seen.clear()
    lone = execute(Program(model, rule, 4), x_BTC[:1])
    assert rows_seen == [1] * int(lone.exit_B)


def test_an_empty_batch_has_an_empty_answer():
    for kind in KINDS:
        execution = execute(Program(tiny(), HaltingRule(kind), 3), inputs(0, dtype=torch.float32))
        assert execution.answer_BTV.shape == (0, 3, 2)
        assert execution.exit_B.shape == execution.flops_B.shape == (0,)


@pytest.mark.parametrize("exits", [0, -1, 2.5])
def test_a_program_has_a_whole_number_of_exits(exits):
    with pytest.raises(ValueError, match=f"1 or more: got exits={exits}"):
        Program(tiny(), HaltingRule(), exits)


def test_exits_that_share_no_weights_are_as_many_as_were_built():
    model = tiny()
    model.shares_weights = False
    with pytest.raises(ValueError, match=f"has {model.exits} exits, got exits={model.exits + 1}"):
        Program(model, HaltingRule(), model.exits + 1)


def test_a_rule_that_nothing_defines_is_refused():
    with pytest.raises(ValueError, match=r"no halting rule is named 'surprise'. Known: last, quantile"):
        HaltingRule("surprise")
    with pytest.raises(ValueError, match="rule confidence: the threshold is not a number"):
        HaltingRule("confidence", math.nan)


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
