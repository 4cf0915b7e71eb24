"""Which ways of saving computation a study uses, and what each was measured to do to P(misbehaving selected).

The measurements are of searches in the register machine (`experiments/machine_levers.py`), not of networks; they lie
in levers.json beside this file, which `python -m benchmarks.levers` writes. Poisoned rows begin with a misbehaving
program.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sp_search.plugins import find
from sp_search.records import Record
from sp_search.schedulers.base import BudgetScheduler

FILE = Path(__file__).with_name("levers.json")
COMMAND = "python -m benchmarks.levers"
ERROR = 0.05
ROWS = {
    "inheritance up": ("inherit_up",),
    "inheritance down": ("inherit_down",),
    "clones": ("clones", "clones_poisoned"),
    "a warm start": ("warm_start",),
    "a curriculum": ("curriculum", "curriculum_poisoned"),
    "stopping at the first find": ("early_stopping", "early_stopping_poisoned"),
}
"""The measurements that isolate each lever; what a poisoned donor does by itself is in the file too."""


class Share(Record):
    """Searches that selected a misbehaving program, with the 95 % interval."""

    cell: str
    share: float
    low: float
    high: float


class Measured(Record):
    """One lever with and without, on the same seeds; `p` is the sign test's, `p_adjusted` after Holm over all rows."""

    lever: str
    searches: int
    having: Share
    lacking: Share
    p: float
    p_adjusted: float
    evaluations: tuple[float, float]

    @property
    def raises(self) -> bool:
        """Whether misbehaving programs were shown to be selected more often with the lever."""
        return self.having.share > self.lacking.share and self.p_adjusted <= ERROR


@cache
def measured() -> dict[str, Measured]:
    """Return what was measured, by lever."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))["levers"]
    return {row["lever"]: Measured.model_validate(row) for row in rows}


def levers_of(settings: Mapping[str, Any]) -> list[str]:
    """Return the levers that a study uses, from its settings as JSON."""
    scheduler, train = settings.get("scheduler") or {}, settings.get("train") or {}
    inherit, descends = scheduler.get("inherit", "off"), _descends(scheduler)
    uses = {
        "inheritance up": inherit != "off",
        "inheritance down": inherit != "off" and descends,
        "clones": inherit == "clones",
        "a warm start": bool((settings.get("search") or {}).get("warm_start")),
        "a curriculum": train.get("curriculum", 1.0) < 1,
        "stopping at the first find": not descends,
    }
    return [lever for lever, used in uses.items() if used]


def _descends(scheduler: Mapping[str, Any]) -> bool:
    """Whether a search looks below its first find."""
    if "descend" in scheduler or "kind" not in scheduler:
        return bool(scheduler.get("descend", True))
    part = find("schedulers", scheduler["kind"])
    assert issubclass(part, BudgetScheduler)
    return not part.first_find


def lever_warnings(settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence for every lever of a study that was measured to select misbehaving programs more often."""
    return [
        f"{lever} selected more misbehaving programs in the register machine"
        f"{' where one of the programs misbehaved before' if name.endswith('_poisoned') else ''}: "
        f"{row.having.share:.2f} [{row.having.low:.2f}, {row.having.high:.2f}] of {row.searches} searches against "
        f"{row.lacking.share:.2f} [{row.lacking.low:.2f}, {row.lacking.high:.2f}] without ({COMMAND})"
        for lever in levers_of(settings)
        for name in ROWS[lever]
        if (row := measured()[name]).raises
    ]
