"""What Ray, the ledger and MLflow cost over the same study in-process, and what starting them costs apart.

The window of a search runs from its first ledger line to its last, in the same machine and minute for both drivers, in
turn; start-up is everything before. One member, so both drivers train the same levels one after another, each for ten
seconds and more. Both answers must agree.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.seeds import keep

PAIRS = 3
STUDY: dict[str, Any] = {
    "name": "overhead",
    "task": {"kind": "prefix_sums", "bits": 13},
    "model": {"kind": "recall_conv", "width": 16},
    "scheduler": {"kind": "rollout_growth", "start": 4.0, "stop": 6.0},
    "population": {"members": [{}], "replicas": 5},
    "train": {"steps": 1200},
    "milestones": [0.99],
}


def window(driver: str, tracked: bool) -> dict[str, Any]:
    """Run the study once; return seconds of the search window, of start-up, and of the whole."""
    import sp_search
    from sp_search.ledger import read_ledger

    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db" if tracked else None
        started = time.time()
        result = sp_search.run(
            {**STUDY, "tracking": {"uri": uri}},
            driver=driver,  # type: ignore[arg-type]
            output=Path(folder) / "study",
        )
        whole = time.time() - started
        events = [entry for entry in read_ledger(result.folder) if "event" in entry]
    first, last = events[0]["time"], events[-1]["time"]
    return {
        "driver": driver, "search_s": last - first, "start_s": first - started, "whole_s": whole,
        "levels": [(visit["cap"], visit["verdict"], visit["passed"]) for visit in result.payload["visits"]],
    }  # fmt: skip


def main() -> None:
    """Print each pair and the ratios."""
    rows = []
    for _ in range(PAIRS):
        alone, on_ray = window("inprocess", False), window("ray", True)
        if alone["levels"] != on_ray["levels"]:
            raise SystemExit(f"the drivers disagree: {alone['levels']} and {on_ray['levels']}")
        rows.append({"inprocess": alone, "ray": on_ray, "ratio": on_ray["search_s"] / alone["search_s"]})
        print(f"in-process {alone['search_s']:.1f} s, Ray + ledger + MLflow {on_ray['search_s']:.1f} s, ", end="")
        print(f"ratio {rows[-1]['ratio']:.3f}; start-up {alone['start_s']:.1f} and {on_ray['start_s']:.1f} s")
    ratios = [row["ratio"] for row in rows]
    print(f"ratio: median {median(ratios):.3f}, worst {max(ratios):.3f} of {len(ratios)} pairs")
    keep("overhead", {"rows": rows})


if __name__ == "__main__":
    main()
