"""Commands about MLflow: open it on a study's store, and ship a ledger to any store."""

from __future__ import annotations

import os
import shlex
import sys

from sp_search.cli.app import Answer, ExitCode, StudyFolder, app
from sp_search.errors import StudyError


@app.command
def ui(folder: StudyFolder, /, *, port: int = 5000, dry_run: bool = False, trust: bool = False) -> Answer:
    """Open MLflow on the study's tracking store.

    Args:
        folder: the study's folder.
        port: of the page on this machine.
        dry_run: say the command only.
        trust: open the store that the folder names, though somebody else began it.
    """
    from sp_search.folder import refuse_foreign_places, tracking_uri
    from sp_search.tracking.mlflow import SERVER_SETTINGS, study_page, ui_command

    uri = tracking_uri(folder)
    if uri is None:
        raise StudyError([f"{folder}: the study was not tracked (tracking.uri: null), so there is nothing to open"])
    if not dry_run:
        refuse_foreign_places(folder, trust=trust)
    command, page = ui_command(uri, port), study_page(folder, uri, port)
    text = command if page is None else f"{page}\n{command}"
    if not dry_run and not command.startswith("http"):
        print(text, file=sys.stderr, flush=True)
        arguments = [sys.executable, "-m", "mlflow", *shlex.split(command)[1:]]
        os.execve(sys.executable, arguments, {**SERVER_SETTINGS, **os.environ})  # noqa: S606  # our own interpreter
    return Answer({"command": command, "page": page}, text)


@app.command
def mlflow_sync(folder: StudyFolder, /, *, uri: str | None = None, wait: float = 3600.0, trust: bool = False) -> Answer:
    """Ship what a study's ledger tells to an MLflow store; what is there already is not shipped twice.

    Args:
        folder: the study's folder, or a comparison's.
        uri: the store, as under tracking.uri; the study's own if not given.
        wait: most seconds for one study.
        trust: ship to the store that the folder names, though somebody else began it.
    """
    from sp_search.control import driver_of
    from sp_search.folder import holds_arms, manifest, refuse_foreign_places
    from sp_search.study import tracking_of
    from sp_search.tracking.mlflow import sync

    target = None if uri is None else tracking_of({"uri": uri}).uri
    if target is None:
        refuse_foreign_places(folder, trust=trust)
    folders = [folder / "arms" / name for name in manifest(folder)["arms"]] if holds_arms(folder) else [folder]
    lags = {str(one): sync(one, target, alive=driver_of(one) is not None, timeout_s=wait) for one in folders}
    missing = [lag.message for lag in lags.values() if lag.message]
    behind = {name: lag.events for name, lag in lags.items()}
    text = "\n".join(missing) if missing else f"everything is there: {', '.join(behind)}"
    return Answer({"missing_events": behind}, text, ExitCode.STORAGE if missing else ExitCode.MET)
