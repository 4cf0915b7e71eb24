"""What every model part must keep to; a new part is tested the moment its file exists."""

from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import Generator
from torch.func import functional_call, vmap

from sp_search.compute.flops import count_flops
from sp_search.compute.stopping import execute
from sp_search.plugins import discover
from sp_search.pricing import HaltingRule, cumulative_flops
from sp_search.program import Program, halting_probabilities, unroll
from sp_search.tasks.base import Shape

torch.set_num_threads(1)
KINDS = sorted(discover("models"))
SHAPES = {"recall_conv": Shape(5, 2, 5, 2), "exit_mlp": Shape(4, 3, 1, 6)}
BATCH = 7


def shape_for(kind):
    return SHAPES.get(kind, Shape(5, 2, 5, 2))


@cache
def built(kind, exits=3, halting=True, seed=0):
    return discover("models")[kind]().build(
        shape_for(kind), exits, halting=halting, generator=Generator().manual_seed(seed)
    )


def inputs(kind, batch=BATCH):
    shape = shape_for(kind)
    return torch.randn(batch, shape.positions, shape.channels, generator=Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_exits_have_the_declared_shapes(kind):
    shape = shape_for(kind)
    exits = unroll(built(kind), inputs(kind), exits=3, halting=True)
    assert exits.logits_NBTV.shape == (3, BATCH, shape.answers, shape.classes)
    assert exits.halt_NB.shape == (3, BATCH)
    assert len(exits.flops_N) == 3
    last = unroll(built(kind), inputs(kind), exits=3, halting=False, last_only=True)
    assert last.halt_NB is None
    assert torch.equal(last.logits_NBTV[0], exits.logits_NBTV[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_every_further_exit_costs_more(kind):
    for rule in (HaltingRule("last"), HaltingRule("quantile"), HaltingRule("confidence")):
        flops_N = cumulative_flops(built(kind).prices(shape_for(kind).positions, 3), rule)
        assert all(low < high for low, high in pairwise(flops_N))


@pytest.mark.parametrize("kind", KINDS)
def test_exit_n_of_a_long_run_is_exit_n_of_a_short_run(kind):
    long, short = (unroll(built(kind), inputs(kind), exits=n, halting=True) for n in (3, 2))
    assert torch.equal(long.logits_NBTV[:2], short.logits_NBTV)
    assert torch.equal(long.halt_NB[:2], short.halt_NB)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_answers_alone_as_it_does_in_a_batch(kind):
    x_BTC = inputs(kind)
    together = unroll(built(kind), x_BTC, exits=3, halting=True)
    alone = unroll(built(kind), x_BTC[2:3], exits=3, halting=True)
    torch.testing.assert_close(together.logits_NBTV[:, 2:3], alone.logits_NBTV)
    torch.testing.assert_close(together.halt_NB[:, 2:3], alone.halt_NB)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["start", "step", "halt", "answer"])
def test_analytic_prices_are_what_the_dispatcher_counts(kind, part):
    """Of each method at each exit, and therefore of every sum of them."""
    model, x_BTC = built(kind), inputs(kind)
    prices = model.prices(shape_for(kind).positions, 3)
    state = model.start(x_BTC)
    if part == "start":
        assert count_flops(model.start, x_BTC).total == prices.start * BATCH
        return
    for index in (1, 2, 3):
        if part == "step":
            assert count_flops(lambda: model.step(state, index)).total == prices.step_N[index - 1] * BATCH  # noqa: B023
        state = model.step(state, index)
        if part == "halt":
            assert count_flops(lambda: model.halt(state, index)).total == prices.halt_N[index - 1] * BATCH  # noqa: B023
        if part == "answer":
            counted = count_flops(lambda: model.answer(state, index)).total  # noqa: B023
            assert counted == prices.answer_N[index - 1] * BATCH


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("halting", [True, False])
def test_the_part_knows_its_parameters_without_building(kind, halting):
    spec, model = discover("models")[kind](), built(kind, 2, halting)
    assert spec.parameters(shape_for(kind), 2, halting=halting) == sum(p.numel() for p in model.parameters())
    assert spec.prices(shape_for(kind), 2, halting=halting) == model.prices(shape_for(kind).positions, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_every_parameter(kind):
    model = built(kind)
    exits = unroll(model, inputs(kind), exits=3, halting=True)
    loss = exits.logits_NBTV.square().sum() + exits.halt_NB.square().sum()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_vmap_over_replicas_gives_what_each_gives(kind):
    models = [built(kind, seed=seed) for seed in (0, 1)]
    stacked = {n: torch.stack([dict(m.named_parameters())[n] for m in models]) for n, _ in models[0].named_parameters()}
    x_BTC = inputs(kind)

    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = models[0]

        def forward(self, x_BTC):
            return unroll(self.model, x_BTC, exits=3, halting=True).logits_NBTV

    together = vmap(lambda own: functional_call(Last(), {f"model.{n}": p for n, p in own.items()}, (x_BTC,)))(stacked)
    for model, logits_NBTV in zip(models, together, strict=True):
        expected = unroll(model, x_BTC, exits=3, halting=True).logits_NBTV
        torch.testing.assert_close(logits_NBTV, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_builds_the_same_network_and_another_does_not(kind):
    first, again, other = (
        torch.cat([p.flatten() for p in built.__wrapped__(kind, seed=seed).parameters()]) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_executed_answers_are_those_of_the_exit_that_halted(kind):
    model, x_BTC = built(kind), inputs(kind)
    exits = unroll(model, x_BTC, exits=3, halting=True)
    ran = execute(Program(model, HaltingRule("quantile", 0.4), 3), x_BTC)
    reached_NB = halting_probabilities(exits.halt_NB).cumsum(0)[:-1] < 0.4
    expected_B = reached_NB.long().cumprod(0).sum(0) + 1
    assert torch.equal(ran.exit_B, expected_B)
    torch.testing.assert_close(ran.answer_BTV, exits.logits_NBTV[expected_B - 1, torch.arange(BATCH)])


@pytest.mark.parametrize("kind", KINDS)
def test_no_cap_below_one_exit_can_be_realised_and_an_unknown_axis_is_refused(kind):
    spec = discover("models")[kind]()
    for axis in spec.axes():
        assert spec.realise(axis, 0.5) is None
        assert spec.realise(axis, 2.0) == 2
    with pytest.raises(ValueError, match="has no axis 'depht'"):
        spec.realise("depht", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_with_fewer_exits_is_the_longer_one_cut(kind):
    """By name and shape, so that weights are inherited where a budget moves; and at the same prices."""
    spec, shape = discover("models")[kind](), shape_for(kind)
    short, long = ({name: part.shape for name, part in built(kind, n).named_parameters()} for n in (2, 3))
    assert short.items() <= long.items()
    few, more = (spec.prices(shape, n, halting=True) for n in (2, 3))
    for part in ("step_N", "halt_N", "answer_N"):
        assert getattr(few, part) == getattr(more, part)[:2]


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_sees_further_than_the_reach_that_proofs_rely_on(kind):
    model, x_BTC = built(kind, halting=False), inputs(kind)
    reach = model.reach()
    assert reach == discover("models")[kind]().reach()
    if reach is None:
        return
    for position in range(x_BTC.shape[1]):
        changed_BTC = x_BTC.clone()
        changed_BTC[:, position] += 1.0
        with torch.no_grad():
            before, after = (unroll(model, x, exits=3, halting=False).logits_NBTV for x in (x_BTC, changed_BTC))
        for exit_index, moved_T in enumerate((before != after).any(-1).any(1), start=1):
            assert (moved_T.nonzero() - position).abs().max() <= exit_index * reach


def test_recall_conv_moves_information_by_its_reach_and_no_further():
    model = built("recall_conv", exits=2)
    x_BTC = torch.zeros(1, 7, 2)
    with torch.no_grad():
        changed = x_BTC.clone()
        changed[0, 0] = 3.0
        before, after = (unroll(model, x, exits=2, halting=False).logits_NBTV for x in (x_BTC, changed))
    moved_NT = (before != after).any(-1).squeeze(1)
    assert model.reach() == 2
    assert moved_NT.tolist() == [[True] * 3 + [False] * 4, [True] * 5 + [False] * 2]
