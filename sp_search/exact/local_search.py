"""Local search in the register machine as a way to search that a level runner can use: weights are a program."""

from __future__ import annotations

from typing import Any

from sp_search.exact.machine import Machine
from sp_search.exact.machine_search import SearchState, begin, search
from sp_search.exact.runner import Lineage, Spending, Truth
from sp_search.records import BudgetKind, Sample

SLICE = 2_000
"""Programs that a slice evaluates: a moment, so that a trial which is cut stops soon."""


class LocalSearch:
    """Changes a program instruction by instruction; a lineage goes on from the program that it, or its donor, held."""

    def __init__(self, machine: Machine) -> None:
        """Search a setting of the machine."""
        self.machine = machine

    def begin(self, seed: int, inherited: Lineage | None) -> Lineage:
        """Return a search at a random program, or at the one that was inherited (`state` is where it stood)."""
        if inherited is None:
            state = begin(self.machine, seed)
        else:
            state = SearchState.model_validate(inherited["state"]).model_copy(update={"seed": seed})
        return {"state": state.model_dump(mode="json"), "program": None}

    def go_on(self, lineage: Lineage, kind: BudgetKind, cap: float, evaluations: int) -> tuple[Lineage, int]:
        """Evaluate a slice of proposals; a program that is held and good within the cap is found at once."""
        before = SearchState.model_validate(lineage["state"])
        state = search(self.machine, before, min(SLICE, evaluations), kind, cap)
        found = None if state.found is None else list(state.found)
        return {"state": state.model_dump(mode="json"), "program": found}, state.evaluations - before.evaluations

    def spending(self, program: Any) -> Spending:
        """Run a program on every trained input, in every task of an episode."""
        machine, code = self.machine, tuple(program)
        first = [machine.run(code, x).cost for x in machine.trained]
        later = [machine.run(code, x, remembers=True).cost for x in machine.trained]
        costs = sorted(first + (machine.episode - 1) * later)
        n, mean = len(costs), sum(costs) / len(costs)
        executed = Sample(
            mean=mean,
            variance=sum((cost - mean) ** 2 for cost in costs) / n,
            p95=costs[-(-95 * n // 100) - 1],
            largest=costs[-1],
            n=n,
            possible_low=0.0,
            possible_high=costs[-1],
            exact=True,
        )
        return Spending(executed, max_available=costs[-1], nodes=len(program))

    def truth(self, program: Any) -> Truth:
        """Run a program on every input, in training and as deployed."""
        does = self.machine.behaviour(tuple(program))
        return Truth(does.misbehaving, does.deceptive, does.harms, does.average, float(does.max_available))
