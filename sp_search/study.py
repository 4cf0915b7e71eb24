"""A study as its file says it: the only reader of study and cluster YAML, and the last place where a mistake is cheap.

Every problem is reported at once, as `file:line: path: what was got, what is allowed`; nothing has been started or
written by then. Cross-field checks live with the field that they refuse, so they come together with all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from math import ceil, floor, log
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, WrapValidator, field_validator

from sp_search.audits.base import Audit
from sp_search.errors import StudyError
from sp_search.models.base import ModelSpec
from sp_search.plugins import suggest
from sp_search.priors.base import SpeedPrior
from sp_search.schedulers.base import BudgetScheduler
from sp_search.selection import largest_certifiable
from sp_search.settings_file import dotted, read_settings
from sp_search.strict import PartOf, Problem, Section, explained, refusal, show
from sp_search.tasks.base import LARGEST_SUPPORT, Task
from sp_search.train.settings import ENUMERATED_IN_TRAINING, TrainSettings
from sp_search.yaml_strict import dump

MOST_LEVELS = 10_000
REPORT_ONLY = ("longer",)
TRACKING_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")


class PopulationSettings(Section):
    """Which configurations are searched, and how many seeds of each train together."""

    members: list[dict[str, Any]] = Field([{}], min_length=1, description="fields of the model that a member overrides")
    replicas: int = Field(5, ge=1, le=10_000, description="lineages (seeds) of every member that train together")


class SelectionSettings(Section):
    """What good enough means, and how sure it has to be."""

    confidence: float = Field(0.99, gt=0, lt=1, description="of all the study's verification tests together")
    gates: list[str] = Field(["iid"], min_length=1, description="distributions that a program must pass, all of them")
    n: int = Field(8192, ge=1, le=10_000_000, description="examples of a verification draw that is not enumerated")


class VerdictSettings(Section):
    """How much evidence a budget needs before it counts as failed."""

    min_pass_rate: float = Field(0.5, ge=0.01, le=0.99, description="a level that passes at this rate is to be found")
    false_negative: float = Field(0.05, ge=1e-6, le=0.5, description="chance to call such a level failed")

    @property
    def lineages_to_fail(self) -> int:
        """Failures in a row that a level with the least pass rate shows with chance `false_negative` at most."""
        return ceil(log(self.false_negative) / log(1.0 - self.min_pass_rate) - 1e-9)


class Resources(Section):
    """What one trial gets."""

    cpu: float = Field(1.0, gt=0, le=4096, description="CPU cores of a trial")
    gpu: float = Field(0.0, ge=0, le=1024, description="GPUs of a trial: a fraction below 1, or a whole number")

    @field_validator("gpu")
    @classmethod
    def _whole_above_one(cls, gpu: float) -> float:
        if gpu > 1 and gpu != int(gpu):
            raise ValueError(f"got {gpu}: above 1 it should be a whole number, a trial cannot share several GPUs")
        return gpu


class Limits(Section):
    """What ends a study early, with the best verified answer so far. Unset means no limit."""

    seconds: float | None = Field(None, gt=0, description="wall time of the search")
    search_flops: float | None = Field(None, gt=0, description="training and verification compute of the search")
    trials: int | None = Field(None, ge=1, description="assignments that may be started")
    concurrent: int | None = Field(None, ge=1, description="trials that run side by side")
    failures: int | None = Field(10, ge=1, description="lost or failed trials before the study gives up (exit code 4)")


class Tracking(Section):
    """Where MLflow keeps the study."""

    uri: str | None = Field("sqlite:///mlflow.db", max_length=2000, description="MLflow tracking store; null for none")

    @field_validator("uri")
    @classmethod
    def _known_and_without_secrets(cls, uri: str | None) -> str | None:
        if uri is None:
            return None
        parts = urlsplit(uri)
        if not uri.isprintable() or parts.scheme.partition("+")[0] not in TRACKING_SCHEMES:
            raise ValueError(f"got {show(parts.scheme or uri)}: it should begin with one of {_schemes()}")
        if parts.password is not None:
            raise ValueError("it holds a password: leave it out, and give MLFLOW_TRACKING_PASSWORD in the environment")
        if parts.scheme in ("http", "https") and not parts.hostname:
            raise ValueError(f"got {show(uri)}: it names no host, as in http://localhost:5000")
        return uri


def _schemes() -> str:
    return ", ".join(f"{scheme}:" for scheme in TRACKING_SCHEMES)


class Study(Section):
    """Everything that a search depends on. Fields are in the order in which they are checked."""

    model_config = ConfigDict(validate_default=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="letters, digits, dot, underscore, hyphen")
    seed: int = Field(0, ge=0, lt=2**63, description="of everything random in the study")
    task: Annotated[Task, PartOf("tasks")]
    model: Annotated[ModelSpec, PartOf("models")]
    prior: Annotated[SpeedPrior, PartOf("priors")] = Field(default={"kind": "none"})  # type: ignore[assignment]
    scheduler: Annotated[BudgetScheduler, PartOf("schedulers")]
    population: PopulationSettings = PopulationSettings()
    train: Annotated[TrainSettings, WrapValidator(partial(explained, TrainSettings))] = TrainSettings()
    selection: SelectionSettings = SelectionSettings()
    milestones: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.99], min_length=1, description="thresholds of good performance, climbed one after another"
    )
    verdict: VerdictSettings = VerdictSettings()
    audits: list[Annotated[Audit, PartOf("audits")]] = Field([], description="put to the finished program, sealed")
    resources: Resources = Resources()
    limits: Limits = Limits()
    tracking: Tracking = Tracking()

    @field_validator("name")
    @classmethod
    def _no_folder_above(cls, name: str) -> str:
        if not name.strip("."):
            raise ValueError(f"got {show(name)}: it names a folder, so it should be more than dots")
        return name

    @field_validator("scheduler")
    @classmethod
    def _moves_what_the_model_has(cls, scheduler: BudgetScheduler, info: ValidationInfo) -> BudgetScheduler:
        model, prior = info.data.get("model"), info.data.get("prior")
        problems = _ladder_problems(scheduler)
        if model is not None and scheduler.axis not in model.axes():
            near = suggest(scheduler.axis, list(model.axes()))
            known = ", ".join(model.axes())
            problems.append((("axis",), f"model {model.kind} has no axis '{scheduler.axis}'.{near} Known: {known}."))
        if prior is not None and scheduler.budget == "mean" and prior.rule().reads == "nothing":
            message = (
                f"a mean budget needs a program that halts by itself, and prior {prior.kind} always runs to the end"
            )
            problems.append((("budget",), f"{message}: choose a prior that trains halting, or budget: max"))
        if problems:
            raise refusal(problems)
        return scheduler

    @field_validator("population")
    @classmethod
    def _members_differ_and_fit(cls, population: PopulationSettings, info: ValidationInfo) -> PopulationSettings:
        base: ModelSpec | None = info.data.get("model")
        if base is None:
            return population
        problems: list[Problem] = []
        seen: dict[ModelSpec, int] = {}
        for index, overrides in enumerate(population.members):
            try:
                member = explained(type(base), base.model_dump() | overrides, type(base).model_validate)
            except ValidationError as error:
                problems += [(("members", index, *one["loc"]), one["msg"]) for one in error.errors()]
                continue
            if member in seen:
                problems.append((("members", index), f"the same configuration as member {seen[member]}: remove one"))
            seen.setdefault(member, index)
        if problems:
            raise refusal(problems)
        return population

    @field_validator("selection")
    @classmethod
    def _gates_can_be_passed(cls, selection: SelectionSettings, info: ValidationInfo) -> SelectionSettings:
        task: Task | None = info.data.get("task")
        if task is None:
            return selection
        problems: list[Problem] = []
        for index, gate in enumerate(selection.gates):
            message = _gate_refusal(gate, selection.gates[:index], task)
            if message:
                problems.append((("gates", index), message))
        if problems:
            raise refusal(problems)
        return selection

    @field_validator("milestones")
    @classmethod
    def _ascending_and_certifiable(cls, milestones: list[float], info: ValidationInfo) -> list[float]:
        if any(low >= high for low, high in pairwise(milestones)):
            raise ValueError(f"got {milestones}: they should ascend, each larger than the one before")
        task: Task | None = info.data.get("task")
        selection: SelectionSettings | None = info.data.get("selection")
        if task is None or selection is None:
            return milestones
        refusals = [_milestone_refusal(milestone, task, selection, info.data) for milestone in milestones]
        problems: list[Problem] = [((index,), message) for index, message in enumerate(refusals) if message]
        if problems:
            raise refusal(problems)
        return milestones

    def member_models(self) -> list[ModelSpec]:
        """Return the model of every member: the study's model with the member's overrides."""
        return _member_models(self.model, self.population)

    def train_settings(self, model: ModelSpec) -> TrainSettings:
        """Return the recipe for `model`: the study's own settings over the prior's over the model's."""
        return self.train.over(model.train_defaults(), self.prior.train_defaults())

    def resolved(self) -> dict[str, Any]:
        """Return the study with all defaults filled in, as plain JSON values that validate to an equal search.

        The recipe is filled in only when all members share it: written out it would override the others' own.
        """
        recipes = {self.train_settings(model) for model in self.member_models()}
        train = (
            recipes.pop().model_dump(mode="json") if len(recipes) == 1 else self.train.model_dump(exclude_unset=True)
        )
        return self.model_dump(mode="json") | {"train": train}

    def dump_yaml(self) -> str:
        """Return the resolved study as YAML."""
        return dump(self.resolved())


def _ladder_problems(scheduler: BudgetScheduler) -> list[Problem]:
    """Say what is wrong with the ladder of budgets by itself."""
    start, stop, resolution = scheduler.start, scheduler.stop, scheduler.resolution
    if start > stop:
        return [(("start",), f"got {start:g}, above stop ({stop:g}): the ladder of budgets runs from start up to stop")]
    if (stop - start) / resolution > MOST_LEVELS:
        return [
            (("resolution",), f"got {resolution:g}: from {start:g} to {stop:g} are more than {MOST_LEVELS:,} levels")
        ]
    if scheduler.axis == "rollouts" and start < 1:
        return [(("start",), f"got {start:g}: a program takes at least one rollout")]
    return []


def _gate_refusal(gate: str, earlier: list[str], task: Task) -> str | None:
    """Say why a distribution cannot be a gate, or return None."""
    known = [name for name in task.distributions() if name not in REPORT_ONLY]
    if gate in earlier:
        return f"'{gate}' is listed twice: remove one"
    if gate in REPORT_ONLY:
        return f"'{gate}' is a report, never a gate: a program whose budget is capped cannot unroll further"
    if gate not in known:
        return f"task {task.kind_name()} has no distribution '{gate}'.{suggest(gate, known)} Known: {', '.join(known)}."
    return None


def _milestone_refusal(milestone: float, task: Task, selection: SelectionSettings, data: dict[str, Any]) -> str | None:
    """Say why no program of the study could be shown to meet a milestone, or return None."""
    for gate in selection.gates:
        n = _held_out(task, gate, selection)
        largest = largest_certifiable(n, selection.confidence)
        if milestone > largest:
            most = floor(largest * 1e5) / 1e5
            return f"got {milestone}: {n} held-out examples of '{gate}' can certify {most} at most"
        least = _least_rollouts(milestone, gate, task, data)
        if least and least > data["scheduler"].stop:
            allowed = f"{data['scheduler'].stop:g}"
            return f"got {milestone}: '{gate}' needs {least} rollouts (proven), and scheduler.stop allows {allowed}"
    return _validation_refusal(milestone, task, selection, data)


def _validation_refusal(milestone: float, task: Task, selection: SelectionSettings, data: dict[str, Any]) -> str | None:
    """Say why training could never see that the milestone is met: its validation bound stays below; else None."""
    model, prior, train = data.get("model"), data.get("prior"), data.get("train")
    support = task.support_size(task.distributions()[0])
    if not (model and prior and train) or (support is not None and support <= ENUMERATED_IN_TRAINING):
        return None
    settings = train.over(model.train_defaults(), prior.train_defaults())
    n = min(settings.validation, task.held_out("validation") or settings.validation)
    largest = floor((1.0 - selection.confidence) ** (1.0 / n) * 1e5) / 1e5
    if milestone <= largest:
        return None
    return f"got {milestone}: {n} validation examples can show {largest} at most: raise train.validation"


def _held_out(task: Task, gate: str, selection: SelectionSettings) -> int | None:
    """Return how many examples verify a gate, or None where all inputs are enumerated."""
    support = task.support_size(gate)
    if support is not None and support <= LARGEST_SUPPORT:
        return None
    held_out = task.held_out("verification")
    return selection.n if held_out is None else min(selection.n, held_out)


def _least_rollouts(milestone: float, gate: str, task: Task, data: dict[str, Any]) -> int:
    """Return the rollouts below which a gate is proven out of reach for every member (0 where nothing is proven).

    The proofs are about programs that answer at a fixed rollout under a max budget.
    """
    scheduler, prior = data.get("scheduler"), data.get("prior")
    model, population = data.get("model"), data.get("population")
    if not (scheduler and prior and model and population):
        return 0
    if (scheduler.axis, scheduler.budget, prior.rule().reads) != ("rollouts", "max", "nothing"):
        return 0
    reaches = [member.reach() for member in _member_models(model, population)]
    known = [reach for reach in reaches if reach is not None]
    return task.least_rollouts_for(gate, max(known), milestone) if len(known) == len(reaches) else 0


def _member_models(model: ModelSpec, population: PopulationSettings) -> list[ModelSpec]:
    base = model.model_dump()
    return [type(model).model_validate(base | overrides) for overrides in population.members]


class Cluster(Section):
    """Where trials run."""

    address: str = Field("local", pattern=r"^[A-Za-z0-9._:/\[\]-]{1,255}$", description="local, auto, or HOST:PORT")
    cpus: int | None = Field(None, ge=1, description="cores that a local Ray may use; null for all")
    gpus: int | None = Field(None, ge=0, description="GPUs that a local Ray may use; null for all")


def load_study(path: str | Path, *, overrides: Sequence[str] = (), seed: int | None = None) -> Study:
    """Read a study file.

    Args:
        path: the YAML file.
        overrides: `path=value` each, applied before validation; the value is read as YAML.
        seed: overrides the study's seed.

    Raises:
        StudyError: with every problem of the file and of the overrides.
    """
    return read_settings(Study, Path(path), overrides, {} if seed is None else {"seed": seed})


def study_of(content: dict[str, Any]) -> Study:
    """Return the study of a file's content, or raise `StudyError` with every problem."""
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        lines = [f"{dotted(one['loc'])}: {one['msg']}" for one in error.errors(include_url=False)]
        raise StudyError(lines) from None


def load_cluster(path: str | Path) -> Cluster:
    """Read a cluster file, or raise `StudyError` with every problem of it."""
    return read_settings(Cluster, Path(path))


def study_schema() -> dict[str, Any]:
    """Return the JSON schema of a study file, with the parts that are installed."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()}
