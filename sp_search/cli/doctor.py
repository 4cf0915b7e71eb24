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
def doctor(*, address: str | None = None, storage: Path | None = None) -> Answer:
    """Check this machine, or every machine of a cluster, and say how to mend what is wrong.

    Exit codes: 0 nothing fails (a warning is no failure), 5 the storage fails, 2 anything else does.

    Args:
        address: of a running Ray cluster (HOST:PORT, or auto); this machine alone if not given.
        storage: the folder where studies are to lie; every machine has to see it and to write there.
    """
    try:
        if storage is not None:
            storage.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--storage {storage}: {error}: name a folder that can be made and written") from error
    found = _here(storage) if address is None else _there(address, storage)
    marks = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
    rows = [
        (marks[one.verdict], one.check, one.machine, one.said + (f": {one.mend}" if one.mend else "")) for one in found
    ]
    failed = {one.check for one in found if one.verdict == "fail"}
    code = ExitCode.MET if not failed else ExitCode.STORAGE if failed <= {"storage", "disk"} else ExitCode.USAGE
    return Answer([one.model_dump(mode="json") for one in found], "\n".join(table(rows)), code)


def _here(storage: Path | None) -> list[Finding]:
    """Look at this machine, without Ray."""
    from sp_search import health
    from sp_search.machine import facts, marked, open_ray

    with marked(storage) as mark:
        machine = health.Machine.model_validate(facts(str(storage or Path.cwd()), mark))
    return [
        *health.requirement_findings(health.requirements(), health.installed(), machine),
        *health.machine_findings(machine),
        *([health.storage_finding(machine)] if storage else []),
        *health.open_findings(open_ray(), machine),
    ]


def _there(address: str, storage: Path | None) -> list[Finding]:
    """Look at every machine of a cluster."""
    from sp_search.health import cluster_findings, machine_findings
    from sp_search.study import Cluster
    from sp_search.tune.launch import connected
    from sp_search.tune.nodes import survey

    with connected(Cluster(address=address)):
        asked = survey(storage, engine=True)
    own = [finding for machine in asked.nodes for finding in machine_findings(machine)]
    return [*asked.silent, *cluster_findings(asked.here, asked.nodes, shared=storage is not None), *own]
