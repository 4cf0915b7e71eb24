"""The command of the claims."""

from __future__ import annotations

from pathlib import Path

from sp_search.cli.app import Answer, ExitCode, app
from sp_search.errors import StudyError
from sp_search.terminal import table


@app.command
def claims(
    *,
    quick: bool = False,
    only: str = "",
    output: Path | None = None,
    studies: Path = Path("studies/claims"),
    address: str | None = None,
    in_process: bool = False,
) -> Answer:
    """Measure the claims of the argument for speed priors, and write their table.

    Args:
        quick: few units and seeds that no confirmatory run takes; counted numbers in full.
        only: some claims, with commas (C19,C20).
        output: the folder of evidence, ledger and pages; what it holds is not measured again.
        studies: the folder of the claims' files.
        address: of a running Ray cluster (HOST:PORT); a local one is started if not given.
        in_process: one experiment after another in this process, without Ray.
    """
    from sp_search.claims.running import ask, run_claims, say
    from sp_search.study import Cluster

    if address is not None and in_process:
        raise StudyError(["--address and --in-process: a cluster or this process, not both"])
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    asked = ask(studies, only=wanted, output=output, quick=quick)
    say(asked.words())
    cluster = None if in_process else Cluster(address=address or "local")
    found = run_claims(asked, cluster=cluster, progress=say)
    rows = [("claim", "standing", "parts", "says")]
    rows += [
        (row.claim, row.standing, " ".join(part.outcome[0] for part in row.parts) or "-", row.says[:90])
        for row in found.claims
    ]
    counts = ", ".join(f"{count} {name}" for name, count in found.counts().items())
    where = table([("table", str(asked.folder / "claims.json")), ("page", str(asked.folder / "index.html"))])
    text = "\n".join([*table(rows), "", counts, *where, *(f"failed: {name}" for name in found.failed)])
    payload = {**found.model_dump(mode="json"), "folder": str(asked.folder), "counts": found.counts()}
    return Answer(payload, text, ExitCode.FAILURES if found.failed else ExitCode.MET)
