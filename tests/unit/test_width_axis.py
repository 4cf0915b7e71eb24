"""The width as an axis: the ladder and its prices, the network that a budget names, and a lineage going up and down."""

from typing import Any

import pytest
import torch
from torch import Generator

from sp_search import assembly
from sp_search.drive import simulate
from sp_search.errors import StudyError
from sp_search.models.exit_mlp import ExitMlp
from sp_search.models.recall_conv import RecallConv
from sp_search.plan import plan_study, widths
from sp_search.pricing import HaltingRule
from sp_search.priors.none import NoPrior
from sp_search.program import Program, unroll
from sp_search.records import Assignment, Budget
from sp_search.schedulers.network_growth import NetworkGrowth
from sp_search.study import study_of
from sp_search.tasks.prefix_sums import PrefixSums
from sp_search.train.settings import TrainSettings
from sp_search.train.trainer import NeuralRunner

torch.set_num_threads(1)


def study(**fields: Any) -> Any:
    content = {
        "name": "wide",
        "task": {"kind": "prefix_sums", "bits": 5},
        "model": {"kind": "recall_conv"},
        "scheduler": {"kind": "network_growth", "start": 2.0, "stop": 6.0, "exits": 3},
        "tracking": {"uri": None},
    }
    return study_of({**content, **fields})


@pytest.mark.parametrize(
    ("start", "stop", "factor", "expected"),
    [
        (1, 1, 2.0, [1]),
        (1, 5, 1.1, [1, 2, 3, 4, 5]),
        (4, 64, 2.0, [4, 8, 16, 32, 64]),
        (4, 20, 1.5, [4, 6, 9, 14, 20]),
        (2.5, 9.9, 3.0, [3, 9]),
    ],
)
def test_the_ladder_of_widths_is_geometric_and_ends_at_its_stop(
    start: float, stop: float, factor: float, expected: list[int]
) -> None:
    assert widths(start, stop, factor) == expected


def test_a_ladder_of_widths_has_the_price_of_every_width() -> None:
    plan = plan_study(study())
    prior, shape = NoPrior(), PrefixSums(bits=5).shape()
    expected = []
    for width in (2, 3, 4, 6):
        network = assembly.build(RecallConv(width=width), prior, shape, 3, Generator().manual_seed(0))
        expected.append(Program(network, HaltingRule(), 3).max_available_flops(5))
    assert plan.space.caps == expected
    assert plan.space.measure == "flops"
    assert [row.axis_value for row in plan.rows] == [2, 3, 4, 6]
    assert [budget.axis for budget in plan.population.members[0].budgets if budget] == [
        {"width": width, "rollouts": 3} for width in (2, 3, 4, 6)
    ]
    assert all(row.training_flops for row in plan.rows)


def test_members_share_a_ladder_and_each_takes_the_widest_network_within_a_cap() -> None:
    plan = plan_study(study(population={"members": [{"layers": 1}, {"layers": 3}]}))
    assert len(plan.space.caps) == 8
    for member in plan.population.members:
        taken = [None if budget is None else budget.axis["width"] for budget in member.budgets]
        known = [width for width in taken if width is not None]
        assert known == sorted(known)
        assert taken[-1] == 6 or member.member == 0
    assert plan.population.members[1].budgets[0] is None


def test_an_untied_network_has_as_many_exits_as_it_can_along_its_width() -> None:
    plan = plan_study(study(model={"kind": "exit_mlp", "depth": 1}))
    assert plan.population.members[0].budgets[0].axis == {"width": 2, "depth": 2}  # type: ignore[union-attr]
    deeper = plan_study(study(model={"kind": "exit_mlp", "depth": 5}))
    assert deeper.population.members[0].budgets[0].axis == {"width": 2, "depth": 3}  # type: ignore[union-attr]


def test_rollouts_are_no_size_of_a_network() -> None:
    with pytest.raises(StudyError, match="'width' or 'depth'"):
        study(scheduler={"kind": "network_growth", "axis": "rollouts"})


def assignment(axis: dict[str, int], visit: int) -> Assignment:
    budget = Budget(kind="max", measure="flops", cap=1e9, axis=axis)
    return Assignment(
        member=0, visit=visit, level=visit, attempt=visit, milestone=1.0, budget=budget, config={},
        lineages=[0, 1], seeds=[10, 11],
    )  # fmt: skip


@pytest.mark.parametrize("model", [RecallConv(), ExitMlp()])
@pytest.mark.parametrize("growth", ["zero", "split"])
def test_a_lineage_takes_its_program_along_to_other_sizes(model: RecallConv | ExitMlp, growth: Any) -> None:
    task = PrefixSums(bits=5)
    settings = TrainSettings(steps=10, evaluate_every=10, growth=growth)
    runner = NeuralRunner(
        task, model, NoPrior(), settings, gates=["iid"], verification_n=100, confidence=0.9, study_seed=1
    )
    x_BTC = task.sample(20, "iid", "train", Generator().manual_seed(0)).x_BTC
    exits, further = model.exits_axis(), 0 if model.exits_axis() == "rollouts" else 1
    sizes = [{"width": 3, exits: 2}, {"width": 5, exits: 2 + further}, {"width": 4, exits: 2}]
    state, answers = None, []
    for visit, axis in enumerate(sizes):
        at = assignment(axis, visit)
        state = runner.begin(at, state)
        before = runner.program(at, state, 1)
        assert before.model.origin["model"]["width"] == axis["width"]
        answers.append(unroll(before.model, x_BTC, exits=before.exits, halting=False, last_only=True).logits_NBTV)
        if visit == 0:  # what it has learnt here is what has to go along
            state, _ = runner.step(at, state)
            after = runner.program(at, state, 1)
            answers[0] = unroll(after.model, x_BTC, exits=after.exits, halting=False, last_only=True).logits_NBTV
        assert state.arrays["weights_RP"].isfinite().all()
    torch.testing.assert_close(answers[0], answers[1], atol=1e-5, rtol=0)


def test_a_width_level_trains_and_is_judged_by_its_flops() -> None:
    task = PrefixSums(bits=3)
    runner = NeuralRunner(
        task, RecallConv(), NoPrior(), TrainSettings(steps=400), gates=["iid"], verification_n=100, confidence=0.9,
        study_seed=1,
    )  # fmt: skip
    at = assignment({"width": 6, "rollouts": 1}, 0).model_copy(update={"milestone": 0.9})
    state, measured = runner.begin(at, None), None
    while measured is None:
        state, measured = runner.step(at, state)
    (price,) = {lineage.max_available_flops for lineage in measured.lineages}
    prices = RecallConv(width=6).prices(task.shape(), 1, halting=False)
    assert price == prices.start + prices.step_N[0] + prices.answer_N[0]
    assert any(lineage.compute["flops"].largest == price for lineage in measured.lineages)


class FromAbove:
    """A level passes only when it was reached from one above that passed."""

    def __init__(self) -> None:
        self.levels = [1.0, 2.0, 3.0, 4.0]
        self.seen: set[float] = set()

    def cost(self, budget: float) -> float:
        return budget

    def passes(self, budget: float, seed: int) -> bool:
        self.seen.add(budget)
        return budget == 4.0 or (budget >= 2.0 and 4.0 in self.seen)


def test_a_network_that_grew_may_shrink_again() -> None:
    assert simulate(NetworkGrowth(), FromAbove(), workers=1, seed=0, members=1).found_budget == 4.0
    assert simulate(NetworkGrowth(descend=True), FromAbove(), workers=1, seed=0, members=1).found_budget == 2.0


def test_every_scheduler_may_move_the_width_and_a_mean_budget_caps_the_widest_network() -> None:
    ladder = {"axis": "width", "start": 2.0, "stop": 6.0, "exits": 3}
    annealed = plan_study(study(scheduler={"kind": "annealing", **ladder}))
    assert annealed.space.caps == plan_study(study()).space.caps
    mean = {"kind": "annealing", "budget": "mean", **ladder}
    capped = plan_study(study(scheduler=mean, prior={"kind": "ponder_net"}))
    assert {row.axis_value for row in capped.rows} == {6}
    assert len(capped.space.caps) == 4
