"""What happens to a search (events) and what it asks for (actions), with the one who answers its proposals.

`Measured` and `LevelReport`, the events that carry numbers, are among the records. Every event is a line of the ledger,
so a search is replayed from its events alone; actions follow from them and are never stored. What somebody asked for
says who (`by`) and names the `request`, which is thereby done once, however often a driver finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, TypeAdapter

from sp_search.records import Assignment, Budget, LevelReport, Measured, Member, Record


class Capacity(Record):
    """Event: how many trials the driver can run side by side.

    `gone` of the trials that were lost went with machines that left the cluster: nobody's failure.
    """

    event: Literal["capacity"] = "capacity"
    slots: int = Field(ge=1)
    gone: int = Field(0, ge=0)


class MemberLost(Record):
    """Event: the machinery lost a member's trial (worker, node or deadline). Never evidence about a budget."""

    event: Literal["member_lost"] = "member_lost"
    member: int
    attempt: int
    reason: str


class MemberFailed(Record):
    """Event: the member's own code raised; trying again would raise again. What it had trained is paid all the same."""

    event: Literal["member_failed"] = "member_failed"
    member: int
    attempt: int
    reason: str
    training_flops: float = Field(0.0, ge=0)


class Parked(Record):
    """Event: a trial that was cut before its level was measured has given up; what it had trained is paid."""

    event: Literal["parked"] = "parked"
    member: int
    attempt: int
    training_flops: float = Field(ge=0)
    verification_flops: float = Field(0.0, ge=0)


class Proposed(Record):
    """Event: a proposer's configuration for a member of a visit, and its budget (None: nothing fits)."""

    event: Literal["proposed"] = "proposed"
    member: int
    visit: int
    config: dict[str, Any] = Field(default_factory=dict)
    budget: Budget | None = None


class Restored(Record):
    """Event: a driver took the study up again; live members must be re-issued."""

    event: Literal["restored"] = "restored"


class LimitReached(Record):
    """Event: a limit of the study (seconds, search_flops, trials, failures), or somebody, ended the search early.

    `training_flops` is what the trials had spent that were still running, `trials` how many of them had spent anything.
    `by` is who asked, with `limit` "stopped".
    """

    event: Literal["limit_reached"] = "limit_reached"
    limit: str
    training_flops: float = Field(0.0, ge=0)
    trials: int = Field(0, ge=0)
    by: str = ""
    request: str = ""

    def cutting(self, spent: Sequence[float]) -> LimitReached:
        """Return it with the training FLOPs of every trial that it cuts."""
        return self.model_copy(update={"training_flops": sum(spent), "trials": sum(one > 0 for one in spent)})


class MemberStopped(Record):
    """Event: somebody wants no more of a member. Never evidence about a budget."""

    event: Literal["member_stopped"] = "member_stopped"
    member: int
    by: str
    request: str = ""


class MemberAdded(Record):
    """Event: somebody adds a member to a listed population; it takes part from the next visit on."""

    event: Literal["member_added"] = "member_added"
    added: Member
    by: str
    request: str = ""


class Retried(Record):
    """Event: somebody wants members tried again that had failed, were lost for good, or stopped.

    Without any it is said to go on after too many failures of trials whose members are all there.
    """

    event: Literal["retried"] = "retried"
    members: list[int]
    by: str
    request: str = ""


class Extended(Record):
    """Event: somebody asks more of a study: `settings` by their path in the study's file.

    Further milestones and lineages of a level are the search's business; limits are the driver's.
    """

    event: Literal["extended"] = "extended"
    settings: dict[str, Any]
    milestones: list[float]
    replicas: int = Field(ge=1)
    by: str
    request: str = ""


class PauseAsked(Record):
    """Event: somebody wants the driver to end for now; the study resumes."""

    event: Literal["pause_asked"] = "pause_asked"
    by: str
    request: str = ""


Control = MemberStopped | MemberAdded | Retried | Extended | PauseAsked
"""What people ask of a search while it runs, or after it has ended."""
Happening = Capacity | Measured | LevelReport | MemberLost | MemberFailed | Parked | Proposed | Restored | LimitReached
SearchEvent = Annotated[Happening | Control, Field(discriminator="event")]
EVENT: TypeAdapter[SearchEvent] = TypeAdapter(SearchEvent)


class Start(Record):
    """Action: start a trial on an assignment."""

    action: Literal["start"] = "start"
    assignment: Assignment


class SetBudget(Record):
    """Action: a live trial goes on with another assignment (its budget grows or shrinks)."""

    action: Literal["set_budget"] = "set_budget"
    assignment: Assignment


class Propose(Record):
    """Action: a configuration is wanted for a new member, of a price up to the level's cap; `Proposed` answers."""

    action: Literal["propose"] = "propose"
    member: int
    visit: int
    level: int
    cap: float
    milestone: float


class Park(Record):
    """Action: keep a member's checkpoint and run it no further for now.

    A trial that is busy is cut at its next slice, and answers with `Parked`. `SetBudget` to a busy trial says the same.
    """

    action: Literal["park"] = "park"
    member: int


class Stop(Record):
    """Action: a member is over."""

    action: Literal["stop"] = "stop"
    member: int
    reason: str


class Finish(Record):
    """Action: the search is over. `reason` is `resolved`, or the limit that ended it."""

    action: Literal["finish"] = "finish"
    reason: str


Action = Annotated[Start | SetBudget | Propose | Park | Stop | Finish, Field(discriminator="action")]


class Proposer(Protocol):
    """Chooses the configurations of a population without listed members. Its answers enter a search only as events.

    It hears of everything in the ledger's order, at a replay too, so it can be rebuilt from the ledger alone: whatever
    it hears twice changes nothing.
    """

    def propose(self, request: Propose) -> Proposed:
        """Choose a configuration that fits the request's cap."""
        ...

    def accepted(self, proposed: Proposed) -> None:
        """Hear of a proposal that entered the search: this one's own, or at a replay one of the ledger."""
        ...

    def judged(self, report: LevelReport) -> None:
        """Hear what came of a proposal."""
        ...

    def ended(self, member: int, reason: str) -> None:
        """Hear that a proposal came to nothing: cut (infeasible, never a cheap success), lost or failed."""
        ...
