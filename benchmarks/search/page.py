"""The page of the comparison from its rows: tables between markers in docs/search_comparison.md, and the figure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.search import figure
from benchmarks.search.measures import ert_ratio, wilson
from benchmarks.seeds import RESULTS

Row = dict[str, Any]
PAGE = Path(__file__).parents[2] / "docs" / "search_comparison.md"
OURS = "sp_search"


def rows_of(part: str) -> list[Row]:
    """Return the rows of a part."""
    kept = json.loads((RESULTS / f"search_{part}.json").read_text(encoding="utf-8"))["rows"]
    return [row | {"regrets": [float("inf") if one is None else one for one in row.get("regrets", ())]} for row in kept]


def table(heads: list[str], body: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def names(rows: list[Row], key: str) -> list[str]:
    """Return the values of a column, each once, in order."""
    return list(dict.fromkeys(str(row[key]) for row in rows))


def number(value: float | None) -> str:
    """Return a value with three figures; `-` is what never came."""
    if value is None or value == float("inf"):
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percent(value: float) -> str:
    """Return a share in per cent."""
    return "-" if value == float("inf") else f"{100 * value:.0f}"


def pooled_ert(rows: list[Row], tolerance: str) -> str:
    """Return the geometric mean of ERT over worlds; one without a success has half of one, which `>` says."""
    known, none = [], 0
    for row in rows:
        spent, value = sum(row["costs"]), row["ert"][tolerance]
        none += value is None
        known.append(2 * spent if value is None else value)
    return (">" if none else "") + number(exp(sum(map(log, known)) / len(known)))


def share(rows: list[Row], tolerance: str) -> str:
    """Return success over worlds together, with its interval (Wilson, 95 %)."""
    of = sum(row["runs"] for row in rows)
    found = wilson(round(sum(row["success"][tolerance][0] * row["runs"] for row in rows)), of)
    return f"{percent(found.value)} ({percent(found.low)}-{percent(found.high)})"


def false_share(rows: list[Row]) -> str:
    """Return how many of the final claims are false, in per cent."""
    false, claims = (sum(row["false_claims"][place] for row in rows) for place in (0, 1))
    return f"{100 * false / claims:.1f}" if claims else "-"


def main_table(thresholds: list[Row], rare: list[Row]) -> str:
    """Return one row a method: the threshold worlds together, then the worlds of configurations."""
    heads = ["method", "success 5 %", "10 %", "25 %", "regret %: median (quartiles) worst",
             "cost: mean, median, worst", "ERT 10 %", "ERT, own end", "false %", "not repeatable %",
             "rare: success 25 %", "ERT 25 %", "false %"]  # fmt: skip
    body = []
    for name in dict.fromkeys([*names(thresholds, "method"), *names(rare, "method")]):
        own, mine = _of(thresholds, name), _of(rare, name)
        if own:
            regrets = sorted(one for row in own for one in row["regrets"])
            at = [percent(regrets[round(part * (len(regrets) - 1))]) for part in (0.5, 0.25, 0.75, 1)]
            costs = [cost for row in own for cost in row["costs"]]
            cells = [
                *(share(own, tolerance) for tolerance in ("0.05", "0.1", "0.25")),
                f"{at[0]} ({at[1]}, {at[2]}) {at[3]}",
                f"{number(sum(costs) / len(costs))}, {number(median(costs))}, {number(max(costs))}",
                pooled_ert(own, "0.1"), _own_end(own), false_share(own),
                false_share(_of(thresholds, name, "repeatable")),
            ]  # fmt: skip
        else:
            cells = [""] * 9
        last = [share(mine, "0.25"), pooled_ert(mine, "0.25"), false_share(mine)] if mine else [""] * 3
        body.append([_strong(name), *cells, *last])
    return table(heads, body)


def _own_end(rows: list[Row]) -> str:
    known = [row["ert_to_the_end"] or 2 * row["total"]["mean"] * row["runs"] for row in rows]
    none = any(row["ert_to_the_end"] is None for row in rows)
    return (">" if none else "") + number(exp(sum(map(log, known)) / len(known)))


def _of(rows: list[Row], method: str, reading: str = "program") -> list[Row]:
    return [row for row in rows if row["method"] == method and row["reading"] == reading]


def _strong(name: str) -> str:
    return f"**{name}**" if name == OURS else name


def by_world(rows: list[Row], tolerance: str, reading: str) -> str:
    """Return ERT of every method in every world, and success where it is not sure."""
    worlds = names(rows, "world")
    body = []
    for name in names(rows, "method"):
        own = {row["world"]: row for row in _of(rows, name, reading)}
        body.append([_strong(name), *(_ert_cell(own[world], tolerance) for world in worlds)])
    return table([f"ERT {100 * float(tolerance):.0f} %", *worlds], body)


def _ert_cell(row: Row, tolerance: str) -> str:
    success = row["success"][tolerance][0]
    return number(row["ert"][tolerance]) + (f" ({percent(success)})" if success < 1 else "")


def rivals(rows: list[Row], tolerance: str = "0.1") -> str:
    """Return by world the outside peer and the baseline of least ERT, over sp_search's (bootstrap, 95 %).

    A peer's rows of both readings count: what succeeds repeatably succeeds, and its other setting may do better.
    """
    body = []
    for world in names(rows, "world"):
        here = [row for row in rows if row["world"] == world]
        ours, cells = next(row for row in here if (row["method"], row["reading"]) == (OURS, "program")), []
        for baseline in (False, True):
            others = [row for row in here if row["method"] != OURS and (row["whose"] == "sp_search") == baseline]
            known = [row for row in others if row["ert"][tolerance] is not None]
            best = min(known, key=lambda row: row["ert"][tolerance], default=None)
            cells.append("none succeeds" if best is None else f"{best['method']}: {_ratio(best, ours, tolerance)}")
        body.append([world, number(ours["ert"][tolerance]), *cells])
    return table(["world", "ERT of sp_search", "best of Ray, Optuna, random, over it", "best baseline, over it"], body)


def _ratio(peer: Row, ours: Row, tolerance: str) -> str:
    found = ert_ratio(peer, ours, tolerance)
    if found is None:
        return "sp_search never succeeds"
    low, high = number(found.low), number(found.high)
    return f"{'**' if found.high < 1 else ''}{number(found.value)}{'**' if found.high < 1 else ''} ({low}-{high})"


def workers_table(rows: list[Row]) -> str:
    """Return virtual time to the claim and utilisation by workers, without and with crashes."""
    rows = [row for row in rows if row["method"] in figure.SHOWN or row["method"] == "log bisection"]
    settings = [(workers, rate) for rate in sorted({row["crash_rate"] for row in rows}) for workers in (1, 4, 16, 64)]
    body = []
    for world in names(rows, "world"):
        for name in names(rows, "method"):
            own = [row for row in rows if (row["world"], row["method"]) == (world, name)]
            at = {(row["workers"], row["crash_rate"]): row for row in own}
            body.append([world, _strong(name), *(_worker_cell(at[one]) for one in settings)])
    heads = [f"{workers} workers" + (", crashes" if rate else "") for workers, rate in settings]
    return table(["world", "method", *heads], body)


def _worker_cell(row: Row) -> str:
    success = row["success"]["0.1"][0]
    sure = "" if success == 1 else f" ({percent(success)})"
    return f"{number(row['hit_time'])}, {percent(row['utilisation'])} %, {number(row['ert']['0.1'])}{sure}"


def ablations_table(rows: list[Row]) -> str:
    """Return ERT and the cost at the end of every variant in every world."""
    worlds, rows = names(rows, "world"), [row for row in rows if row["reading"] == "program"]
    body = []
    for name in names(rows, "method"):
        own = {row["world"]: row for row in rows if row["method"] == name}
        cells = [f"{_ert_cell(own[world], '0.1')}; {number(own[world]['total']['mean'])}" for world in worlds]
        body.append([name, *cells, number(median(own[world]["time"] for world in worlds))])
    return table(["annealing", *worlds, "virtual time"], body)


def settings_table() -> str:
    """Return which setting every method was given."""
    choice = json.loads((RESULTS / "search_choice.json").read_text(encoding="utf-8"))
    body = []
    for name in dict.fromkeys([*choice["thresholds"]["program"], *choice["rare"]["program"]]):
        cells = [choice[family][reading].get(name, "") for family in ("thresholds", "rare")
                 for reading in ("program", "repeatable")]  # fmt: skip
        if len(set(filter(None, cells))) > 1 or cells[0] not in {"default", "annealing"}:
            body.append([name, *cells])
    return table(["method", "thresholds", "repeatable", "rare", "repeatable"], body)


def tables() -> dict[str, Callable[[], str]]:
    """Return the page's tables by the name of their markers."""
    thresholds, rare, inherit = rows_of("thresholds"), rows_of("rare"), rows_of("inherit")
    return {
        "main": lambda: main_table(thresholds, rare),
        "rivals": lambda: rivals(thresholds),
        "worlds": lambda: by_world(thresholds, "0.1", "program"),
        "repeatable": lambda: by_world(thresholds, "0.1", "repeatable"),
        "rare": lambda: by_world(rare, "0.25", "program"),
        "rare_repeatable": lambda: by_world(rare, "0.25", "repeatable"),
        "inherit": lambda: by_world(inherit, "0.1", "program"),
        "workers": lambda: workers_table(rows_of("workers")),
        "ablations": lambda: ablations_table(rows_of("ablations")),
        "settings": settings_table,
    }


def filled(text: str, parts: dict[str, Callable[[], str]]) -> str:
    """Return the page with what stands between its markers written anew."""
    for name, part in parts.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text, count = re.subn(
            pattern, lambda found, part=part: f"{found[1]}{part()}\n{found[2]}", text, flags=re.DOTALL
        )
        if count != 1:
            raise ValueError(f"the page has {count} pairs of markers <!-- {name} -->, needs one")
    return text


def write() -> None:
    """Write the tables into the page, and the figure beside it."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
    figure.draw(rows_of("thresholds"), rows_of("rare"), PAGE.with_suffix(".png"))
    print(f"written: {PAGE}")
