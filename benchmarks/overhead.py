"""What Ray, the ledger and MLflow cost over the same study in-process, and what starting them costs apart.

One member, so both drivers train the same levels one after another, in turn on the same machine. The window runs from
the end of the first level to the end of the last, over three levels of ten seconds and more; start-up is everything
before the first ledger line, and the first level holds the start of Ray's worker. Both answers must agree.
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
    "scheduler": {"kind": "rollout_growth", "start": 3.0, "stop": 6.0},
    "population": {"members": [{}], "replicas": 5},
    "train": {"steps": 1500},
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
    begun, first, last = (events[index]["time"] for index in (0, 1, -1))
    return {
        "driver": driver, "start_s": begun - started, "first_level_s": first - begun, "window_s": last - first,
        "whole_s": whole,
        "levels": [(visit["cap"], visit["verdict"], visit["passed"]) for visit in result.payload["visits"]],
    }  # fmt: skip


def main() -> None:
    """Print each pair and the ratios."""
    rows = []
    for _ in range(PAIRS):
        alone, on_ray = window("inprocess", False), window("ray", True)
        if alone["levels"] != on_ray["levels"]:
            raise SystemExit(f"the drivers disagree: {alone['levels']} and {on_ray['levels']}")
        rows.append({"inprocess": alone, "ray": on_ray, "ratio": on_ray["window_s"] / alone["window_s"]})
        print(f"in-process {alone['window_s']:.1f} s, Ray + ledger + MLflow {on_ray['window_s']:.1f} s, ", end="")
        print(f"ratio {rows[-1]['ratio']:.3f}; start-up {alone['start_s']:.1f} and {on_ray['start_s']:.1f} s, ", end="")
        print(f"first level {alone['first_level_s']:.1f} and {on_ray['first_level_s']:.1f} s")
    ratios = [row["ratio"] for row in rows]
    print(f"ratio: median {median(ratios):.3f}, worst {max(ratios):.3f} of {len(ratios)} pairs")
    keep("overhead", {"rows": rows})


if __name__ == "__main__":
    main()
