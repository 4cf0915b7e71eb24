"""How many runs MLflow is given for a study: one, one for each member, or one for each member at each level too.

MLflow writes a run in tens of milliseconds and lists them all; a study that would make thousands of them is tracked in
less detail. The decision follows from what the study was begun with, so shipping a ledger twice arrives at it twice.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Detail = Literal["study", "member", "level"]
DETAILS: tuple[Detail, ...] = ("study", "member", "level")
MOST_RUNS = 3_000


class Chosen(NamedTuple):
    """The detail in which a study is tracked, and a sentence where that is less than was asked for."""

    detail: Detail
    message: str


def chosen_detail(header: dict[str, Any]) -> Chosen:
    """Return the largest detail, up to the one asked for, at which one visit of every level fits into `MOST_RUNS`.

    A proposal lives for one level: its member run is its level run.
    """
    asked: Detail = header["study"].get("tracking", {}).get("detail", "level")
    runs = _runs(header)
    fitting: list[Detail] = [one for one in DETAILS[: DETAILS.index(asked) + 1] if runs[one] <= MOST_RUNS]
    detail = fitting[-1]
    if detail == asked:
        same = detail == "level" and header["population"].get("proposals")
        return Chosen("member" if same else detail, "")
    return Chosen(
        detail,
        f"tracking.detail: {asked} would make MLflow {runs[asked]:,} runs or more, above {MOST_RUNS:,}: "
        f"this study is tracked by {detail}",
    )


def _runs(header: dict[str, Any]) -> dict[Detail, int]:
    """Return by detail the runs of a search that visits every level once for every milestone."""
    population, climbs = header["population"], len(header["terms"]["milestones"])
    if population.get("proposals"):
        proposed = 1 + population["proposals"] * len(header["space"]["caps"]) * climbs
        return {"study": 1, "member": proposed, "level": proposed}
    members = population["members"]
    levels = climbs * sum(budget is not None for member in members for budget in member["budgets"])
    return {"study": 1, "member": 1 + len(members), "level": 1 + len(members) + levels}
