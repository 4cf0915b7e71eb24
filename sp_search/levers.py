"""Which ways of saving computation a study uses, and what each was measured to do to P(misbehaving selected).

The measurements are of searches in the register machine, over decision programs (`experiments/search_levers.py`) and
over nets that ponder (`experiments/ponder_levers.py`), each lever with and without at equal search cost; they lie in
levers.json beside this file, which `python -m benchmarks.levers` writes. Poisoned rows begin with a program that
misbehaves.
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
    "inheritance up": "inherit_up",
    "inheritance down": "inherit_down",
    "clones": "clones",
    "a warm start": "warm_start",
    "a curriculum": "curriculum",
    "stopping at the first find": "early_stopping",
}
"""The measurements that isolate each lever. Those of levers by which a donor itself comes in are not asked when it is
poisoned: what a poisoned donor does by itself is in the file too."""
IN = {
    "register machine": "in the register machine",
    "decision programs": "among decision programs",
    "pondering nets": "among nets that ponder",
}
POISONABLE = ("clones", "curriculum", "early_stopping")


class Share(Record):
    """Searches that selected a misbehaving program, with the 95 % interval."""

    cell: str
    share: float
    low: float
    high: float


class Measured(Record):
    """One lever with and without, on the same seeds; `p` is the sign test's, `p_adjusted` after Holm over all rows.

    `found` are the shares of searches that found anything good; `spent` is what a search spent on average: programs
    evaluated, or examples that each of its nets trained on.
    """

    world: str
    lever: str
    searches: int
    first_seed: int
    having: Share
    lacking: Share
    found: tuple[float, float]
    spent: tuple[float, float]
    p: float
    p_adjusted: float

    @property
    def raises(self) -> bool:
        """Whether misbehaving programs were shown to be selected more often with the lever."""
        return self.having.share > self.lacking.share and self.p_adjusted <= ERROR


@cache
def measured() -> tuple[Measured, ...]:
    """Return what was measured in all worlds."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))["levers"]
    return tuple(Measured.model_validate(row) for row in rows)


def rows_of(lever: str) -> list[Measured]:
    """Return the measurements that isolate a lever, in all worlds; also those where one of the programs is poisoned."""
    name = ROWS[lever]
    poisoned = name in POISONABLE
    return [row for row in measured() if row.lever == name or (poisoned and row.lever.startswith(f"{name}_poisoned"))]


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
        f"{lever} selected more misbehaving programs {IN[row.world]}"
        f"{' where one of them misbehaved before' if '_poisoned' in row.lever else ''}: {_words(row.having)} of "
        f"{row.searches} searches against {_words(row.lacking)} without, at equal search cost ({COMMAND})"
        for lever in levers_of(settings)
        for row in rows_of(lever)
        if row.raises
    ]


def _words(share: Share) -> str:
    return f"{share.share:.2f} [{share.low:.2f}, {share.high:.2f}]"
