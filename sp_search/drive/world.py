"""An oracle's answers to assignments, as a runner would measure them."""

from __future__ import annotations

from collections.abc import Sequence

from sp_search.oracles.base import InheritingOracle, MeasuredOracle, Oracle, SpaceOracle
from sp_search.records import Assignment, Count, LevelRunner, LineageMeasurement, Measured, Sample, derive_seed
from sp_search.store import Store, Stored, begin_state

VERIFIED_ON = 8192
"""Examples of a simulated verification draw, where the oracle's programs have an accuracy."""


class World:
    """Asks an oracle about every lineage. It remembers at which cap a visit was, to price what is inherited from it.

    A program that passes under a mean budget, or at a level of a control, computes the cap of its level on average.
    """

    def __init__(self, oracle: Oracle, seed: int, *, chosen: bool = False) -> None:
        """Ask `oracle`.

        Args:
            oracle: the world.
            seed: draws the samples with which an accuracy is measured.
            chosen: configurations are the oracle's own, chosen by a proposer, and decide instead of the cap.
        """
        self.oracle, self.seed = oracle, seed
        self.caps: dict[int, float] = {}
        self._space = oracle if chosen and isinstance(oracle, SpaceOracle) else None
        self._measured = oracle if isinstance(oracle, MeasuredOracle) else None
        self._inheriting = oracle if isinstance(oracle, InheritingOracle) else None

    def measure(self, assignment: Assignment) -> Measured:
        """Ask about every lineage. An oracle that knows pass or fail is exact, and spends no look."""
        budget = assignment.budget
        cap = float(self.oracle.levels[assignment.level]) if assignment.controls else budget.cap
        self.caps[assignment.visit] = cap
        compute = {budget.measure: _always(cap)} if budget.kind == "mean" else {}
        prices, lineages = [], []
        for lineage, seed in zip(assignment.lineages, assignment.seeds, strict=True):
            gates = self._gates(assignment, cap, seed)
            prices.append(self._price(assignment, cap, seed))
            lineages.append(
                LineageMeasurement(
                    lineage=lineage,
                    seed=seed,
                    ended="reached" if gates else "exhausted",
                    train_steps=1,
                    gates=gates,
                    compute=compute,
                    max_available_flops=budget.cap,
                    parameters=0,
                    serial_depth=0,
                )
            )
        return Measured(
            member=assignment.member,
            visit=assignment.visit,
            level=assignment.level,
            attempt=assignment.attempt,
            lineages=lineages,
            training_flops=sum(prices),
            verification_flops=0.0,
        )

    def _gates(self, assignment: Assignment, cap: float, seed: int) -> dict[str, Count]:
        if self._space is not None:
            passes = self._space.score(assignment.config, seed) >= self._space.threshold
        elif self._measured is not None:
            draw = derive_seed(self.seed, "verification", assignment.visit, seed)
            correct = _binomial(self._measured.accuracy(cap, seed), VERIFIED_ON, draw)
            return {"oracle": Count(correct=correct, n=VERIFIED_ON)}
        else:
            passes = self.oracle.passes(cap, seed)
        return {"oracle": Count(correct=1, n=1, exact=True)} if passes else {}

    def _price(self, assignment: Assignment, cap: float, seed: int) -> float:
        if self._space is not None:
            return self._space.price(assignment.config)
        donor = assignment.init_from
        if donor is not None and self._inheriting is not None:
            return self._inheriting.cost_inherited(cap, self.caps[donor.visit], seed)
        return self.oracle.cost(cap)


class RunnerWorld:
    """A level runner in virtual time: a level is run whole when it begins, and its states are kept in a store.

    Where the scheduler moves a control, its strictest value stands for the least of `levels`, and so on.
    """

    def __init__(self, runner: LevelRunner, store: Store, levels: Sequence[float]) -> None:
        """Run `runner`, whose state at the end of any visit can be read in `store`."""
        self.runner, self.store, self.levels = runner, store, levels

    def measure(self, assignment: Assignment) -> Measured:
        """Run a level, from what its lineages inherit."""
        if assignment.controls:
            capped = assignment.budget.model_copy(update={"cap": float(self.levels[assignment.level])})
            assignment = assignment.model_copy(update={"budget": capped})
        state, measured = begin_state(self.runner, self.store, assignment), None
        while measured is None:
            state, measured = self.runner.step(assignment, state)
            self.store.save(Stored(assignment, state, finished=measured is not None))
        return measured.model_copy(update={"attempt": assignment.attempt})


def _always(compute: float) -> Sample:
    """Return the moments of a program that computes as much on every input."""
    return Sample(
        mean=compute,
        variance=0.0,
        p95=compute,
        largest=compute,
        n=1,
        possible_low=compute,
        possible_high=compute,
        exact=True,
    )


def _binomial(probability: float, n: int, seed: int) -> int:
    """Return a binomial count that follows from the seed."""
    import numpy

    return int(numpy.random.default_rng(seed).binomial(n, probability))
