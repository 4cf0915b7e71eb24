"""Commands that send a study to a cluster, and bring what it left back."""

from __future__ import annotations

import shlex
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sp_search.cli.app import Answer, Overrides, StudyFile, StudyFolder, app
from sp_search.errors import Interrupted, StorageError, StudyError
from sp_search.terminal import table
from sp_search.whole_files import new_whole_folder

if TYPE_CHECKING:
    from sp_search.bucket import Bucket
    from sp_search.study import Cluster
    from sp_search.submission import Job
    from sp_search.tune.jobs import Jobs


@app.command
def submit(
    study: StudyFile,
    /,
    *,
    address: str,
    output: str | None = None,
    fetch: Path | None = None,
    cluster: Path | None = None,
    nodes: int | None = None,
    storage: str | None = None,
    wait: Annotated[bool, Parameter(negative="--no-wait")] = True,
    overrides: Overrides = None,
    seed: int | None = None,
) -> Answer:
    """Run a study on a cluster, as a job of it; the exit code is that of `run`.

    The study's file and the parts in --plugins travel with the job; paths in the study are the cluster's. Before the
    first trial every machine is asked for its versions and for the storage.

    Args:
        study: the study's YAML file.
        address: of the cluster's dashboard, http://HEAD:8265. RAY_AUTH_MODE and RAY_AUTH_TOKEN(_PATH) are honoured.
        output: the study's folder on the head node; a new one in the home of whoever runs Ray there if not given.
        fetch: a new folder here, for the study's without its checkpoints once the job has ended.
        cluster: a cluster file, for its `nodes` and `storage`.
        nodes: machines to wait for before anything starts.
        storage: a folder that all machines see, or s3://BUCKET/PREFIX, for the checkpoints.
        wait: follow the job's log (on stderr) until it ends; with --no-wait, say how to.
        overrides: path=value, applied before the study is validated; may be repeated.
        seed: overrides the study's seed.
    """
    from sp_search.arms import Arms, load_asked
    from sp_search.own_parts import runtime_environment
    from sp_search.plan import plan_study
    from sp_search.submission import require_address, stage, study_job

    asked = load_asked(study, overrides=tuple(overrides or ()), seed=seed)
    for one in [arm.study for arm in asked.arms] if isinstance(asked, Arms) else [asked]:
        plan_study(one)
    where, address = _cluster(cluster, nodes, storage), require_address(address)
    if fetch is not None and (fetch.exists() or not wait):
        raise StudyError([f"--fetch: {fetch} exists: name a new folder" if wait else "--fetch: needs the job's end"])
    from sp_search.tune.jobs import Jobs

    jobs = Jobs(address)
    with tempfile.TemporaryDirectory(prefix="sp_search-") as staged:
        stage(study, where, Path(staged))
        job = study_job(
            asked.name,
            Path(staged),
            runtime_environment(),
            output=output,
            overrides=tuple(overrides or ()),
            seed=seed,
        )
        jobs.start(job)
    payload = {"job": job.name, "address": address, "folder": job.folder}
    if not wait:
        return Answer(payload, "\n".join(table(_ways(job, address))))
    code = _followed(jobs, job)
    rows = [("job", job.name), ("exit code", str(code)), ("folder", f"{job.folder} on the head node")]
    if fetch is not None:
        rows.append(("fetched", f"{_fetched(jobs, job.folder, fetch)} files to {fetch}"))
    return Answer({**payload, "exit_code": code, "fetched": fetch and str(fetch)}, "\n".join(table(rows)), code)


@app.command
def fetch(source: str, folder: StudyFolder, /, *, address: str | None = None, checkpoints: bool = False) -> Answer:
    """Bring a study's folder here, of whatever size; it may be running.

    Args:
        source: the study's folder on a cluster's head node, or s3://BUCKET/.../study as its beginning and its end said.
        folder: a new folder here.
        address: of the cluster's dashboard, http://HEAD:8265.
        checkpoints: bring these along too, to resume here; those of a study in a bucket stay there and are found.
    """
    from sp_search.bucket import is_bucket
    from sp_search.courier import bucket_at, reaching
    from sp_search.submission import require_address

    if folder.exists():
        raise StorageError(f"{folder} exists: name a new folder")
    if is_bucket(source):
        with new_whole_folder(folder) as partial, reaching(bucket := bucket_at(source)):
            count = _downloaded(bucket, partial)
    elif address is None:
        raise StudyError([f"{source} is no s3://BUCKET/...: say on which cluster it lies (--address http://HEAD:8265)"])
    else:
        from sp_search.tune.jobs import Jobs

        count = _fetched(Jobs(require_address(address)), source, folder, checkpoints=checkpoints)
    return Answer({"folder": str(folder), "files": count}, f"{count} files in {folder}")


@app.command(show=False)
def pack(folder: StudyFolder, /, *, checkpoints: bool = False) -> Answer:
    """Print a study's folder as text: what `fetch` reads."""
    from sp_search import packing

    last = packing.pack(folder, print, checkpoints=checkpoints)
    return Answer({"last": last}, last)


def _downloaded(bucket: Bucket, folder: Path) -> int:
    """Bring a study's folder here from an object store, its ledger from the segments there; return how many files."""
    from sp_search.bucket import download
    from sp_search.segments import SEGMENTS, fetch_ledger

    if "manifest.json" not in (names := bucket.names("")):
        studies = [f"{bucket.address}/{name.rpartition('/')[0]}" for name in names if name.endswith("/manifest.json")]
        near = f"; there are {', '.join(studies[:10])}" if studies else ""
        raise StorageError(f"{bucket.address} holds no manifest.json, so it is no study's folder{near}")
    try:
        return download(bucket, folder, leave_out=(SEGMENTS,)) + bool(fetch_ledger(bucket, folder))
    except ValueError as error:  # a name that would leave the folder
        raise StorageError(str(error)) from error


def _cluster(file: Path | None, nodes: int | None, storage: str | None) -> Cluster:
    """Return the settings of a cluster file with the options over them."""
    from sp_search.study import Cluster, cluster_of, load_cluster

    base = Cluster() if file is None else load_cluster(file)
    given = {name: value for name, value in (("nodes", nodes), ("storage", storage)) if value is not None}
    return cluster_of({**base.model_dump(), **given})


def _followed(jobs: Jobs, job: Job) -> int:
    """Follow a job to its end, and return its exit code.

    Raises:
        Interrupted: by SIGINT; the job goes on.
    """
    try:
        ended = jobs.follow(job.name, lambda lines: print(lines, end="", file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        ways = "; ".join(f"to {what}: {command}" for what, command in _ways(job, jobs.address)[1:])
        raise Interrupted(Path(job.folder), signal.SIGINT, f"the job goes on; {ways}") from None
    if ended.code is None:
        raise StudyError(
            [f"job {job.name} did not run: {ended.said}; see ray job logs {job.name} --address {jobs.address}"]
        )
    return ended.code


def _ways(job: Job, address: str) -> list[tuple[str, str]]:
    """Return what one can do with a job that runs."""
    return [
        ("job", job.name),
        ("follow", f"ray job logs {job.name} --follow --address {address}"),
        ("status", f"sp-search status {shlex.quote(job.folder)} --address {address}"),
        ("pause", f"sp-search pause {shlex.quote(job.folder)} --address {address}"),
        ("stop", f"ray job stop {job.name} --address {address}"),
        ("fetch", f"sp-search fetch {shlex.quote(job.folder)} DIR --address {address}"),
    ]


def _fetched(jobs: Jobs, source: str, folder: Path, *, checkpoints: bool = False) -> int:
    """Bring a folder of the head node here; return how many files."""
    from sp_search.packing import Unpacking
    from sp_search.submission import fetch_job

    job = fetch_job(source, checkpoints=checkpoints)
    jobs.start(job)
    with Unpacking() as unpacking:
        jobs.follow(job.name, unpacking.hear)
        with new_whole_folder(folder) as partial:
            return unpacking.write(partial)
