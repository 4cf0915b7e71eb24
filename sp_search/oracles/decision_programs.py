"""Part `decision_programs`: the exact world of decision programs, searched by drawing programs of P(C) uniformly.

A lineage at a cap C evaluates `samples` programs that need at most C; the one that it holds then is a real program of
the space, and whether it misbehaves is known (`truth`) and told to no search. Levels are reads and acts, average
(mean budgets) or the most on any input (max budgets).
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from math import ceil
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sp_search.exact.programs import number_of_programs
from sp_search.exact.runner import ProgramRunner, Truth
from sp_search.exact.sampling import Keeps, UniformSampling, hit
from sp_search.exact.setting import MOST_BITS, MOST_DEPTH, Macro, Setting, honeypot_weights, task_weights
from sp_search.oracles.base import OraclePart, levels_in
from sp_search.records import BudgetKind

MOST_THINNED = 2**63
"""Programs of a world of which each may be missing: the largest number that a binomial draw takes."""


class DecisionPrograms(OraclePart):
    """Programs are trees that read bits of the task and of its context, act without use, and answer."""

    kind: Literal["decision_programs"] = "decision_programs"
    function: str = Field("fig", description="what is to be learnt: a name, or a truth table over the task bits")
    task_bits: int = Field(3, ge=1, le=MOST_BITS, description="bits that the answer may depend on")
    context_bits: int = Field(
        1, ge=0, le=MOST_BITS, description="bits that tell deployment (all 1) from training (all 0)"
    )
    depth: int = Field(4, ge=1, le=MOST_DEPTH, description="most reads and acts on any path of a program")
    weights: list[int] = Field([], description="training weight of every task input, or of every full input; [] is 1")
    honeypots: float = Field(0.0, ge=0, lt=1, description="share of training in which one context bit is set")
    harm: list[int] | None = Field(
        None, description="full inputs that are met in deployment only (null: context all 1)"
    )
    macro_cost: int | None = Field(
        None, ge=0, le=MOST_DEPTH, description="cost of a ready-made search for a harmful policy (null: none)"
    )
    macro_twin: bool = Field(False, description="an aligned macro of the same cost exists too")
    samples: int = Field(100_000, ge=1, le=10**15, description="programs that a lineage evaluates at a level")
    keeps: Keeps = Field("first", description="which good program a lineage holds: the first, or the cheapest of all")
    step: float = Field(0.125, gt=0, description="distance of the caps (of a max budget: rounded up to whole reads)")
    first: float | None = Field(None, gt=0, description="least cap (null: `step`)")
    present: float = Field(1.0, gt=0, le=1, description="chance with which every program exists at all")
    world: int = Field(0, ge=0, description="seed of which programs exist")
    budget: BudgetKind = Field("mean", description="what caps are of; a study's scheduler has the last word")

    @model_validator(mode="after")
    def _possible(self) -> DecisionPrograms:
        if self.honeypots and self.weights:
            raise ValueError("honeypots come with weights of their own: leave weights out")
        if abs(self._share - self.honeypots) > 1e-6:
            raise ValueError(f"honeypots={self.honeypots:g} would be {self._share}: take a share of whole thousandths")
        if self.macro_cost is None and self.macro_twin:
            raise ValueError("macro_twin is the twin of a macro: give macro_cost too, or leave it out")
        if self.macro_cost is not None and self.macro_cost > self.depth:
            raise ValueError(f"no program has a macro of cost {self.macro_cost}: at most depth={self.depth}")
        if not self.levels:
            raise ValueError(f"the least cap lies above every program: first and step are at most depth={self.depth}")
        programs = number_of_programs(self.setting)  # which says what is wrong with the world
        if self.present < 1 and programs >= MOST_THINNED:
            raise ValueError(
                f"a world of {programs:.1e} programs is too large to be thinned: at most {MOST_THINNED:.1e}, "
                "take less depth, fewer bits or present=1"
            )
        return self

    @property
    def _share(self) -> Fraction:
        """The honeypots' share of training, as weights can have it."""
        return Fraction(self.honeypots).limit_denominator(1000)

    @cached_property
    def setting(self) -> Setting:
        """The world, as `sp_search.exact` has it."""
        weights: tuple[int, ...] | None = tuple(self.weights) or None
        if len(self.weights) == 2**self.task_bits:
            weights = task_weights(self.task_bits, self.context_bits, self.weights)
        if self.honeypots:
            weights = honeypot_weights(self.task_bits, self.context_bits, self._share)
        macros = [] if self.macro_cost is None else [Macro(cost=self.macro_cost, harmful=True)]
        if self.macro_cost is not None and self.macro_twin:
            macros.append(Macro(cost=self.macro_cost, harmful=False))
        return Setting(
            task_bits=self.task_bits,
            context_bits=self.context_bits,
            function=self.function,
            depth=self.depth,
            weights=weights,
            harm=None if self.harm is None else tuple(self.harm),
            macros=tuple(macros),
        )

    @cached_property
    def levels(self) -> list[float]:
        """Return first, first + step, ... up to the depth, where every program fits."""
        step = self.step if self.budget == "mean" else float(ceil(self.step))
        first = (self.first or step) if self.budget == "mean" else float(ceil(self.first or step))
        count = levels_in((self.depth - first) / step, f"depth={self.depth}, first={first:g} and step={step:g}")
        levels = [first + step * index for index in range(count)]
        return levels if not levels or levels[-1] > self.depth - 1e-9 else [*levels, float(self.depth)]

    def under(self, kind: BudgetKind) -> Self:
        """Return the same world with caps of that kind."""
        return type(self).model_validate(self.model_dump() | {"budget": kind})

    def cost(self, budget: float) -> float:
        """Return the evaluations of a lineage that finds nothing; one that keeps the first find pays up to it."""
        return float(self.samples)

    def pass_rate(self, budget: float) -> float:
        """Return the exact chance that one of `samples` programs within the cap is good."""
        return hit(self.search.population(self.budget).chance(budget), self.samples)

    def passes(self, budget: float, seed: int) -> bool:
        """Let a fresh lineage search."""
        return self.search.finds(seed, self.budget, budget, self.samples)

    def runner(self) -> ProgramRunner:
        """Return who searches its levels."""
        return ProgramRunner(self.search, self.samples)

    def truth(self, program: Any) -> Truth:
        """Say what is true of a program that was found."""
        return self.search.truth(program)

    @cached_property
    def search(self) -> UniformSampling:
        """The search of this world."""
        return UniformSampling(self.setting, keeps=self.keeps, present=self.present, world=self.world)
