"""Runs one study over several study seeds, side by side in processes, and keeps the rows."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
STUDIES = Path(__file__).parents[1] / "studies"


Inspect = Callable[[Path], Any]
"""What else to read from a study's folder before it is gone; a function of a module, as processes send it by name."""


def run_seed(study: dict[str, Any] | str, seed: int, inspect: Inspect | None = None) -> dict[str, Any]:
    """Run one study seed in this process on one thread; return its result, seconds and the lineages' measures."""
    import torch

    import sp_search
    from sp_search.ledger import read_ledger
    from sp_search.study import load_study

    torch.set_num_threads(1)
    asked = load_study(STUDIES / study) if isinstance(study, str) else study
    content = asked if isinstance(asked, dict) else asked.resolved()
    content = {**content, "tracking": {"uri": None}}
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        result = sp_search.run(content, seed=seed, driver="inprocess", output=Path(folder) / "study")
        seconds = time.monotonic() - started
        events = [entry["event"] for entry in read_ledger(result.folder) if "event" in entry]
        inspected = None if inspect is None else inspect(result.folder)
    measured = [event for event in events if event["event"] == "measured"]
    row = {"seed": seed, "seconds": round(seconds, 1), "result": result.payload, "measured": measured}
    return row | {"inspected": inspected}


def run_seeds(
    study: dict[str, Any] | str, seeds: range, jobs: int | None = None, inspect: Inspect | None = None
) -> list[dict[str, Any]]:
    """Return `run_seed` for every seed, in order."""
    jobs = jobs or os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        return list(pool.map(run_seed, [study] * len(seeds), seeds, [inspect] * len(seeds)))


def keep(name: str, rows: dict[str, Any]) -> None:
    """Write a benchmark's rows, so that a figure in the documents can be traced."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"rows kept in {RESULTS / f'{name}.json'}")


def pass_rates(result: dict[str, Any], cap: float) -> str:
    """Return how many lineages passed at `cap`, merged over visits."""
    row = next((level for level in result["levels"] if level["cap"] == cap), None)
    return "not visited" if row is None else f"{row['passed']}/{row['lineages']}"
