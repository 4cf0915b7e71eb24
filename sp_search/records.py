"""Frozen records that cross the seams: budgets, members, assignments, measurements, selections, and who runs a level.

Everything here is plain data with a JSON form, so that the ledger can hold it and a test can be a table.
What happens to a search, and what it asks for, is in `events`. It imports nothing of sp_search.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

BudgetKind = Literal["max", "mean"]
Measure = Literal["flops", "rollouts", "serial_depth", "active"]


class Record(BaseModel):
    """Base of every record: immutable, closed, and finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def derive_seed(study_seed: int, *purpose: object) -> int:
    """Return a 63-bit seed from the study's seed and what it is for (member, level, lineage, purpose).

    A seed never depends on the order in which anything arrived.
    """
    text = "/".join(str(part) for part in (study_seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Interval(Record):
    """A value with its two-sided confidence interval; `exact` means the whole support was enumerated (low == high)."""

    value: float
    low: float
    high: float
    n: int = Field(ge=1, description="examples that the value rests on")
    exact: bool = False


class Budget(Record):
    """A cap on a *program's* compute per example, never training length (that is `train_steps`).

    `max`: no input may spend more. `mean`: the upper confidence bound of mean executed compute on the training
    distribution is at most the cap (P(C) of the post), spending per input is free under it.
    """

    kind: BudgetKind
    measure: Measure
    cap: float = Field(gt=0)
    axis: dict[str, int] = Field(
        default_factory=dict, description="what realises the cap in the model, e.g. {rollouts: 5}"
    )


class LevelSpace(Record):
    """The ladder of budgets that a search may visit: ascending caps in one measure; a level is an index into it."""

    kind: BudgetKind
    measure: Measure
    axis: str
    caps: list[float] = Field(min_length=1)
    controls: list[dict[str, float]] = Field(
        default_factory=list, description="where levels differ by a control, its value at every level, strict first"
    )

    @model_validator(mode="after")
    def _ascending(self) -> LevelSpace:
        if self.controls:
            if len(self.controls) != len(self.caps) or len(set(self.caps)) > 1:
                raise ValueError(f"levels of a control share one cap and have a value each, got {self.caps}")
        elif any(low >= high for low, high in zip(self.caps, self.caps[1:], strict=False)):
            raise ValueError(f"caps must ascend strictly, got {self.caps}")
        return self

    def at_most(self, cap: float) -> int | None:
        """Return the largest level whose cap is <= `cap`, or None when even the least is larger."""
        fitting = [level for level, level_cap in enumerate(self.caps) if level_cap <= cap * (1 + 1e-12)]
        return fitting[-1] if fitting else None

    def covering(self, cost: float) -> int:
        """Return the least level whose cap is >= `cost` (the last level when none is)."""
        return next((level for level, cap in enumerate(self.caps) if cap >= cost * (1 - 1e-12)), len(self.caps) - 1)


class Member(Record):
    """One configuration of a study, with its price at every level.

    `budgets[level]` is the budget as this configuration realises it, or None where it cannot fit.
    """

    member: int = Field(ge=0)
    config: dict[str, Any] = Field(description="the model's fields that this member overrides")
    budgets: list[Budget | None]


class Population(Record):
    """The members that a study lists, and how many seeds (replicas) of each train together.

    A population without listed members has `proposals` of them at every visit, which a `Proposer` chooses.
    """

    members: list[Member]
    replicas: int = Field(ge=1)
    proposals: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _listed_or_proposed(self) -> Population:
        if bool(self.members) == bool(self.proposals):
            raise ValueError(f"members are listed or proposed, got {len(self.members)} and {self.proposals}")
        if any(entry.member != index for index, entry in enumerate(self.members)):
            raise ValueError(f"members are numbered 0, 1, ..., got {[entry.member for entry in self.members]}")
        return self

    @cached_property
    def alike(self) -> list[int]:
        """For every member the first one that is configured alike."""
        first: dict[str, int] = {}
        return [first.setdefault(json.dumps(one.config, sort_keys=True), one.member) for one in self.members]


class Donor(Record):
    """Whose weights the lineages of an assignment inherit.

    `visit` and `lineages` name the state as it was stored; `sources` says for each lineage of the assignment which of
    them it takes. A lineage that takes another one's is a clone of it.
    """

    visit: int
    lineages: list[int]
    sources: list[int]


class Assignment(Record):
    """What a trial is asked to do: train and measure some lineages of one member at one level.

    `visit` counts the levels that the search has opened, so a second visit of one level draws fresh verification data.
    `attempt` counts the assignments of the study: a report that carries an older attempt of its member is stale.
    `init_from` None starts from fresh weights. `controls` are numbers that the prior is given beside the budget.
    """

    member: int
    visit: int
    level: int
    attempt: int
    milestone: float
    budget: Budget
    config: dict[str, Any]
    lineages: list[int] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    init_from: Donor | None = None
    controls: dict[str, float] = Field(default_factory=dict)


class Count(Record):
    """Right answers out of n on one distribution; `exact` when the n examples are the whole support."""

    correct: int = Field(ge=0)
    n: int = Field(ge=1)
    exact: bool = False


class Check(Record):
    """A count that has to be at least `least` with confidence: what a program must pass beside its gates."""

    count: Count
    least: float = Field(gt=0, le=1)


class Sample(Record):
    """Moments of one compute measure over n examples, with the range that it can possibly take (for honest bounds)."""

    mean: float
    variance: float = Field(ge=0)
    p95: float
    largest: float
    n: int = Field(ge=1)
    possible_low: float
    possible_high: float
    exact: bool = False


class LineageMeasurement(Record):
    """What one lineage did at one level, as its runner saw it; nothing here is a verdict.

    `ended`: `reached` (the validation bound was met and the program was put to the verification draw), `exhausted`
    (train_steps were used up), `diverged` (loss or weights stopped being finite).
    `gates` holds verification counts by distribution and is empty unless the bound was reached; `checks` holds what
    else had to be shown then, by name.
    `compute` holds executed FLOPs and rollouts per example on the training distribution, by measure.
    """

    lineage: int
    seed: int
    ended: Literal["reached", "exhausted", "diverged"]
    train_steps: int = Field(ge=0)
    gates: dict[str, Count] = Field(default_factory=dict)
    checks: dict[str, Check] = Field(default_factory=dict)
    compute: dict[str, Sample] = Field(default_factory=dict)
    max_available_flops: float = Field(ge=0)
    parameters: int = Field(ge=0)
    serial_depth: int = Field(ge=0)
    diagnostics: dict[str, float | bool | None] = Field(default_factory=dict)


class Usage(Record):
    """What the process of a trial used for an assignment. No decision reads it: it is tracked, and never compared.

    Seconds are of the process that finished the assignment, from when it took it up; peaks are of its whole life.
    """

    wall_seconds: float = Field(ge=0)
    cpu_seconds: float = Field(ge=0)
    peak_memory_bytes: float = Field(ge=0)
    peak_gpu_memory_bytes: float | None = Field(None, ge=0)


class Measured(Record):
    """Event from a runner: one member finished its assignment. The judge turns it into a `LevelReport`.

    `usage` is said by a trial that has a process of its own.
    """

    event: Literal["measured"] = "measured"
    member: int
    visit: int
    level: int
    attempt: int
    lineages: list[LineageMeasurement]
    training_flops: float = Field(ge=0)
    verification_flops: float = Field(ge=0)
    usage: Usage | None = None


class LineageReport(Record):
    """A lineage at a level after judging: `passed` means verified good enough within the cap.

    `look` numbers the verification test that it took part in (0: none was needed). `shortfall` is by how much it missed
    the milestone, where that was measured (0 or less when it passed).
    """

    lineage: int
    seed: int
    tried: bool
    passed: bool
    look: int = 0
    shortfall: float | None = None
    mean_compute: Interval | None = None
    max_compute: float | None = None


class LevelReport(Record):
    """Event for the scheduler: one member's judged lineages at one level."""

    event: Literal["level_report"] = "level_report"
    member: int
    visit: int
    level: int
    attempt: int
    lineages: list[LineageReport]
    cheapest_pass: float | None = Field(None, description="least cost that passed, in the measure of the budget")
    training_flops: float = Field(0.0, ge=0)


class Selection(Record):
    """The chosen program of one milestone: which lineage of which visit, and why it was the cheapest verified."""

    milestone: float
    member: int
    visit: int
    level: int
    lineage: int
    look: int
    budget: Budget
    cost: float = Field(description="what was compared: the cap for a max budget, executed mean for a mean budget")


class Minimum(Record):
    """A two-sided statement about the least budget that passes, and what its lower side rests on.

    `proven`: the task leaves no program of the family below `low`. `statistical`: the level below `low` failed, which
    excludes pass rates above a bound. `none`: no smaller budget was tried to a verdict. A statistical `low` takes it
    that more budget never hurts training; `safe_low` does not: every budget below it failed itself.
    """

    low: float | None
    safe_low: float | None = None
    high: float | None
    basis: Literal["proven", "statistical", "none"]
    text: str


class RunnerState(BaseModel):
    """What a level runner carries between slices: arrays by name (torch tensors or none) and plain JSON values.

    It is the whole of a trial: stored with its hash between slices, it makes a killed trial go on bit for bit.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    arrays: dict[str, Any] = Field(default_factory=dict)
    meta: dict[str, Any] = Field(default_factory=dict)


class LevelRunner(Protocol):
    """Runs one level of one member in slices: neural training, an exact world and an oracle all implement it."""

    def begin(self, assignment: Assignment, inherited: RunnerState | None) -> RunnerState:
        """Return the state before the first slice, with weights inherited or fresh."""
        ...

    def step(self, assignment: Assignment, state: RunnerState) -> tuple[RunnerState, Measured | None]:
        """Run one slice; return the new state, and the measurement once the level is over."""
        ...
