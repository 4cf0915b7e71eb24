"""How large a search the simulator plans: CPU time, memory and replay of searches of 10^4 and 10^5 trials.

Growth over a ladder whose largest level is the least that passes, so that every member is heard at every level below:
the most trials that a search of that size has. One process for each row, whose peak memory is read at its end. Then
annealing with as many workers as one likes: how busy a population keeps them, where trials straggle or not.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from typing import Any

from benchmarks.seeds import keep
from sp_search.drive.cluster import Stragglers
from sp_search.drive.simulated import oracle_search, simulate
from sp_search.levels import Terms
from sp_search.oracles.steep import Steep
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.rollout_growth import RolloutGrowth

SIZES = ((100, 100, 100), (1_000, 100, 1_000), (10_000, 10, 1_000))
"""Members, levels, workers."""
PASSING, SEEDS = 0.5, range(20)


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


def busy(members: int, workers: int, straggling: float, quorum: bool) -> dict[str, Any]:
    """Return how busy annealing keeps the workers, on average over seeds, and what it pays in prices of C*."""
    oracle = Steep(rate=PASSING)
    least = oracle.least()
    assert least is not None
    found = []
    for seed in SEEDS:
        terms = Terms(seed=seed, milestones=[1.0], quorum=quorum)
        settings = {"workers": workers, "seed": seed, "members": members, "terms": terms, "events": False}
        found.append(simulate(Annealing(), oracle, stragglers=Stragglers(share=straggling), **settings))  # type: ignore[arg-type]
    mean = {
        "cost": sum(one.search_cost for one in found) / least,
        "time": sum(one.virtual_time for one in found) / least,
        "utilisation": sum(one.utilisation for one in found),
        "trials": float(sum(one.trials for one in found)),
    }
    asked = {"members": members, "workers": workers, "straggling": straggling, "quorum": quorum}
    return asked | {name: round(value / len(SEEDS), 3) for name, value in mean.items()}


def main() -> None:
    """Print and keep the rows."""
    sizes, uses = [], []
    context = multiprocessing.get_context("spawn")
    for size in SIZES:
        for straggling, events in ((0.0, True), (0.05, False)):
            with context.Pool(1) as pool:
                sizes.append(pool.apply(sized, (*size, straggling, events)))
            print(sizes[-1], flush=True)
    for workers in (1, 4, 16, 64):
        for straggling in (0.0, 0.1):
            for quorum in (True, False):
                uses.append(busy(8, workers, straggling, quorum))
                print(uses[-1], flush=True)
    keep("simulator", {"sizes": sizes, "seeds": len(SEEDS), "rate": PASSING, "uses": uses})


if __name__ == "__main__":
    main()
