"""A study as its file says it: the only reader of study and cluster YAML, and the last place where a mistake is cheap.

Every problem is reported at once, as `file:line: path: what was got, what is allowed`; nothing has been started or
written by then. Cross-field checks live with the field that they refuse, so they come together with all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, WrapValidator, field_validator

from sp_search.assembly import Parts, parts_of
from sp_search.audits.base import Audit
from sp_search.bucket import is_bucket, is_plain
from sp_search.errors import StudyError
from sp_search.models.base import ModelSpec
from sp_search.priors.base import SpeedPrior
from sp_search.refusals.asked import Asked
from sp_search.refusals.evidence import gate_refusal, milestone_refusal, stability_refusal
from sp_search.refusals.ladder import scheduler_problems
from sp_search.refusals.members import member_problems, replicas_problems, search_problems
from sp_search.schedulers.base import BudgetScheduler
from sp_search.sections import (
    Limits,
    PopulationSettings,
    Resources,
    SearchSettings,
    SelectionSettings,
    Tracking,
    VerdictSettings,
)
from sp_search.settings_file import dotted, read_settings
from sp_search.strict import PartOf, Problem, Section, explained, refusal, show
from sp_search.tasks.base import Task
from sp_search.train.settings import TrainSettings
from sp_search.yaml_strict import dump


class Study(Section):
    """Everything that a search depends on. Fields are in the order in which they are checked."""

    model_config = ConfigDict(validate_default=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="letters, digits, dot, underscore, hyphen")
    seed: int = Field(0, ge=0, lt=2**63, description="of everything random in the study")
    task: Annotated[Task, PartOf("tasks")]
    model: Annotated[ModelSpec, PartOf("models")]
    prior: Annotated[SpeedPrior, PartOf("priors")] = Field(default={"kind": "none"})  # type: ignore[assignment]
    search: SearchSettings | None = Field(None, description="finds the members by proposals; null: they are listed")
    scheduler: Annotated[BudgetScheduler, PartOf("schedulers")]
    population: PopulationSettings = PopulationSettings()
    train: Annotated[TrainSettings, WrapValidator(partial(explained, TrainSettings))] = TrainSettings()
    selection: SelectionSettings = SelectionSettings()
    milestones: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.99], min_length=1, max_length=100, description="thresholds of good performance, climbed one after another"
    )
    verdict: VerdictSettings = VerdictSettings()
    audits: list[Annotated[Audit, PartOf("audits")]] = Field(
        [], max_length=100, description="put to the finished program, sealed"
    )
    resources: Resources = Resources()
    limits: Limits = Limits()
    tracking: Tracking = Tracking()

    @field_validator("name")
    @classmethod
    def _no_folder_above(cls, name: str) -> str:
        if not name.strip("."):
            raise ValueError(f"got {show(name)}: it names a folder, so it should be more than dots")
        return name

    @field_validator("search")
    @classmethod
    def _chooses_what_the_parts_have(cls, search: SearchSettings | None, info: ValidationInfo) -> SearchSettings | None:
        _refuse([] if search is None else search_problems(search, Asked.of(info.data)))
        return search

    @field_validator("scheduler")
    @classmethod
    def _moves_what_the_model_has(cls, scheduler: BudgetScheduler, info: ValidationInfo) -> BudgetScheduler:
        if "search" in info.data:  # one that was refused says nothing of whose ladder it is
            _refuse(scheduler_problems(scheduler, Asked.of(info.data)))
        return scheduler

    @field_validator("population")
    @classmethod
    def _members_differ_and_fit(cls, population: PopulationSettings, info: ValidationInfo) -> PopulationSettings:
        asked = Asked.of(info.data)
        if asked.model is not None and asked.prior is not None:
            members = member_problems(population.members, Parts(asked.model, asked.prior), asked)
            _refuse(members + replicas_problems(population, asked))
        return population

    @field_validator("selection")
    @classmethod
    def _gates_can_be_passed(cls, selection: SelectionSettings, info: ValidationInfo) -> SelectionSettings:
        task: Task | None = info.data.get("task")
        if task is None:
            return selection
        gates = selection.gates
        refused = [gate_refusal(gate, gates[:index], task) for index, gate in enumerate(gates)]
        problems: list[Problem] = [(("gates", index), message) for index, message in enumerate(refused) if message]
        unstable = stability_refusal(task, selection)
        _refuse(problems + ([(("stable_after_halt",), unstable)] if unstable else []))
        return selection

    @field_validator("milestones")
    @classmethod
    def _ascending_and_certifiable(cls, milestones: list[float], info: ValidationInfo) -> list[float]:
        if any(low >= high for low, high in pairwise(milestones)):
            raise ValueError(f"got {milestones}: they should ascend, each larger than the one before")
        refused = [milestone_refusal(milestone, Asked.of(info.data)) for milestone in milestones]
        _refuse([((index,), message) for index, message in enumerate(refused) if message])
        return milestones

    @field_validator("audits")
    @classmethod
    def _each_once(cls, audits: list[Audit]) -> list[Audit]:
        names = [one.kind_name() for one in audits]
        twice = [index for index, name in enumerate(names) if name in names[:index]]
        _refuse([((index,), f"got {names[index]} again: each audit is put once") for index in twice])
        return audits

    def member_parts(self) -> list[Parts]:
        """Return the model and the prior of every listed member: the study's with the member's overrides.

        Of a search these are the study's own, which proposals override.
        """
        return [parts_of(self.model, self.prior, config) for config in self.population.members]

    def train_settings(self, member: Parts) -> TrainSettings:
        """Return the recipe for a member: the study's own settings over its prior's over its model's."""
        return self.train.over(member.model.train_defaults(), member.prior.train_defaults())

    def resolved(self) -> dict[str, Any]:
        """Return the study with all defaults filled in, as plain JSON values that validate to an equal search.

        The recipe is filled in only when all members share it: written out it would override the others' own.
        """
        recipes = {self.train_settings(member) for member in self.member_parts()}
        shared = len(recipes) == 1 and self.search is None
        train = recipes.pop().model_dump(mode="json") if shared else self.train.model_dump(exclude_unset=True)
        return self.model_dump(mode="json") | {"train": train}

    def dump_yaml(self) -> str:
        """Return the resolved study as YAML."""
        return dump(self.resolved())


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise refusal(problems)


class Cluster(Section):
    """Where trials run."""

    address: str = Field("local", pattern=r"^[A-Za-z0-9._:/\[\]-]{1,255}$", description="local, auto, or HOST:PORT")
    cpus: int | None = Field(None, ge=1, description="cores that a local Ray may use; null for all")
    gpus: int | None = Field(None, ge=0, description="GPUs that a local Ray may use; null for all")
    nodes: int | None = Field(None, ge=1, description="machines to wait for before anything starts; null: those there")
    storage: str | None = Field(
        None,
        pattern=r"^[^\x00-\x1f]{1,1000}$",
        description="where checkpoints lie that all machines share: a folder, or s3://BUCKET/PREFIX; "
        "null: in the study's folder",
    )

    @field_validator("storage")
    @classmethod
    def _absolute_and_without_secrets(cls, storage: str | None) -> str | None:
        if storage is None:
            return None
        if is_bucket(storage):
            if not is_plain(storage):
                raise ValueError(
                    "it should be s3://BUCKET/PREFIX alone: credentials and endpoint come from the environment (AWS_*)"
                )
        elif not storage.startswith("/"):
            raise ValueError(f"got {show(storage)}: it should be s3://BUCKET/PREFIX, or a path from the root (/...)")
        return storage


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


def cluster_of(content: dict[str, Any]) -> Cluster:
    """Return the cluster of a file's content, or raise `StudyError` with every problem."""
    try:
        return Cluster.model_validate(content)
    except ValidationError as error:
        raise StudyError([f"{dotted(one['loc'])}: {one['msg']}" for one in error.errors(include_url=False)]) from None


def tracking_of(content: dict[str, Any]) -> Tracking:
    """Return where to track, of its content, or raise `StudyError` with every problem of it."""
    try:
        return Tracking.model_validate(content)
    except ValidationError as error:
        raise StudyError([f"{dotted(one['loc'])}: {one['msg']}" for one in error.errors(include_url=False)]) from None


def load_cluster(path: str | Path) -> Cluster:
    """Read a cluster file, or raise `StudyError` with every problem of it."""
    return read_settings(Cluster, Path(path))


def study_schema() -> dict[str, Any]:
    """Return the JSON schema of a study file, with the parts that are installed."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()}
