"""What earlier studies tried of a space: read from their ledgers, so that a search can begin with it.

Any finished or interrupted study of the task will do, whether it listed its members or searched. What the space does
not choose has to be the same, or the trials would speak of other programs; trials outside the space are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from sp_search.assembly import Parts, parts_of
from sp_search.errors import StorageError, StudyError
from sp_search.ledger import read_ledger
from sp_search.plugins import Plugin
from sp_search.proposals import PRIOR, Came, Proposal, ProposalSpace, came_of, config_of
from sp_search.records import Assignment, Budget, LevelReport, Record
from sp_search.settings_file import dotted
from sp_search.strict import show
from sp_search.study import Study


class Tried(Record):
    """A proposal and what came of it; `shortfall` is that of `milestone`."""

    config: dict[str, Any]
    budget: Budget
    flops: float = Field(description="the most that its program spends per example")
    milestone: float
    compute: float
    shortfall: float
    source: str = Field(description="the study that tried it")

    def misses(self, milestone: float) -> float:
        """Return by how much it misses another milestone."""
        return self.shortfall + milestone - self.milestone

    def proposal(self) -> Proposal:
        """Return the proposal alone."""
        return Proposal(self.config, self.budget, self.flops)


class _Outside(NamedTuple):
    """A value that the space does not hold."""

    name: str
    value: Any


def tried_before(folders: Sequence[str], study: Study, space: ProposalSpace) -> list[Tried]:
    """Return what earlier studies tried of `space`, in the order of the folders and of their ledgers.

    Raises:
        StudyError: a folder holds no study, or one of another task or of programs that are not in the space.
    """
    found: list[Tried] = []
    problems: list[str] = []
    for index, folder in enumerate(folders):
        try:
            found += _of_folder(Path(folder), study, space)
        except StudyError as error:
            problems += [
                f"search.warm_start.{index}: {folder} {problem}; leave it out, or name another"
                for problem in error.problems
            ]
    if problems:
        raise StudyError(problems)
    return found


def _of_folder(folder: Path, study: Study, space: ProposalSpace) -> list[Tried]:
    try:
        entries = read_ledger(folder)
    except StorageError as error:
        raise StudyError([f"cannot be read: {error}"]) from None
    if not entries or "header" not in entries[0]:
        raise StudyError(["holds a ledger that was never begun"])
    try:
        earlier = Study.model_validate(entries[0]["header"]["study"])
        judged = list(_judged(entries))
    except ValidationError as error:
        first = error.errors()[0]
        message = f"was written by another version of sp_search: {dotted(first['loc'])}: {first['msg']}"
        raise StudyError([message]) from None
    _refuse_other_question(earlier, study)
    found: list[Tried] = []
    outside: dict[_Outside, None] = {}
    for assignment, report in judged:
        if space.kind == "mean" and assignment.budget.measure != "flops":
            raise StudyError([f"counts its mean budgets in {assignment.budget.measure}, and a search in FLOPs"])
        member = parts_of(earlier.model, earlier.prior, assignment.config)
        tried = _located(member, assignment.budget.axis, space)
        came = came_of(report, assignment.budget, assignment.milestone)
        if isinstance(tried, _Outside):
            outside[tried] = None
        elif came is not None and (proposal := space.at(*tried, assignment.budget.cap)) is not None:
            found.append(_tried(proposal, came, assignment, earlier, space))
    if not found:
        raise StudyError([_nothing(outside)])
    return found


def _tried(proposal: Proposal, came: Came, assignment: Assignment, earlier: Study, space: ProposalSpace) -> Tried:
    """Return a trial with its compute in FLOPs, whatever its own study counted."""
    compute = came.compute if space.kind == "mean" else proposal.flops
    return Tried(
        config=proposal.config,
        budget=proposal.budget,
        flops=proposal.flops,
        milestone=assignment.milestone,
        compute=compute,
        shortfall=came.shortfall,
        source=earlier.name,
    )


def _judged(entries: list[dict[str, Any]]) -> Iterator[tuple[Assignment, LevelReport]]:
    """Yield every judged report of a ledger with the assignment that it answers, oldest first."""
    given: dict[int, Assignment] = {}
    for entry in entries:
        for judged in entry.get("judged", []):
            report = LevelReport.model_validate(judged)
            yield given[report.member], report
        for action in entry.get("actions", []):
            if "assignment" in action:
                assignment = Assignment.model_validate(action["assignment"])
                given[assignment.member] = assignment


def _refuse_other_question(earlier: Study, study: Study) -> None:
    """Refuse a study of which no trial could say anything here."""
    there, here = _named(earlier.task, ""), _named(study.task, "")
    for name in dict.fromkeys([*there, *here]):
        if there.get(name) != here.get(name):
            raise StudyError([f"is of another task, with another {name}: {_there(there, here, name)}"])
    if earlier.scheduler.budget != study.scheduler.budget:
        kinds = f"{earlier.scheduler.budget} budgets there, {study.scheduler.budget} here"
        raise StudyError([f"is of another kind of budget: {kinds}"])
    if earlier.selection.gates != study.selection.gates:
        raise StudyError([f"has other gates: {earlier.selection.gates} there, {study.selection.gates} here"])


def _located(
    member: Parts, axis: dict[str, int], space: ProposalSpace
) -> tuple[dict[str, Any], dict[str, int]] | _Outside:
    """Return a trial's configuration and axes in terms of the space, or what of it the space does not hold.

    Raises:
        StudyError: it differs in what the space does not choose.
    """
    model = member.model.at(axis)
    own = _named(model, "") | _named(member.prior, PRIOR)
    values = {name: axis.get(name, own.get(name)) for name in space.axes}
    here = _named(space.base.model, "") | _named(space.base.prior, PRIOR)
    for name in dict.fromkeys([*own, *here]):
        if name not in space.axes and name not in space.fields and own.get(name) != here.get(name):
            raise StudyError([f"differs in {name}, which the space does not choose: {_there(own, here, name)}"])
    built = {member.model.exits_axis()} if space.kind == "mean" else set()
    for name, value in values.items():
        low, high = space.axes[name]
        if value is None or not low <= value <= high or (name in built and value != high):
            return _Outside(name, value)
    chosen = {name: own.get(name) for name in space.fields}
    for name, value in chosen.items():
        if not space.fields[name].holds(value):
            return _Outside(name, value)
    return config_of(chosen), {name: int(value) for name, value in values.items() if value is not None}


def _named(part: Plugin, prefix: str) -> dict[str, Any]:
    return {prefix + name: value for name, value in part.model_dump(mode="json").items()}


def _there(own: dict[str, Any], here: dict[str, Any], name: str) -> str:
    return f"{show(own.get(name))} there, {show(here.get(name))} here"


def _nothing(outside: dict[_Outside, None]) -> str:
    if not outside:
        return "has judged no trial yet"
    values = ", ".join(f"{name} {value}" for name, value in list(outside)[:3])
    return f"tried nothing of this space: {values} and so on lie outside"
