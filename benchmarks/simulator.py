"""How large a search the simulator plans, how busy workers are kept, and what annealing pays for the least budget.

`sizes`: CPU time, memory and replay of searches of 10^4 and 10^5 trials. Growth over a ladder whose largest level is
the least that passes, so that every member is heard at every level: the most trials that a search of that size has. One
process for each row, whose peak memory is read at its end. `uses`: annealing by number of workers, where trials
straggle or not. `prices`: success within 10 % of C* and mean cost, where half of the lineages pass.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from statistics import fmean
from typing import Any

from benchmarks.coverage import threshold
from benchmarks.search.measures import wilson
from benchmarks.seeds import keep
from sp_search.drive.cluster import Stragglers
from sp_search.drive.simulated import SimulationResult, oracle_search, simulate
from sp_search.levels import Terms
from sp_search.oracles.steep import Steep
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.rollout_growth import RolloutGrowth

SIZES = ((100, 100, 100, 0.0, True), (1_000, 100, 1_000, 0.05, False), (1_000, 100, 1_000, 0.0, True))
"""Members, levels, workers, share of stragglers, whether the ledger is kept."""
SEEDS, PRICED = range(20), range(400)


class Stairs:
    """Nobody passes below the top, everybody does there; training costs the level."""

    def __init__(self, levels: int) -> None:
        """Have levels 1, 2, ... `levels`."""
        self.levels = [float(level) for level in range(1, levels + 1)]

    def cost(self, budget: float) -> float:
        """Return the level."""
        return budget

    def passes(self, budget: float, seed: int) -> bool:
        """Return whether it is the top."""
        return budget == self.levels[-1]


def sized(members: int, levels: int, workers: int, straggling: float, events: bool) -> dict[str, Any]:
    """Return what one large search takes, and what its replay does."""
    oracle, terms = Stairs(levels), Terms(seed=0, milestones=[1.0], lineages_to_fail=members)
    began = time.process_time()
    result = simulate(
        RolloutGrowth(), oracle, workers=workers, seed=0, members=members, terms=terms,
        stragglers=Stragglers(share=straggling), events=events,
    )  # fmt: skip
    seconds = time.process_time() - began
    row = {
        "members": members, "levels": levels, "workers": workers, "straggling": straggling, "events": events,
        "trials": result.trials, "cpu_seconds": round(seconds, 1), "us_per_trial": round(1e6 * seconds / result.trials),
        "utilisation": round(result.utilisation, 3), "virtual_time": result.virtual_time,
    }  # fmt: skip
    if events:
        began = time.process_time()
        oracle_search(RolloutGrowth(), oracle, terms, members=members).replay(result.events)
        row["replay_cpu_seconds"] = round(time.process_time() - began, 1)
    return row | {"peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def sizes() -> list[dict[str, Any]]:
    """Return a row for every size."""
    rows = []
    for size in SIZES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(told(pool.apply(sized, size)))
    return rows


def annealed(
    oracle: Steep, scheduler: Annealing, seed: int, lineages_to_fail: int = 5, **settings: Any
) -> SimulationResult:
    """Return a search of one milestone."""
    terms = Terms(seed=seed, milestones=[1.0], lineages_to_fail=lineages_to_fail)
    return simulate(scheduler, oracle, seed=seed, terms=terms, events=False, **settings)


def uses() -> list[dict[str, Any]]:
    """Return how busy a population of eight keeps the workers, and what it pays, in prices of C*."""
    oracle, rows = Steep(), []
    least = oracle.least()
    assert least is not None
    for workers in (1, 2, 4, 8, 64):
        for share in (0.0, 0.1):
            how = {"workers": workers, "members": 8, "stragglers": Stragglers(share=share)}
            found = [annealed(oracle, Annealing(), seed, **how) for seed in SEEDS]
            row = {
                "workers": workers, "straggling": share, "cost": fmean(one.search_cost for one in found) / least,
                "time": fmean(one.virtual_time for one in found) / least,
                "utilisation": fmean(one.utilisation for one in found),
                "trials": fmean(one.trials for one in found),
            }  # fmt: skip
            rows.append(told({name: round(value, 3) for name, value in row.items()}))
    return rows


def prices() -> list[dict[str, Any]]:
    """Return success within 10 % and cost without inheritance, and with it, where a lineage's luck is kept.

    With luck kept, fewer failures might do: they are tried too.
    """
    rows = []
    tried = (("off", False, 2, 5), ("weights", True, 2, 5), ("weights", True, 1, 2), ("weights", True, 1, 1))
    for inherit, kept, tries, to_fail in tried:
        scheduler = Annealing(inherit=inherit, tolerance=0.1, tries=tries)  # type: ignore[arg-type]
        costs, found = [], 0
        for seed in PRICED:
            oracle = Steep(onset=threshold(seed), kept=kept)
            least = oracle.least()
            assert least is not None
            result = annealed(oracle, scheduler, seed, to_fail, workers=1)
            found += result.found_budget is not None and result.found_budget <= 1.1 * least
            costs.append(result.search_cost / least)
        asked = {"inherit": inherit, "kept": kept, "tries": tries, "lineages_to_fail": to_fail}
        success = wilson(found, len(PRICED))._asdict()
        rows.append(told(asked | {"success": success, "cost": round(fmean(costs), 2)}))
    return rows


def told(row: dict[str, Any]) -> dict[str, Any]:
    """Print and return a row."""
    print(row, flush=True)
    return row


FIGURES: dict[str, Callable[[], list[dict[str, Any]]]] = {"prices": prices, "uses": uses, "sizes": sizes}


def main() -> None:
    """Reproduce the figures that are named, or all."""
    for name in sys.argv[1:] or FIGURES:
        keep(f"simulator_{name}", {"rows": FIGURES[name]()})


if __name__ == "__main__":
    main()
