"""Run the claims: register them, measure what is not stored yet, and put the table together."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from sp_search.claims.jobs import Evidences, Job, Ran, jobs_of, part_name, run_job
from sp_search.claims.reading import FOLDER, read_claims
from sp_search.claims.records import Claim
from sp_search.claims.registration import Registration
from sp_search.claims.table import ClaimsTable, claim_row, family_of, findings_of, part_row
from sp_search.folder import RUNS, versions, write_json
from sp_search.report.claims import write_pages
from sp_search.signals import interruptible
from sp_search.study import Cluster

TABLE_NAME = "claims.json"


class Asked(NamedTuple):
    """What a run of the claims is asked to do."""

    claims: list[Claim]
    every: list[Claim]
    jobs: list[Job]
    folder: Path
    quick: bool
    command: str

    def words(self) -> str:
        """Say what has to be run and what it costs, about, before anything is started."""
        stored = Evidences(self.folder / "evidence")
        waiting = [job for job in self.jobs if stored.read(job.key) is None]
        seconds = sum(job.seconds for job in waiting)
        cost = (
            f"{seconds:.1f} s" if seconds < 10 else f"{seconds / 60:.1f} min" if seconds > 300 else f"{seconds:.0f} s"
        )
        known = len(self.jobs) - len(waiting)
        return f"{len(self.claims)} claims, {len(waiting)} experiments to run, {known} stored: about {cost} of one core"


def ask(
    studies: Path = FOLDER, *, only: Collection[str] = (), output: Path | None = None, quick: bool = False
) -> Asked:
    """Read the claims and say what has to be run for them.

    Args:
        studies: the folder of the claims' files.
        only: the claims that are wanted; all if empty. The family of corrections is all of them in any case.
        output: where evidence, ledger and table go.
        quick: exploratory units and seeds.

    Raises:
        StudyError: a claim's file is not valid.
    """
    every = read_claims(studies)
    claims = read_claims(studies, only) if only else every
    folder = output or Path(RUNS) / ("claims_quick" if quick else "claims")
    words = ["sp-search", "claims", *(["--quick"] if quick else [])]
    words += ["--studies", str(studies)] if studies != FOLDER else []
    return Asked(claims, every, jobs_of(claims, studies, quick=quick), folder, quick, shlex.join(words))


def run_claims(asked: Asked, *, cluster: Cluster | None, progress: Callable[[str], None]) -> ClaimsTable:
    """Measure what is not stored, and write the table and its pages.

    Args:
        asked: what `ask` returned.
        cluster: Ray workers to spread over; None runs one job after another in this process.
        progress: told a line for every job that ends.

    Raises:
        StudyError: no cluster answers.
        StorageError: the folder cannot be used, or holds evidence that is not what was measured.
        Interrupted: a signal ended it; the same command with the same folder goes on.
    """
    with interruptible(asked.folder, f"the same command with --output {asked.folder}"):
        return _run(asked, cluster, progress)


def _run(asked: Asked, cluster: Cluster | None, progress: Callable[[str], None]) -> ClaimsTable:
    stored = Evidences(asked.folder / "evidence")
    began = time.perf_counter()
    with Registration(asked.folder) as registration:
        registration.register(asked.every)  # parts of other claims share experiments with those that are asked for
        ran: dict[str, Ran] = {}
        for job in asked.jobs:
            if (known := stored.read(job.key)) is not None:
                registration.verify(job, stored.hash_of(known), stored.path(job.key))
                ran[job.key] = Ran(evidence=known)
        waiting = [job for job in asked.jobs if job.key not in ran]
        if not asked.quick:
            registration.begin(waiting)
        for number, (job, answer) in enumerate(_answers(waiting, asked.folder / "cache", cluster), 1):
            if answer.evidence is not None:
                registration.found(job, stored.write(job.key, answer.evidence))
            ran[job.key] = answer
            said = f"failed: {answer.error}" if answer.evidence is None else f"{answer.evidence.seconds:.1f} s"
            progress(f"{number}/{len(waiting)} {time.perf_counter() - began:5.0f} s  {job.name}: {said}")
        table = _table(asked, ran, registration)
    write_json(asked.folder / TABLE_NAME, table.model_dump(mode="json"))
    write_pages(asked.folder, table.model_dump(mode="json"))
    return table


def _answers(jobs: Sequence[Job], cache: Path, cluster: Cluster | None) -> Iterator[tuple[Job, Ran]]:
    """Run jobs, on Ray or one after another here."""
    cache.mkdir(parents=True, exist_ok=True)
    where = str(cache.resolve())
    if cluster is None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        for job in jobs:
            yield job, Ran.model_validate(run_job(job.model_dump(mode="json"), where, gpu=True))
        return
    if not jobs:
        return
    from sp_search.tune.spread import spread

    calls = {job.key: (job.model_dump(mode="json"), where) for job in jobs}
    named = {job.key: job for job in jobs}
    with closing(spread(run_job, calls, cluster=cluster, folder=cache)) as answers:
        for one in answers:
            yield named[one.key], Ran(error=one.lost) if one.lost else Ran.model_validate(one.answer)


def _table(asked: Asked, ran: dict[str, Ran], registration: Registration) -> ClaimsTable:
    answers = {name: ran[job.key] for job in asked.jobs if job.key in ran for name in job.parts}
    keys = {name: job.key for job in asked.jobs for name in job.parts}
    family = family_of(asked.every)
    findings, errors = findings_of(asked.claims, answers, family, exploratory=asked.quick)
    rows = []
    for claim in asked.claims:
        parts = []
        for part in claim.parts:
            name = part_name(claim, part)
            row = part_row(
                claim,
                part,
                answers.get(name),
                findings.get(name),
                errors.get(name, ""),
                command=f"{asked.command} --only {claim.claim}",
                registered=registration.hash_of(name),
            )
            if not asked.quick:
                late = not (part.experiment.exact or part.experiment.recorded) and registration.late(name, keys[name])
                row = row.model_copy(update={"changed": registration.changed(name), "late": late})
            parts.append(row)
        rows.append(claim_row(claim, parts))
    only = ",".join(claim.claim for claim in asked.claims)
    return ClaimsTable(
        exploratory=asked.quick,
        family=family,
        stated=len(asked.every),
        command=asked.command if len(rows) == len(asked.every) else f"{asked.command} --only {only}",
        seconds=round(sum(answer.evidence.seconds for answer in ran.values() if answer.evidence is not None), 1),
        versions=versions(),
        claims=rows,
    )


def say(line: str) -> None:
    """Say a line of progress."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
