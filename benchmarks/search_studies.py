"""What the searches of `studies/` find and what they cost: `prefix`, `mean_max`, `milestones`, `population`.

- `prefix`: the search FLOPs of `rollout_growth` and `annealing` on prefix sums over those of a *ladder* that knows the
  answer: Proposal 2A from one rollout to the proven least K*, where it ends. The ladder is really run, by the same
  code, with the same seeds, replicas and train steps a level. All FLOPs count, verification too. `prefix_ray` runs
  one seed of each on Ray and says whether the numbers are those of a run in this process.
- `mean_max`: the twins `annealing_mean` and `annealing_max`, and between them a max budget over the prior of the mean
  budget. What does each program execute on inputs that need 1 to 6 rollouts?
- `milestones`: climbing milestones against going for the last one at once.
- `population`: `annealing_population`, with clones and without inheritance.

One study after another in this process on one thread. Recipes were chosen on study seeds of 100 and up.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

from benchmarks.prefix_growth import REACH
from benchmarks.prefix_growth import study as growth_study
from benchmarks.seeds import STUDIES, Inspect, keep, run_seed

SEEDS = (0, 1, 2)
BITS = (9, 13)


def resolved(name: str, **changes: Any) -> dict[str, Any]:
    """Return the content of a study file, with some of its keys replaced."""
    from sp_search.study import load_study

    return {**load_study(STUDIES / f"{name}.yaml").resolved(), **changes}


def run(study: dict[str, Any], seed: int, inspect: Inspect | None = None) -> dict[str, Any]:
    """Return what a run found and spent; `result` is its whole answer."""
    began = time.process_time()
    ran = run_seed(study, seed, inspect)
    return {"seed": seed, "cpu_seconds": round(time.process_time() - began, 1), **figures(ran["result"]), **ran}


def figures(result: dict[str, Any]) -> dict[str, Any]:
    """Return the least cap of every milestone (null: not met), the search's FLOPs and its path."""
    path = [f"{visit['cap']:g} {visit['verdict']} {visit['passed']}/{visit['tried']}" for visit in result["visits"]]
    return {
        "found": [one["budget"]["cap"] if one["met"] else None for one in result["milestones"]],
        "gflops": round(sum(result["search_flops"].values()) / 1e9, 3),
        "path": path,
    }


def told(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without the run's whole answer, and print it."""
    kept = {key: value for key, value in row.items() if key not in ("result", "measured", "inspected")}
    print(kept, flush=True)
    return kept


def prefix_studies(bits: int) -> dict[str, dict[str, Any]]:
    """Return the ladder and the searches that are held against it; they differ in nothing but the scheduler."""
    study, least = growth_study(bits), ceil((bits - 1) / REACH)
    return {
        "ladder": {**study, "scheduler": {"kind": "rollout_growth", "stop": float(least)}},
        "rollout_growth": study,
        "annealing": {**study, "scheduler": {"kind": "annealing", "stop": study["scheduler"]["stop"]}},
    }


def prefix() -> dict[str, Any]:
    """Return the searches' FLOPs over the ladder's."""
    rows = []
    for bits in BITS:
        for seed in SEEDS:
            ladder = None
            for name, study in prefix_studies(bits).items():
                row = {"bits": bits, "least": ceil((bits - 1) / REACH), "search": name, **run(study, seed)}
                ladder = ladder or row["gflops"]
                rows.append(told({**row, "over_ladder": round(row["gflops"] / ladder, 3)}))
    return {"rows": rows}


def prefix_ray() -> dict[str, Any]:
    """Return the same searches of one seed on Ray, beside what they took in this process."""
    import sp_search

    rows = []
    for bits in BITS:
        for name, study in prefix_studies(bits).items():
            here, began = run(study, 0), time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                content = {**study, "tracking": {"uri": None}}
                there = figures(sp_search.run(content, seed=0, output=Path(folder) / "study").payload)
            seconds = round(time.monotonic() - began, 1)
            same = {key: there[key] == here[key] for key in there}
            rows.append(told({"bits": bits, "search": name, "ray": there, "same": same, "seconds": seconds}))
    return {"rows": rows}


def executed(folder: Path) -> dict[str, dict[str, float]] | None:
    """Return by need what the selected program executes on 8,192 fresh inputs, and how often it is right."""
    import torch

    import sp_search
    from sp_search.train.evaluate import try_program

    if not (folder / "program").is_dir():
        return None
    from sp_search.tasks.binary_addition import BinaryAddition

    task, program = BinaryAddition(bits=12, distribution="graded"), sp_search.load(folder)
    batch = task.sample(8192, "iid", "verification", torch.Generator().manual_seed(8192))
    trial, need_B = try_program(program, task, batch, exact=False), task.minimal_rollouts(batch, REACH)
    found = {}
    for need in [*range(1, 7), None]:
        of = torch.ones_like(need_B, dtype=torch.bool) if need is None else need_B == need
        found["all" if need is None else str(need)] = {
            "share": float(of.double().mean()),
            "rollouts": float(trial.exit_B[of].double().mean()),
            "most_rollouts": float(trial.exit_B[of].max()),
            "flops": float(trial.flops_B[of].double().mean()),
            "right": float(trial.right_B[of].double().mean()),
        }
    return found


def mean_max() -> dict[str, Any]:
    """Return what the two budgets select."""
    mean, most = resolved("annealing_mean"), resolved("annealing_max")
    studies = {"mean": mean, "max": most, "max, the prior of mean": {**most, "prior": mean["prior"]}}
    rows = []
    for seed in SEEDS:
        for name, study in studies.items():
            row = run(study, seed, executed)
            top = row["result"]
            spent = ("mean_flops_per_example", "max_flops_per_example", "max_available_flops", "minimum", "warnings")
            own = {key: top.get(key) for key in spent} | {"by_need": row["inspected"]}
            rows.append(told({"budget": name, **row, **own}))
    return {"rows": rows}


def milestones() -> dict[str, Any]:
    """Return what the climb costs, over going for the last milestone at once."""
    study = resolved("milestones")
    rows = []
    for seed in SEEDS:
        once = run({**study, "milestones": study["milestones"][-1:]}, seed)
        climb = run(study, seed)
        for asked, row in (("last", once), ("all", climb)):
            rows.append(told({"milestones": asked, **row, "over_last": round(row["gflops"] / once["gflops"], 3)}))
    return {"rows": rows}


def population() -> dict[str, Any]:
    """Return what a population of widths finds, by what a lineage inherits."""
    study = resolved("annealing_population")
    rows = []
    for seed in SEEDS:
        for inherit in ("clones", "off"):
            row = run({**study, "scheduler": {**study["scheduler"], "inherit": inherit}}, seed)
            rows.append(told({"inherit": inherit, **row, "program": row["result"]["program"]}))
    return {"rows": rows}


FIGURES: dict[str, Callable[[], dict[str, Any]]] = {
    "prefix": prefix, "prefix_ray": prefix_ray, "mean_max": mean_max, "milestones": milestones,
    "population": population,
}  # fmt: skip


def main() -> None:
    """Reproduce the figures that are named, or all but `prefix_ray`."""
    for name in sys.argv[1:] or [name for name in FIGURES if name != "prefix_ray"]:
        keep(f"studies_{name}", FIGURES[name]())


if __name__ == "__main__":
    main()
