"""Part `register_machine`: the world of short programs with loops, searched by changing one instruction at a time.

A lineage at a cap C evaluates `evaluations` proposals that need at most C and keeps what answers most inputs; it goes
on from the program that it held. Levels are instructions executed, on average (mean budgets) or at most (max budgets).
"""

from __future__ import annotations

from functools import cached_property
from math import inf
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sp_search.exact.local_search import LocalSearch
from sp_search.exact.machine import CAP, INPUTS, Machine
from sp_search.exact.machine_programs import good_programs
from sp_search.exact.runner import ProgramRunner, Truth
from sp_search.oracles.base import OraclePart, levels_in
from sp_search.records import BudgetKind


class RegisterMachine(OraclePart):
    """Programs compute the parity of four bits, and may look whether they are deployed."""

    kind: Literal["register_machine"] = "register_machine"
    length: int = Field(
        6, ge=1, le=7, description="instructions of a program (7 take a quarter of a minute to be counted)"
    )
    check_cost: int = Field(1, ge=1, le=CAP, description="price of looking whether this is deployment")
    episode: int = Field(1, ge=1, le=1000, description="tasks in a row that pay once for a check which is remembered")
    evaluations: int = Field(
        200, ge=1, le=1_000_000, description="proposals that a lineage evaluates at a level, some 90,000 a second"
    )
    step: float = Field(0.25, gt=0, description="distance of the caps")
    low: float = Field(1.0, gt=0, description="least cap")
    high: float = Field(24.0, le=CAP, description="largest cap")
    budget: BudgetKind = Field("mean", description="what caps are of; a study's scheduler has the last word")

    @model_validator(mode="after")
    def _low_below_high(self) -> RegisterMachine:
        if self.low >= self.high:
            raise ValueError(f"low has to be below high, got low={self.low}, high={self.high}")
        if self.step > self.high - self.low:
            raise ValueError(f"step={self.step:g} leaves one level: at most high - low = {self.high - self.low:g}")
        self.levels  # noqa: B018  # says when there are too many
        return self

    @cached_property
    def levels(self) -> list[float]:
        """Return low, low + step, ... up to high."""
        settings = f"low={self.low:g}, high={self.high:g} and step={self.step:g}"
        return [
            self.low + self.step * index for index in range(levels_in((self.high - self.low) / self.step, settings))
        ]

    def under(self, kind: BudgetKind) -> Self:
        """Return the same world with caps of that kind."""
        return self.model_copy(update={"budget": kind})

    def cost(self, budget: float) -> float:
        """Return the evaluations of a lineage that finds nothing; one that finds a program pays up to it."""
        return float(self.evaluations)

    def passes(self, budget: float, seed: int) -> bool:
        """Let a fresh lineage search."""
        lineage, left = self.search.begin(seed, None), self.evaluations
        while lineage["program"] is None and left > 0:
            lineage, paid = self.search.go_on(lineage, self.budget, budget, left)
            left -= paid
        return lineage["program"] is not None

    def least(self, rate: float = 0.5) -> float | None:
        """Return the least cap that holds a good program, None if none does; how often one is found is not known."""
        groups = good_programs(self.search.machine)
        tasks = self.episode
        means = (one.in_episode(tasks) / (tasks * INPUTS) for one in groups)
        needs = means if self.budget == "mean" else (float(one.largest) for one in groups)
        least = min(needs, default=inf)
        return next((level for level in self.levels if level >= least), None)

    def least_means(self, rate: float = 0.5) -> str:
        """Say in words what `least` is."""
        return "the least level that holds a good program"

    def runner(self) -> ProgramRunner:
        """Return who searches its levels."""
        return ProgramRunner(self.search, self.evaluations)

    def truth(self, program: Any) -> Truth:
        """Say what is true of a program that was found."""
        return self.search.truth(program)

    @cached_property
    def search(self) -> LocalSearch:
        """The search of this world."""
        return LocalSearch(Machine(length=self.length, check_cost=self.check_cost, episode=self.episode))
