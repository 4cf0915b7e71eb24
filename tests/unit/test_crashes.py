"""The driver dies after any line of the ledger: same answer, nothing finished runs again, everything is paid once."""

from math import isclose
from typing import Any, ClassVar, NamedTuple

import pytest

from sp_search.drive import SimulationResult, simulate
from sp_search.drive.cluster import Stragglers
from sp_search.events import Propose, Proposed
from sp_search.levels import Terms
from sp_search.plugins import discover
from sp_search.records import Budget, LevelReport, derive_seed
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.base import BudgetScheduler
from sp_search.schedulers.fixed import Fixed

SCHEDULERS = sorted(discover("schedulers"))
ROUGH: dict[str, Any] = {"stragglers": Stragglers(share=0.3), "lose": frozenset({2, 9})}


class Grades:
    """Half of the lineages pass the first milestone from the third level on, and the second from the fifth."""

    levels = tuple(2.0 ** (level / 2) for level in range(8))

    def cost(self, budget: float) -> float:
        return budget

    def cost_inherited(self, budget: float, previous: float, seed: int) -> float:
        return abs(budget - previous) + 0.125

    def passes(self, budget: float, seed: int) -> bool:
        return self.accuracy(budget, seed) > 0.9

    def accuracy(self, budget: float, seed: int) -> float:
        if derive_seed(seed, budget) % 2 or budget < self.levels[2]:
            return 0.0
        return 0.7 if budget < self.levels[4] else 0.99


class Menu:
    """Sixteen programs: the larger a program, the more it computes, and every third is good."""

    levels = (4.0, 8.0, 16.0)
    space: ClassVar = {"size": list(range(1, 17))}
    threshold = 1.0

    def cost(self, budget: float) -> float:
        return budget

    def passes(self, budget: float, seed: int) -> bool:
        raise AssertionError("its configurations decide")

    def compute(self, config: dict[str, Any]) -> float:
        return float(config["size"])

    def price(self, config: dict[str, Any]) -> float:
        return float(config["size"])

    def score(self, config: dict[str, Any], seed: int) -> float:
        return float(config["size"] % 3 == 0)


class Waiter:
    """Proposes a size that the member's number says, and writes down what it hears."""

    def __init__(self) -> None:
        self.accepted_members: set[int] = set()
        self.heard: set[int] = set()

    def propose(self, request: Propose) -> Proposed:
        fitting = [size for size in Menu.space["size"] if size <= request.cap]
        if not fitting:
            return Proposed(member=request.member, visit=request.visit)
        size = fitting[derive_seed(request.member, "menu") % len(fitting)]
        budget = Budget(kind="max", measure="flops", cap=float(size))
        return Proposed(member=request.member, visit=request.visit, config={"size": size}, budget=budget)

    def accepted(self, proposed: Proposed) -> None:
        if proposed.budget is not None:
            self.accepted_members.add(proposed.member)

    def judged(self, report: LevelReport) -> None:
        self.heard.add(report.member)

    def ended(self, member: int, reason: str) -> None:
        self.heard.add(member)


class Trained(NamedTuple):
    """What is never to be done twice."""

    member: int
    visit: int
    lineages: tuple[int, ...]


def run(part: BudgetScheduler, **settings: Any) -> SimulationResult:
    terms = Terms(seed=1, milestones=[0.5, 0.9], lineages_to_fail=3, quorum=settings.pop("quorum", True))
    return simulate(part, Grades(), seed=1, terms=terms, **{"members": 3, **settings})


def propose(part: BudgetScheduler, **settings: Any) -> SimulationResult:
    waiter = Waiter()
    result = simulate(part, Menu(), seed=1, members=6, proposer=waiter, **settings)
    assert waiter.heard == waiter.accepted_members, "every proposal comes to something"
    return result


def nothing_is_done_or_counted_twice(result: SimulationResult) -> None:
    finished: set[Trained] = set()
    told = 0.0
    for entry in result.events:
        event = entry["event"]
        if event["event"] in ("measured", "parked"):
            told += event["training_flops"]
        if event["event"] == "measured":
            one = Trained(event["member"], event["visit"], tuple(row["lineage"] for row in event["lineages"]))
            assert one not in finished, "measured twice"
            finished.add(one)
        for action in entry["actions"]:
            if "assignment" in action:
                own = action["assignment"]
                assert Trained(own["member"], own["visit"], tuple(own["lineages"])) not in finished, "begun again"
    assert isclose(told, result.spent)
    assert isclose(result.spent + result.lost, result.search_cost)


def answer(result: SimulationResult) -> tuple[object, ...]:
    return result.found_budget, result.selected, result.minimum, result.levels


def sweep(settings: dict[str, Any], search: Any, part: BudgetScheduler, *, same: bool = True) -> None:
    """Let the driver die after every line of an undisturbed search."""
    reference = search(part, **settings)
    nothing_is_done_or_counted_twice(reference)
    assert settings.get("lose") or not reference.lost
    for line in range(1, len(reference.events) + 1):
        crashed = search(part, **settings, crash_at=line)
        nothing_is_done_or_counted_twice(crashed)
        assert crashed.events[:line] == reference.events[:line]
        if same:
            assert answer(crashed) == answer(reference)
        if settings["workers"] == 1:
            assert isclose(crashed.spent, reference.spent), "one worker runs nothing that could be cut"


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_crash_at_any_line_changes_no_answer_of_any_scheduler(kind: str) -> None:
    part: BudgetScheduler = discover("schedulers")[kind]()  # type: ignore[assignment]
    sweep({"workers": 1}, run, part)
    sweep({"workers": 4, **ROUGH}, run, part)


@pytest.mark.parametrize("inherit", ["off", "weights", "clones"])
@pytest.mark.parametrize(
    "settings", [{}, {"replicas": 2}, {"quorum": False}, {"members": [{"width": 4}, {"width": 8}]}], ids=str
)
def test_nor_whatever_is_inherited_by_whom(inherit: str, settings: dict[str, Any]) -> None:
    sweep({"workers": 4, **ROUGH, **settings}, run, Annealing(inherit=inherit))  # type: ignore[arg-type]


@pytest.mark.parametrize("part", [Fixed(), Annealing()])
def test_of_proposals_the_ledger_so_far_stands_and_one_after_another_they_end_alike(part: BudgetScheduler) -> None:
    sweep({"workers": 1}, propose, part)
    sweep({"workers": 4, **ROUGH}, propose, part, same=False)
