"""What a method's runs in one world come to: regret, success, cost, false claims, anytime curve, paired differences.

A claim is a program, and there are two ways to read it. *Program*: it is true when the claimed program passes, asked
of the oracle itself. *Repeatable*: it is true when, besides, at least half of fresh lineages trained like it would
pass, as C* is defined (what twenty fresh lineages would estimate); a lucky program below C* counts as false.

A run succeeds within e when its last claim is true and computes at most (1 + e) C*. Its cost is what had been spent
when the first claim within e came, generously to methods that do not know when to stop; a run that fails costs all
that it spent. ERT = the sum of all costs over the number of successes. Everything is in prices of one lineage at C*, or
of one mean evaluation in worlds of configurations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean, median
from typing import Any, Literal, NamedTuple

import numpy as np

from benchmarks.search.race import Claim, Run
from benchmarks.search.worlds import RATE, World

TOLERANCES = (0.05, 0.10, 0.25)
GRID = tuple(round(2 ** (exponent / 4), 3) for exponent in range(41))
"""Spent at which the anytime curve is read, in prices of C* (from 1 to 1,024)."""
RESAMPLES = 2000
Reading = Literal["program", "repeatable"]


class Interval(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, of: int, z: float = 1.96) -> Interval:
    """Return a share with its score interval (Wilson 1927)."""
    share = successes / of
    centre = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


@dataclass(frozen=True)
class Judged:
    """One run, judged. `regret` is inf without a true claim; `hit` by tolerance is inf where it failed."""

    regret: float
    claimed: bool
    false: bool
    total: float
    hit: dict[str, float]
    hit_time: float
    time: float
    utilisation: float
    curve: list[float]

    def cost(self, tolerance: float = 0.10) -> float:
        """Return what the run cost until it succeeded, or in all."""
        hit = self.hit[f"{tolerance:g}"]
        return hit if hit < math.inf else self.total


def judged(run: Run, world: World, reading: Reading = "program", workers: int = 1) -> Judged:
    """Judge a run by the truth of its world."""
    unit, least = world.price_of_least, world.least

    def true(claim: Claim) -> bool:
        return claim.true and (reading == "program" or claim.rate >= RATE)

    def first_within(tolerance: float) -> Claim | None:
        enough = (1 + tolerance) * least * (1 + 1e-9)
        return next((claim for claim in run.claims if true(claim) and claim.compute <= enough), None)

    last = run.claims[-1] if run.claims else None
    good = last is not None and true(last)
    hits = {f"{one:g}": first_within(one) if good else None for one in TOLERANCES}
    curve = []
    for spent in GRID:
        known = [claim for claim in run.claims if claim.spent <= spent * unit]
        curve.append(known[-1].compute / least if known and true(known[-1]) else math.inf)
    within = hits["0.1"]
    return Judged(
        regret=last.compute / least - 1 if last is not None and good else math.inf,
        claimed=last is not None,
        false=last is not None and not good,
        total=(world.purse if run.cut_short else run.spent) / unit,
        hit={name: math.inf if claim is None else claim.spent / unit for name, claim in hits.items()},
        hit_time=math.inf if within is None else within.time / unit,
        time=run.time / unit,
        utilisation=run.busy / (run.time * workers) if run.time else 0.0,
        curve=curve,
    )


def bounded_ert(rows: list[Judged], tolerance: float) -> float:
    """Return ERT with half a success where there is none, so that settings without any can still be told apart."""
    successes = sum(row.hit[f"{tolerance:g}"] < math.inf for row in rows)
    return sum(row.cost(tolerance) for row in rows) / max(successes, 0.5)


def ert(rows: list[Judged], tolerance: float = 0.10, *, to_the_end: bool = False) -> float:
    """Return the expected cost of a success: until the claim came, or until the method stopped."""
    successes = sum(row.hit[f"{tolerance:g}"] < math.inf for row in rows)
    paid = sum(row.total if to_the_end else row.cost(tolerance) for row in rows)
    return paid / successes if successes else math.inf


def summary(rows: list[Judged]) -> dict[str, Any]:
    """Return everything that the table shows of one method in one world."""
    regrets, costs = sorted(row.regret for row in rows), [row.cost() for row in rows]
    quartiles = [regrets[round(share * (len(rows) - 1))] for share in (0.25, 0.5, 0.75)]
    hits = {f"{one:g}": sum(row.hit[f"{one:g}"] < math.inf for row in rows) for one in TOLERANCES}
    return {
        "runs": len(rows),
        "regret": {"low": quartiles[0], "median": quartiles[1], "high": quartiles[2], "worst": regrets[-1]},
        "success": {name: wilson(count, len(rows)) for name, count in hits.items()},
        "ert": {f"{one:g}": ert(rows, one) for one in TOLERANCES},
        "ert_to_the_end": ert(rows, to_the_end=True),
        "cost": {"mean": mean(costs), "median": median(costs), "worst": max(costs)},
        "total": {"mean": mean(row.total for row in rows), "worst": max(row.total for row in rows)},
        "false_claims": [sum(row.false for row in rows), sum(row.claimed for row in rows)],
        "hit_time": median(row.hit_time for row in rows),
        "time": median(row.time for row in rows),
        "utilisation": mean(row.utilisation for row in rows),
        "curve": [median(row.curve[at] for row in rows) for at in range(len(GRID))],
        "regrets": [row.regret for row in rows],
        "costs": costs,
        "hits": [row.hit["0.1"] < math.inf for row in rows],
    }  # fmt: skip


def ert_ratio(peer: dict[str, Any], ours: dict[str, Any], tolerance: str = "0.1") -> Interval | None:
    """Return the peer's ERT over ours, with the 95 % bootstrap interval over paired seeds; None without a success."""
    costs = np.array([peer["costs"], ours["costs"]])
    hits = np.array([peer["hits"], ours["hits"]], dtype=float)
    if not hits.sum(axis=1).all():
        return None
    chosen = np.random.default_rng(0).integers(0, costs.shape[1], (RESAMPLES, costs.shape[1]))
    with np.errstate(divide="ignore"):
        erts = costs[:, chosen].sum(axis=2) / hits[:, chosen].sum(axis=2)
    value = costs.sum(axis=1) / hits.sum(axis=1)
    low, high = np.quantile(erts[0] / erts[1], [0.025, 0.975])
    return Interval(float(value[0] / value[1]), float(low), float(high))


def cost_difference(peer: dict[str, Any], ours: dict[str, Any]) -> Interval:
    """Return the mean of the peer's cost less ours on the same seed, with its 95 % bootstrap interval."""
    difference = np.array(peer["costs"]) - np.array(ours["costs"])
    chosen = np.random.default_rng(0).integers(0, len(difference), (RESAMPLES, len(difference)))
    low, high = np.quantile(difference[chosen].mean(axis=1), [0.025, 0.975])
    return Interval(float(difference.mean()), float(low), float(high))
