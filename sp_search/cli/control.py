"""Commands that ask something of a study, while it runs or after it has ended, and that tell what it does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sp_search.cli.app import Answer, Overrides, StudyFolder, app
from sp_search.errors import StudyError

Wait = Annotated[float, Parameter(name="--wait")]


def _ask(folder: Path, wait: float, **request: Any) -> Answer:
    from sp_search.asking import ask
    from sp_search.control import Request

    heard = ask(folder, Request(**request), wait_s=wait)
    return Answer({"asked": request["ask"], **heard._asdict()}, f"{request['ask']}: {heard.text}")


@app.command
def stop(folder: StudyFolder, /, *, member: int | None = None, wait: Wait = 10.0) -> Answer:
    """End a study with what it has found so far, or one member of it.

    Args:
        folder: the study's folder.
        member: the number of a member that takes no further part; the whole study if not given.
        wait: seconds to wait for the driver to hear it.
    """
    return _ask(folder, wait, ask="stop", member=member)


@app.command
def pause(folder: StudyFolder, /, *, wait: Wait = 10.0) -> Answer:
    """Let a study's driver end for now; `resume` goes on with it, here or elsewhere.

    Args:
        folder: the study's folder.
        wait: seconds to wait for the driver to hear it.
    """
    return _ask(folder, wait, ask="pause")


@app.command
def add(folder: StudyFolder, /, *, member: Path, wait: Wait = 10.0) -> Answer:
    """Add a member to a study; what others were tried for already, it alone is tried for.

    Args:
        folder: the study's folder.
        member: a YAML file with the model's fields that it overrides, as under population.members.
        wait: seconds to wait for the driver to hear it.
    """
    from sp_search.settings_file import read_draft

    draft = read_draft(member)
    if draft.problems:
        raise draft.refused([])
    return _ask(folder, wait, ask="add", config=draft.data)


@app.command
def extend(folder: StudyFolder, /, *, overrides: Overrides = None, wait: Wait = 10.0) -> Answer:
    """Ask more of a study: further milestones, more lineages, other limits. Finished levels are not run again.

    Args:
        folder: the study's folder.
        overrides: milestones=[...], population.replicas=N or limits.NAME=VALUE; may be repeated.
        wait: seconds to wait for the driver to hear it.
    """
    return _ask(folder, wait, ask="extend", settings=list(overrides or ()))


@app.command
def retry(folder: StudyFolder, /, *, failed: bool = False, member: int | None = None, wait: Wait = 10.0) -> Answer:
    """Try members again that failed, were lost too often, or were stopped.

    Args:
        folder: the study's folder.
        failed: all of them.
        member: the number of one of them.
        wait: seconds to wait for the driver to hear it.
    """
    if failed == (member is not None):
        raise StudyError(["retry: say --failed for all that failed, or --member M for one"])
    return _ask(folder, wait, ask="retry", member=member)


@app.command
def logs(
    folder: StudyFolder,
    /,
    *,
    trial: str | None = None,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"])] = False,
) -> Answer:
    """Say what happened in a study, line by line, from its ledger; it may be running.

    Args:
        folder: the study's folder.
        trial: only of a member (member2) or one of its trials (member2-attempt7).
        follow: go on with what happens, until the study is over.
    """
    from sp_search import logbook

    lines = []
    for line in logbook.follow(folder, trial) if follow else logbook.read_lines(folder, trial):
        lines.append(line)
        if follow:
            sys.stdout.write(line.words + "\n")
            sys.stdout.flush()
    errors = logbook.errors_of(folder, trial)
    if trial is not None and not lines and not errors:
        raise StudyError([f"--trial {trial}: the study has had none of that name, as in member0 or member0-attempt1"])
    said = [] if follow else [line.words for line in lines]
    said += [f"{name} left an error:\n{text}" for name, text in errors.items()]
    return Answer({"lines": [line._asdict() for line in lines], "errors": errors}, "\n".join(said))
