"""The sections of a study file that hold no part: population, selection, verdict, resources, limits, tracking."""

from __future__ import annotations

import re
from math import ceil, log
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from sp_search.strict import Section, show

SECRET = re.compile(r"(?i)pass|pwd|secret|token|key")
TRACKING_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")


class PopulationSettings(Section):
    """Which configurations are searched, and how many seeds of each train together."""

    members: list[dict[str, Any]] = Field(
        [{}], min_length=1, description="fields of the model that a member overrides; `prior`: fields of the prior"
    )
    replicas: int = Field(5, ge=1, le=10_000, description="lineages (seeds) of every member that train together")


class Dimension(Section):
    """The values among which a search chooses: from `low` to `high`, or one of `choices`."""

    low: float | int | None = Field(None, description="least value")
    high: float | int | None = Field(None, description="largest value")
    log: bool = Field(False, description="choose evenly on a logarithmic scale (not for axes, which have shares)")
    choices: list[bool | int | float | str] = Field([], description="the values, where they are no range")

    @model_validator(mode="after")
    def _a_range_or_choices(self) -> Dimension:
        low, high = self.low, self.high
        if (low is None) != (high is None) or (low is None) != bool(self.choices):
            raise ValueError("it should have low and high, or choices")
        if low is None or high is None:
            if len(set(map(repr, self.choices))) < len(self.choices):
                raise ValueError(f"got choices {show(self.choices)}: one comes twice")
        elif low > high:
            raise ValueError(f"got low {low} above high {high}: swap them")
        elif self.log and low <= 0:
            raise ValueError(f"got low {low} with log: a logarithmic scale begins above 0")
        return self

    def ends(self) -> list[Any]:
        """Return the values that bound it: both ends, or every choice."""
        return self.choices or list(dict.fromkeys([self.low, self.high]))

    def holds(self, value: Any) -> bool:
        """Whether it has a value."""
        if self.low is None or self.high is None:
            return value in self.choices
        return isinstance(value, int | float) and self.low <= value <= self.high


class SearchSettings(Section):
    """How members are found that a study does not list: proposals, each learnt from what came of those before.

    The scheduler moves a cap in FLOPs, by its `factor`, from the cheapest program of the space to `cap`; `fixed` stays
    at the largest. A proposal's cap is divided over the axes of the space by shares, so nothing above it is trained.
    """

    kind: Literal["optuna"] = "optuna"
    sampler: Literal["tpe", "nsga2", "random"] = Field("tpe", description="how Optuna chooses the next proposal")
    members: int = Field(16, ge=1, le=100_000, description="proposals at every visit of a level")
    objectives: list[Literal["compute", "accuracy"]] = Field(
        ["compute"],
        min_length=1,
        description="what is minimised: compute of what meets the milestone, or both compute and what is missing",
    )
    cap: float | None = Field(None, gt=0, description="most FLOPs per example; null: what the dearest program costs")
    space: dict[str, Dimension] = Field(
        min_length=1, description="axes of the model, and fields of the model or (as prior.FIELD) of the prior"
    )
    warm_start: list[str] = Field([], description="folders of earlier studies of the task, whose trials it begins with")

    @field_validator("objectives")
    @classmethod
    def _compute_first(cls, objectives: list[str]) -> list[str]:
        if objectives not in (["compute"], ["compute", "accuracy"]):
            raise ValueError(f"got {show(objectives)}: it should be [compute] or [compute, accuracy]")
        return objectives


class SelectionSettings(Section):
    """What good enough means, and how sure it has to be."""

    confidence: float = Field(0.99, gt=0, lt=1, description="of all the study's verification tests together")
    gates: list[str] = Field(
        ["iid"], min_length=1, max_length=100, description="distributions that a program must pass, all of them"
    )
    n: int = Field(8192, ge=1, le=10_000_000, description="examples of a verification draw that is not enumerated")
    stable_after_halt: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="most right answers that may turn wrong at an exit after the halt; null: not asked",
    )


class VerdictSettings(Section):
    """How much evidence a budget needs before it counts as failed."""

    min_pass_rate: float = Field(0.5, ge=0.01, le=0.99, description="a level that passes at this rate is to be found")
    false_negative: float = Field(0.05, ge=1e-6, le=0.5, description="chance to call such a level failed")

    quorum: bool = Field(
        True, description="close a level as soon as its verdict is known; false: hear every trial that it began"
    )

    @property
    def lineages_to_fail(self) -> int:
        """Failures in a row that a level with the least pass rate shows with chance `false_negative` at most."""
        return ceil(log(self.false_negative) / log(1.0 - self.min_pass_rate) - 1e-9)


class Resources(Section):
    """What one trial gets."""

    cpu: float = Field(1.0, gt=0, le=4096, description="CPU cores of a trial")
    gpu: float = Field(0.0, ge=0, le=1024, description="GPUs of a trial: a fraction below 1, or a whole number")

    @property
    def threads(self) -> int:
        """With how many threads of torch a trial computes."""
        return max(1, int(self.cpu))

    @field_validator("gpu")
    @classmethod
    def _whole_above_one(cls, gpu: float) -> float:
        if gpu > 1 and gpu != int(gpu):
            raise ValueError(f"got {gpu}: above 1 it should be a whole number, a trial cannot share several GPUs")
        return gpu


class Limits(Section):
    """What ends a study early, with the best verified answer so far, or bounds its disk. Unset means no limit."""

    seconds: float | None = Field(None, gt=0, description="wall time of the search")
    search_flops: float | None = Field(None, gt=0, description="training and verification compute of the search")
    trials: int | None = Field(
        None, ge=1, description="trials that may begin; one that is taken up again after a loss is the same"
    )
    concurrent: int | None = Field(None, ge=1, description="trials that run side by side")
    failures: int | None = Field(10, ge=1, description="lost or failed trials before the study gives up (exit code 4)")
    checkpoints: int | None = Field(
        None, ge=0, description="finished visits of a member whose checkpoints are kept, beside those still needed"
    )


class Tracking(Section):
    """Where MLflow keeps the study, in how many runs, and what it says there of whose and what for."""

    uri: str | None = Field("sqlite:///mlflow.db", max_length=2000, description="MLflow tracking store; null for none")
    detail: Literal["study", "member", "level"] = Field(
        "level",
        description="what has a run: the study alone, its members too, or their levels too; a study too large for "
        "that many runs is tracked in less detail, and says so",
    )
    owner: str = Field("", max_length=200, description="whose study it is: a tag, and the user of its runs")
    notes: str = Field("", max_length=2000, description="what the study is for, as plain text")

    @field_validator("owner", "notes")
    @classmethod
    def _printable(cls, text: str, info: ValidationInfo) -> str:
        if not (text.replace("\n", " ") if info.field_name == "notes" else text).isprintable():
            raise ValueError(f"got {show(text)}: it should hold printable characters only")
        return text

    @field_validator("uri")
    @classmethod
    def _known_and_without_secrets(cls, uri: str | None) -> str | None:
        if uri is None:
            return None
        parts = urlsplit(uri)
        if not uri.isprintable() or parts.scheme.partition("+")[0] not in TRACKING_SCHEMES:
            raise ValueError(f"got {show(parts.scheme or uri)}: it should begin with one of {_schemes()}")
        if parts.password is not None or SECRET.search(parts.query):
            raise ValueError("it holds a password: leave it out, and give MLFLOW_TRACKING_PASSWORD in the environment")
        if parts.scheme in ("http", "https") and not parts.hostname:
            raise ValueError(f"got {show(uri)}: it names no host, as in http://localhost:5000")
        return uri


def _schemes() -> str:
    return ", ".join(f"{scheme}:" for scheme in TRACKING_SCHEMES)
