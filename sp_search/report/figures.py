"""The page's two pictures as inline SVG: reproducible, without external addresses, in colours that all can tell apart.

Colours are Okabe and Ito's (2008). Text stays text, so that it can be read aloud, searched and printed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import log10
from typing import TYPE_CHECKING, Any

from sp_search.report.reading import Story
from sp_search.report.words import PHASES
from sp_search.rows import LineageRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GREY, PALE = "#1f2430", "#8a8f99", "#e6e8ec"
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
PHASE_COLOURS = {
    "up_fast": "#E69F00",
    "down_slow": "#0072B2",
    "up_slower": "#009E73",
    "confirm": "#56B4E9",
    "growing": "#CC79A7",
}
PHASE_LINES = {"up_fast": "-", "down_slow": "--", "up_slower": "-.", "confirm": ":", "growing": (0, (6, 2))}
MEMBER_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Shapes say what colours say: phases and members are told apart in grey too."""
MARKERS = {"passed": "o", "failed": "X", "undecided": "D"}
MOST_POINTS = 1500
SIZE_IN = (5.2, 3.5)
STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "axes.axisbelow": True,
}


def budget_over_time(story: Story) -> str | None:
    """Return the caps by visit with their phases and verdicts, or None before the first level is closed."""
    from matplotlib.ticker import MaxNLocator

    outcomes = story.ledger.outcomes
    if not outcomes:
        return None

    def draw(axes: Axes) -> None:
        visits = [number + 1 for number in range(len(outcomes))]
        controls = story.space.controls
        heights = [next(iter(controls[one.level].values())) if controls else one.cap for one in outcomes]
        for before, after in pairwise(range(len(outcomes))):
            middle = [visits[before], visits[after], visits[after]]
            colour = PHASE_COLOURS.get(outcomes[after].phase, GREY)
            steps = [heights[before], heights[before], heights[after]]
            line = PHASE_LINES.get(outcomes[after].phase, "-")
            axes.plot(middle, steps, color=colour, ls=line, lw=1.6, zorder=1)
        for verdict, marker in MARKERS.items():
            of_verdict = [i for i, outcome in enumerate(outcomes) if outcome.verdict == verdict]
            colours = [PHASE_COLOURS.get(outcomes[i].phase, GREY) for i in of_verdict]
            places = [visits[i] for i in of_verdict], [heights[i] for i in of_verdict]
            faces = "white" if verdict == "undecided" else colours
            axes.scatter(*places, s=52, c=faces, edgecolors=colours, marker=marker, zorder=3, clip_on=False)
        if len(outcomes) <= 20:
            for visit, height, previous in zip(visits, heights, [0.0, *heights], strict=False):
                _label(
                    axes,
                    f"{height:.4g}" if height < 1e4 else short_number(height),
                    (visit, height),
                    8 if height > previous else -15,
                )
        if not controls:
            _mark_answer(axes, story)
        _mark_milestones(axes, [outcome.milestone for outcome in outcomes])
        if min(heights) > 0 and max(heights) / min(heights) > 30:
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, max(heights) * 1.18)
        axes.set_xlim(0.5, len(outcomes) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(visits) <= 4:
            axes.set_xticks(visits)
        axes.set_xlabel("level, in the order of the search")
        axes.set_ylabel(next(iter(controls[0])) if controls else f"budget ({story.measure.replace('_', ' ')})")
        _legend(axes, [outcome.phase for outcome in outcomes], {outcome.verdict for outcome in outcomes})

    return picture(draw, "budget", "Budget over time: every level that was searched, its phase and its verdict")


def accuracy_against_flops(story: Story) -> str | None:
    """Return every judged lineage by mean executed FLOPs and accuracy, or None when none was measured."""
    draw = _frontier(story)
    return None if draw is None else picture(draw, "accuracy", "Accuracy against mean FLOPs of every judged program")


def frontier_png(story: Story) -> bytes | None:
    """Return the same as a PNG: MLflow shows no SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    draw = _frontier(story)
    if draw is None:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        draw(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def _frontier(story: Story) -> Callable[[Axes], None] | None:
    """Return what draws every judged lineage by mean executed FLOPs and accuracy, or None when none was measured."""
    points = [(row, accuracy) for row in story.ledger.rows if (accuracy := seen_accuracy(row)) is not None]
    if not points:
        return None
    passed = [point for point in points if point[0].report.passed]
    others = [point for point in points if not point[0].report.passed]
    stride = -(-len(points) // MOST_POINTS)
    shown = passed[::stride] + others[::stride]

    def draw(axes: Axes) -> None:
        members = sorted({row.assignment.member for row, _ in shown})
        for index, member in enumerate(members):
            colour = OKABE_ITO[index] if index < len(OKABE_ITO) else GREY
            marker = MEMBER_MARKERS[index] if index < len(MEMBER_MARKERS) else "."
            for good in (False, True):
                own = [(r.mean_flops, a) for r, a in shown if r.assignment.member == member and r.report.passed == good]
                label = (
                    f"member {member}" if good or not any(r.assignment.member == member for r, _ in passed) else None
                )
                faces = colour if good else "none"
                if own and index >= len(OKABE_ITO):
                    label = "others" if index == len(OKABE_ITO) else None
                if own:
                    x, y = zip(*own, strict=True)
                    looks: Any = {"facecolors": faces, "edgecolors": colour, "marker": marker, "alpha": 0.8}
                    axes.scatter(x, y, s=26, linewidths=1.1, label=label, **looks)
        for milestone in story.ledger.header["terms"]["milestones"]:
            axes.axhline(milestone, color=GREY, lw=1, ls=(0, (4, 3)), zorder=0)
            axes.annotate(
                f" milestone {milestone:.4g}", (0, milestone), (0, -9), xycoords=("axes fraction", "data"),
                textcoords="offset points", fontsize=8, color="#5b606b",
            )  # fmt: skip
        _star(axes, story)
        costs = [row.mean_flops for row, _ in shown if row.mean_flops > 0]
        if costs and max(costs) / min(costs) > 30:
            axes.set_xscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
        axes.xaxis.set_major_formatter(lambda value, _: short_number(value))
        axes.set_xlabel("mean FLOPs per input")
        axes.set_ylabel("accuracy")
        axes.grid(color=PALE, lw=0.6)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, handletextpad=0.2, columnspacing=1.0)

    return draw


def seen_accuracy(row: LineageRow) -> float | None:
    """Return the verified accuracy of a lineage, or its last validation accuracy when it never came that far."""
    if row.accuracy is not None:
        return row.accuracy.correct / row.accuracy.n
    value = row.measured.diagnostics.get("validation_accuracy")
    return None if value is None else float(value)


def short_number(value: float) -> str:
    """Return `12k`, `1.5M`."""
    if value <= 0:
        return f"{value:g}"
    power = min(4, max(0, int(log10(value) // 3)))
    return f"{value / 1000**power:.3g}{['', 'k', 'M', 'G', 'T'][power]}"


def _label(axes: Axes, text: str, place: tuple[float, float], above: int) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
    axes.annotate(text, place, (0, above), textcoords="offset points", ha="center", fontsize=8, bbox=box)


def _mark_answer(axes: Axes, story: Story) -> None:
    result = story.result
    if result is None or result.budget is None:
        return
    axes.axhline(result.budget.cap, color=GREY, lw=1, ls=(0, (4, 3)), zorder=0)
    if result.minimum.low is not None and result.minimum.basis != "none":
        axes.axhspan(0, result.minimum.low, color=PALE, alpha=0.55, lw=0, zorder=-1)


def _mark_milestones(axes: Axes, milestones: Sequence[float]) -> None:
    for index, (before, after) in enumerate(pairwise(milestones)):
        if before != after:
            axes.axvline(index + 1.5, color=GREY, lw=0.8)
            axes.annotate(f" {after:.4g}", (index + 1.5, 1), xycoords=("data", "axes fraction"), fontsize=8, va="top")


def _star(axes: Axes, story: Story) -> None:
    result = story.result
    if result is not None and result.accuracy is not None and result.mean_flops_per_example is not None:
        place = ([result.mean_flops_per_example.value], [result.accuracy.value])
        axes.scatter(
            *place, s=190, marker="*", c="#D55E00", edgecolors="white", linewidths=0.8, zorder=4, label="selected"
        )


def _legend(axes: Axes, phases: Sequence[str], verdicts: set[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=PHASE_COLOURS.get(phase, GREY),
            ls=PHASE_LINES.get(phase, "-"),
            lw=2,
            label=PHASES.get(phase, phase),
        )
        for phase in dict.fromkeys(phases)
    ]
    for verdict, marker in MARKERS.items():
        if verdict in verdicts:
            face = "white" if verdict == "undecided" else INK
            handles.append(Line2D([], [], color=INK, marker=marker, ls="", ms=6, mfc=face, label=verdict))
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, handlelength=1.2, columnspacing=1.0)


def picture(draw: Any, salt: str, label: str, size_in: tuple[float, float] = SIZE_IN) -> str:
    """Draw on a fresh figure and return it as an SVG element, free of dates, metadata and name spaces."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**STYLE, "svg.hashsalt": salt}):
        figure = Figure(figsize=size_in, layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{salt}-", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
