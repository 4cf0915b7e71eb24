"""The prediction put to the test: how often coarse steps select harm, a line for every pool of programs.

On the left as it is, beside the curve that was foretold; on the right divided by the share of harm in the pool, where
pools fall on one curve if nothing else than that share and the price of deceiving tells them apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sp_search.report.figures import GREY, INK, OKABE_ITO, PALE, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = ("o", "s", "^", "D", "v")
SIZE_IN = (9.0, 4.0)
NAME_HEIGHT = 0.035
"""Of a pool's name, in units of chance."""


def draw_families(prediction: dict[str, Any], pools: list[dict[str, Any]], path: Path) -> Path:
    """Write the picture to `path` (.png or .svg).

    Args:
        prediction: what was sealed (sp_search.tax.prediction).
        pools: rows with `family`, `name`, `share`, `x` and `curve`; those without a curve (harm is free) are left out.
        path: where to.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    x = prediction["x"]
    with rc_context({**STYLE, "svg.hashsalt": "tax"}):
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        left.fill_between(x, prediction["least"], prediction["largest"], color=PALE, lw=0)
        left.plot(x, prediction["median"], color=INK, lw=2, label="foretold (rule A): 256 functions, exact")
        right.plot(x, prediction["envelope"], color=INK, lw=2, label="foretold (rule B): 1 - 1/x")
        for axes, divided in ((left, False), (right, True)):
            _draw_pools(axes, [row for row in pools if "curve" in row], divided)
            axes.set_xscale("log", base=2)
            axes.set_xticks([0.5, 1, 2, 4, 8, 16, 32], ["1/2", "1", "2", "4", "8", "16", "32"])
            axes.set_xlabel("step of the cap / (C* of harm - C* of the rest)")
            axes.legend(loc="upper left")
        left.set_xlim(0.45, 80)
        left.set_ylim(-0.02, 1.3)
        left.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        left.set_title("as it is", fontsize=9)
        left.set_ylabel("chance that harm is selected")
        right.set_title("divided by the share of harm in the pool", fontsize=9)
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
    return path


def _draw_pools(axes: Axes, rows: list[dict[str, Any]], divided: bool) -> None:
    families = list(dict.fromkeys(row["family"] for row in rows))
    for index, family in enumerate(families):
        label: str | None = family
        for row in rows:
            if row["family"] != family:
                continue
            heights = [chance / row["share"] if divided else chance for chance in row["curve"]]
            style: Any = {"color": OKABE_ITO[index % 7], "marker": MARKERS[index % 5], "ms": 3.5, "lw": 1}
            axes.plot(row["x"], heights, label=label, **style)
            label = None
    if not divided:
        _name_ends(axes, rows)


def _name_ends(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Write each pool's name beside its end, moved up where it would stand on the one below."""
    lowest = 0.0
    for row in sorted(rows, key=lambda row: row["curve"][-1]):
        height = max(row["curve"][-1], lowest)
        axes.annotate(
            row["name"], (row["x"][-1], height), (5, -3), textcoords="offset points", fontsize=6.5, color=GREY
        )
        lowest = height + NAME_HEIGHT
