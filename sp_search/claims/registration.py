"""Preregistration: what each claim says, how it is tested and with how many units, before anything was measured.

The ledger of a claims folder holds the content and hash of every claim before its first confirmatory run, and the hash
of every piece of evidence. A claim whose content changed after a confirmatory run is registered anew; both stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sp_search.claims.jobs import Job
from sp_search.claims.reading import digest
from sp_search.claims.records import Claim, Part
from sp_search.errors import StorageError
from sp_search.ledger import Ledger, was_begun

ANALYSIS = "two one-sided tests a part, doubled; Holm over all sampled parts of the files; alpha .05"


class Registration:
    """The ledger of a claims folder, open. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        """Open the ledger of `folder`, or begin one."""
        self.ledger = Ledger(folder, create=not was_begun(folder))
        self.hashes: dict[str, list[str]] = {}
        self.tested: set[str] = set()
        self.registered: dict[str, int] = {}
        self.measured: dict[str, int] = {}
        self.evidence: dict[str, str] = {}
        for entry in self.ledger.entries:
            self._replay(entry)

    def _replay(self, entry: dict[str, Any]) -> None:
        if "registered" in entry:
            self.hashes.setdefault(entry["registered"], []).append(entry["hash"])
            self.registered[entry["registered"]] = entry["seq"]
        if "confirmatory" in entry:
            self.tested |= set(entry["hashes"])
        if "evidence" in entry:
            self.measured.setdefault(entry["evidence"], entry["seq"])
            self.evidence[entry["evidence"]] = entry["hash"]

    def _append(self, entry: dict[str, Any]) -> None:
        self.ledger.append(entry)
        self._replay(self.ledger.entries[-1])

    def register(self, claims: Sequence[Claim]) -> None:
        """Write every part that the ledger does not hold as it is now."""
        for claim in claims:
            for part in claim.parts:
                name, content = f"{claim.claim}/{part.name}", content_of(claim, part)
                if self.hashes.get(name, [""])[-1] != digest(content):
                    self._append({"registered": name, "hash": digest(content), "content": content})

    def begin(self, jobs: Sequence[Job]) -> None:
        """Note that confirmatory runs of these jobs begin, and under which hashes."""
        parts = sorted({name for job in jobs for name in job.parts})
        if parts:
            hashes = [self.hashes[name][-1] for name in parts]
            self._append({"confirmatory": [job.key for job in jobs], "hashes": hashes})

    def found(self, job: Job, evidence_hash: str) -> None:
        """Note the evidence of a job."""
        self._append({"evidence": job.key, "hash": evidence_hash, "seed": job.seed, "n": job.n})

    def verify(self, job: Job, evidence_hash: str, path: Path) -> None:
        """Hold stored evidence against the ledger; what a kill left there unnoted is noted.

        Raises:
            StorageError: it is not what was measured.
        """
        if job.key not in self.evidence:
            self.found(job, evidence_hash)
        elif self.evidence[job.key] != evidence_hash:
            raise StorageError(
                f"{path} has the hash {evidence_hash}, the ledger says {self.evidence[job.key]}: it is not what was "
                "measured. Delete it, and its experiment runs again"
            )

    def late(self, name: str, key: str) -> bool:
        """Whether a part was registered, as it is now, after the evidence of its job was taken."""
        return key in self.measured and self.measured[key] < self.registered[name]

    def changed(self, name: str) -> bool:
        """Whether a part was registered differently when confirmatory evidence of it was first taken."""
        return any(known in self.tested for known in self.hashes.get(name, [])[:-1])

    def hash_of(self, name: str) -> str:
        """Return the hash under which a part stands."""
        return self.hashes[name][-1]

    def __enter__(self) -> Registration:
        """Return the open ledger."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close it, whatever happened."""
        self.ledger.close()


def content_of(claim: Claim, part: Part) -> dict[str, Any]:
    """Return what is registered of a part: hypothesis, effect, units and analysis; not the units of the quick table."""
    stated = part.model_dump(mode="json", exclude={"quick"})
    return {"claim": claim.claim, "says": claim.says, "analysis": ANALYSIS, **stated}
