"""How well do searches find the least budget that passes? sp_search, its baselines, Optuna, Ray, random; one protocol.

`python -m benchmarks.search` runs every part and writes the page; name parts to run those alone: choose, thresholds,
inherit, rare, workers, ablations, page. `--quick` takes 3 seeds and leaves out what is slow (Optuna), and keeps
nothing. The table of the real training task is made by `python -m benchmarks.search.training_table`.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from typing import Any

from benchmarks.search import page
from benchmarks.search.ablations import ABLATIONS, ablate
from benchmarks.search.runs import FAMILIES, READINGS, Choice, choose, compare, without_infinity
from benchmarks.seeds import RESULTS, keep

PARTS = ("choose", "thresholds", "inherit", "rare", "workers", "ablations", "page")
WORKERS = (1, 4, 16, 64)
CRASH_RATE = 0.1
QUICK_SEEDS = range(3)


def chosen(family: str, *, quick: bool) -> Choice:
    """Return the settings that were chosen, or everybody's first where nothing has been chosen yet."""
    path = RESULTS / "search_choice.json"
    if path.exists() and not quick:
        return json.loads(path.read_text(encoding="utf-8"))[family]  # type: ignore[no-any-return]
    first = {method.name: next(iter(method.settings)) for method in FAMILIES[family].methods}
    return dict.fromkeys(READINGS, first)


def methods_of(family: str, *, quick: bool) -> list[Any]:
    """Return the family's methods."""
    return [method for method in FAMILIES[family].methods if not (quick and method.slow)]


def run_choose(*, quick: bool) -> dict[str, Any]:
    """Choose settings for both families; where lineages inherit, a method has the settings of the thresholds."""
    found = {
        name: choose(FAMILIES[name], methods_of(name, quick=quick), **({"seeds": QUICK_SEEDS} if quick else {}))
        for name in ("thresholds", "rare")
    }
    return found | dict.fromkeys(("inherit", "workers"), found["thresholds"])


def run_family(name: str, *, quick: bool, **how: Any) -> list[dict[str, Any]]:
    """Run every method of a family."""
    seeds = {"seeds": QUICK_SEEDS} if quick else {}
    return compare(FAMILIES[name], methods_of(name, quick=quick), chosen(name, quick=quick), **seeds, **how)


def run_workers(*, quick: bool) -> list[dict[str, Any]]:
    """Run two worlds on more workers, and with crashes; of their runs the sums alone are kept."""
    rows = []
    for workers in WORKERS:
        for crash_rate in (0.0, CRASH_RATE):
            rows += run_family("workers", quick=quick, workers=workers, crash_rate=crash_rate)
    return [
        {key: value for key, value in row.items() if key not in {"curve", "costs", "hits", "regrets"}} for row in rows
    ]


def main() -> None:
    """Run the parts that are named, keep their rows, write the page."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    arguments.add_argument("parts", nargs="*", help=", ".join(PARTS))
    arguments.add_argument("--quick", action="store_true")
    asked = arguments.parse_args()
    unknown = sorted(set(asked.parts) - set(PARTS))
    if unknown:
        arguments.error(f"no part is called {unknown[0]}: take {', '.join(PARTS)}")
    logging.getLogger("ray").setLevel(logging.ERROR)
    work = {
        "choose": run_choose,
        "thresholds": lambda quick: run_family("thresholds", quick=quick),
        "inherit": lambda quick: run_family("inherit", quick=quick, inherit=True),
        "rare": lambda quick: run_family("rare", quick=quick),
        "workers": run_workers,
        "ablations": lambda quick: ablate(ABLATIONS, QUICK_SEEDS if quick else None),
    }
    for part in asked.parts or PARTS:
        started = time.monotonic()
        if part == "page":
            page.write()
            continue
        found = without_infinity(work[part](quick=asked.quick))
        print(f"{part}: {time.monotonic() - started:.0f} s", flush=True)
        if asked.quick:
            for row in found if isinstance(found, list) else []:
                print(row["world"], row["method"], row["reading"], row["ert"], row["success"]["0.1"])
        else:
            keep(f"search_{part}", found if isinstance(found, dict) else {"rows": found})


if __name__ == "__main__":
    main()
