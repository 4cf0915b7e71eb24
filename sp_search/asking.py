"""Ask something of a study: tried on its ledger first, so that a mistake is said at once, then put into its inbox."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from sp_search.control import Request, changed_study, driver_of, event_of, send
from sp_search.errors import StudyError
from sp_search.folder import holds_arms, manifest
from sp_search.ledger import read_ledger
from sp_search.running import replayed

WAIT_S = 10.0
POLL_S = 0.1


class Heard(NamedTuple):
    """What became of a request: whether a driver has taken it in, who drives the study, and what is to be done now."""

    taken: bool
    driver: str | None
    text: str


def ask(folder: Path, request: Request, *, wait_s: float = WAIT_S) -> Heard:
    """Put a request to a study, and wait a moment for its driver to take it in.

    Args:
        folder: the study's folder.
        request: what is asked.
        wait_s: how long to wait for a driver that runs; without one the request waits for `resume`.

    Raises:
        StudyError: the study cannot do what is asked; nothing was written.
        StorageError: the folder is no study.
    """
    if holds_arms(folder):
        arms = ", ".join(str(folder / "arms" / name) for name in manifest(folder)["arms"])
        raise StudyError([f"{folder} holds a comparison: ask one of its arms, {arms}"])
    study, _, search = replayed(read_ledger(folder), folder)
    changed_study(study, event_of(request, study, search))
    driver = driver_of(folder)
    if driver is None and request.ask == "pause":
        raise StudyError([f"nobody drives {folder} now, so there is nothing to pause"])
    path = send(folder, request)
    until = time.monotonic() + (wait_s if driver is not None else 0.0)
    while path.exists() and time.monotonic() < until:
        time.sleep(POLL_S)
    if path.with_suffix(".refused").exists():
        raise StudyError([f"the driver ({driver}) refused: the study had moved on; see sp-search status {folder}"])
    if not path.exists():
        return Heard(True, driver, f"heard by {driver}")
    if driver is None:
        return Heard(False, None, f"nobody drives the study now: sp-search resume {folder} hears it")
    if driver_of(folder) is None:
        return Heard(False, None, f"the driver ended before it heard: sp-search resume {folder} hears it")
    return Heard(False, driver, f"not heard yet by {driver}: it looks between slices; sp-search status {folder} tells")
