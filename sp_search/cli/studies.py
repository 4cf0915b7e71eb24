"""Commands that run a study and read what it left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sp_search.cli.app import Answer, Overrides, StudyFile, StudyFolder, app
from sp_search.terminal import heard, milestone_lines, search_rows, table


@app.command
def run(
    study: StudyFile,
    /,
    *,
    output: Path | None = None,
    address: str | None = None,
    cluster: Path | None = None,
    overrides: Overrides = None,
    seed: int | None = None,
    in_process: bool = False,
    on_finish: str | None = None,
) -> Answer:
    """Run a study to its answer.

    Args:
        study: the study's YAML file.
        output: the study's folder; a new one under sp_search_runs if not given.
        address: of a running Ray cluster (HOST:PORT); a local one is started if not given.
        cluster: a cluster file (clusters/local.yaml), which says the same and more.
        overrides: path=value, applied before the study is validated; may be repeated.
        seed: overrides the study's seed.
        in_process: one trial after another in this process, without Ray.
        on_finish: a command, or an address (https://...) that is posted to, once the study has ended.
    """
    from sp_search import api
    from sp_search.on_finish import checked, tell

    driver: api.Driver = "inprocess" if in_process else "ray"
    hook = checked(on_finish)
    result = api.run(
        study,
        output=output,
        address=address,
        cluster=cluster,
        seed=seed,
        overrides=tuple(overrides or ()),
        driver=driver,
    )
    tell(hook, result.folder, result.payload, result.exit_code)
    return _answer(result)


@app.command
def resume(
    folder: StudyFolder,
    /,
    *,
    address: str | None = None,
    cluster: Path | None = None,
    in_process: bool = False,
    on_finish: str | None = None,
    trust: bool = False,
) -> Answer:
    """Go on with a study that stopped half-way, or was extended.

    Args:
        folder: the study's folder.
        address: of a running Ray cluster (HOST:PORT); a local one is started if not given.
        cluster: a cluster file (clusters/local.yaml), which says the same and more.
        in_process: one trial after another in this process, without Ray.
        on_finish: a command, or an address (https://...) that is posted to, once the study has ended.
        trust: go to the places outside the folder that it names (checkpoints, tracking), though somebody else began it.
    """
    from sp_search import api
    from sp_search.on_finish import checked, tell

    driver: api.Driver | None = "inprocess" if in_process else None
    hook = checked(on_finish)
    result = api.resume(folder, address=address, cluster=cluster, driver=driver, trust=trust)
    tell(hook, result.folder, result.payload, result.exit_code)
    return _answer(result)


def _answer(result: Any) -> Answer:
    """Return what a finished study says: the program, how sure it is, what was not excluded, and where it all is."""
    payload = result.payload
    if "arms" in payload:
        return _compared(result)
    from sp_search.folder import tracking_uri
    from sp_search.tracking.mlflow import ui_command

    uri = tracking_uri(result.folder)
    where = [
        ("folder", str(result.folder)),
        ("report", str(result.folder / "report.html")),
        *([("mlflow", ui_command(uri))] if uri else []),
    ]
    answers = [line for one in payload["milestones"] for line in milestone_lines(one, payload["confidence"])]
    text = "\n".join([*answers, "", *table([*search_rows(payload), *where])])
    return Answer({**payload, "folder": str(result.folder)}, text, result.exit_code)


def _compared(result: Any) -> Answer:
    """Return what a finished comparison says: a row for each arm, in the order of the file."""
    from sp_search.report.comparison import HEADS, cells, ranking, read_comparison

    compared = read_comparison(result.folder)
    audited = [(name, arm.payload["audits"]) for name, arm in result.arms.items() if arm.payload.get("audits")]
    where = [(f"audits of {name}", heard(verdicts)) for name, verdicts in audited]
    where += [("folder", str(result.folder)), ("report", str(result.folder / "report.html"))]
    lines = [ranking(compared), "", *table([HEADS, *map(cells, compared.arms)]), "", *compared.warnings, *table(where)]
    return Answer({**result.payload, "folder": str(result.folder)}, "\n".join(lines), result.exit_code)
