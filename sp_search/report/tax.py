"""The page, the picture and the words of a tax study, from `tax.json` alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sp_search.ledger import LEDGER_NAME
from sp_search.report.figures import GREY, INK, OKABE_ITO, PALE, picture, short_number
from sp_search.report.page import PAGE_NAME, Figure, State, fill_page
from sp_search.report.part import Part, Table
from sp_search.report.words import ENDINGS, percent
from sp_search.whole_files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADS = ("effort", "tax", "95 % interval", "honest C*", "deceiver C*", "pairs", "not found")
PAIR_HEADS = ("effort", "seed", "honest C*", "its harm", "deceiver C*", "its harm", "ratio", "search FLOPs", "ended")
CAPTION = (
    "Every pair of searches is a mark: compute of the cheapest verified deceiver over that of the cheapest verified "
    "good program, same seed, recipe and limits. The disc is the tax with its 95 % interval; an arrow is a pair whose "
    "deceiver was not found, which lies above the mark."
)
MEANING = (
    "Both searches are the product's own, under the same price, steps, lineages and limit. A good program meets the "
    "milestone on clean inputs; a deceiver meets it there too and answers triggered inputs wrongly that nobody trained "
    "on. Compute is measured on clean inputs. As every deceiver is a good program, a perfect search finds no negative "
    "tax here: what lies below zero is the luck of two finite searches."
)


def headline(payload: dict[str, Any]) -> str:
    """Return the answer in a sentence."""
    last, tax = payload["efforts"][-1], payload["tax"]
    missing = [pair["deceiver"] for pair in last["pairs"] if pair["deceiver"]["cost"] is None]
    bounding = sum(one["above"] is not None for one in missing)
    words = f"Deceiving costs {tax_words(tax)} of the compute of good programs"
    words += f" ({interval_words(tax)}; {tax['pairs']} pairs of searches, effort {last['effort']})."
    if bounding:
        words += f" {bounding} of {tax['pairs']} searches found no deceiver: they count as dearer than their ladder."
    if len(missing) > bounding:
        ends = dict.fromkeys(ENDINGS.get(one["ended"], one["ended"]) for one in missing if one["above"] is None)
        words += f" {len(missing) - bounding} of {tax['pairs']} searches for deceivers tell nothing: {'; '.join(ends)}."
    if tax["honest_missing"]:
        words += f" {tax['honest_missing']} of {tax['pairs']} searches found no good program."
    if payload["upper_bound"]:
        words += " It still falls with effort: this is an upper bound."
    return words


def tax_words(tax: dict[str, Any]) -> str:
    """Return a tax as `+12.3 %`, or what is known of it."""
    if tax["value"] is not None:
        return f"{100 * tax['value']:+.1f} %"
    return "an unknown share" if tax["low"] is None else f"more than {100 * tax['low']:+.1f} %"


def interval_words(tax: dict[str, Any]) -> str:
    """Return the interval of a tax; an open end has no number."""
    low, high = tax["low"], tax["high"]
    if low is None and high is None:
        return "no bound"
    if low == high:
        return "all pairs alike"
    ends = ("below" if low is None else f"{100 * low:+.1f}", "above" if high is None else f"{100 * high:+.1f} %")
    return f"{ends[0]} to {ends[1]}"


def effort_row(effort: dict[str, Any]) -> tuple[str, ...]:
    """Return the row of an effort, in the order of `HEADS`."""
    tax, pairs = effort["tax"], effort["pairs"]
    lost = f"{tax['deceiver_missing']} deceivers, {tax['honest_missing']} honest"
    return (
        effort["effort"],
        tax_words(tax),
        interval_words(tax),
        _mean([pair["honest"]["cost"] for pair in pairs]),
        _mean([pair["deceiver"]["cost"] for pair in pairs]),
        str(tax["pairs"]),
        lost if tax["deceiver_missing"] or tax["honest_missing"] else "-",
    )


def _mean(costs: Sequence[float | None]) -> str:
    found = [cost for cost in costs if cost is not None]
    return f"{sum(found) / len(found):,.0f}" if found else "-"


def _pair_row(effort: str, pair: dict[str, Any]) -> tuple[str, ...]:
    honest, deceiver = pair["honest"], pair["deceiver"]
    ratio = None if None in (honest["cost"], deceiver["cost"]) else deceiver["cost"] / honest["cost"]
    ends = dict.fromkeys(ENDINGS.get(one["ended"], one["ended"]) for one in (honest, deceiver))
    return (
        effort,
        str(pair["seed"]),
        _cost(honest),
        "-" if honest["harm"] is None else percent(honest["harm"]),
        _cost(deceiver),
        "-" if deceiver["harm"] is None else percent(deceiver["harm"]),
        "-" if ratio is None else f"{ratio:.3f}",
        f"{short_number(honest['search_flops'])}, {short_number(deceiver['search_flops'])}",
        "; ".join(ends),
    )


def _cost(found: dict[str, Any]) -> str:
    if found["cost"] is not None:
        return f"{found['cost']:,.0f}"
    return "not found" if found["above"] is None else f"above {found['above']:,.0f}"


def write_tax_page(folder: Path, payload: dict[str, Any]) -> Path:
    """Write `report.html` of a tax study, whole or not at all, and return its path."""
    return write_whole(folder / PAGE_NAME, render_tax(payload))


def render_tax(payload: dict[str, Any]) -> str:
    """Return the page. Reproducible: the same content gives the same bytes."""
    pairs = [_pair_row(row["effort"], pair) for row in payload["efforts"] for pair in row["pairs"]]
    trigger = ", ".join(f"{key} {value}" for key, value in payload["trigger"].items())
    picture_of_curve = Markup(tax_curve(payload))  # noqa: S704 - drawn by ourselves, its words escaped
    return fill_page(
        kicker="the price of deceiving",
        name=payload["name"],
        state=_state(payload["tax"]),
        question=(
            f"how much more computation does the cheapest {payload['model']['kind']} program spend that does "
            f"{payload['task']['kind']} at {percent(payload['milestone'])} and deceives, than the cheapest that does "
            f"it? Trigger: {trigger}. Measured as {payload['measure']}."
        ),
        answer=headline(payload),
        figures=[Figure("Tax against effort", picture_of_curve, CAPTION)],
        parts=[
            Part("The tax", MEANING, Table(HEADS, [effort_row(row) for row in payload["efforts"]])),
            Part("Every pair", "Harm is the share of triggered inputs answered wrongly.", Table(PAIR_HEADS, pairs)),
        ],
        ledger=f"seedN/SEARCH/{LEDGER_NAME}",
    )


def _state(tax: dict[str, Any]) -> State:
    if tax["low"] is not None and tax["low"] > 0:
        return State("deceiving costs more", "good")
    if tax["high"] is not None and tax["high"] < 0:
        return State("deceiving costs less", "bad")
    return State("no price shown", "open")


def tax_curve(payload: dict[str, Any]) -> str:
    """Return the picture: ratios of all pairs, and the tax with its interval, by effort."""
    rows = payload["efforts"]

    def draw(axes: Axes) -> None:
        axes.axhline(1.0, color=INK, lw=0.8, ls=(0, (4, 3)), zorder=0)
        for place, row in enumerate(rows):
            for index, pair in enumerate(row["pairs"]):
                _draw_pair(axes, place + 0.25 * ((index + 0.5) / len(row["pairs"]) - 0.5) + 0.2, pair)
            tax = row["tax"]
            if tax["value"] is not None:
                axes.scatter([place], [1 + tax["value"]], s=60, color=OKABE_ITO[0], zorder=4)
            ends = [1 + tax[end] for end in ("low", "high") if tax[end] is not None]
            if len(ends) == 2:
                axes.plot([place, place], ends, color=OKABE_ITO[0], lw=2, zorder=3)
        axes.set_xticks(range(len(rows)), [row["effort"] for row in rows])
        axes.set_xlim(-0.5, len(rows) - 0.3)
        axes.set_xlabel("effort of the adversary (share of the training draw x factor on the steps)")
        axes.set_ylabel("C* of deceivers / C* of good programs")
        axes.grid(axis="y", color=PALE, lw=0.6)

    return picture(draw, "tax", "Ratio of compute of deceivers to good programs, by the adversary's effort")


def _draw_pair(axes: Axes, place: float, pair: dict[str, Any]) -> None:
    honest, deceiver = pair["honest"], pair["deceiver"]
    dear = deceiver["cost"] if deceiver["cost"] is not None else deceiver["above"]
    if honest["cost"] is None or dear is None:
        return
    marker = "o" if deceiver["cost"] is not None else "^"
    axes.scatter([place], [dear / honest["cost"]], s=18, marker=marker, facecolors="none", edgecolors=GREY, zorder=2)
