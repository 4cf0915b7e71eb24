"""The table of claims as data: what every part found, how every claim stands, what it cost and how to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from sp_search.claims.analysis import Finding, analyse, corrected
from sp_search.claims.jobs import Ran, part_name
from sp_search.claims.records import Claim, Part
from sp_search.claims.standing import STANDINGS, Standing, standing
from sp_search.experiments.base import Cell
from sp_search.records import Record


class PartRow(Record):
    """One part: its definition, its evidence and its outcome. Units of cells stay in the evidence's own file."""

    name: str
    definition: str
    supports: str
    refutes: str
    experiment: dict[str, Any]
    outcome: Literal["supported", "refuted", "inconclusive", "failed", "not run"]
    finding: Finding | None = None
    error: str = ""
    cells: list[Cell] = Field([])
    seeds: list[int] = Field([])
    seconds: float = 0.0
    notes: list[str] = Field([])
    data: dict[str, Any] = Field({})
    command: str
    hash: str = ""
    changed: bool = False
    late: bool = Field(False, description="entered into the ledger after its evidence was taken for another part")
    recorded: bool = False


class ClaimRow(Record):
    """One claim with its parts."""

    claim: str
    says: str
    why: str
    standing: Standing
    parts: list[PartRow]


class ClaimsTable(Record):
    """All that the page shows. `family` parts were corrected for together; an exploratory table corrects nothing.

    `stated` claims have a file; the table holds those that were asked for.
    """

    exploratory: bool
    family: int
    stated: int
    command: str
    seconds: float
    versions: dict[str, str]
    claims: list[ClaimRow]

    def counts(self) -> dict[str, int]:
        """Return how many claims stand how."""
        seen = [row.standing for row in self.claims]
        return {name: seen.count(name) for name in STANDINGS if name in seen}

    @property
    def failed(self) -> list[str]:
        """The parts whose experiment raised."""
        return [f"{row.claim}/{part.name}" for row in self.claims for part in row.parts if part.outcome == "failed"]


def family_of(claims: Sequence[Claim]) -> int:
    """Return how many parts have sampling error: what Holm's procedure corrects for, run or not."""
    return sum(not part.experiment.exact for claim in claims for part in claim.parts)


def findings_of(
    claims: Sequence[Claim], ran: Mapping[str, Ran], family: int, *, exploratory: bool
) -> tuple[dict[str, Finding], dict[str, str]]:
    """Return every part's finding by name, and what went wrong where there is none."""
    found: dict[str, Finding] = {}
    errors: dict[str, str] = {}
    for claim in claims:
        for part in claim.parts:
            name = part_name(claim, part)
            answer = ran.get(name)
            if answer is None:
                continue
            if answer.evidence is None:
                errors[name] = answer.error
                continue
            try:
                n = answer.evidence.cell(part.test.cell).n if part.experiment.recorded else part.n
                found[name] = analyse(part.test, answer.evidence, n=n, family=family)
            except (KeyError, ValueError) as error:  # the part asks for what its evidence has not
                errors[name] = str(error.args[0]) if error.args else repr(error)
    return (found if exploratory else corrected(found, family)), errors


def part_row(
    claim: Claim, part: Part, ran: Ran | None, finding: Finding | None, error: str, *, command: str, registered: str
) -> PartRow:
    """Return the row of one part."""
    evidence = None if ran is None else ran.evidence
    return PartRow(
        name=part.name,
        definition=part.definition,
        supports=part.supports,
        refutes=part.refutes,
        experiment=part.experiment.model_dump(mode="json"),
        outcome="failed" if error else "not run" if finding is None else finding.outcome,
        finding=finding,
        error=error,
        cells=[] if evidence is None else [cell.model_copy(update={"units": []}) for cell in evidence.cells],
        seeds=[] if evidence is None else evidence.seeds,
        seconds=0.0 if evidence is None else evidence.seconds,
        notes=[] if evidence is None else evidence.notes,
        data={} if evidence is None else evidence.data,
        command=command,
        hash=registered,
        recorded=part.experiment.recorded,
    )


def claim_row(claim: Claim, parts: list[PartRow]) -> ClaimRow:
    """Return the row of one claim."""
    return ClaimRow(
        claim=claim.claim,
        says=claim.says,
        why=claim.why,
        standing=standing(claim, [part.outcome for part in parts]),
        parts=parts,
    )
