"""The command that looks at this machine, or at every machine of a cluster, and says how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sp_search.cli.app import Answer, ExitCode, app
from sp_search.errors import StorageError
from sp_search.terminal import table

if TYPE_CHECKING:
    from sp_search.health import Finding


@app.command
def doctor(*, address: str | None = None, storage: str | None = None) -> Answer:
    """Check this machine, or every machine of a cluster, and say how to mend what is wrong.

    Exit codes: 0 nothing fails (a warning is no failure), 5 the storage fails, 2 anything else does.

    Args:
        address: of a running Ray cluster: HOST:PORT or auto from a machine of it; http://HEAD:8265, its dashboard, from
            anywhere (a job of it looks then). This machine alone if not given.
        storage: where studies are to lie, which every machine has to see, to read and to write: a folder, or
            s3://BUCKET/PREFIX (gs://), where a probe is written, read back, listed and deleted.
    """
    if address is not None and address.startswith(("http://", "https://")):
        found = _by_job(address, storage)
    else:
        _require_storage(storage)
        found = _here(storage) if address is None else _there(address, storage)
    marks = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
    rows = [
        (marks[one.verdict], one.check, one.machine, one.said + (f": {one.mend}" if one.mend else "")) for one in found
    ]
    failed = {one.check for one in found if one.verdict == "fail"}
    code = ExitCode.MET if not failed else ExitCode.STORAGE if failed <= {"storage", "disk"} else ExitCode.USAGE
    return Answer([one.model_dump(mode="json") for one in found], "\n".join(table(rows)), code)


def _require_storage(storage: str | None) -> None:
    """Make the folder, or refuse an address that is none, or holds a password."""
    from sp_search.bucket import is_bucket
    from sp_search.study import cluster_of

    if storage is None:
        return
    if is_bucket(storage):
        cluster_of({"storage": storage})
        return
    try:
        Path(storage).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--storage {storage}: {error}: name a folder that can be made and written") from error


def _here(storage: str | None) -> list[Finding]:
    """Look at this machine, without Ray."""
    from sp_search import health
    from sp_search.bucket import told
    from sp_search.machine import facts, marked, open_ray

    place = storage or str(Path.cwd())
    try:
        with marked(storage) as mark:
            said = facts(place, mark)
    except OSError as error:
        said = {**facts(place), "storage": f"cannot write: {told(error)}"}
    machine = health.Machine.model_validate(said)
    return [
        *health.requirement_findings(health.requirements(), health.installed(), machine),
        *health.machine_findings(machine),
        *([health.storage_finding(machine, storage)] if storage else []),
        *health.open_findings(open_ray(), machine),
    ]


def _there(address: str, storage: str | None) -> list[Finding]:
    """Look at every machine of a cluster."""
    from sp_search.bucket import told
    from sp_search.health import cluster_findings, machine_findings, storage_finding
    from sp_search.study import Cluster
    from sp_search.tune.launch import connected
    from sp_search.tune.nodes import survey

    unwritten = []
    with connected(Cluster(address=address)):
        try:
            asked = survey(storage, engine=True)
        except OSError as error:
            asked = survey(None, engine=True)
            here = asked.here.model_copy(update={"storage": f"cannot write: {told(error)}"})
            unwritten, storage = [storage_finding(here, storage or "")], None
    machines = list(asked.nodes.values())
    own = [finding for machine in machines for finding in machine_findings(machine)]
    return [*asked.silent.values(), *unwritten, *cluster_findings(asked.here, machines, storage=storage), *own]


def _by_job(address: str, storage: str | None) -> list[Finding]:
    """Have a job of the cluster look at every machine of it; the machine that drives is then the one of the job."""
    from sp_search.health import Finding
    from sp_search.submission import doctor_job, findings_of, require_address
    from sp_search.tune.jobs import Jobs

    jobs, job = Jobs(require_address(address)), doctor_job(storage)
    jobs.start(job)
    ended = jobs.follow(job.name, lambda lines: None)
    return [Finding.model_validate(one) for one in findings_of(jobs.log(job.name), ended.said)]
