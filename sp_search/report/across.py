"""The table and the page of studies that were run separately, from what `across` says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sp_search.report.comparison import MARKERS
from sp_search.report.figures import OKABE_ITO, PALE, picture, short_number
from sp_search.report.page import Figure, State, fill_page
from sp_search.report.part import Part, Table
from sp_search.report.words import amount, percent
from sp_search.whole_files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RUN_HEADS = ("setting", "seed", "", "found budget", "mean FLOPs", "accuracy", "search FLOPs", "lineages", "ledger")
EFFECT_HEADS = ("figure", "one", "other", "one to other", "95 % interval", "p (Holm)", "seeds")
READING = (
    "Costs are ratios of geometric means, accuracies differences of means. Paired: over the study seeds that both ran, "
    "with Student's interval; unpaired: over all seeds, with Welch's. p is of a permutation test, corrected by Holm's "
    "procedure over the pairs of settings; of n pairs of seeds it cannot fall below 2 / 2^n. The interval of a single "
    "study's mean FLOPs is of its inputs and says nothing of the luck of training."
)


def run_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each study."""
    return [
        (
            one["setting"],
            str(one["seed"]),
            "met" if one["met"] else "not met" if one["ended"] != "not finished" else "not finished",
            "-"
            if one["budget"] is None
            else f"{amount(one['budget']['cap'], one['budget']['measure'])} ({one['budget']['kind']})",
            _interval(one["mean_flops"], short_number),
            _interval(one["accuracy"], percent),
            short_number(one["search_flops"]),
            str(one["lineages"]),
            one["ledger_sha256"][:12],
        )
        for one in found["studies"]
    ]


def _interval(estimate: dict[str, Any] | None, words: Any) -> str:
    if estimate is None:
        return "-"
    value, low, high = (estimate.get(key) for key in ("value", "low", "high"))
    if low is None or high is None or low == high:
        return str(words(value))
    return f"{words(value)} ({words(low)} to {words(high)})"


def effect_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each figure and pair of settings, where both have a figure."""
    rows: list[tuple[str, ...]] = []
    for one in found["effects"]:
        if one["value"] is None:
            continue
        times = "{:.3g} x".format if one["kind"] == "ratio" else "{:+.3g}".format
        limits = "-" if one["low"] is None else f"{times(one['low'])} to {times(one['high'])}"
        seeds = f"{one['n']} paired" if one["paired"] else f"{one['n']} and {one['n_other']}, unpaired"
        p = "-" if one["p_holm"] is None else f"{one['p_holm']:.2g}"
        rows.append((one["figure"], one["one"], one["other"], times(one["value"]), limits, p, seeds))
    return rows


def difference_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each setting in which the files differ, under `setting` and the labels."""
    return [
        (row["path"], *(_short(row["values"][label]) for label in found["settings"])) for row in found["differences"]
    ]


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def ranking_words(found: dict[str, Any]) -> str:
    """Return the order of the settings in one sentence, or why there is none."""
    if found["refused"]:
        return f"{found['refused'][0][0].upper()}{found['refused'][0][1:]}."
    if not found["ranking"]:
        return "No setting has met every milestone with every seed."
    named = ", ".join(
        f"{label} {short_number(found['settings'][label]['means']['mean FLOPs'])}" for label in found["ranking"]
    )
    return f"Mean FLOPs per input of the settings that met every milestone with every seed, the least first: {named}."


def write_across_page(page: Path, found: dict[str, Any]) -> Path:
    """Write the page, whole or not at all, and return its path."""
    return write_whole(page, render_across(found))


def render_across(found: dict[str, Any]) -> str:
    """Return the page."""
    refused, labels = found["refused"], tuple(found["settings"])
    word, tone = ("all milestones met", "good") if found["met"] else ("not all milestones met", "bad")
    state = State("not ranked", "bad") if refused else State(word, tone)
    drawn = None if refused else cost_by_seed(found)
    title = "Mean compute by setting"
    caption = "Every mark is one study, with the interval of its mean over inputs; a line joins studies of one seed."
    figures = [] if drawn is None else [Figure(title, Markup(drawn), caption)]  # noqa: S704 - drawn by ourselves
    parts = [
        Part("Differences", READING, Table(EFFECT_HEADS, effects)) if (effects := effect_rows(found)) else None,
        Part("The studies", table=Table(RUN_HEADS, run_rows(found))),
        Part("What their files differ in", table=Table(("setting", *labels), difference_rows(found))),
        Part("Where they are", table=Table(("study", "SHA-256 of its ledger"), _places(found))),
    ]
    return fill_page(
        kicker="comparison of studies",
        name=" and ".join(labels) if len(labels) < 4 else f"{len(labels)} settings",
        state=state,
        question=f"what do {len(labels)} settings find, and at what cost? {len(found['studies'])} studies in all.",
        answer=ranking_words(found),
        warnings=found["warnings"],
        figures=figures,
        parts=[part for part in parts if part is not None],
    )


def _places(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(one["folder"], one["ledger_sha256"]) for one in found["studies"]]


def cost_by_seed(found: dict[str, Any]) -> str | None:
    """Return the picture: mean FLOPs of every study by setting, studies of one seed joined; None where none met."""
    studies = [one for one in found["studies"] if one["mean_flops"] is not None]
    if not studies:
        return None
    labels = list(found["settings"])

    def draw(axes: Axes) -> None:
        for seed in sorted({one["seed"] for one in studies}):
            own = sorted(
                (labels.index(one["setting"]), one["mean_flops"]["value"]) for one in studies if one["seed"] == seed
            )
            axes.plot([place for place, _ in own], [value for _, value in own], color=PALE, lw=1.4, zorder=1)
        for index, label in enumerate(labels):
            values = [one["mean_flops"] for one in studies if one["setting"] == label]
            if not values:
                continue
            y = [value["value"] for value in values]
            bars = [
                [value["value"] - value["low"] for value in values],
                [value["high"] - value["value"] for value in values],
            ]
            colour, marker = OKABE_ITO[index % len(OKABE_ITO)], MARKERS[index % len(MARKERS)]
            axes.errorbar([index] * len(y), y, yerr=bars, fmt=marker, color=colour, ms=7, elinewidth=1.2, zorder=3)
        axes.set_xticks(range(len(labels)), labels, rotation=20 if len(labels) > 3 else 0)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: short_number(value))
        axes.set_ylabel("mean FLOPs per input")
        axes.grid(axis="y", color=PALE, lw=0.6)

    return picture(draw, "across", "Mean FLOPs per input of every study, by setting")
