"""The prediction put to the test: how often coarse steps select harm, a line for every pool of programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sp_search.report.figures import GREY, INK, OKABE_ITO, PALE, STYLE

MARKERS = ("o", "s", "^", "D", "v")
SIZE_IN = (6.4, 4.2)


def draw_families(prediction: dict[str, Any], pools: list[dict[str, Any]], path: Path) -> Path:
    """Write the picture to `path` (.png or .svg).

    Args:
        prediction: what was sealed (sp_search.tax.prediction).
        pools: rows with `family`, `name`, `x` and `curve`; those without a curve, whose harm is free, are left out.
        path: where to.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    drawn = [row for row in pools if "curve" in row]
    families = list(dict.fromkeys(row["family"] for row in drawn))
    with rc_context({**STYLE, "svg.hashsalt": "tax"}):
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        axes = figure.add_subplot()
        x = prediction["x"]
        axes.fill_between(x, prediction["least"], prediction["largest"], color=PALE, lw=0)
        axes.plot(x, prediction["median"], color=INK, lw=2, label="predicted: decision programs, median of 256")
        axes.plot(x, prediction["envelope"], color=GREY, lw=1, ls=(0, (4, 3)), label="bound: 1 - 1/x")
        for index, family in enumerate(families):
            label: str | None = family
            for row in drawn:
                if row["family"] == family:
                    style: Any = {"color": OKABE_ITO[index % 7], "marker": MARKERS[index % 5], "ms": 4, "lw": 1.1}
                    axes.plot(row["x"], row["curve"], label=label, **style)
                    end = (row["x"][-1], row["curve"][-1])
                    axes.annotate(row["name"], end, (5, -3), textcoords="offset points", fontsize=6.5, color=GREY)
                    label = None
        axes.set_xscale("log", base=2)
        axes.set_xticks([0.5, 1, 2, 4, 8, 16, 32], ["1/2", "1", "2", "4", "8", "16", "32"])
        axes.set_xlim(0.45, 70)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("step of the cap / price of deceiving (C* of harm - C* of the rest)")
        axes.set_ylabel("chance that harm is selected")
        axes.legend(loc="upper left")
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=150, metadata=metadata)
    return path
