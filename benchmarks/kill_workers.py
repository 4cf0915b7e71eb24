"""A study of 199 trials of a second each on two slots of a real Ray, three of whose workers are killed on the way.

Trials sleep and answer from a table, so the ideal is their seconds over the slots. The window runs from the first
slice's begin to the last report; the same study undisturbed, just before, says what Ray itself takes of it.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.seeds import keep
from benchmarks.tune_scale import SLOTS, falling
from sp_search.search import Search
from sp_search.study import Cluster
from sp_search.tune.launch import run_tune
from tests.flow.table_runner import recipe

MEMBERS, LEVELS = 20, 10
SLICES, SLICE_S = 2, 0.5
TRIALS = MEMBERS * LEVELS - 1  # one member does not fit the largest level
IDEAL_S = TRIALS * SLICES * SLICE_S / SLOTS
KILLS = (50, 100, 150)
"""After so many slices the worker that began the last one is killed."""


def run(folder: Path, kills: tuple[int, ...]) -> dict[str, Any]:
    """Run the study; return its window in seconds, what was lost, and what it decided."""
    log, due, said = folder / "slices.jsonl", list(kills), [0.0]
    lines: list[dict[str, Any]] = []
    search = falling(MEMBERS, LEVELS, lines.append)

    def progress(search: Search) -> None:
        said[0] = time.time()
        begun = log.read_text().splitlines() if log.exists() else []
        if due and len(begun) >= due[0]:
            del due[0]
            os.kill(json.loads(begun[-1])["pid"], signal.SIGKILL)

    runner = recipe(log=str(log), least=0.0, rate=1.0, slices=SLICES, seconds=SLICE_S)
    run_tune(search, runner, folder, cluster=Cluster(cpus=SLOTS), progress=progress)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    events = [line["event"]["event"] for line in lines]
    return {
        "kills": len(kills),
        "trials": events.count("measured"),
        "lost": events.count("member_lost"),
        "failed": events.count("member_failed"),
        "slices": len(rows),
        "window_s": round(said[0] - rows[0]["time"], 1),
        "of_ideal": round((said[0] - rows[0]["time"]) / IDEAL_S, 3),
        "found": search.state.found,
        "history": [outcome.model_dump(mode="json") for outcome in search.state.history],
    }


def main() -> None:
    """Run it undisturbed and with kills, and compare."""
    rows = []
    for kills in ((), KILLS):
        with tempfile.TemporaryDirectory(prefix="sp") as folder:
            rows.append(run(Path(folder), kills))
        print({name: value for name, value in rows[-1].items() if name != "history"}, flush=True)
    calm, killed = rows
    same = (calm.pop("history"), calm["found"]) == (killed.pop("history"), killed["found"])
    share = round(killed["window_s"] / calm["window_s"], 3)
    load = round(os.getloadavg()[1], 1)
    print(f"ideal {IDEAL_S:g} s; with kills {share} of undisturbed; same answer: {same}; load average {load}")
    table = {"ideal_s": IDEAL_S, "rows": rows, "of_undisturbed": share, "same_answer": same}
    keep("kill_workers", {**table, "load_5min": load, "cores": os.cpu_count()})


if __name__ == "__main__":
    main()
