"""What a request means for a search: the event that it becomes, or why it cannot be done and what can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from sp_search.changes import CHANGES, changed_content
from sp_search.errors import StudyError
from sp_search.events import Extended, LimitReached, MemberAdded, MemberStopped, PauseAsked, Retried, SearchEvent
from sp_search.interventions import least_tried
from sp_search.plan import price_member
from sp_search.records import Record
from sp_search.search import Search
from sp_search.settings_file import read_changes, with_changes
from sp_search.study import Study, study_of

EXTENDABLE = ("milestones", "population.replicas", "limits")
"""What `extend` may set: more is asked, and nothing that was measured means anything else by it."""


class Request(Record):
    """One thing that somebody asks: `ask`, what it is about, who and when (seconds since the epoch)."""

    ask: Literal["stop", "pause", "add", "extend", "retry"]
    member: int | None = None
    config: dict[str, Any] | None = None
    settings: list[str] = Field([], max_length=100)
    by: str = Field("", max_length=200)
    at: float = 0.0


def event_of(request: Request, study: Study, search: Search) -> SearchEvent:
    """Return the event that a request means for a search.

    Raises:
        StudyError: it asks for what the study cannot do; says what can be asked.
    """
    match request.ask:
        case "pause":
            return PauseAsked(by=request.by)
        case "stop" if request.member is None:
            _refuse_ended(search)
            return LimitReached(limit="stopped", by=request.by)
        case "stop":
            return MemberStopped(member=_known_member(request, search), by=request.by)
        case "retry":
            return _retried(request, search)
        case "add":
            return _added(request, study, search)
        case "extend":
            return _extended(request, study, search)


def changed_study(study: Study, event: SearchEvent) -> Study:
    """Return the study as an event leaves it."""
    if event.event not in CHANGES:
        return study
    return study_of(changed_content(study.resolved(), event.model_dump(mode="json")))


def _known_member(request: Request, search: Search) -> int:
    member = request.member
    proposals = bool(search.state.population.proposals)
    known = search.state.live if proposals else [one.member for one in search.state.population.members]
    if member is None or member not in known:
        raise StudyError([f"--member {member}: there is no such member. {_listed(known)}"])
    if member in search.state.dropped:
        raise StudyError(
            [f"--member {member}: it is out of the search already ({search.state.dropped[member]}); see retry"]
        )
    _refuse_ended(search)
    return member


def _refuse_ended(search: Search) -> None:
    if search.state.finished is not None:
        raise StudyError(
            [f"the study has ended ({search.state.finished}): there is nothing to stop; extend and retry go on"]
        )


def _retried(request: Request, search: Search) -> Retried:
    state, member = search.state, request.member
    failed = sorted(state.dropped)
    if member is not None and member not in failed:
        raise StudyError([f"--member {member}: it has not failed. {_listed(failed, 'Failed')}"])
    if not failed and state.finished != "failures":
        raise StudyError(["no member has failed or was stopped: there is nothing to try again"])
    event = Retried(members=failed if member is None else [member], by=request.by)
    _refuse_unheard(search, event)
    return event


def _added(request: Request, study: Study, search: Search) -> MemberAdded:
    if search.state.population.proposals:
        own = "the study finds its members by proposals, and none can be added"
        raise StudyError([f"{own}: begin another study with search.warm_start on this folder"])
    grown = study_of(changed_content(study.resolved(), {"event": "member_added", "added": {"config": request.config}}))
    member = price_member(grown, len(grown.population.members) - 1, search.state.space)
    if not any(member.budgets):
        raise StudyError(
            [f"the member fits no level of the study's ladder, {search.state.space.caps}: make it cheaper"]
        )
    event = MemberAdded(added=member, by=request.by)
    _refuse_unheard(search, event)
    return event


def _extended(request: Request, study: Study, search: Search) -> Extended:
    changes = read_changes(request.settings)
    if not changes:
        raise StudyError([f"--set is missing: it can set {', '.join(EXTENDABLE)}"])
    settings = {".".join(map(str, change.path)): change.value for change in changes}
    for key in settings:
        if not any(key == name or key.startswith(f"{name}.") for name in EXTENDABLE):
            raise StudyError([f"--set {key}: a study that was begun can be extended in {', '.join(EXTENDABLE)}"])
    asked = study_of(with_changes(study.resolved(), settings))
    had, replicas = study.milestones, search.state.population.replicas
    if asked.milestones[: len(had)] != had:
        raise StudyError([f"milestones: got {asked.milestones}, and it should go on from {had}, which was begun with"])
    if asked.population.replicas < replicas:
        raise StudyError(
            [f"population.replicas: got {asked.population.replicas}, and it should be at least {replicas}"]
        )
    event = Extended(settings=settings, milestones=asked.milestones, replicas=asked.population.replicas, by=request.by)
    _refuse_idle(search, event)
    return event


def _gives_work(search: Search, event: SearchEvent) -> bool:
    """Whether an event opens a level, or finds the search at one. A scheduler is pure, so it can be tried."""
    after, _ = search.scheduler.advance(search.state, event)
    return after.finished is None or len(after.history) > len(search.state.history)


def _refuse_unheard(search: Search, event: MemberAdded | Retried) -> None:
    """Refuse members that an ended search would visit no level for, as where it ends with the first find."""
    if not _gives_work(search, event):
        ended = f"the study has ended ({search.state.finished}), and its schedule would visit no level for that again"
        raise StudyError([f"{ended}: begin another study, or extend this one by a milestone first"])


def _refuse_idle(search: Search, event: Extended) -> None:
    """Refuse an extension that gives a study that has ended nothing to do."""
    before = search.state
    if _gives_work(search, event):
        return
    if before.finished == "resolved":
        raise StudyError(["the study has settled its milestones: --set milestones=[...] with a further one goes on"])
    if before.finished in ("exhausted", "undecided"):
        population, failed = before.population, least_tried(before, before.history[-1])
        enough = population.replicas if population.proposals else max(population.replicas, failed)
        goes_on = f"--set population.replicas=N with more lineages than the {enough} that failed goes on"
        raise StudyError([f"the study has ended ({before.finished}): {goes_on}"])
    if before.finished == "no_members":
        raise StudyError(["every member has failed or was stopped: retry DIR --failed, or add DIR --member FILE"])


def _listed(members: Sequence[int], name: str = "Known") -> str:
    return f"{name}: {', '.join(map(str, members)) or 'none'}."
