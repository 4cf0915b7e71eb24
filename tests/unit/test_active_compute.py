"""Gates: their law, their gradient under vmap, their price by hand and by counting, and the program that is cut."""

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Generator

from sp_search import assembly
from sp_search.compute import cross_check
from sp_search.errors import StudyError
from sp_search.models.base import ModelSpec
from sp_search.models.recall_conv import RecallConv
from sp_search.plugins import discover
from sp_search.pricing import HaltingRule, cumulative_flops
from sp_search.priors.active_compute import ActiveCompute
from sp_search.priors.networks.unit_gates import UnitGates
from sp_search.program import Exits, Program, ProgramModel, unroll
from sp_search.records import RunnerState
from sp_search.study import study_of
from sp_search.tasks.base import Shape
from sp_search.train.export import export_program, load_program
from sp_search.train.gating import WidthPrice, cut, gated, through_gates
from sp_search.train.settings import TrainSettings
from tests.unit.test_train_runner import Before, assignment, finish, runner, same

torch.set_num_threads(1)
SHAPE = Shape(5, 2, 5, 3)
PARTS = discover("models")
WITH_WIDTH = [kind for kind, part in PARTS.items() if "width" in part().axes()]


def spec(kind: str, width: int) -> ModelSpec:
    return PARTS[kind](width=width)  # type: ignore[return-value]


def with_gates(kind: str, width: int, chances: list[float]) -> ProgramModel:
    """A network whose finished gates have these log-odds."""
    network = assembly.build(spec(kind, width), ActiveCompute(), SHAPE, 2, Generator().manual_seed(0))
    with torch.no_grad():
        network.unit_gates.location_W.copy_(torch.tensor(chances) / network.unit_gates.speed)
    return network


def test_the_chance_of_an_open_gate_and_its_law_are_those_of_the_draws() -> None:
    gates = UnitGates(4, begin=0.0, speed=10.0)
    with torch.no_grad():
        gates.location_W.copy_(torch.tensor([-0.6, -0.1, 0.0, 0.6]))
        noise = torch.rand(40_000, 4, generator=Generator().manual_seed(0))
        drawn = gates(noise)
    torch.testing.assert_close((drawn > 0).float().mean(0), gates.open_W(), atol=0.01, rtol=0)
    assert ((drawn == 0) | (drawn == 1)).float().mean() > 0.5
    assert gates.open_W()[2].item() == pytest.approx(1 / (1 + math.exp(-(2 / 3) * math.log(11))))


def test_finished_gates_are_closed_and_open_exactly_where_the_location_is_far() -> None:
    gates = UnitGates(3, begin=0.0, speed=1.0)
    with torch.no_grad():
        gates.location_W.copy_(torch.tensor([-2.5, 0.0, 2.5]))
        assert gates().tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("kind", WITH_WIDTH)
def test_the_price_by_width_is_the_analytic_price_of_every_width(kind: str) -> None:
    price = WidthPrice.of(spec(kind, 1), SHAPE, 2, halting=False)
    for width in (1, 2, 5, 32, 100):
        expected = cumulative_flops(spec(kind, width).prices(SHAPE, 2, halting=False), HaltingRule())[-1]
        assert price.at(width) == pytest.approx(expected, rel=1e-12)


def test_expected_flops_are_the_mean_over_all_gates() -> None:
    price, open_W = WidthPrice(3.0, 2.0, 5.0), [0.2, 0.9, 0.5]
    expected = sum(
        price.at(sum(gates)) * math.prod(p if gate else 1 - p for gate, p in zip(gates, open_W, strict=True))
        for gates in product([0, 1], repeat=3)
    )
    assert float(price.share(torch.tensor(open_W))) == pytest.approx(expected / price.at(3))
    assert float(price.share(torch.ones(3))) == 1.0


@pytest.mark.parametrize("kind", WITH_WIDTH)
def test_the_cut_program_answers_as_the_gated_network_and_is_charged_for_its_open_units_alone(kind: str) -> None:
    network = with_gates(kind, 5, [9.0, -9.0, 0.3, -9.0, 1.0])
    x_BTC = torch.randn(6, SHAPE.positions, SHAPE.channels, generator=Generator().manual_seed(1))
    narrow = cut(spec(kind, 5), network, SHAPE, 2, halting=False)
    weights = gated(network.units or {}, dict(network.named_parameters()), network.unit_gates())
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(weights[name])
        expected = unroll(network, x_BTC, exits=2, halting=False).logits_NBTV
        found = unroll(narrow, x_BTC, exits=2, halting=False).logits_NBTV
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert narrow.origin["model"]["width"] == 3
    assert narrow.prices(5, 2) == spec(kind, 3).prices(SHAPE, 2, halting=False)
    assert cross_check(Program(narrow, HaltingRule(), 2), x_BTC).agrees


def test_at_least_one_unit_is_left() -> None:
    narrow = cut(spec("exit_mlp", 3), with_gates("exit_mlp", 3, [-9.0, -8.0, -9.0]), SHAPE, 2, halting=False)
    assert narrow.origin["model"]["width"] == 1


@pytest.mark.parametrize("kind", WITH_WIDTH)
def test_weights_and_gates_get_a_gradient_through_the_draw(kind: str) -> None:
    network = with_gates(kind, 4, [0.0] * 4)
    x_BTC = torch.randn(6, SHAPE.positions, SHAPE.channels, generator=Generator().manual_seed(1))
    noise = torch.tensor([0.3, 0.5, 0.6, 0.7])
    exits, open_W = through_gates(network, noise, lambda own: unroll(own, x_BTC, exits=2, halting=False))
    loss = exits.logits_NBTV.square().sum()
    gradients = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    (price,) = torch.autograd.grad(WidthPrice(0.0, 1.0, 1.0).share(open_W), network.unit_gates.location_W)
    assert (price > 0).all()


def test_draws_are_a_lineages_own_and_a_slice_repeats_bit_for_bit() -> None:
    run = runner(
        Before(distance=3), prior=ActiveCompute(), settings=TrainSettings(steps=40, evaluate_every=20, batch=8)
    )
    together, alone = assignment(lineages=(0, 1)), assignment(lineages=(1,))
    first, again = (run.step(together, run.begin(together, None))[0] for _ in range(2))
    assert same(first, again)
    single, _ = run.step(alone, run.begin(alone, None))
    torch.testing.assert_close(first.arrays["weights_RP"][1], single.arrays["weights_RP"][0], atol=1e-4, rtol=1e-3)
    noise = run._job(together, fresh=True).gate_noise([0, 1], 0, 20)
    assert noise is not None
    assert not torch.equal(noise[:, 0], noise[:, 1])


def widths_after(strength: float) -> list[int]:
    """Units in use after training on a task that one or two units do, in the lineages that reach it."""
    settings = TrainSettings(steps=200, batch=32, evaluate_every=100, learning_rate=1e-2, validation=512)
    run = runner(model=RecallConv(width=8), prior=ActiveCompute(strength=strength), settings=settings)
    at = assignment(cap=1)
    state, measured = finish(run, at)
    reached = [one for one in measured.lineages if one.ended == "reached"]
    assert reached
    for lineage in reached:
        program = run.program(at, state, lineage.lineage)
        width = program.model.origin["model"]["width"]
        prices = RecallConv(width=width).prices(Before().shape(), 1, halting=False)
        assert lineage.max_available_flops == prices.start + prices.step_N[0] + prices.answer_N[0]
        assert lineage.compute["flops"].largest == lineage.max_available_flops
        assert lineage.parameters == RecallConv(width=width).parameters(Before().shape(), 1, halting=False)
        assert lineage.train_steps == 200
    return [run.program(at, state, one.lineage).model.origin["model"]["width"] for one in reached]


def test_a_stronger_price_leaves_fewer_units_and_the_program_still_works() -> None:
    assert max(widths_after(0.5)) < 6
    assert min(widths_after(0.0)) >= 6


def test_a_cut_program_is_exported_and_loaded(tmp_path: Any) -> None:
    run, at = runner(prior=ActiveCompute()), assignment(cap=1)
    state: RunnerState = run.begin(at, None)
    start = [name for name, _ in state.meta["parameters"]].index("unit_gates.location_W")
    sizes = [math.prod(shape) for _, shape in state.meta["parameters"]]
    state.arrays["weights_RP"][:, sum(sizes[:start]) : sum(sizes[:start]) + 2] = -1.0
    program = run.program(at, state, 0)
    assert program.model.origin["model"]["width"] == 4
    export_program(tmp_path, program, {})
    x_BTC = torch.randn(3, 16, 1, generator=Generator().manual_seed(2))
    loaded = load_program(tmp_path)
    assert torch.equal(*(unroll(one.model, x_BTC, exits=1, halting=False).logits_NBTV for one in (program, loaded)))


def test_a_model_without_a_unit_layout_is_refused_before_anything_starts() -> None:
    without = next(kind for kind, part in PARTS.items() if part().unit_layout(SHAPE, 1, halting=False) is None)
    study: dict[str, Any] = {
        "name": "gates",
        "task": {"kind": "prefix_sums", "bits": 5},
        "model": {"kind": without},
        "prior": {"kind": "active_compute"},
        "scheduler": {"kind": "annealing", "axis": spec_axis(without)},
    }
    with pytest.raises(
        StudyError, match=f"active_compute gates the units of a model, and {without} has no unit layout"
    ):
        study_of(study)
    with pytest.raises(ValueError, match="has no unit layout"):
        ActiveCompute().attach(
            PARTS[without]().build(SHAPE, 1, halting=False, generator=Generator()), SHAPE, 1, Generator()
        )
    assert study_of({**study, "model": {"kind": "recall_conv"}, "scheduler": {"kind": "annealing"}})


def spec_axis(kind: str) -> str:
    return PARTS[kind]().exits_axis()  # type: ignore[attr-defined, no-any-return]


def test_a_network_without_gates_is_refused_by_the_loss() -> None:
    exits = Exits(torch.zeros(1, 2, 1, 2), None, (1.0,))
    with pytest.raises(ValueError, match="unit gates"):
        ActiveCompute().loss(exits, torch.sum, {})


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 1.0), (0.29, 1.0), (0.3, 1.0 + 2.0 * 0.5), (1.0, 2.0)])
def test_the_price_begins_after_the_warm_up_at_its_full_strength(progress: float, expected: float) -> None:
    exits = Exits(torch.zeros(1, 2, 1, 2), None, (1.0,), active=torch.tensor(0.5))
    loss, _ = ActiveCompute(strength=2.0, warmup=0.3).loss(exits, lambda logits: torch.ones(2), {"progress": progress})
    assert loss.item() == expected
