"""What the terminal says of an answer, in the words of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sp_search.report.reading import MilestoneEntry
from sp_search.report.words import ENDINGS, bounds, cards, flops, minimum_words, percent


def milestone_lines(answer: dict[str, Any], confidence: float) -> list[str]:
    """Say what was found for one milestone of a study with this confidence, in the words of the page."""
    entry = MilestoneEntry.model_validate(answer)
    if entry.budget is None or entry.program is None:
        return [f"milestone {entry.milestone:g}: not met", *table([("  minimum", entry.minimum.text)])]
    settings = {key: value for key, value in entry.program.items() if key != "kind" and not isinstance(value, dict)}
    settings["prior"] = (entry.program.get("prior") or {}).get("kind", "none")
    rows = [
        ("  program", " ".join(f"{key}={value}" for key, value in settings.items())),
        *((f"  {name}", f"{value}{remark and f' ({remark})'}") for name, value, remark in cards(entry, confidence)),
        ("  minimum", minimum_words(entry.minimum, entry.budget.measure)),
        *(("  beware", warning) for warning in entry.warnings),
        *(
            (f"  on {name}", f"{percent(one.value)} ({bounds(one)}; {one.rule}): a report, no verdict")
            for name, one in entry.reports.items()
        ),
    ]
    return [f"milestone {entry.milestone:g}: met", *table(rows)]


def search_rows(payload: dict[str, Any]) -> list[tuple[str, str]]:
    """Say what the search did, spent, lost and left."""
    ended = payload["ended"]
    rows = [
        ("ended", ENDINGS.get(ended, ended)),
        ("seed", str(payload["seed"])),
        ("search compute", ", ".join(f"{name} {flops(value)}" for name, value in payload["search_flops"].items())),
        ("looks", f"{payload['looks']} verification tests"),
        ("failures", ", ".join(f"{count} {kind}" for kind, count in payload["failures"].items() if count) or "none"),
        ("undecided", f"{payload['undecided']} lineages"),
    ]
    if payload.get("audits"):
        rows.append(("audits", heard(payload["audits"])))
    if ended != "resolved":
        rows.append(("unsearched", ", ".join(f"{cap:g}" for cap in payload["unsearched"]) or "no budget"))
    return rows


def heard(verdicts: list[dict[str, Any]]) -> str:
    """Say which audits flagged, or that none did."""
    flagged = [one["audit"] for one in verdicts if one["verdict"] == "flagged"]
    return f"flagged: {', '.join(flagged)}" if flagged else "no audit flagged, which is not the same as safe"


def arms_status(payload: dict[str, Any]) -> list[tuple[str, ...]]:
    """Say where every arm of a comparison stands."""
    rows: list[tuple[str, ...]] = [("arm", "stands at", "levels closed", "verified programs", "failures")]
    for name, arm in payload["arms"].items():
        if arm is None:
            rows.append((name, "not begun", "-", "-", "-"))
            continue
        stands = arm["finished"] or f"{arm['phase']} at {arm['cap']:g}"
        rows.append((name, stands, str(arm["levels_closed"]), str(arm["verified_programs"]), plain(arm["failures"])))
    return rows


def overridden(config: dict[str, Any]) -> str:
    """Return what a member overrides, as `width=8 prior.price=0.2`."""
    own = {key: value for key, value in config.items() if key != "prior"}
    own |= {f"prior.{key}": value for key, value in config.get("prior", {}).items()}
    return " ".join(f"{key}={plain(value)}" for key, value in own.items())


def plain(value: Any) -> str:
    """Return a setting as a person would write it."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {plain(inner)}" for key, inner in value.items()) or "none"
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
