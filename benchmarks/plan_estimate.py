"""How far `sp-search plan` is from what two studies then take, on one machine: FLOPs, seconds and bytes, as ratios.

    python benchmarks/plan_estimate.py      # some minutes; writes benchmarks/results/plan_estimate.json

A ratio is foreseen over real. FLOPs come out too large: training may stop early, and a look at a task's few inputs
is priced as if there were thousands. Seconds are the processor's, as other work on the machine would be most of what a
clock shows; a study's also hold its imports, verification and page, so for short studies they come out too small.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

import torch

import sp_search
from sp_search import calibration
from sp_search.plan import plan_study
from sp_search.study import study_of

RESULT = Path(__file__).parent / "results" / "plan_estimate.json"
COMMON: dict[str, Any] = {"task": {"kind": "prefix_sums", "bits": 5}, "milestones": [0.95], "tracking": {"uri": None}}
STUDIES: dict[str, dict[str, Any]] = {
    "annealing": {
        "model": {"kind": "recall_conv", "width": 8},
        "scheduler": {"kind": "annealing", "stop": 4},
        "population": {"members": [{"width": 8}], "replicas": 5},
        "train": {"steps": 300},
    },
    "never_stops_early": {
        "model": {"kind": "recall_conv", "width": 16},
        "scheduler": {"kind": "annealing", "start": 2, "stop": 2},
        "population": {"members": [{"width": 16}, {"width": 32}], "replicas": 5},
        "train": {"steps": 60, "learning_rate": 1e-6},
    },
}


def compare(name: str, content: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return what was foreseen of a study, what it took, and the ratios."""
    study = study_of({"name": name, "seed": seed, **COMMON, **content})
    plan = plan_study(study)
    counts, rates = calibration.visits(study, plan), calibration.calibrate(study, plan, clock=process_time)
    foreseen = {
        "training_flops": sum((row.training_flops or 0.0) * counts[row.level] for row in plan.rows),
        "seconds": calibration.training_seconds(plan, rates, counts),
    }
    with tempfile.TemporaryDirectory() as folder:
        began = process_time()
        result = sp_search.run(study, output=Path(folder) / name, driver="inprocess")
        taken = process_time() - began
        files = (Path(folder) / name / "checkpoints").rglob("*.safetensors")
        size = sum(file.stat().st_size for file in files)
    levels = [level for level, count in enumerate(counts) if count]
    foreseen["bytes"] = calibration.disk(study, plan).every_level * len(levels) / len(counts)
    real = {"training_flops": result.payload["search_flops"]["training"], "seconds": taken, "bytes": size}
    return {"seed": seed, "foreseen": foreseen, "real": real, "ratio": {key: foreseen[key] / real[key] for key in real}}


def main() -> None:
    """Measure, write and say it."""
    torch.set_num_threads(1)
    rows = {name: compare(name, content, seed=0) for name, content in STUDIES.items()}
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")
    for name, row in rows.items():
        sys.stdout.write(f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in row["ratio"].items()) + "\n")


if __name__ == "__main__":
    main()
