"""How often the statement `minimum: [low, high]` holds, and how often a claimed program is none: simulated studies.

A study seed is a threshold of its own, spread evenly over the logarithm; seeds are paired over worlds and schedulers.
C* is the oracle's: the least level at which half of the lineages pass. A program that is found below it and truly
passes is luck: the interval then lies below C*, and is counted apart.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.search.measures import wilson
from benchmarks.seeds import keep
from sp_search.drive import simulate
from sp_search.levels import Terms
from sp_search.oracles.base import OraclePart
from sp_search.oracles.bump import Bump
from sp_search.oracles.ladder import reaches
from sp_search.oracles.noisy import Noisy
from sp_search.oracles.smooth import Smooth
from sp_search.oracles.steep import Steep
from sp_search.records import derive_seed
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.base import BudgetScheduler
from sp_search.schedulers.doubling_bisect import DoublingBisect
from sp_search.schedulers.rollout_growth import RolloutGrowth

SEEDS = range(250)
LEAST, LARGEST = 2.0, 200.0
"""Thresholds; the ladder runs from 1 to 1,000 by 1.05, and a bump ends at 4.5 times its threshold."""
WORKERS = 4
WORLDS: dict[str, Callable[[float], OraclePart]] = {
    "steep, rate .5": lambda onset: Steep(onset=onset, rate=0.5),
    "steep, rate .8": lambda onset: Steep(onset=onset, rate=0.8),
    "smooth, rate .8": lambda onset: Smooth(middle=onset, rate=0.8),
    "smooth, rate .95": lambda onset: Smooth(middle=onset, rate=0.95),
    "noisy, spread .05": lambda onset: Noisy(middle=onset, spread=0.05),
    "noisy, spread .2": lambda onset: Noisy(middle=onset, spread=0.2),
    "bump, rate .5": lambda onset: Bump(onset=onset, rate=0.5),
    "bump, rate .8": lambda onset: Bump(onset=onset, rate=0.8),
}
SCHEDULERS: dict[str, BudgetScheduler] = {
    "annealing": Annealing(),
    "doubling_bisect": DoublingBisect(),
    "rollout_growth": RolloutGrowth(),
}


def threshold(seed: int) -> float:
    """Return the threshold of a study seed, evenly spread over the logarithm."""
    return float(LEAST * (LARGEST / LEAST) ** ((derive_seed(seed, "threshold") % 10**6 + 0.5) / 10**6))


def studied(scheduler: BudgetScheduler, world: Callable[[float], OraclePart], seed: int) -> dict[str, Any]:
    """Return what one study claimed, beside the truth."""
    oracle = world(threshold(seed))
    terms = Terms(seed=seed, milestones=[oracle.milestone if isinstance(oracle, Noisy) else 1.0])
    result = simulate(scheduler, oracle, workers=WORKERS, seed=seed, terms=terms, events=False)
    truth, minimum, program = oracle.least(), result.minimum, result.selected
    assert truth is not None, "every world has a level at which half of the lineages pass"
    false = False
    if program is not None:
        false = not oracle.passes(program.budget.cap, derive_seed(seed, program.member, program.lineage))
    return {
        "seed": seed,
        "truth": truth,
        "found": result.found_budget,
        "low": minimum.low,
        "safe_low": minimum.safe_low,
        "false": false,
        "cost": result.search_cost / oracle.cost(truth),
    }


def counted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return shares over studies, with Wilson's intervals at 95 %.

    `covered`: low <= C* <= high; `low_holds`: low <= C*, whatever luck found; `lucky`: high < C*. A side that is not
    stated excludes nothing. Widths (high over low) are medians of the studies that have both sides.
    """
    above, safe_above = (sum(_above(row, side) for row in rows) for side in ("low", "safe_low"))
    below = sum(row["found"] is not None and not reaches(row["found"], row["truth"]) for row in rows)
    claims = [row for row in rows if row["found"] is not None]
    both = {side: [row["found"] / row[side] for row in claims if row[side] is not None] for side in ("low", "safe_low")}
    of = len(rows)
    return {
        "studies": of,
        "claims": len(claims),
        "false": wilson(sum(row["false"] for row in claims), len(claims))._asdict(),
        "covered": wilson(of - above - below, of)._asdict(),
        "low_holds": wilson(of - above, of)._asdict(),
        "safe_covered": wilson(of - safe_above - below, of)._asdict(),
        "safe_low_holds": wilson(of - safe_above, of)._asdict(),
        "lucky": below,
        "low_stated": sum(row["low"] is not None for row in rows),
        "safe_low_stated": sum(row["safe_low"] is not None for row in rows),
        "width": median(both["low"]) if both["low"] else None,
        "safe_width": median(both["safe_low"]) if both["safe_low"] else None,
        "cost": sum(row["cost"] for row in rows) / of,
        "within_10_percent": wilson(sum(row["found"] <= 1.1 * row["truth"] for row in claims), of)._asdict(),
    }


def _above(row: dict[str, Any], side: str) -> bool:
    return row[side] is not None and not reaches(row["truth"], row[side])


def told(scheduler: str, world: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Print and return the shares."""
    shares = counted(rows)
    short = {name: share["value"] if isinstance(share, dict) else share for name, share in shares.items()}
    print(scheduler, world, {name: round(value, 3) for name, value in short.items() if value is not None}, flush=True)
    return shares


def main() -> None:
    """Print and keep the shares by scheduler and world, and the seeds whose `low` lies above C*."""
    kept: dict[str, Any] = {}
    for name, scheduler in SCHEDULERS.items():
        kept[name] = {}
        everything = []
        for world, build in WORLDS.items():
            rows = [studied(scheduler, build, seed) for seed in SEEDS]
            everything += rows
            missed = [row["seed"] for row in rows if _above(row, "low")]
            kept[name][world] = told(name, world, rows) | {"missed_seeds": missed}
        kept[name]["all"] = told(name, "all", everything)
    keep("coverage", {"seeds": len(SEEDS), "workers": WORKERS, **kept})


if __name__ == "__main__":
    main()
