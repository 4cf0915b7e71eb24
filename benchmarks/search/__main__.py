"""How well do searches find the least budget that passes? sp_search, its baselines, Optuna, Ray, random; one protocol.

`python -m benchmarks.search` runs every part and writes the page; name parts to run those alone: choose, choose_rare,
thresholds, inherit, rare, workers, ablations, page. `--method NAME` runs that method alone and leaves the rows of the
others as they are. `--quick` takes 3 seeds and first settings, leaves out what is slow (Optuna), prints and keeps
nothing. The table of the real training task is made by `python -m benchmarks.search.training_table`.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.search import page
from benchmarks.search.ablations import ablate
from benchmarks.search.methods import Method
from benchmarks.search.runs import CHOOSING_SEEDS, FAMILIES, READINGS, SEEDS, Choice, choose, compare, without_infinity
from benchmarks.seeds import RESULTS, keep

Row = dict[str, Any]
WORKERS = (1, 4, 16, 64)
WORKERS_SEEDS = range(10)
CRASH_RATE = 0.1
QUICK_SEEDS = range(3)
CHOSEN_FOR = {"inherit": "thresholds", "workers": "thresholds"}
"""Whose settings the methods have where none are chosen."""


def kept(part: str) -> Any:
    """Return what was kept of a part, or nothing."""
    path = RESULTS / f"search_{part}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


@dataclass(frozen=True)
class Comparison:
    """What was asked for: fast or in full, everybody or some methods."""

    quick: bool
    only: tuple[str, ...]

    def methods(self, family: str) -> list[Method]:
        """Return the methods that are to be run."""
        named = [one for one in FAMILIES[family].methods if not self.only or one.name in self.only]
        return [method for method in named if not (self.quick and method.slow)]

    def chosen(self, family: str) -> Choice:
        """Return the settings that were chosen, or everybody's first."""
        first = {method.name: next(iter(method.settings)) for method in FAMILIES[family].methods}
        known = {} if self.quick else (kept("choice") or {}).get(CHOSEN_FOR.get(family, family), {})
        return {one: first | known.get(one, {}) for one in READINGS}

    def choose(self, family: str) -> dict[str, Choice]:
        """Return all settings, with those that were chosen now; others of a method's worlds have the same."""
        found = choose(FAMILIES[family], self.methods(family), QUICK_SEEDS if self.quick else CHOOSING_SEEDS)
        before = kept("choice") or {}
        known = before.get(family, {})
        return before | {family: {one: known.get(one, {}) | new for one, new in found.items()}}

    def family(self, name: str, **how: Any) -> list[Row]:
        """Run the methods in the worlds of a family."""
        seeds = QUICK_SEEDS if self.quick else WORKERS_SEEDS if name == "workers" else SEEDS
        return compare(FAMILIES[name], self.methods(name), self.chosen(name), seeds, **how)

    def workers(self) -> list[Row]:
        """Run two worlds on more workers, and with crashes; of their runs the sums alone are kept."""
        hows = [{"workers": workers, "crash_rate": rate} for workers in WORKERS for rate in (0.0, CRASH_RATE)]
        rows = [row for how in hows for row in self.family("workers", readings=("program",), **how)]
        runs = {"curve", "costs", "hits", "regrets"}
        return [{key: value for key, value in row.items() if key not in runs} for row in rows]

    def beside(self, part: str, rows: list[Row]) -> list[Row]:
        """Return the rows with those of the methods that were not run, in the order of the methods."""
        before = kept(part) if self.only else None
        order = [method.name for method in FAMILIES.get(part, FAMILIES["thresholds"]).methods]
        others = [row for row in before["rows"] if row["method"] not in self.only] if before else []
        return sorted(others + rows, key=lambda row: order.index(row["method"])) if others else rows


def main() -> None:
    """Run the parts that are named, keep their rows, write the page."""
    parts = {
        "choose": lambda asked: asked.choose("thresholds"),
        "choose_rare": lambda asked: asked.choose("rare"),
        "thresholds": lambda asked: asked.family("thresholds"),
        "inherit": lambda asked: asked.family("inherit", readings=("program",), inherit=True),
        "rare": lambda asked: asked.family("rare"),
        "workers": lambda asked: asked.workers(),
        "ablations": lambda asked: ablate(QUICK_SEEDS if asked.quick else SEEDS),
        "page": lambda asked: page.write(),
    }
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    arguments.add_argument("parts", nargs="*", help=", ".join(parts))
    arguments.add_argument("--method", action="append", default=[])
    arguments.add_argument("--quick", action="store_true")
    given = arguments.parse_args()
    known = {method.name for family in FAMILIES.values() for method in family.methods}
    for what, names, allowed in (("part", given.parts, parts), ("method", given.method, known)):
        if wrong := sorted(set(names) - set(allowed)):
            arguments.error(f"no {what} is called {wrong[0]}: take {', '.join(sorted(allowed))}")
    logging.getLogger("ray").setLevel(logging.ERROR)
    asked = Comparison(given.quick, tuple(given.method))
    for part in given.parts or parts:
        if part == "page" and given.quick:
            continue
        started = time.monotonic()
        found = without_infinity(parts[part](asked))
        print(f"{part}: {time.monotonic() - started:.0f} s", flush=True)
        if given.quick:
            for row in found if isinstance(found, list) else []:
                print(row["world"], "|", row["method"], "|", row["reading"], row["ert"], row["success"]["0.1"])
        elif part.startswith("choose"):
            keep("search_choice", found)
        elif part != "page":
            keep(f"search_{part}", {"rows": asked.beside(part, found)})


if __name__ == "__main__":
    main()
