"""What lineages take along between levels: weights, clones of what passed, or nothing; and what counts as evidence."""

import torch
from torch import Generator

from sp_search.drive import simulate
from sp_search.events import Capacity, SetBudget, Start
from sp_search.levels import Terms
from sp_search.models.recall_conv import RecallConv
from sp_search.priors.none import NoPrior
from sp_search.records import Assignment, Budget, Donor, LevelReport, LevelSpace, LineageReport, Member, Population
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.base import BudgetScheduler
from sp_search.schedulers.rollout_growth import RolloutGrowth
from sp_search.tasks.prefix_sums import PrefixSums
from sp_search.train.settings import TrainSettings
from sp_search.train.trainer import NeuralRunner


def reported(assignment: Assignment, passing: set[int]) -> LevelReport:
    lineages = [
        LineageReport(lineage=lineage, seed=seed, tried=True, passed=lineage in passing)
        for lineage, seed in zip(assignment.lineages, assignment.seeds, strict=True)
    ]
    at, cost = assignment, assignment.budget.cap if passing else None
    return LevelReport(
        member=at.member, visit=at.visit, level=at.level, attempt=at.attempt, lineages=lineages, cheapest_pass=cost
    )


def second_visit(part: BudgetScheduler, passing: set[int]) -> Assignment:
    """Return what a lone member of four replicas is asked after a level in which `passing` passed, or none did."""
    caps = [1.0, 2.0, 3.0]
    budgets = [Budget(kind="max", measure="rollouts", cap=cap) for cap in caps]
    members = [Member(member=0, config={}, budgets=list(budgets))]
    state = part.initial(
        LevelSpace(kind="max", measure="rollouts", axis="rollouts", caps=caps),
        Population(members=members, replicas=4),
        Terms(seed=0, milestones=[0.5, 1.0], lineages_to_fail=4),
    )
    state, actions = part.advance(state, Capacity(slots=1))
    state, actions = part.advance(state, reported(actions[0].assignment, passing))  # type: ignore[union-attr]
    assert isinstance(actions[-1], SetBudget)
    return actions[-1].assignment


def test_lineages_take_their_own_weights_along_those_that_passed_first() -> None:
    asked = second_visit(RolloutGrowth(), {2})
    assert asked.lineages == [2, 0, 1, 3]
    assert asked.init_from == Donor(visit=0, lineages=[0, 1, 2, 3], sources=[2, 0, 1, 3])


def test_clones_take_the_weights_of_what_passed_and_have_indices_of_their_own() -> None:
    asked = second_visit(RolloutGrowth(inherit="clones"), {2})
    assert asked.lineages == [2, 4, 5, 6]
    assert asked.init_from == Donor(visit=0, lineages=[0, 1, 2, 3], sources=[2, 2, 2, 2])


def test_nothing_is_cloned_where_nothing_passed() -> None:
    asked = second_visit(RolloutGrowth(inherit="clones"), set())
    assert asked.init_from == Donor(visit=0, lineages=[0, 1, 2, 3], sources=[0, 1, 2, 3])


def test_without_inheritance_every_visit_has_fresh_lineages() -> None:
    asked = second_visit(RolloutGrowth(inherit="off"), {2})
    assert (asked.lineages, asked.init_from) == ([4, 5, 6, 7], None)


def test_a_member_that_was_cut_at_first_carries_the_lineages_that_were_heard_of_later() -> None:
    budgets = [Budget(kind="max", measure="rollouts", cap=cap) for cap in (1.0, 2.0)]
    members = [Member(member=index, config={"width": index}, budgets=list(budgets)) for index in range(2)]
    part = RolloutGrowth()
    state = part.initial(
        LevelSpace(kind="max", measure="rollouts", axis="rollouts", caps=[1.0, 2.0]),
        Population(members=members, replicas=1),
        Terms(seed=0, milestones=[0.5, 1.0], lineages_to_fail=1),
    )
    asked: dict[int, Assignment] = {}
    event: Capacity | LevelReport = Capacity(slots=2)
    for member, passing in ((0, {0}), (0, set()), (1, set()), (0, set())):
        state, actions = part.advance(state, event)
        asked |= {one.assignment.member: one.assignment for one in actions if isinstance(one, Start | SetBudget)}
        event = reported(asked[member], passing)
    assert asked[1].lineages == [1], "its lineage 0 was cut while it trained"
    assert asked[1].init_from == Donor(visit=1, lineages=[1], sources=[1])


class Falling:
    """Passes at the top alone, so that whatever is tried below it fails."""

    levels = (1.0, 2.0, 3.0, 4.0)

    def cost(self, budget: float) -> float:
        return budget

    def passes(self, budget: float, seed: int) -> bool:
        return budget == 4.0


def test_a_clone_adds_no_evidence_so_a_failure_takes_as_many_roots_with_clones_as_without() -> None:
    for inherit in ("off", "weights", "clones"):
        result = simulate(Annealing(inherit=inherit), Falling(), workers=1, seed=0)  # type: ignore[arg-type]
        failed = [outcome for outcome in result.levels if outcome.verdict == "failed"]
        assert failed
        assert all(len(set(outcome.conclusive)) == outcome.tried >= 5 for outcome in failed)


def runner_and_assignment() -> tuple[NeuralRunner, Assignment]:
    settings = TrainSettings(steps=2, evaluate_every=2, batch=4, validation=8)
    runner = NeuralRunner(
        PrefixSums(bits=3), RecallConv(width=2), NoPrior(), settings, gates=["iid"], verification_n=8, confidence=0.9,
        study_seed=0,
    )  # fmt: skip
    budget = Budget(kind="max", measure="rollouts", cap=2, axis={"rollouts": 2})
    assignment = Assignment(
        member=0, visit=0, level=0, attempt=1, milestone=0.9, budget=budget, config={}, lineages=[0, 1], seeds=[1, 2]
    )
    return runner, assignment


def test_a_clone_begins_with_the_weights_and_the_moments_of_its_source() -> None:
    runner, assignment = runner_and_assignment()
    state = runner.begin(assignment, None)
    state.arrays["first_RP"] = torch.randn(state.arrays["weights_RP"].shape, generator=Generator().manual_seed(0))
    donor = Donor(visit=0, lineages=[0, 1], sources=[1, 1])
    later = assignment.model_copy(update={"visit": 1, "lineages": [1, 2], "init_from": donor})
    inherited = runner.begin(later, state)
    for name, array in inherited.arrays.items():
        if name.endswith("_RP"):
            assert torch.equal(array[0], state.arrays[name][1])
            assert torch.equal(array[1], state.arrays[name][1])
