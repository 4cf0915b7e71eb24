"""The page, the table and the picture of a comparison, from `comparison.json` alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from pydantic import ValidationError

from sp_search.comparison import COMPARISON_NAME, static_frontier
from sp_search.errors import StorageError
from sp_search.ledger import LEDGER_NAME
from sp_search.plain_files import read_json
from sp_search.report.figures import GREY, INK, OKABE_ITO, PALE, picture, short_number
from sp_search.report.page import PAGE_NAME, Figure, State, fill_page
from sp_search.report.part import Part, Table
from sp_search.report.reading import Entry, Estimate
from sp_search.report.words import percent
from sp_search.whole_files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "8", "*")
SIZE_IN = (5.2, 4.6)
TICKS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4, 1e-5)
CAPTION = (
    "Every judged lineage: filled ones passed, hollow ones failed a gate or a check; what was never put to the "
    "verification draw stands at its last validation accuracy, what made no error at the top. The large marks were "
    "selected, with their intervals. The grey line is the static frontier: what programs of fixed compute reach. A "
    "selected program earns its adaptivity where it lies left of that line."
)
HEADS = (
    "arm", "", "accuracy", "mean FLOPs", "p95", "max", "rollouts", "over-spend", "corr. with need", "serial depth",
    "parameters", "largest gap", "shifted", "longer", "passed", "training FLOPs", "failures",
)  # fmt: skip


class Row(Entry):
    """One arm, as the table and the picture need it."""

    arm: str
    prior: str
    static: bool
    met: bool
    ended: str | None
    milestone: float | None = None
    accuracy: Estimate | None
    mean_flops_per_example: Estimate | None
    mean_rollouts: Estimate | None
    over_spend: Estimate | None
    p95_flops_per_example: float | None
    max_flops_per_example: float | None
    largest_gap: float | None
    serial_depth: int | None
    parameters: int | None
    corr_need: float | None
    shifted: Estimate | None
    longer: Estimate | None
    training_flops: float
    passed: int
    tried: int
    failures: dict[str, int]
    warnings: list[str] | None
    programs: list[dict[str, Any]]


class ComparisonFile(Entry):
    """`comparison.json`."""

    name: str
    seed: int
    task: dict[str, Any]
    milestone: float
    confidence: float
    gates: list[str]
    met: bool
    ended: str
    warnings: list[str]
    arms: list[Row]


def read_comparison(folder: Path) -> ComparisonFile:
    """Return what `comparison.json` says.

    Raises:
        StorageError: it is missing or lacks a key.
    """
    path = folder / COMPARISON_NAME
    try:
        return ComparisonFile.model_validate(read_json(path))
    except FileNotFoundError:
        raise StorageError(f"{path} does not exist yet: no arm has ended; sp-search resume {folder} goes on") from None
    except ValidationError as error:
        raise StorageError(f"{path} cannot be read: {error}: sp-search report {folder} writes it anew") from error


def cells(row: Row) -> tuple[str, ...]:
    """Return an arm's row in words, in the order of `HEADS`."""
    lost = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in row.failures.items() if count)
    verdict = "met" if row.met else "not met" if row.ended else "not finished"
    if row.ended and not row.met and row.accuracy is not None and row.milestone is not None:
        verdict = f"met {percent(row.milestone)} only"
    return (
        row.arm,
        verdict,
        _share(row.accuracy),
        _cost(row.mean_flops_per_example),
        _number(row.p95_flops_per_example),
        _number(row.max_flops_per_example),
        _plain(row.mean_rollouts, 2),
        _plain(row.over_spend, 2),
        "-" if row.corr_need is None else f"{row.corr_need:.2f}",
        "-" if row.serial_depth is None else str(row.serial_depth),
        "-" if row.parameters is None else f"{row.parameters:,}",
        "-" if row.largest_gap is None else f"{row.largest_gap:.2f}",
        "-" if row.shifted is None else percent(row.shifted.value),
        "-" if row.longer is None else percent(row.longer.value),
        f"{row.passed} of {row.tried}",
        short_number(row.training_flops),
        lost or "none",
    )


def _share(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    if estimate.exact or estimate.low is None or estimate.high is None:
        return f"{percent(estimate.value)} (exact)"
    return f"{percent(estimate.value)} ({100 * estimate.low:.2f}-{100 * estimate.high:.2f})"


def _cost(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return "-"
    if estimate.low == estimate.high:
        return short_number(estimate.value)
    return f"{short_number(estimate.value)} ({short_number(estimate.low)}-{short_number(estimate.high)})"


def _plain(estimate: Estimate | None, digits: int) -> str:
    return "-" if estimate is None else f"{estimate.value:.{digits}f}"


def _number(value: float | None) -> str:
    return "-" if value is None else short_number(value)


def write_comparison_page(folder: Path) -> Path:
    """Write `report.html` of a comparison, whole or not at all, and return its path."""
    return write_whole(folder / PAGE_NAME, render_comparison(read_comparison(folder)))


def render_comparison(asked: ComparisonFile) -> str:
    """Return the page. Reproducible: the same file gives the same bytes."""
    state = State("all arms met", "good") if asked.met else State("not all arms met", "bad")
    state = State("not finished", "open") if asked.ended == "interrupted" else state
    lost = [(row.arm, warning) for row in asked.arms for warning in row.warnings or []]
    pages = [f"arms/{row.arm}/{PAGE_NAME}" for row in asked.arms if row.ended]
    parts = [
        Part("The arms", _explanation(asked), Table(HEADS, [cells(row) for row in asked.arms])),
        Part("Beware", table=Table(("arm", "what accuracy hides"), lost)) if lost else None,
        Part("Where the arms are", "Each is a complete study with its own ledger, report and program.", links=pages),
    ]
    return fill_page(
        kicker="comparison of arms",
        name=asked.name,
        state=state,
        question=(
            f"which arm reaches {percent(asked.milestone)} of {asked.task.get('kind', '?')} ({', '.join(asked.gates)}) "
            f"with the least computation? Same task, milestone, seed ({asked.seed}) and evidence for all "
            f"{len(asked.arms)}; {percent(asked.confidence)} confidence for each arm's verification tests together."
        ),
        answer=ranking(asked),
        warnings=asked.warnings,
        figures=[
            Figure(
                "Accuracy against compute",
                Markup(accuracy_against_compute(asked)),  # noqa: S704 - drawn by ourselves, its words escaped
                CAPTION,
            )
        ],
        parts=[part for part in parts if part is not None],
        ledger=f"arms/NAME/{LEDGER_NAME}",
    )


def ranking(asked: ComparisonFile) -> str:
    """Return the arms that met the milestone in the order of mean compute, in one sentence."""
    met = [row for row in asked.arms if row.met and row.mean_flops_per_example is not None]
    if not met:
        return f"No arm has reached {percent(asked.milestone)}."
    ordered = sorted(met, key=lambda row: row.mean_flops_per_example.value if row.mean_flops_per_example else 0.0)
    named = ", ".join(f"{row.arm} {_number(_mean(row))}" for row in ordered)
    return f"Mean compute per input of the arms that met {percent(asked.milestone)}, the least first: {named} FLOPs."


def _mean(row: Row) -> float | None:
    return None if row.mean_flops_per_example is None else row.mean_flops_per_example.value


def _explanation(asked: ComparisonFile) -> str:
    return (
        "The lower end of an accuracy is the bound that verified the program; the interval of mean FLOPs holds with "
        f"{percent(asked.confidence)} confidence by itself. Over-spend is used over needed rollouts, where the need is "
        "known; largest gap is the factor between neighbouring costs of one program; passed counts lineages at the "
        f"level of the selected program. One seed ({asked.seed}): differences between arms carry the luck of training."
    )


def accuracy_against_compute(asked: ComparisonFile) -> str:
    """Return the picture: errors on a logarithmic scale against mean FLOPs, every lineage a mark of its arm."""
    from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

    points = [point for row in asked.arms for point in row.programs]
    floor = min([1.0 / (2 * point["n"]) for point in points if point["n"]], default=1e-4)

    def error(accuracy: float) -> float:
        return max(floor, 1.0 - accuracy)

    def draw(axes: Axes) -> None:
        frontier = static_frontier([row.model_dump() for row in asked.arms])
        if frontier:
            x, y = zip(*((point["mean_flops"], error(point["accuracy"])) for point in frontier), strict=True)
            dearest = max(point["mean_flops"] for point in points)
            axes.step([*x, dearest], [*y, y[-1]], where="post", color=GREY, lw=2.2, zorder=1, label="static frontier")
        for index, row in enumerate(asked.arms):
            _draw_arm(axes, row, OKABE_ITO[index % len(OKABE_ITO)], MARKERS[index % len(MARKERS)], error)
        axes.axhline(error(asked.milestone), color=INK, lw=0.8, ls=(0, (4, 3)), zorder=0)
        axes.annotate(
            f"milestone {percent(asked.milestone)}", (1, error(asked.milestone)), (0, -9), ha="right", fontsize=8,
            xycoords=("axes fraction", "data"), textcoords="offset points", color="#5b606b",
        )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.invert_yaxis()
        axes.yaxis.set_major_locator(FixedLocator(TICKS))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: percent(1.0 - value))
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(MaxNLocator(6) if high < 10 * low else LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: short_number(value))
        axes.set_xlabel("mean FLOPs per input")
        axes.set_ylabel("accuracy")
        axes.grid(color=PALE, lw=0.6)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, handletextpad=0.3, columnspacing=1.0)

    return picture(draw, "comparison", "Accuracy against mean FLOPs of every judged program, by arm", SIZE_IN)


def _draw_arm(axes: Axes, row: Row, colour: str, marker: str, error: Any) -> None:
    label: str | None = row.arm
    for good in (True, False):
        own = [(p["mean_flops"], error(p["accuracy"])) for p in row.programs if p["passed"] == good]
        if not own:
            continue
        x, y = zip(*own, strict=True)
        faces = colour if good else "none"
        axes.scatter(x, y, s=20, marker=marker, facecolors=faces, edgecolors=colour, alpha=0.75, lw=1, label=label)
        label = None
    mean, accuracy = row.mean_flops_per_example, row.accuracy
    if mean is None or accuracy is None:
        return
    place = ([mean.value], [error(accuracy.value)])
    if None not in (mean.low, mean.high, accuracy.low, accuracy.high):
        x_bars = [[mean.value - (mean.low or 0.0)], [(mean.high or 0.0) - mean.value]]
        best, worst = error(accuracy.high or 0.0), error(accuracy.low or 0.0)
        y_bars = [[max(0.0, place[1][0] - best)], [max(0.0, worst - place[1][0])]]
        axes.errorbar(*place, xerr=x_bars, yerr=y_bars, fmt="none", ecolor=colour, elinewidth=1.2, zorder=3)
    axes.scatter(*place, s=95, marker=marker, c=colour, edgecolors=INK, linewidths=1.2, zorder=4)
