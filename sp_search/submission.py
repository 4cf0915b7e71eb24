"""What goes to a cluster as a job: the files, the command and the environment, and how a study's folder comes back.

The job is `sp-search run` itself. A study travels as its file, parts of one's own as packages (`own_parts`); nothing of
this machine's environment goes along, so no secret does. A folder comes back as text in the log of a second job, since
the jobs' server may be the only door of a cluster.
"""

from __future__ import annotations

import base64
import hashlib
import io
import posixpath
import secrets
import shlex
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sp_search.errors import StorageError, StudyError
from sp_search.folder import RUNS
from sp_search.records import Record
from sp_search.shipped import study_file
from sp_search.study import Cluster
from sp_search.yaml_strict import dump

STAYS = ("checkpoints", "tune", "control", "driver.lock")
"""What of a study is not fetched: it is large, or its driver's own."""
MOST_BYTES = 64 * 1024 * 1024
LINE = 60_000
BEGIN, END = "sp_search packed", "sp_search sha256"
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


def fetch_job(folder: str) -> Job:
    """Return the job that puts a study's folder into its log."""
    name = f"sp-search-fetch-{secrets.token_hex(4)}"
    return Job(name=name, command=f"python -m sp_search pack {head_word(folder)}", folder=folder, environment={})


def head_word(path: str) -> str:
    """Quote a path for the head node's shell, but for the home that it may begin with."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)


def _environment(staged: Path, parts: dict[str, Any]) -> dict[str, Any]:
    variables = {**parts.get("env_vars", {}), "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_PATIENCE_S)}
    return {**parts, "working_dir": str(staged), "env_vars": variables}


def packed(folder: Path) -> list[str]:
    """Return a folder, but for what stays, as lines of text.

    Raises:
        StorageError: it is no study's, or too large for a log.
    """
    if not (folder / "manifest.json").exists():
        raise StorageError(f"{folder} holds no manifest.json, so it is no study's folder")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if file.is_file() and not file.is_symlink() and not set(inside.parts) & set(STAYS):
                tar.add(file, str(inside), recursive=False)
    content = archive.getvalue()
    if len(content) > MOST_BYTES:
        raise StorageError(f"{folder} is too large for a log ({len(content) / 2**20:.0f} MiB packed): copy it by hand")
    text = base64.b64encode(content).decode()
    lines = [text[at : at + LINE] for at in range(0, len(text), LINE)]
    return [BEGIN, *lines, f"{END} {hashlib.sha256(content).hexdigest()}"]


def unpack(log: Iterable[str], folder: Path) -> int:
    """Write what a log holds of a packed folder; return how many files.

    Raises:
        StorageError: the log holds none, or not all of it, or a file that would lie elsewhere.
    """
    lines = [line.strip() for line in log]
    ends = [at for at, line in enumerate(lines) if line.startswith(END)]
    if BEGIN not in lines or not ends:
        said = next((line for line in reversed(lines) if line), "nothing")
        raise StorageError(f"the cluster sent no folder; its last word: {said}")
    content = base64.b64decode("".join(lines[lines.index(BEGIN) + 1 : ends[-1]]))
    if hashlib.sha256(content).hexdigest() != lines[ends[-1]].split()[-1]:
        raise StorageError("the folder came damaged: fetch it again")
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
            members = tar.getmembers()
            tar.extractall(folder, members, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise StorageError(f"the folder cannot be written to {folder}: {error}") from error
    return len(members)
