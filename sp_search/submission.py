"""What goes to a cluster as a job: the files, the command and the environment, and how a study's folder comes back.

The job is `sp-search run` itself. A study travels as its file, parts of one's own as packages (`own_parts`); nothing of
this machine's environment goes along, so no secret does. A folder comes back in the log of a second job (`packing`).
"""

from __future__ import annotations

import json
import posixpath
import re
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sp_search.errors import StorageError, StudyError
from sp_search.folder import RUNS
from sp_search.records import Record
from sp_search.shipped import study_file
from sp_search.study import Cluster
from sp_search.yaml_strict import dump

STOP_PATIENCE_S = 30
"""A stopped job has this long before it is killed; a study ends within seconds, and can then be resumed."""


class Job(Record):
    """A job as the cluster is to be asked for it; `folder` is the study's on the head node (`~` is whose Ray it is)."""

    name: str
    command: str
    folder: str
    environment: dict[str, Any]


def require_address(address: str) -> str:
    """Return the address of a jobs' server, or say how one looks.

    Raises:
        StudyError: it is none, or carries a password.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StudyError([f"--address: got '{address}': it should be the cluster's dashboard, as in http://HEAD:8265"])
    if parts.username is not None or parts.password is not None:
        raise StudyError(["--address: it holds a name or a password: leave them out, and set RAY_AUTH_TOKEN_PATH"])
    return address.rstrip("/")


def require_absolute(output: str) -> str:
    """Return a folder of the head node, or refuse one in the job's own folder, which goes with the job."""
    if not output.startswith(("/", "~/")) or not output.strip("/~"):
        raise StudyError(
            [f"--output: got '{output}': on a cluster it should be a path from the root (/...) or home (~/...)"]
        )
    return output


def stage(study: Path, cluster: Cluster, folder: Path) -> None:
    """Write what the job's working folder holds: the study's file, and the cluster's as seen from its head node."""
    (folder / "study.yaml").write_bytes(study_file(study).read_bytes())
    seen = cluster.model_copy(update={"address": "auto", "cpus": None, "gpus": None})
    (folder / "cluster.yaml").write_text(dump(seen.model_dump(mode="json")), encoding="utf-8")


def study_job(
    name: str,
    staged: Path,
    parts: dict[str, Any],
    *,
    output: str | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
) -> Job:
    """Return the job that runs a staged study.

    Args:
        name: of the study.
        staged: the working folder (`stage`).
        parts: the `runtime_env` of parts of one's own (`own_parts.runtime_environment`).
        output: the study's folder on the head node; a new one in the home of whoever runs Ray there if not given.
        overrides: as `run` takes them.
        seed: as `run` takes it.
    """
    own = f"{name}-{secrets.token_hex(4)}"
    folder = require_absolute(output) if output is not None else f"~/{RUNS}/{own}"
    options = [word for override in overrides for word in ("--set", override)]
    options += [] if seed is None else ["--seed", str(seed)]
    home, name = posixpath.split(folder.rstrip("/"))
    words = ["run", '"$OLDPWD"/study.yaml', "--cluster", '"$OLDPWD"/cluster.yaml', *map(shlex.quote, options)]
    command = f"python -m sp_search {' '.join(words)} --output {shlex.quote(name)}"
    # The job's own folder goes with the job, and with it what a study writes where it runs (mlflow.db).
    command = f"mkdir -p {head_word(home)} && cd {head_word(home)} && {command}"
    return Job(name=f"sp-search-{own}", command=command, folder=folder, environment=_environment(staged, parts))


def fetch_job(folder: str, *, checkpoints: bool = False) -> Job:
    """Return the job that puts a study's folder into its log."""
    name, more = f"sp-search-fetch-{secrets.token_hex(4)}", " --checkpoints" if checkpoints else ""
    command = f"python -m sp_search pack {head_word(folder)}{more}"
    return Job(name=name, command=command, folder=folder, environment={})


def doctor_job(storage: str | None) -> Job:
    """Return the job that looks at every machine of its cluster, and says in its log what it found."""
    name, asked = (
        f"sp-search-doctor-{secrets.token_hex(4)}",
        "" if storage is None else f" --storage {shlex.quote(storage)}",
    )
    return Job(name=name, command=f"python -m sp_search doctor --address auto{asked} --json", folder="", environment={})


def findings_of(log: str, said: str) -> list[dict[str, Any]]:
    """Return what a job that looked at its cluster found, or say what kept it from that.

    Args:
        log: the job's.
        said: what the cluster says of its end.

    Raises:
        StorageError: the storage cannot be used there at all.
        StudyError: it could not look.
    """
    begin = log.find("[\n  {")
    try:
        found, _ = json.JSONDecoder().raw_decode(log[begin:] if begin >= 0 else "")
    except ValueError:
        if "No module named sp_search" in log or "No module named 'sp_search'" in log:
            advice = "install it on every machine, or start them from the image of the Dockerfile (clusters/README.md)"
            raise StudyError([f"the cluster's Python has no sp_search: {advice}"]) from None
        refused = re.search(r'"exit_code": (\d+),.*?"messages": (\[.*?\n  \])', log, re.DOTALL)
        if refused:
            problems = [f"on the cluster: {one}" for one in json.loads(refused[2])]
            raise (StorageError("\n".join(problems)) if refused[1] == "5" else StudyError(problems)) from None
        last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), said)
        raise StudyError([f"the cluster could not look at itself: {last}"]) from None
    return list(found)


def head_word(path: str) -> str:
    """Quote a path for the head node's shell, but for the home that it may begin with."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)


def _environment(staged: Path, parts: dict[str, Any]) -> dict[str, Any]:
    variables = {**parts.get("env_vars", {}), "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_PATIENCE_S)}
    return {**parts, "working_dir": str(staged), "env_vars": variables}
