"""The argument's two diagrams as pictures: what programs need and waste, and where the least compute is found.

They are drawn from plain data (`Spent`, `Scatter`) by whoever measured it: an exact world, or nets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sp_search.report.figures import GREY, INK, STYLE
from sp_search.report.words import PHASES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEEDED, WASTED, FOUND = "#0072B2", "#D55E00", "#009E73"
"""Okabe and Ito's blue, vermilion and green."""
RAISED = 0.36
"""How far a cross is raised above the one before, in ninths of the picture's height."""
CLOSE = 0.06
"""Lines nearer than that, in heights of the picture, have their words side by side."""
SAID = PHASES | {"confirm": "confirmed"}


class Spent(NamedTuple):
    """One program of the first diagram: (needed, wasted) by task, and over all inputs its average and its most.

    lacking: by task, what is needed beyond what was spent: the program guesses.
    """

    title: str
    program: str
    tasks: Sequence[tuple[str, float, float]]
    average: float
    most: float
    lacking: Sequence[float] = ()


class Scatter(NamedTuple):
    """The second diagram.

    honest: (compute, performance) of programs. misbehaving: (compute, performance, compute of the honest twin).
    shares: (compute, good programs within it, how many of them misbehave). visits: (cap, phase, whether it found).
    selected: compute of what the search selected, and whether it is honest.
    """

    honest: Sequence[tuple[float, float]]
    misbehaving: Sequence[tuple[float, float, float]]
    threshold: float
    least: float
    shares: Sequence[tuple[float, int, int]]
    visits: Sequence[tuple[float, str, bool]]
    selected: tuple[float, bool]


def draw_waste(
    programs: Sequence[Spent],
    unit: str,
    inputs: str,
    folder: Path,
    *,
    name: str = "diagram_waste",
    tasks: str = "four tasks",
    waste: str = "wasted on misbehaving",
    number: Callable[[float], str] = "{:g}".format,
    note: Sequence[str] = (),
) -> list[Path]:
    """Write the first diagram as SVG and PNG: bars by task, the most that each program spends, and its average."""
    from matplotlib.ticker import MaxNLocator

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(programs), sharey=True, squeeze=False)[0]
        top = max(max(one.most, *map(sum, zip(*_heights(one), strict=True))) for one in programs) * 1.28
        for axes, one in zip(panels, programs, strict=True):
            axes.set_ylim(0, top)
            _bars(axes, one, number)
            axes.set_xlabel(f"{tasks} (lines: over {inputs})")
        figure.align_xlabels()
        panels[0].set_ylabel(f"computation C ({unit})")
        panels[0].yaxis.set_major_locator(MaxNLocator(integer=True))
        panels[0].yaxis.set_major_formatter(lambda value, _: number(value))
        _legend(figure, [("needed", NEEDED), (waste, WASTED)], lacking=any(any(one.lacking) for one in programs))
        if note:
            figure.suptitle("\n".join(note), x=0.01, ha="left", fontsize=8, color="#5b606b")

    return written(draw, (7.6, 3.9 + 0.2 * len(note)), folder, name)


def draw_annealing(scatter: Scatter, unit: str, performance: str, folder: Path) -> list[Path]:
    """Write the second diagram as SVG and PNG: programs, then what is good within a cap, then a search for C*."""

    def draw(figure: Figure) -> None:
        programs, shares, search = figure.subplots(3, 1, sharex=True, height_ratios=(4.4, 1.5, 2.0))
        _programs(programs, scatter, performance)
        _shares(shares, scatter)
        _search(search, scatter)
        search.set_xlabel(f"C: average computation over the training distribution ({unit})")
        figure.align_ylabels()

    return written(draw, (7.6, 7.4), folder, "diagram_annealing")


def _heights(one: Spent) -> tuple[list[float], list[float], list[float]]:
    return [task[1] for task in one.tasks], [task[2] for task in one.tasks], list(one.lacking) or [0.0] * len(one.tasks)


def _bars(axes: Axes, one: Spent, number: Callable[[float], str]) -> None:
    places, (needed, wasted, lacking) = range(len(one.tasks)), _heights(one)
    axes.bar(places, needed, width=0.62, color=NEEDED)
    axes.bar(places, wasted, width=0.62, bottom=needed, color=WASTED, hatch="///", ec="white")
    for place, more in zip(places, lacking, strict=True):
        if more:
            spent = needed[place] + wasted[place]
            axes.bar([place], [more], width=0.62, bottom=spent, color="none", ec=NEEDED, ls=(0, (2, 2)))
    axes.axhline(one.most, color=INK, lw=1.2)
    axes.axhline(one.average, color=INK, lw=1.2, ls=(0, (4, 3)))
    lines = [(one.most, f"most {number(one.most)}"), (one.average, f"average {number(one.average)}")]
    if one.most - one.average < CLOSE * axes.get_ylim()[1]:
        lines = [(one.most, ", ".join(words for _, words in lines))]
    for height, words in lines:
        axes.annotate(words, (-0.44, height), (0, 3), textcoords="offset points", fontsize=8.5)
    axes.set_xticks(places, [task[0] for task in one.tasks])
    axes.set_xlim(-0.5, len(one.tasks) - 0.5)
    axes.set_title(f"{one.title}\n\n", fontsize=10, loc="left")
    axes.text(0, 1.02, one.program, transform=axes.transAxes, fontsize=7, family="monospace", color="#5b606b")


def _programs(axes: Axes, scatter: Scatter, performance: str) -> None:
    low = min(accuracy for _, accuracy in scatter.honest)
    room = (scatter.threshold - low) / 9
    axes.fill_between([-1, scatter.least], scatter.threshold, 2, color=FOUND, alpha=0.10, lw=0)
    axes.axhline(scatter.threshold, color=INK, lw=1)
    axes.axvline(scatter.least, color=INK, lw=1)
    crosses = _raised(scatter.misbehaving, RAISED * room)
    for cost, height, twin in crosses:
        axes.plot([twin, cost], [height, height], color=WASTED, lw=1.1, ls=(0, (1, 2)), zorder=2)
    axes.scatter(*_columns(scatter.honest), s=38, facecolors="white", edgecolors=NEEDED, lw=1.5, zorder=5)
    axes.scatter(*_columns(crosses), s=30, c=WASTED, marker="x", lw=1.5, zorder=4)
    cost, honest = scatter.selected
    axes.scatter([cost], [scatter.threshold], s=420, marker="*", c=FOUND, edgecolors="white", lw=0.8, zorder=3)
    words = f"selected: {'honest' if honest else 'misbehaving'}"
    axes.annotate(words, (cost, scatter.threshold), (-13, 7), textcoords="offset points", ha="right", color="#00684c")
    axes.annotate("P*", (0, scatter.threshold), (4, -12), xycoords=("axes fraction", "data"),
                  textcoords="offset points", fontsize=11)  # fmt: skip
    axes.annotate("C*", (scatter.least, 0), (4, 5), xycoords=("data", "axes fraction"), textcoords="offset points",
                  fontsize=11)  # fmt: skip
    axes.set_ylim(low - 1.2 * room, scatter.threshold + 2.6 * room)
    rows = sorted({accuracy for _, accuracy in scatter.honest})
    axes.set_yticks(rows, [f"{row:.1%}" for row in rows])
    axes.set_ylabel(performance)
    axes.legend(handles=_handles(), loc="lower right", bbox_to_anchor=(1, 1), ncols=3, columnspacing=1.2)


def _raised(misbehaving: Sequence[tuple[float, float, float]], by: float) -> list[tuple[float, float, float]]:
    """Return programs of one performance one above the other, so that no line hides another."""
    rows: dict[float, int] = {}
    raised = []
    for cost, accuracy, twin in sorted(misbehaving):
        rows[accuracy] = rows.get(accuracy, 0) + 1
        raised.append((cost, accuracy + by * rows[accuracy], twin))
    return raised


def _handles() -> list[Any]:
    from matplotlib.lines import Line2D

    circle: dict[str, Any] = {"marker": "o", "ls": "", "mfc": "white", "mec": NEEDED, "mew": 1.5}
    return [
        Line2D([], [], label="honest program", **circle),
        Line2D([], [], label="misbehaving program (raised)", marker="x", ls="", color=WASTED, mew=1.6),
        Line2D([], [], label="what it wastes", color=WASTED, ls=(0, (1, 2))),
    ]


def _shares(axes: Axes, scatter: Scatter) -> None:
    costs, shares = [cost for cost, *_ in scatter.shares], [bad / good for _, good, bad in scatter.shares]
    axes.step([*costs, 9e9], [*shares, shares[-1]], where="post", color=WASTED, lw=1.6)
    axes.axvline(scatter.least, color=INK, lw=1)
    for index, place, align in ((0, (-6, -3), "right"), (1, (8, -11), "left")):
        cost, good, bad = scatter.shares[min(index, len(costs) - 1)]
        axes.scatter([cost], [bad / good], s=20, c=WASTED, clip_on=False, zorder=3)
        axes.annotate(
            f"{bad:,} of {good:,}", (cost, bad / good), place, textcoords="offset points", ha=align, fontsize=8
        )
    cost, good, bad = scatter.shares[-1]
    axes.annotate(f"C = {cost:g}: {bad:,} of {good:,}", (1, 0.1), xycoords="axes fraction", ha="right", fontsize=8)
    axes.set_ylim(-0.08, 1.12)
    axes.set_yticks([0, 0.5, 1], ["0", "50%", "100%"])
    axes.set_ylabel("misbehaving\nof the good")


def _search(axes: Axes, scatter: Scatter) -> None:
    from matplotlib.ticker import MaxNLocator

    visits = range(1, len(scatter.visits) + 1)
    caps = [cap for cap, _, _ in scatter.visits]
    axes.plot(caps, visits, color=GREY, lw=1.1, zorder=1)
    for found, marker, face, label in ((True, "v", FOUND, "found one"), (False, "^", "white", "found none")):
        shown = [(cap, visit) for visit, (cap, _, it) in zip(visits, scatter.visits, strict=True) if it == found]
        if shown:
            axes.scatter(*_columns(shown), s=38, marker=marker, c=face, edgecolors=INK, lw=0.9, zorder=3, label=label)
    before = None
    for visit, (cap, phase, _) in zip(visits, scatter.visits, strict=True):
        if phase != before:
            place, align = ((9, 1), "left") if before is None else ((-8, -3), "right")
            words = SAID.get(phase, phase)
            axes.annotate(words, (cap, visit), place, textcoords="offset points", ha=align, fontsize=8)
        before = phase
    axes.axvline(scatter.least, color=INK, lw=1)
    axes.set_ylim(len(scatter.visits) + 1, 0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.set_xlim(-0.06, max(cost for cost, *_ in (*scatter.honest, *scatter.misbehaving)) + 0.08)
    axes.set_ylabel("visit of\nthe search")
    axes.legend(loc="upper right")


def _columns(points: Sequence[tuple[float, ...]]) -> tuple[list[float], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]


def _legend(figure: Figure, colours: Sequence[tuple[str, str]], *, lacking: bool) -> None:
    from matplotlib.patches import Patch

    hatches = ("", "///")
    handles = [
        Patch(facecolor=colour, edgecolor="white", hatch=hatch, label=label)
        for (label, colour), hatch in zip(colours, hatches, strict=True)
    ]
    if lacking:
        handles.append(Patch(facecolor="none", edgecolor=NEEDED, ls=(0, (2, 2)), label="needed, not spent (a guess)"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def written(draw: Any, size_in: tuple[float, float], folder: Path, name: str) -> list[Path]:
    """Draw on a fresh figure and write it, the same bytes for the same data."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    with rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size_in, layout="constrained", facecolor="white")
        draw(figure)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=150, metadata={"Software": None})
    return [folder / f"{name}.svg", folder / f"{name}.png"]
