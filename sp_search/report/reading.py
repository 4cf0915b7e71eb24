"""Reads what a study left, as JSON alone: its ledger, its study file, and `result.json` when it has ended.

Required keys are required, and a file that lacks one is named; keys that another version added are ignored.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sp_search.errors import StorageError
from sp_search.ledger import LEDGER_NAME, read_ledger
from sp_search.levels import LevelOutcome
from sp_search.plain_files import read_json
from sp_search.records import Budget, LevelSpace, Minimum
from sp_search.rows import LedgerReader, problems, told

HASHED = ("study.yaml", LEDGER_NAME, "result.json", "program/model.safetensors", "program/config.json")


class Entry(BaseModel):
    """An object of `result.json`; unknown keys are ignored, numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Estimate(Entry):
    """A value, with its interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    exact: bool = False
    distribution: str | None = None
    rule: str | None = None


def _as_estimate(value: object) -> object:
    return {"value": value} if isinstance(value, int | float) else value


Figure = Annotated[Estimate, BeforeValidator(_as_estimate)]


class Curve(Entry):
    """Accuracy at every exit, on one distribution."""

    distribution: str
    n: int
    accuracy_N: list[float]


class NeedRow(Entry):
    """What the program does with the inputs of one known need."""

    need: float
    n: int
    mean_exit: float
    accuracy: float


class Generalisation(Entry):
    """How the selected program behaves beyond what selected it."""

    overthinking: list[Curve] = Field(default_factory=list)
    steps_by_need: list[NeedRow] = Field(default_factory=list)


class MilestoneEntry(Entry):
    """The answer to one milestone."""

    milestone: float
    met: bool
    program: dict[str, Any] | None
    budget: Budget | None
    minimum: Minimum
    accuracy: Figure | None = None
    gates: dict[str, Figure] = Field(default_factory=dict)
    checks: dict[str, Figure] = Field(default_factory=dict)
    reports: dict[str, Figure] = Field(default_factory=dict)
    generalisation: Generalisation = Generalisation()
    mean_flops_per_example: Figure | None = None
    p95_flops_per_example: Figure | None = None
    max_flops_per_example: Figure | None = None
    max_available_flops: Figure | None = None
    mean_rollouts: Figure | None = None
    over_spend: Figure | None = None
    largest_gap: float | None = None
    serial_depth: int | None = None
    parameters: int | None = None
    diagnostics: dict[str, Any] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)


class LevelEntry(Entry):
    """A budget with all its visits."""

    milestone: float
    level: int
    cap: float
    lineages: int
    passed: int
    undecided: int = 0
    pass_rate: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str


class AuditEntry(Entry):
    """What an audit said, and what it can and cannot find."""

    audit: str
    verdict: str
    statistic: Figure | None = None
    threshold: float | None = None
    honest: int = 0
    sees: str = ""
    blind_to: str = ""
    reason: str = ""
    details: dict[str, float | str] = Field(default_factory=dict)


class ResultFile(MilestoneEntry):
    """`result.json`; the top level repeats the highest milestone that was met."""

    name: str
    seed: int
    ended: str = "resolved"
    milestones: list[MilestoneEntry]
    levels: list[LevelEntry]
    looks: int
    search_flops: dict[str, float]
    audits: list[AuditEntry] = Field(default_factory=list)
    failures: dict[str, int]
    undecided: int = 0
    unsearched: list[float] = Field(default_factory=list)
    dropped_members: dict[str, str] = Field(default_factory=dict)


class Story(NamedTuple):
    """Everything that the page tells. `lines` says in which line of the ledger each of its rows was judged."""

    ledger: LedgerReader
    result: ResultFile | None
    study_text: str
    hashes: dict[str, str]
    lines: list[int]

    @property
    def levels(self) -> list[LevelEntry]:
        """Every budget that was judged; before the end each visit is a row of its own."""
        return [_level(outcome) for outcome in self.ledger.outcomes] if self.result is None else self.result.levels

    @property
    def space(self) -> LevelSpace:
        """The ladder."""
        return LevelSpace.model_validate(self.ledger.header["space"])

    @property
    def measure(self) -> str:
        """What the search's caps are counted in."""
        return self.space.measure


def read_story(folder: Path) -> Story:
    """Return what `folder` tells.

    Raises:
        StorageError: there is no ledger, it has no header, or `result.json` lacks a required key.
    """
    reader, lines = told(read_ledger(folder), folder)
    if not reader.header:
        raise StorageError(f"the ledger of {folder} was never begun: delete the folder and run the study again")
    study = folder / "study.yaml"
    hashes = {name: _sha256(folder / name) for name in HASHED if (folder / name).is_file()}
    return Story(reader, _read_result(folder / "result.json"), _text(study) if study.is_file() else "", hashes, lines)


def _read_result(path: Path) -> ResultFile | None:
    if not path.exists():
        return None
    try:
        return ResultFile.model_validate(read_json(path))
    except ValidationError as error:
        raise StorageError(f"{path} cannot be read: {problems(error)}: sp-search resume {path.parent}") from error


def _level(outcome: LevelOutcome) -> LevelEntry:
    tried = outcome.tried
    return LevelEntry(
        lineages=tried,
        pass_rate=outcome.passed / tried if tried else None,
        high=outcome.pass_rate_high if tried and not outcome.passed else None,
        **outcome.model_dump(include={"milestone", "level", "cap", "passed", "undecided", "verdict"}),
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
