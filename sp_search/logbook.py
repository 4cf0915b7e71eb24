"""A study's ledger as lines for people: what happened when, of which trial, and who asked for what.

Texts that a study or a trial chose are shown with every control character spelt out, so that none reaches a terminal.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sp_search.errors import StorageError
from sp_search.ledger import LEDGER_NAME, is_over, read_ledger

POLL_S = 0.5
MOST_ERROR_CHARACTERS = 20_000


class Line(NamedTuple):
    """One thing that happened: when, of which member and attempt (None: of the study), and in words."""

    time: float
    member: int | None
    attempt: int | None
    text: str

    @property
    def words(self) -> str:
        """The line as it is printed."""
        clock = datetime.fromtimestamp(self.time).astimezone().isoformat(" ", "seconds")
        return f"{clock}  {printable(self.text)}"

    def of(self, trial: str) -> bool:
        """Whether it tells of a trial: `member2-attempt7`, or `member2` for all of a member's."""
        return trial in (f"member{self.member}", f"member{self.member}-attempt{self.attempt}")


def printable(text: str) -> str:
    """Return a text with everything that could steer a terminal spelt out."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def lines_of(entry: dict[str, Any]) -> list[Line]:
    """Return what one ledger entry tells.

    Raises:
        StorageError: it is spoilt, or of another version.
    """
    try:
        return _lines_of(entry)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StorageError(
            f"ledger line {entry.get('seq')} is of another version, or damaged ({said}): restore it from a copy"
        ) from error


def _lines_of(entry: dict[str, Any]) -> list[Line]:
    at = float(entry["time"])
    datetime.fromtimestamp(at)  # or it is no time
    if "header" in entry:
        header = entry["header"]
        return [Line(at, None, None, f"study {header['name']} begun, seed {header['seed']}")]
    if "event" not in entry:
        return []
    told = [Line(at, *one) for one in _event(entry["event"])]
    for report in entry["judged"]:
        passed = sum(one["passed"] for one in report["lineages"])
        said = f"{_trial(report)} judged: {passed} of {len(report['lineages'])} lineages passed"
        told.append(Line(at, report["member"], report["attempt"], said))
    for level in entry["levels"]:
        said = f"level {level['level']} (cap {level['cap']:g}, {level['phase']}) {level['verdict']}"
        told.append(Line(at, None, None, f"{said}: {level['passed']} of {level['tried']} lineages passed"))
    return told + [Line(at, *one) for action in entry["actions"] for one in _action(action)]


Told = tuple[int | None, int | None, str]


def _trial(one: dict[str, Any]) -> str:
    return f"member{one['member']}-attempt{one['attempt']}"


def _event(event: dict[str, Any]) -> list[Told]:
    member, attempt = event.get("member"), event.get("attempt")
    trial = f"member{member}" + (f"-attempt{attempt}" if attempt is not None else "")
    by = event.get("by", "")
    match event["event"]:
        case "capacity":
            gone = f"; {event['gone']} of the lost went with their machine" if event.get("gone") else ""
            return [(None, None, f"{event['slots']} trials fit side by side{gone}")]
        case "measured":
            ends = [one["ended"] for one in event["lineages"]]
            counted = ", ".join(f"{ends.count(end)} {end}" for end in dict.fromkeys(ends))
            return [(member, attempt, f"{trial} measured: {counted}; training {event['training_flops']:.3g} FLOPs")]
        case "member_lost" | "member_failed":
            kind = "lost" if event["event"] == "member_lost" else "failed"
            return [(member, attempt, f"{trial} {kind}: {event['reason']}")]
        case "parked":
            return [(member, attempt, f"{trial} gave up; training {event['training_flops']:.3g} FLOPs")]
        case "proposed":
            return [(member, None, f"{trial} proposed: {event['config']}")]
        case "restored":
            return [(None, None, "taken up again")]
        case "limit_reached":
            return [(None, None, f"stopped by {by}" if by else f"limit reached: {event['limit']}")]
        case "member_stopped":
            return [(member, None, f"{trial} stopped by {by}")]
        case "member_added":
            added = event["added"]
            return [(added["member"], None, f"member{added['member']} added by {by}: {added['config']}")]
        case "retried":
            return [(None, None, f"members {event['members']} tried again, asked for by {by}")]
        case "extended":
            return [(None, None, f"extended by {by}: {event['settings']}")]
        case "pause_asked":
            return [(None, None, f"paused by {by}")]
    return [(None, None, str(event["event"]))]


def _action(action: dict[str, Any]) -> list[Told]:
    match action["action"]:
        case "start" | "set_budget":
            at = action["assignment"]
            verb = "starts" if action["action"] == "start" else "goes on"
            inherits = "" if at["init_from"] is None else f", weights of visit {at['init_from']['visit']}"
            said = f"{_trial(at)} {verb}: {at['budget']['measure']} up to {at['budget']['cap']:g}, "
            return [(at["member"], at["attempt"], f"{said}{len(at['lineages'])} lineages{inherits}")]
        case "stop":
            return [(action["member"], None, f"member{action['member']} ends: {action['reason']}")]
        case "finish":
            return [(None, None, f"the search is over: {action['reason']}")]
    return []


def follow(ledgers: Iterable[list[dict[str, Any]]], trial: str | None = None) -> Iterator[Line]:
    """Yield the lines of a ledger that grows, until its study is over."""
    known = 0
    for entries in ledgers:
        for entry in entries[known:]:
            yield from (line for line in lines_of(entry) if trial is None or line.of(trial))
        known = len(entries)
        if is_over(entries):
            return


def ledgers(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the entries of a study's ledger, again whenever it has grown."""
    path, size = folder / LEDGER_NAME, -1
    while True:
        if (now := path.stat().st_size if path.exists() else 0) != size:
            size = now
            yield read_ledger(folder)
        time.sleep(POLL_S)


def errors_of(folder: Path, trial: str | None = None) -> dict[str, str]:
    """Return what trials left as errors, by trial: the tracebacks that Ray Tune wrote into the folder."""
    found = {}
    for path in sorted((folder / "tune").glob("*/*/error.txt")):
        name = path.parent.name
        if trial is None or name == trial or name.startswith(f"{trial}-"):
            text = path.read_text(encoding="utf-8", errors="replace")[-MOST_ERROR_CHARACTERS:]
            found[f"{path.parent.parent.name}/{name}"] = "\n".join(printable(line) for line in text.splitlines())
    return found
