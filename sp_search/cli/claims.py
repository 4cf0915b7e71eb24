"""The command of the claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from sp_search.cli.app import Answer, ExitCode, app
from sp_search.errors import StudyError
from sp_search.shipped import CLAIMS
from sp_search.strict import show
from sp_search.terminal import table

if TYPE_CHECKING:
    from sp_search.claims.table import ClaimsTable


@app.command
def claims(
    *,
    quick: bool = False,
    only: str | None = None,
    output: Path | None = None,
    studies: Path = CLAIMS,
    address: str | None = None,
    in_process: bool = False,
) -> Answer:
    """Measure the claims of the argument for speed priors, and write their table.

    Args:
        quick: few units and seeds that no confirmatory run takes; counted numbers in full.
        only: some claims, with commas (C19,C20).
        output: the folder of evidence, ledger and pages; what it holds is not measured again.
        studies: the folder of the claims' files; those that ship with the package if not given.
        address: of a running Ray cluster (HOST:PORT); a local one is started if not given.
        in_process: one experiment after another in this process, without Ray.
    """
    from sp_search.claims.running import ask, run_claims, say
    from sp_search.report.claims import part_words
    from sp_search.study import Cluster

    if address is not None and in_process:
        raise StudyError(["--address and --in-process: a cluster or this process, not both"])
    wanted = [] if only is None else [name.strip() for name in only.split(",") if name.strip()]
    if only is not None and not wanted:
        raise StudyError([f"--only: got {show(only)}: it should name claims, as in --only C19,C20"])
    asked = ask(studies, only=wanted, output=output, quick=quick)
    say(asked.words())
    cluster = None if in_process else Cluster(address=address or "local")
    found = run_claims(asked, cluster=cluster, progress=say)
    rows: list[tuple[str, ...]] = [("claim", "outcome", "claimed", "found", "95 % interval", "p", "units")]
    for row in found.model_dump(mode="json")["claims"]:
        rows.append((row["claim"], row["standing"].upper(), shorten(row["says"], 90, placeholder=" ...")))
        rows += [(f"  {one.cells[0]}", *one.cells[1:7]) for one in map(part_words, row["parts"])]
    mode = "exploratory, uncorrected: " if found.exploratory else ""
    counts = mode + ", ".join(f"{count} {name}" for name, count in found.counts().items())
    where = table([("table", str(asked.folder / "claims.json")), ("page", str(asked.folder / "index.html"))])
    text = "\n".join(
        [*_aligned(rows), "", *_weak(found), counts, *where, *(f"failed: {name}" for name in found.failed)]
    )
    payload = {**found.model_dump(mode="json"), "folder": str(asked.folder), "counts": found.counts()}
    return Answer(payload, text, ExitCode.FAILURES if found.failed else ExitCode.MET)


def _weak(found: ClaimsTable) -> list[str]:
    """Name the parts whose confirmatory units are too few for a power of .8, with the units that it needs."""
    from sp_search.claims.power import ENOUGH

    findings = [(f"{row.claim}/{one.name}", one.finding) for row in found.claims for one in row.parts]
    weak = [
        f"{name} ({'more than can be had' if one.n_needed is None else one.n_needed})"
        for name, one in findings
        if one is not None and one.power is not None and one.power < ENOUGH
    ]
    return [f"power below {ENOUGH:g}, with the units that it needs: {', '.join(weak)}", ""] if weak else []


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the rows of parts in columns, and those of claims as lines between them."""
    lines = iter(table([row for row in rows if len(row) > 3]))
    return [next(lines) if len(row) > 3 else f"{row[0]} {row[1]}: {row[2]}" for row in rows]
