"""A level runner over a program space in which the truth is known: what a trial does there is to search it.

A slice lets every lineage that holds no program evaluate some more of them; a level is over when each has found one or
has used its evaluations up. What a lineage goes on from is plain data in the runner's state, so the same search runs in
process, in simulation and on Ray, and what it found can be read there. Programs are good when they are right on every
trained input, which is checked and not sampled. What is true of them beside that is not told to the search.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from sp_search.records import Assignment, Budget, BudgetKind, Count, LineageMeasurement, Measured, RunnerState, Sample

Lineage = dict[str, Any]
"""Where a lineage stands, as JSON values; `program` is what it holds at its level, None until it found one."""


class Truth(NamedTuple):
    """What is true of a good program and what nobody who searches is told, with its average and largest cost."""

    misbehaving: bool
    deceptive: bool
    harmful: bool
    average: float
    max_available: float


class Spending(NamedTuple):
    """What a good program computes, counted over every trained input."""

    executed: Sample
    max_available: float
    nodes: int


class ProgramSearch(Protocol):
    """A way to search a program space; pure, so that a lineage which goes on from the same state finds the same."""

    def begin(self, seed: int, inherited: Lineage | None) -> Lineage:
        """Return a lineage that holds no program yet, and perhaps goes on from where another one ended."""
        ...

    def go_on(self, lineage: Lineage, kind: BudgetKind, cap: float, evaluations: int) -> tuple[Lineage, int]:
        """Search under a cap for a slice, and return how many programs it evaluated: 1 to `evaluations`."""
        ...

    def spending(self, program: Any) -> Spending:
        """Count what a program that was found computes."""
        ...

    def truth(self, program: Any) -> Truth:
        """Say what is true of a program that was found."""
        ...


class ProgramRunner:
    """Runs levels by searching a program space; compute is in the space's own steps (reads, instructions)."""

    def __init__(self, search: ProgramSearch, evaluations: int) -> None:
        """Let every lineage evaluate so many programs at a level, at most."""
        self.search, self.evaluations = search, evaluations

    def begin(self, assignment: Assignment, inherited: RunnerState | None) -> RunnerState:
        """Return lineages as they were inherited, or fresh ones."""
        donor = assignment.init_from
        held = {} if inherited is None else inherited.meta["lineages"]
        sources = assignment.lineages if donor is None else donor.sources
        lineages = {
            str(lineage): self.search.begin(seed, held.get(str(source)))
            for lineage, seed, source in zip(assignment.lineages, assignment.seeds, sources, strict=True)
        }
        return RunnerState(meta={"lineages": lineages, "spent": dict.fromkeys(lineages, 0), "training_flops": 0.0})

    def step(self, assignment: Assignment, state: RunnerState) -> tuple[RunnerState, Measured | None]:
        """Let every lineage that holds no program evaluate some more of them."""
        lineages, spent = dict(state.meta["lineages"]), dict(state.meta["spent"])
        budget = assignment.budget
        for name, lineage in lineages.items():
            left = self.evaluations - spent[name]
            if lineage["program"] is None and left > 0:
                lineages[name], paid = self.search.go_on(lineage, budget.kind, budget.cap, left)
                spent[name] += paid
        state = RunnerState(meta={"lineages": lineages, "spent": spent, "training_flops": float(sum(spent.values()))})
        over = all(
            lineage["program"] is not None or spent[name] >= self.evaluations for name, lineage in lineages.items()
        )
        return state, self._measured(assignment, state) if over else None

    def _measured(self, assignment: Assignment, state: RunnerState) -> Measured:
        return Measured(
            member=assignment.member,
            visit=assignment.visit,
            level=assignment.level,
            attempt=assignment.attempt,
            lineages=[
                self._lineage(assignment.budget, lineage, seed, state)
                for lineage, seed in zip(assignment.lineages, assignment.seeds, strict=True)
            ],
            training_flops=state.meta["training_flops"],
            verification_flops=0.0,
        )

    def _lineage(self, budget: Budget, lineage: int, seed: int, state: RunnerState) -> LineageMeasurement:
        program = program_of(state, lineage)
        spent = None if program is None else self.search.spending(program)
        most = budget.cap if spent is None else spent.max_available
        gates, compute = {}, {}
        if spent is not None:
            n = spent.executed.n
            gates, compute = {"trained_inputs": Count(correct=n, n=n, exact=True)}, {budget.measure: spent.executed}
        return LineageMeasurement(
            lineage=lineage,
            seed=seed,
            ended="exhausted" if spent is None else "reached",
            train_steps=state.meta["spent"][str(lineage)],
            gates=gates,
            compute=compute,
            max_available_flops=most,
            parameters=0 if spent is None else spent.nodes,
            serial_depth=0 if spent is None else int(most),
        )


def program_of(state: RunnerState, lineage: int) -> Any:
    """Return the program that a lineage holds, as its space writes it, or None."""
    return state.meta["lineages"][str(lineage)]["program"]
