"""The figure of the comparison: what is known after so much was spent, and what a success costs."""

from __future__ import annotations

from math import exp, log
from pathlib import Path
from typing import Any

from benchmarks.search.measures import GRID

Row = dict[str, Any]
SHOWN = {
    "sp_search": ("#c0392b", 2.4), "doubling, then bisection": ("#7f8c8d", 1.4), "random": ("#2c3e50", 1.2),
    "Optuna TPE": ("#2980b9", 1.4), "Optuna NSGA-II": ("#8e44ad", 1.2), "Optuna GP": ("#16a085", 1.2),
    "Ray ASHA, scalarised": ("#d68910", 1.4), "Ray HyperBand, scalarised": ("#a04000", 1.2),
}  # fmt: skip
"""Colour and width of the methods whose anytime curves are drawn."""


def draw(thresholds: list[Row], rare: list[Row], path: Path) -> None:
    """Draw two anytime curves and the bars of ERT, and save them."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    drawn, (first, second, bars) = pyplot.subplots(1, 3, figsize=(15, 4.6), width_ratios=(1, 1, 1.1))
    _curves(first, thresholds, "steep, C* 100, q .5", "prices of one lineage at C*", 100)
    _curves(second, rare, "NAS-Bench-201, cifar10", "prices of one mean evaluation", 1000)
    _bars(bars, thresholds)
    drawn.tight_layout(rect=(0, 0.06, 1, 1))
    drawn.legend(*first.get_legend_handles_labels(), fontsize=8, loc="lower left", ncols=len(SHOWN))
    drawn.savefig(path, dpi=130, metadata={"Software": None})
    pyplot.close(drawn)


def _curves(axes: Any, rows: list[Row], world: str, unit: str, purse: float) -> None:
    for name, (colour, width) in SHOWN.items():
        row = next(
            (one for one in rows if (one["method"], one["world"], one["reading"]) == (name, world, "program")), None
        )
        if row is None:
            continue
        known = [(spent, value) for spent, value in zip(GRID, row["curve"], strict=True) if value is not None]
        if known:
            axes.step(
                *zip(*known, strict=True), where="post", color=colour, linewidth=width, label=name, zorder=2 + width
            )
    axes.set(
        xscale="log", yscale="log", xlabel=f"spent, in {unit}", ylabel="compute of the verified claim / C*", title=world
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlim(right=purse)
    axes.axhline(1.1, color="black", linewidth=0.6, linestyle=":")
    axes.grid(alpha=0.25)


def _bars(axes: Any, rows: list[Row]) -> None:
    """Draw the geometric mean of ERT over the threshold worlds; a hatched bar has worlds without any success."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    for place, name in enumerate(reversed(names)):
        own = [row for row in rows if row["method"] == name and row["reading"] == "program"]
        known = [row["ert"]["0.1"] or 2 * sum(row["costs"]) for row in own]
        value, whole = exp(sum(map(log, known)) / len(known)), all(row["ert"]["0.1"] is not None for row in own)
        colour = SHOWN.get(name, ("#bdc3c7", 0))[0]
        axes.barh(place, value, color=colour, hatch=None if whole else "///", edgecolor="white")
        axes.text(value * 1.05, place, f"{value:.0f}", va="center", fontsize=7)
    axes.set_xlim(1, 700)
    axes.set_yticks(range(len(names)), list(reversed(names)), fontsize=7)
    axes.set(
        xscale="log", xlabel="ERT for 10 %, geometric mean over worlds", title="expected cost of a verified success"
    )
