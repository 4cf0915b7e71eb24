"""Commands that ask something of a study, while it runs or after it has ended, and that tell what it does.

Its driver may run elsewhere: DIR is then the address of the study's copy in an object store, s3://BUCKET/.../study, or
with `--address` its folder on the head node of a cluster.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sp_search.cli.app import Answer, ExitCode, Overrides, StudyPlace, app
from sp_search.errors import StorageError, StudyError
from sp_search.terminal import arms_status, plain, table

if TYPE_CHECKING:
    from sp_search.submission import Job

Wait = Annotated[float, Parameter(name="--wait")]
Address = Annotated[str | None, Parameter(name="--address")]


def _ask(place: str, address: str | None, wait: float, **asked: Any) -> Answer:
    from sp_search.requested import Request

    request = Request(**asked)
    if address is None:
        return _asked(place, request.model_dump_json(), wait=wait)
    from sp_search.replies import asking_job

    return _replied(asking_job("ask", place, [request.model_dump_json(), "--wait", f"{wait:g}"]), address)


@app.command(show=False, name="ask")
def _asked(place: StudyPlace, request: str, /, *, wait: Wait = 10.0) -> Answer:
    """Put a request to a study that has been written as JSON: what `--address` runs on the head node."""
    from pydantic import ValidationError

    from sp_search.asking import ask
    from sp_search.requested import Request

    try:
        wanted = Request.model_validate_json(request)
    except ValidationError as error:
        raise StudyError([f"no request of this version: {one['msg']}" for one in error.errors()]) from None
    heard = ask(place, wanted, wait_s=wait)
    return Answer({"asked": wanted.ask, **heard._asdict()}, f"{wanted.ask}: {heard.text}")


@app.command
def stop(place: StudyPlace, /, *, member: int | None = None, wait: Wait = 10.0, address: Address = None) -> Answer:
    """End a study with what it has found so far, or one member of it.

    Args:
        place: the study's folder, or s3://BUCKET/.../study.
        member: the number of a member that takes no further part; the whole study if not given.
        wait: seconds to wait for the driver to hear it.
        address: of the dashboard of the cluster on whose head node DIR is, http://HEAD:8265.
    """
    return _ask(place, address, wait, ask="stop", member=member)


@app.command
def pause(place: StudyPlace, /, *, wait: Wait = 10.0, address: Address = None) -> Answer:
    """Let a study's driver end for now; `resume` goes on with it, here or elsewhere.

    Args:
        place: the study's folder, or s3://BUCKET/.../study.
        wait: seconds to wait for the driver to hear it.
        address: of the dashboard of the cluster on whose head node DIR is, http://HEAD:8265.
    """
    return _ask(place, address, wait, ask="pause")


@app.command
def add(place: StudyPlace, /, *, member: Path, wait: Wait = 10.0, address: Address = None) -> Answer:
    """Add a member to a study; what others were tried for already, it alone is tried for.

    Args:
        place: the study's folder, or s3://BUCKET/.../study.
        member: a YAML file here with the model's fields that it overrides, as under population.members.
        wait: seconds to wait for the driver to hear it.
        address: of the dashboard of the cluster on whose head node DIR is, http://HEAD:8265.
    """
    from sp_search.settings_file import read_draft

    draft = read_draft(member)
    if draft.problems:
        raise draft.refused([])
    return _ask(place, address, wait, ask="add", config=draft.data)


@app.command
def extend(place: StudyPlace, /, *, overrides: Overrides = None, wait: Wait = 10.0, address: Address = None) -> Answer:
    """Ask more of a study: further milestones, more lineages, other limits. Finished levels are not run again.

    Args:
        place: the study's folder, or s3://BUCKET/.../study.
        overrides: milestones=[...], population.replicas=N or limits.NAME=VALUE; may be repeated.
        wait: seconds to wait for the driver to hear it.
        address: of the dashboard of the cluster on whose head node DIR is, http://HEAD:8265.
    """
    return _ask(place, address, wait, ask="extend", settings=list(overrides or ()))


@app.command
def retry(
    place: StudyPlace,
    /,
    *,
    failed: bool = False,
    member: int | None = None,
    wait: Wait = 10.0,
    address: Address = None,
) -> Answer:
    """Try members again that failed, were lost too often, or were stopped.

    Args:
        place: the study's folder, or s3://BUCKET/.../study.
        failed: all of them.
        member: the number of one of them.
        wait: seconds to wait for the driver to hear it.
        address: of the dashboard of the cluster on whose head node DIR is, http://HEAD:8265.
    """
    if failed == (member is not None):
        raise StudyError(["retry: say --failed for all that failed, or --member M for one"])
    return _ask(place, address, wait, ask="retry", member=member)


@app.command
def status(place: StudyPlace, /, *, address: Address = None) -> Answer:
    """Say where a study stands, from its ledger alone; it may be running.

    Args:
        place: the study's folder, or s3://BUCKET/.../study.
        address: of the dashboard of the cluster on whose head node DIR is, http://HEAD:8265.
    """
    if address is not None:
        from sp_search.replies import asking_job

        return _replied(asking_job("status", place), address)
    from sp_search import api

    payload = api.status(place)
    if "arms" in payload:
        return Answer(payload, "\n".join(table(arms_status(payload))))
    last = datetime.fromtimestamp(payload["last_event"]).astimezone().isoformat(" ", "seconds")
    return Answer(
        payload, "\n".join(table([(key, plain(value)) for key, value in {**payload, "last_event": last}.items()]))
    )


@app.command
def logs(
    place: StudyPlace,
    /,
    *,
    trial: str | None = None,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"])] = False,
    address: Address = None,
) -> Answer:
    """Say what happened in a study, line by line, from its ledger; it may be running.

    Args:
        place: the study's folder, or s3://BUCKET/.../study.
        trial: only of a member (member2) or one of its trials (member2-attempt7).
        follow: go on with what happens, until the study is over.
        address: of the dashboard of the cluster on whose head node DIR is, http://HEAD:8265.
    """
    from sp_search import logbook

    if address is not None:
        return _logs_there(place, trial, follow, address)
    lines = []
    for line in logbook.follow(_ledgers(place, follow), trial):
        lines.append(line)
        if follow:
            sys.stdout.write(line.words + "\n")
            sys.stdout.flush()
    errors = logbook.errors_of(Path(place), trial)
    if trial is not None and not lines and not errors:
        raise StudyError(
            [f"--trial {trial}: the study has had none of that name, as in member0 or member0-attempt1: leave it out"]
        )
    said = [] if follow else [line.words for line in lines]
    said += [f"{name} left an error:\n{text}" for name, text in errors.items()]
    return Answer({"lines": [line._asdict() for line in lines], "errors": errors}, "\n".join(said))


def _ledgers(place: str, follow: bool) -> Iterator[list[dict[str, Any]]]:
    """Yield the ledger of a study as it grows, once where nobody follows it."""
    from itertools import islice

    from sp_search import courier, logbook
    from sp_search.bucket import is_bucket

    grows = courier.ledgers(courier.copy_at(place)) if is_bucket(place) else logbook.ledgers(Path(place))
    return islice(grows, None if follow else 1)


def _logs_there(place: str, trial: str | None, follow: bool, address: str) -> Answer:
    from sp_search.replies import asking_job
    from sp_search.submission import require_address

    options = [] if trial is None else ["--trial", trial]
    if not follow:
        return _replied(asking_job("logs", place, options), address)
    from sp_search.tune.jobs import Jobs

    jobs, job = Jobs(require_address(address)), asking_job("logs", place, [*options, "--follow"])
    jobs.start(job)
    with suppress(KeyboardInterrupt):
        code = jobs.follow(job.name, lambda lines: print(lines, end="", flush=True)).code
        return Answer({"job": job.name}, "", ExitCode.INTERNAL if code is None else code)
    return Answer({"job": job.name}, f"ray job stop {job.name} --address {address} ends what is followed there")


def _replied(job: Job, address: str) -> Answer:
    """Run a command on the head node of a cluster, and answer as it does there.

    Raises:
        StudyError, StorageError: it refused, in its words.
    """
    from sp_search.replies import read_reply, replying
    from sp_search.submission import require_address
    from sp_search.tune.jobs import Jobs

    jobs, job = Jobs(require_address(address)), replying(job)
    jobs.start(job)
    jobs.follow(job.name, lambda lines: None)
    reply = read_reply(jobs.log(job.name).splitlines())
    if reply.code == ExitCode.USAGE:
        raise StudyError(reply.text.splitlines())
    if reply.code == ExitCode.STORAGE:
        raise StorageError(reply.text)
    return Answer(*reply)
