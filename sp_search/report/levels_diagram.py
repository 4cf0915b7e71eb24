"""The argument's second diagram for the networks of a study: compute against performance, and the way of the search.

Drawn from plain data (`Levels`) by whoever measured it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sp_search.report.diagrams import FOUND, NEEDED, SAID, WASTED, written
from sp_search.report.figures import GREY, INK, PALE, short_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
LEAST_ERROR = 5e-4
"""Rarer errors are drawn as these: a scale of errors has no place for none."""
MARKERS = {"passed": ("v", FOUND), "failed": ("^", "white"), "undecided": ("D", "white")}
CIRCLE: dict[str, Any] = {"s": 36, "facecolors": "white", "edgecolors": NEEDED, "lw": 1.5}
FAILED: dict[str, Any] = {"s": 16, "facecolors": "none", "edgecolors": GREY, "lw": 0.9}
CROSS: dict[str, Any] = {"s": 32, "c": WASTED, "marker": "x", "lw": 1.5}


class Levels(NamedTuple):
    """The second diagram of a study.

    verified: (compute, performance) of lineages that passed their level. failed: of those that did not; their
    performance is that of validation. misbehaving: of programs known to misbehave. selected: its performance.
    visits: (budget, phase, verdict), in order.
    """

    verified: Sequence[tuple[float, float]]
    failed: Sequence[tuple[float, float]]
    misbehaving: Sequence[tuple[float, float]]
    threshold: float
    least: float
    selected: float
    visits: Sequence[tuple[float, str, str]]


def draw_levels(levels: Levels, measure: str, budget: str, folder: Path, *, name: str) -> list[Path]:
    """Write the diagram as SVG and PNG; `budget` is what the search moved."""

    def draw(figure: Figure) -> None:
        programs, search = figure.subplots(2, 1, height_ratios=(4.0, 2.0))
        _programs(programs, levels)
        programs.set_xlabel(f"C: {measure}")
        _search(search, levels)
        search.set_xlabel(budget)
        for axes in (programs, search):
            axes.xaxis.set_major_formatter(lambda value, _: short_number(value))
        figure.align_ylabels()

    return written(draw, (7.6, 6.6), folder, name)


def height(performance: float) -> float:
    """Return where a performance is drawn: every tenfold fewer errors one higher."""
    return -log10(max(1.0 - performance, LEAST_ERROR))


def _programs(axes: Axes, levels: Levels) -> None:
    high, least = height(levels.threshold), levels.least
    axes.axhline(high, color=INK, lw=1)
    axes.axvline(least, color=INK, lw=1)
    for cost, performance in levels.misbehaving:
        if performance >= levels.threshold and cost > least:
            axes.plot([least, cost], [height(performance)] * 2, color=WASTED, lw=1.1, ls=(0, (1, 2)), zorder=2)
    drawn = ((levels.failed, FAILED), (levels.verified, CIRCLE), (levels.misbehaving, CROSS))
    for order, (points, style) in enumerate(drawn, 3):
        axes.scatter([cost for cost, _ in points], [height(one) for _, one in points], zorder=order, **style)
    axes.scatter([least], [height(levels.selected)], s=300, marker="*", c=FOUND, ec="white", lw=0.8, zorder=6)
    axes.annotate("P*", (0, high), (4, 4), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=11)
    axes.annotate("C*", (least, 0), (4, 5), xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=11)
    lowest = min(performance for _, performance in (*levels.verified, *levels.failed, *levels.misbehaving))
    lowest = min(lowest, levels.threshold)
    ticks = [one for one in TICKS if lowest - 0.1 <= one and abs(height(one) - high) > 0.05] + [levels.threshold]
    best = (height(1.0), f"from {100 * (1 - LEAST_ERROR):g} %")
    axes.set_yticks([*map(height, ticks), best[0]], [*(f"{100 * one:g} %" for one in ticks), best[1]])
    axes.set_ylim(height(lowest) - 0.15, height(1.0) + 0.2)
    axes.set_ylabel("performance (share of right answers)")
    axes.grid(axis="y", color=PALE, lw=0.6)
    axes.legend(handles=_handles(levels), loc="lower right", bbox_to_anchor=(1, 1), ncols=5, columnspacing=1.0)


def _handles(levels: Levels) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], label="selected", marker="*", ls="", ms=13, mfc=FOUND, mec="white"),
        Line2D([], [], label="passed its level", marker="o", ls="", mfc="white", mec=NEEDED, mew=1.5),
    ]
    if levels.failed:
        handles.append(Line2D([], [], label="failed it", marker="o", ls="", ms=4, mfc="none", mec=GREY))
    if levels.misbehaving:
        handles.append(Line2D([], [], label="known to misbehave", marker="x", ls="", color=WASTED, mew=1.6))
        handles.append(Line2D([], [], label="waste: beyond C*", color=WASTED, ls=(0, (1, 2))))
    return handles


def _search(axes: Axes, levels: Levels) -> None:
    from matplotlib.ticker import MaxNLocator

    budgets = [budget for budget, _, _ in levels.visits]
    axes.plot(budgets, range(1, len(budgets) + 1), color=GREY, lw=1.1, zorder=1)
    for verdict, (marker, face) in MARKERS.items():
        own = [(budget, visit) for visit, (budget, _, it) in enumerate(levels.visits, 1) if it == verdict]
        if own:
            axes.scatter(
                [budget for budget, _ in own],
                [visit for _, visit in own],
                s=38,
                marker=marker,
                c=face,
                ec=INK,
                lw=0.9,
                zorder=3,
                label=verdict,
            )
    before = None
    for visit, (budget, phase, _) in enumerate(levels.visits, 1):
        if phase != before:
            words, box = SAID.get(phase, phase), {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
            axes.annotate(words, (budget, visit), (8, -3), textcoords="offset points", fontsize=8, bbox=box, zorder=2)
        before = phase
    axes.set_ylim(len(budgets) + 0.7, 0.3)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    if max(budgets) / min(budgets) > 30:
        axes.set_xscale("log")
    else:
        room = 0.08 * (max(budgets) - min(budgets) or max(budgets))
        axes.set_xlim(min(budgets) - room, max(budgets) + 2 * room)
    axes.set_ylabel("level, in the order\nof the search")
    axes.legend(loc="upper right")
