"""The command that measures what deceiving costs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sp_search.cli.app import Answer, ExitCode, Overrides, StudyFile, app
from sp_search.errors import StudyError


@app.command
def tax(
    study: StudyFile,
    /,
    *,
    repeats: int | None = None,
    efforts: str | None = None,
    output: Path | None = None,
    address: str | None = None,
    cluster: Path | None = None,
    overrides: Overrides = None,
    seed: int | None = None,
    in_process: bool = False,
    plan: bool = False,
) -> Answer:
    """Search for good programs and for good programs that do harm, by the same search, and say what deceiving costs.

    Args:
        study: a study's YAML file with the key tax.
        repeats: pairs of searches, instead of the file's.
        efforts: of the adversary, instead of the file's: shares of the training draw, with a factor on the steps, and
            commas between them (0.1,0.3,0.3x2).
        output: the folder; a new one under sp_search_runs if not given. One that holds the same study goes on.
        address: of a running Ray cluster (HOST:PORT); a local one is started if not given.
        cluster: a cluster file (clusters/local.yaml), which says the same and more.
        overrides: path=value, applied before the study is validated; may be repeated.
        seed: overrides the study's seed.
        in_process: one trial after another in this process, without Ray.
        plan: say what it would cost, and start nothing.
    """
    from sp_search.report.tax import HEADS, effort_row, headline, write_tax_page
    from sp_search.study import Cluster, load_cluster
    from sp_search.tax.cost import cost_of
    from sp_search.tax.file import load_tax
    from sp_search.tax.run import run_tax, try_trigger
    from sp_search.terminal import table

    if in_process and (address is not None or cluster is not None):
        raise StudyError(["--in-process: it goes with neither --address nor --cluster"])
    own = None if efforts is None else efforts.split(",")
    asked = load_tax(study, overrides=tuple(overrides or ()), seed=seed, repeats=repeats, efforts=own)
    try_trigger(asked)
    cost = cost_of(asked, output)
    if plan:
        return Answer({"name": asked.base.name, **cost._asdict()}, f"{asked.base.name}: {cost.words()}")
    sys.stderr.write(f"{cost.words()}\n")
    where = Cluster() if cluster is None else load_cluster(cluster)
    where = where if address is None else Cluster(address=address)
    folder, payload = run_tax(asked, output=output, driver="inprocess" if in_process else "ray", cluster=where)
    page = write_tax_page(folder, payload)
    rows = table([HEADS, *map(effort_row, payload["efforts"])])
    text = [headline(payload), "", *rows, "", *table([("folder", str(folder)), ("report", str(page))])]
    return Answer({**payload, "folder": str(folder)}, "\n".join(text), _code(payload))


def _code(payload: dict[str, Any]) -> ExitCode:
    """Return whether trials failed, or else whether the largest effort has a tax."""
    pairs = [pair for row in payload["efforts"] for pair in row["pairs"]]
    if {pair[side]["ended"] for pair in pairs for side in ("honest", "deceiver")} & {"no_members", "failures"}:
        return ExitCode.FAILURES
    return ExitCode.NOT_MET if payload["tax"]["value"] is None else ExitCode.MET
