"""From ledger entries to what MLflow is to hold: a pure fold, so that shipping an entry twice changes nothing.

A study is one run, its members are runs below it, and their visits of a level runs below these. Keys of runs, steps and
times follow from the ledger alone, never from the clock or the order of shipping.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal, NamedTuple

from sp_search.levels import LevelOutcome
from sp_search.records import Assignment
from sp_search.rows import LedgerReader, LineageRow
from sp_search.tracking.detail import Detail, chosen_detail
from sp_search.tracking.figures import Tally, config_hash, frontier, member_params, scalars, system_metrics

STUDY = "study"
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


class Point(NamedTuple):
    """One value of a metric."""

    name: str
    value: float
    step: int
    time_ms: int


@dataclass
class Update:
    """What has changed in one run. Merging is writing into the same update again.

    `parent` is a key. `describe` says that a study begins, or goes on after an answer: its description is due.
    """

    parent: str | None = None
    name: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    config: dict[str, Any] | None = None
    status: Status | None = None
    describe: bool = False
    began_ms: int = 0
    time_ms: int = 0


ENDINGS: dict[str, Status] = {"measured": "FINISHED", "cut": "KILLED"}
"""How a run ends by the reason for which its trial was stopped; what somebody stopped is killed, the rest failures."""


class Updates:
    """The changes that have been read and not yet shipped, by key of run."""

    def __init__(self) -> None:
        """Begin before the header."""
        self.reader = LedgerReader()
        self.detail: Detail = "study"
        self.frontier: list[LineageRow] = []
        self.pending: dict[str, Update] = {}
        self.open: set[str] = set()
        self._known: set[str] = set()
        self._tallies: dict[str, Tally] = {}

    @property
    def study_id(self) -> str:
        """What tells this study's runs from all others: its name, what it was begun with, and when."""
        begun = self.reader.begun
        return f"{begun['name']}-{config_hash(begun)}-{self.reader.began}"

    def read(self, entry: dict[str, Any]) -> None:
        """Take one ledger entry in."""
        time_ms = int(entry["time"] * 1000)
        had_ended = self.reader.finished is not None
        reading = self.reader.read(entry)
        if "header" in entry:
            self._begin(entry["header"], time_ms)
        event = entry.get("event", {})
        if event.get("event") == "measured":
            self._count(event, entry["seq"], time_ms)
        self.frontier = frontier([*self.frontier, *reading.rows]) if reading.rows else self.frontier
        self.reader.rows.clear()  # of a long study they would fill the memory of its driver
        judged: dict[str, int] = {}
        for row in reading.rows:
            for key in self.keys(row.assignment.member, row.assignment.visit):
                self._tally(key).add(row)
                judged[key] = row.assignment.visit
        for key, visit in judged.items():
            self._measure(key, entry["seq"] if "/" in key else visit, time_ms)
        for outcome in reading.outcomes:
            self._close(outcome, time_ms)
        for member, reason in reading.stopped.items():
            mine = [key for key in self.open if key == member_key(member) or key.startswith(f"{member_key(member)}/")]
            self._end(mine, ENDINGS.get(reason, "KILLED" if reason.startswith("stopped") else "FAILED"), time_ms)
            if reason != "cut":  # else its level was closed, and has told
                for key in mine:
                    self.update(key, time_ms).tags["phase"] = "measured" if reason == "measured" else "stopped"
        for assignment in reading.started:
            self._start(assignment, time_ms)
        if reading.finished is not None:
            judged_keys = [key for key in self.open if "/" not in key and self._tally(key).best is not None]
            self._end(judged_keys, "FINISHED", time_ms)
            self._end(list(self.open), "KILLED", time_ms)
        elif had_ended:  # somebody asked more of a study that was over
            self.update(STUDY, time_ms).status = "RUNNING"
            self.update(STUDY, time_ms).describe = True
            self.update(STUDY, time_ms).tags |= {"met": "false", "ended": "not yet"}

    def keys(self, member: int, visit: int) -> list[str]:
        """Return the runs below the study's in which a member's visit is told, outermost first."""
        keys = {"study": [], "member": [member_key(member)], "level": [member_key(member), key_of(member, visit)]}
        return keys[self.detail]

    def update(self, key: str, time_ms: int) -> Update:
        """Return the pending update of a run, for writing."""
        above = None if key == STUDY else key.rpartition("/")[0] or STUDY
        update = self.pending.setdefault(key, Update(parent=above, began_ms=time_ms))
        update.time_ms = time_ms
        return update

    def _tally(self, key: str) -> Tally:
        return self._tallies.setdefault(key, Tally())

    def _begin(self, header: dict[str, Any], time_ms: int) -> None:
        update, study = self.update(STUDY, time_ms), header.get("study", {})
        self.detail, lowered = chosen_detail(header)
        update.name = f"{header['name']} / seed {header['seed']}"
        update.status, update.describe = "RUNNING", True
        update.params |= {"seed": str(header["seed"]), "config_hash": config_hash(study)}
        for part in ("task", "model", "prior", "scheduler"):
            update.params |= scalars(part, study.get(part, {}))
        update.tags |= {f"version.{name}": str(value) for name, value in header.get("versions", {}).items()}
        update.tags |= {"run_of": "study", "tracking.detail": lowered or self.detail}
        owner = study.get("tracking", {}).get("owner", "")
        update.tags |= {"owner": owner} if owner else {}

    def _start(self, assignment: Assignment, time_ms: int) -> None:
        """Name the runs of an assignment and let them run; what never changes in them is told once."""
        budget, member = assignment.budget, str(assignment.member)
        for key in self.keys(assignment.member, assignment.visit):
            update = self.update(key, time_ms)
            update.status = "RUNNING"
            update.tags |= {"phase": "open", "milestone": f"{assignment.milestone:g}"}
            self.open.add(key)
            if key in self._known:
                continue
            self._known.add(key)
            level = "/" in key
            names = [f"member {member}", f"{budget.measure} {budget.cap:g}", f"visit {assignment.visit}"]
            update.name = " / ".join(names if level else names[:1])
            update.tags |= {"run_of": "level" if level else "member", "member": member}
            update.tags |= {"selected": "false", "verified": "false"}
            update.tags["config_hash"] = config_hash(assignment.config)  # no param: it would be an axis of every chart
            update.params |= member_params(assignment.config, self.reader.header.get("study", {}))
            if not level:
                update.config = assignment.config
            if level or self.reader.header["population"].get("proposals"):
                update.tags |= {"level": str(assignment.level), "visit": str(assignment.visit)}
                update.params |= {"level": str(assignment.level), "budget_cap": f"{budget.cap:g}"}
                update.params |= {"budget_kind": budget.kind, "budget_measure": budget.measure}
                update.params |= scalars("axis", budget.axis)

    def _count(self, event: dict[str, Any], seq: int, time_ms: int) -> None:
        """Take in what a trial spent, and what its process used."""
        for key in self.keys(event["member"], event["visit"]):
            self._tally(key).training_flops += event["training_flops"]
            if event.get("usage") is not None:
                step = seq if "/" in key else event["visit"]
                self.update(key, time_ms).points += _points(system_metrics(event["usage"]), step, time_ms)

    def _measure(self, key: str, step: int, time_ms: int) -> None:
        update, tally = self.update(key, time_ms), self._tally(key)
        update.points += _points(tally.metrics(), step, time_ms)
        update.tags["verified"] = str(tally.passed > 0).lower()

    def _close(self, outcome: LevelOutcome, time_ms: int) -> None:
        """End the runs of a closed level, and add a step to the study's curves. Who was not heard was cut.

        `verdict` is the level's, so it stands at runs of one level: a study that has its answer ends on a failed one.
        """
        levels = [key for key in self.open if key.endswith(f"/visit{outcome.visit}")]
        heard = {key.partition("/")[0] for key in levels} | {member_key(member) for member in outcome.members}
        for key in [*levels, *(heard & self.open)]:
            self.update(key, time_ms).tags["phase"] = outcome.phase
        for key in levels:
            self.update(key, time_ms).tags["verdict"] = outcome.verdict
        judged = [key for key in levels if self._tally(key).best is not None]
        self._end(judged, "FINISHED", time_ms)
        self._end([key for key in levels if key not in judged], "KILLED", time_ms)
        curve = {"level/budget_cap": outcome.cap, "level/passed": outcome.passed, "level/lineages": outcome.tried}
        curve["search/looks"] = self.reader.looks
        curve |= {f"search/{use}_flops": flops for use, flops in self.reader.spent.items()}
        update = self.update(STUDY, time_ms)
        update.points += _points(curve, outcome.visit, time_ms)
        update.tags |= {"phase": outcome.phase, "milestone": f"{outcome.milestone:g}"}

    def _end(self, keys: list[str], status: Status, time_ms: int) -> None:
        for key in keys:
            self.update(key, time_ms).status = status
            self.open.discard(key)


def member_key(member: int) -> str:
    """Return the key of a member's run."""
    return f"member{member}"


def key_of(member: int, visit: int) -> str:
    """Return the key of the run of a member's visit."""
    return f"{member_key(member)}/visit{visit}"


def _points(metrics: dict[str, float], step: int, time_ms: int) -> list[Point]:
    """Return points of the finite values: MLflow would store an infinity as 1.8e308."""
    return [Point(name, float(value), step, time_ms) for name, value in metrics.items() if isfinite(value)]
