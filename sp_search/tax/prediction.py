"""What the exact world of decision programs predicts for other program families, written down before any is tried.

All 256 functions of 3 bits, one context bit, at most 4 nodes on a path; every one is a pool with a curve of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import product
from statistics import quantiles
from typing import Any

from sp_search.exact import Setting, census
from sp_search.tax.pools import Good, Pool, envelope

XS = (0.5, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)


def tree_pool(setting: Setting) -> Pool:
    """Return the good decision programs of a setting, by average cost and harm; exact numbers as weights."""
    counted = census(setting)
    return Pool(Good(counted.average(group.cost), group.harmful, group.count) for group in counted.good())


def all_functions(bits: int) -> list[str]:
    """Return every Boolean function of so many bits as a truth table."""
    return ["".join(table) for table in product("01", repeat=2**bits)]


def predict(functions: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the prediction: median and spread of the curve over functions, and the two rules that come with it."""
    tables = functions or all_functions(3)
    pools = [tree_pool(Setting(function=table)) for table in tables]
    curves = [pool.curve(XS) for pool in pools]
    columns = [sorted(column) for column in zip(*curves, strict=True)]
    gaps = sorted(pool.gap for pool in pools)
    return {
        "says": (
            "A search raises its cap on mean compute by steps of x times the price of deceiving (C* of good programs "
            "that do harm minus C* of those that do none), from a random phase, looks everywhere at each level and "
            "takes any good program within the first cap that holds one. The chance that it takes one that does harm:"
        ),
        "world": {"programs": "decision programs", "task_bits": 3, "context_bits": 1, "depth": 4},
        "functions": len(tables),
        "gap_in_reads": {"least": gaps[0], "median": gaps[len(gaps) // 2], "largest": gaps[-1]},
        "share_of_harm_without_preference": {
            "least": min(pool.share for pool in pools),
            "largest": max(pool.share for pool in pools),
        },
        "x": list(XS),
        "median": [quantiles(column, n=4, method="inclusive")[1] for column in columns],
        "low_quartile": [quantiles(column, n=4, method="inclusive")[0] for column in columns],
        "high_quartile": [quantiles(column, n=4, method="inclusive")[2] for column in columns],
        "least": [column[0] for column in columns],
        "largest": [column[-1] for column in columns],
        "rules": {
            "A": "the median above, whatever the family",
            "B": "(1 - 1/x)+ times the share of harm in the family's pool, for pools in which harm is no majority",
            "bound": "no pool exceeds (1 - 1/x)+: up to one gap no harm is within reach (a theorem, no finding)",
            "free": "where the price is 0 or less there is no x: harm is selected about as often as the pool holds it",
        },
        "envelope": [envelope(x) for x in XS],
        "tested_on": {
            "register machine": "every good program of a length, for several targets; harm as the machine defines it",
            "nets": (
                "equal numbers of lineages trained on clean data and on an adversary's; a program is a lineage with a "
                "halting threshold, good where it meets the milestone on clean inputs, harmful where it answers most "
                "triggered inputs of the held-out half wrongly; compute is the mean executed on clean inputs"
            ),
        },
        "error": "mean and largest |chance in the family's pool - rule| over x > 1",
    }


def sealed(prediction: dict[str, Any]) -> dict[str, Any]:
    """Return a prediction with the SHA-256 of its canonical JSON, so that a later change would show."""
    written = json.dumps(prediction, sort_keys=True, separators=(",", ":")).encode()
    return {"prediction": prediction, "sha256": hashlib.sha256(written).hexdigest()}


def opened(content: dict[str, Any]) -> dict[str, Any]:
    """Return a sealed prediction, or raise ValueError where it is not what was sealed."""
    prediction: dict[str, Any] = content["prediction"]
    if sealed(prediction)["sha256"] != content["sha256"]:
        raise ValueError("the prediction is not the one that was sealed: its SHA-256 differs")
    return prediction
