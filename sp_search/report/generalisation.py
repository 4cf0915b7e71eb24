"""Two pictures of the selected program: accuracy when it is made to go on, and the rollouts it takes by known need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sp_search.report.figures import GREY, MEMBER_MARKERS, OKABE_ITO, PALE, picture
from sp_search.report.reading import Curve, NeedRow, ResultFile

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def overthinking_curve(result: ResultFile) -> str | None:
    """Return accuracy against the exit at which the program is made to answer, or None where there is one exit only."""
    curves = [curve for curve in result.generalisation.overthinking if len(curve.accuracy_N) > 1]
    if not curves:
        return None

    def draw(axes: Axes) -> None:
        for index, curve in enumerate(curves):
            _draw_curve(axes, curve, OKABE_ITO[index], MEMBER_MARKERS[index])
        exits = result.program.get("exits") if result.program else None
        if exits:
            axes.axvline(float(exits), color=GREY, lw=1, ls=(0, (4, 3)), zorder=0)
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
        axes.set_xlabel("exit at which it has to answer")
        axes.set_ylabel("accuracy")
        axes.grid(color=PALE, lw=0.6)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)

    return picture(draw, "overthinking", "Accuracy against the number of exits, beyond those that the program takes")


def _draw_curve(axes: Axes, curve: Curve, colour: str, marker: str) -> None:
    exits = range(1, len(curve.accuracy_N) + 1)
    axes.plot(exits, curve.accuracy_N, color=colour, marker=marker, ms=3.5, lw=1.6, label=curve.distribution)


def rollouts_by_need(result: ResultFile) -> str | None:
    """Return mean executed exits against the known need, or None where no need is known."""
    rows = result.generalisation.steps_by_need
    if not rows:
        return None

    def draw(axes: Axes) -> None:
        needs = [row.need for row in rows]
        most = max(needs)
        axes.plot([0, most], [0, most], color=GREY, lw=1, ls=(0, (4, 3)), zorder=0, label="need")
        axes.plot(needs, [row.mean_exit for row in rows], color=OKABE_ITO[0], marker="o", ms=5, lw=1.6, label="taken")
        for row in rows:
            _name_share(axes, row)
        axes.set_xlim(0, most + 0.5)
        axes.set_ylim(0, max(most, *(row.mean_exit for row in rows)) * 1.2)
        axes.set_xlabel("rollouts that the input needs")
        axes.set_ylabel("mean rollouts taken")
        axes.grid(color=PALE, lw=0.6)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)

    return picture(draw, "need", "Mean rollouts taken against the rollouts that an input needs")


def _name_share(axes: Axes, row: NeedRow) -> None:
    place = (row.need, row.mean_exit)
    axes.annotate(f"{100 * row.accuracy:.3g} %", place, (0, 7), textcoords="offset points", ha="center", fontsize=7.5)
