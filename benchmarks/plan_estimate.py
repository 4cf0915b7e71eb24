"""What `sp-search plan` foresees of the small studies that ship, and what they then took: FLOPs, trials, seconds.

    python -m benchmarks.plan_estimate [NAME ...]     # some minutes each; writes results/plan_estimate.json

Everything runs in this process on one thread, seed 0, without the studies' own limits of time. Seconds are the
processor's, of the whole study from its file to its page, as other work on the machine would be most of what a clock
shows; what is foreseen is of its trials alone.
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
from sp_search.foresight import Prices, foresee, imagine
from sp_search.ledger import read_ledger
from sp_search.plan import plan_study
from sp_search.study import load_study

RESULT = Path(__file__).parent / "results" / "plan_estimate.json"
STUDIES = (
    "digits_exit", "nested_digits", "width_growth", "prefix_growth", "quickstart", "penalty_annealing",
    "addition_predictor", "addition_ponder", "annealing_max", "annealing_population",
)  # fmt: skip
UNLIMITED = ("tracking.uri=null", "limits.seconds=null")


def compare(name: str) -> dict[str, Any]:
    """Return what was foreseen of a study that ships, and what it took."""
    study = load_study(name, overrides=UNLIMITED)
    plan = plan_study(study)
    searches, prices = imagine(study, plan), Prices(study)
    told = foresee(study, searches, prices)
    rates = calibration.calibrate(study, plan, clock=process_time)
    seconds = calibration.foresee_seconds(study, searches, prices, rates)
    with tempfile.TemporaryDirectory() as folder:
        began = process_time()
        result = sp_search.run(study, output=Path(folder) / name, driver="inprocess")
        taken = process_time() - began
        events = [entry.get("event", {}).get("event") for entry in read_ledger(result.folder)]
    spent = result.payload["search_flops"]
    return {
        "trials": {**told.trials._asdict(), "real": events.count("measured")},
        "training_flops": {**told.training_flops._asdict(), "middle": told.training_middle, "real": spent["training"]},
        "verification_flops": {**told.verification_flops._asdict(), "real": spent["verification"]},
        "seconds": {**seconds._asdict(), "real": taken},
        "met": result.met,
    }


def main(names: list[str]) -> None:
    """Measure, write and say it."""
    torch.set_num_threads(1)
    rows = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for name in names or STUDIES:
        rows[name] = compare(name)
        RESULT.write_text(json.dumps(rows, indent=2) + "\n")
        sys.stdout.write(f"{name}: {_words(rows[name])}\n")
        sys.stdout.flush()


def _words(row: dict[str, Any]) -> str:
    said = {what: one for what, one in row.items() if what != "met"}
    return "; ".join(
        f"{what} {one['real']:.4g} of {one['least']:.4g} to {one['most']:.4g}"
        + ("" if one["least"] <= one["real"] <= one["most"] else " OUTSIDE")
        for what, one in said.items()
    )


if __name__ == "__main__":
    main(sys.argv[1:])
