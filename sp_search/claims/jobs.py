"""What has to be run: one job an experiment with its units, shared by all parts that ask for the same.

A job is named by the hash of what decides its evidence: the experiment's settings, the source of its class, the files
that it reads, its units and its first seed. Stored evidence of the same name is not measured again.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sp_search.claims.reading import digest
from sp_search.claims.records import Claim, Part
from sp_search.errors import Interrupted, StorageError, describe
from sp_search.experiments.base import EXPLORATORY, Evidence, Experiment
from sp_search.folder import write_json
from sp_search.organisms.training.device import gpu_allowed
from sp_search.plugins import find
from sp_search.records import Record


class Job(Record):
    """One experiment to run; plain data, so that a worker anywhere can run it."""

    key: str
    experiment: dict[str, Any]
    n: int
    seed: int
    seconds: float
    parts: list[str]

    @property
    def name(self) -> str:
        """The experiment's kind and whose parts it serves, for people."""
        return f"{self.experiment['kind']} ({', '.join(self.parts)})"


class Ran(Record):
    """What came of a job: evidence, or the error that it raised."""

    evidence: Evidence | None = None
    error: str = ""


def part_name(claim: Claim, part: Part) -> str:
    """Return the name of a part among all claims: `C19/trees`."""
    return f"{claim.claim}/{part.name}"


def jobs_of(claims: Sequence[Claim], folder: Path, *, quick: bool) -> list[Job]:
    """Return the jobs of all parts, the dearest first.

    Args:
        claims: whose parts are wanted.
        folder: of the claims' files; paths that an experiment reads are relative to it.
        quick: exploratory units and seeds; counted experiments run in full all the same.
    """
    jobs: dict[str, Job] = {}
    for claim in claims:
        for part in claim.parts:
            experiment = part.experiment.beside(folder)
            fixed = experiment.exact or experiment.recorded
            n = 1 if fixed else part.quick if quick else part.n
            seed = EXPLORATORY if quick and not fixed else 0
            key = _key(part.experiment, experiment, n, seed)
            known = jobs.get(key)
            served = [*(known.parts if known else []), part_name(claim, part)]
            jobs[key] = Job(
                key=key,
                experiment=experiment.model_dump(mode="json"),
                n=n,
                seed=seed,
                seconds=experiment.seconds(n),
                parts=served,
            )
    return sorted(jobs.values(), key=lambda job: (-job.seconds, job.key))


def _key(asked: Experiment, placed: Experiment, n: int, seed: int) -> str:
    source = inspect.getsource(sys.modules[type(asked).__module__])
    files = [hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "" for path in placed.files()]
    return digest([asked.model_dump(mode="json"), hashlib.sha256(source.encode()).hexdigest(), files, n, seed])


def run_job(job: dict[str, Any], cache: str, gpu: bool) -> dict[str, Any]:
    """Run one job and return what came of it as plain data; an experiment that raises takes nothing else down.

    With `gpu` its nets are on a GPU, if there is one.
    """
    asked = Job.model_validate(job)
    began = time.process_time()
    try:
        experiment = find("experiments", asked.experiment["kind"]).model_validate(asked.experiment)
        assert isinstance(experiment, Experiment)
        _one_thread()
        with gpu_allowed(gpu) as place:
            evidence = experiment.run(asked.n, asked.seed, Path(cache))
    except Interrupted:
        raise
    except Exception as error:  # one experiment's own failure is a row of the table
        return Ran(error=describe(error)).model_dump(mode="json")
    notes = [*evidence.notes, *([place.words()] if place.device is not None else [])]
    measured = evidence.model_copy(update={"notes": notes, "seconds": round(time.process_time() - began, 3)})
    return Ran(evidence=measured).model_dump(mode="json")


def _one_thread() -> None:
    """Let torch use one thread, as its results and costs are stated for."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


class Evidences:
    """The stored evidence of a folder, one file a job."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder; make it where it is not."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make {folder}: {error}") from error

    def read(self, key: str) -> Evidence | None:
        """Return what is stored for a job, if anything.

        Raises:
            StorageError: the file is there and is no evidence.
        """
        path = self.path(key)
        if not path.exists():
            return None
        try:
            return Evidence.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise StorageError(f"{path} is damaged: delete it, and its experiment runs again") from error

    def write(self, key: str, evidence: Evidence) -> str:
        """Store evidence whole or not at all; return its hash."""
        write_json(self.path(key), evidence.model_dump(mode="json"))
        return self.hash_of(evidence)

    def path(self, key: str) -> Path:
        """Return where the evidence of a job lies."""
        return self.folder / f"{key}.json"

    @staticmethod
    def hash_of(evidence: Evidence) -> str:
        """Return the hash by which the ledger knows evidence."""
        return digest(evidence.model_dump(mode="json"))
