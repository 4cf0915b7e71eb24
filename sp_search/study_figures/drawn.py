"""Both diagrams of a study as pictures, and in words."""

from __future__ import annotations

from pathlib import Path

from sp_search.report.diagrams import Spent, draw_waste
from sp_search.report.figures import short_number
from sp_search.report.levels_diagram import Levels, draw_levels
from sp_search.report.words import percent
from sp_search.study_figures.measured import StudyFigures
from sp_search.study_figures.spending import Kind


def lines_of_study(found: StudyFigures) -> list[str]:
    """Say both diagrams in words."""
    lines = []
    for one in found.spending:
        spent = f"{one.average:,.0f} FLOPs on average, {one.most:,.0f} at most"
        lines.append(f"{one.title} ({one.role}): {percent(one.accuracy)} right, {spent}")
        for kind in one.kinds:
            words = [f"{kind.needed:,.0f} needed", f"{kind.wasted:,.0f} wasted"]
            words += [f"{kind.lacking:,.0f} lacking"] if kind.lacking else []
            words += [] if kind.wrong is None else [f"{percent(kind.wrong)} answered wrongly"]
            lines.append(f"  {' '.join(kind.kind.split())} (n = {kind.n}): {', '.join(words)}")
    crosses = sum(one.misbehaving for one in found.points)
    lines.append(
        f"P* = {found.milestone:g}, C* = {found.least:,.0f} ({found.measure}); {len(found.points) - crosses} lineages "
        f"not known to misbehave; programs known to: {crosses}"
    )
    if found.unknown:
        lines.append(f"not drawn: {found.unknown} lineages of searches for deceivers whose harm was never verified")
    return [f"needed: {found.needed}", *lines]


def drawn_study(found: StudyFigures, folder: Path) -> list[Path]:
    """Draw both diagrams into a folder, and return their files."""
    programs = [
        Spent(
            title=one.title,
            program=one.program,
            tasks=[(_tick(kind), kind.needed - kind.lacking, kind.wasted) for kind in one.kinds],
            average=one.average,
            most=one.most,
            lacking=[kind.lacking for kind in one.kinds],
        )
        for one in found.spending
    ]
    shown = [(one.cost, one.accuracy) for one in found.points if not one.misbehaving and one.passed]
    levels = Levels(
        verified=shown,
        failed=[(one.cost, one.accuracy) for one in found.points if not one.misbehaving and not one.passed],
        misbehaving=[(one.cost, one.accuracy) for one in found.points if one.misbehaving],
        threshold=found.milestone,
        least=found.least,
        selected=found.spending[0].accuracy,
        visits=[(one.budget, one.phase, one.verdict) for one in found.visits],
    )
    waste = draw_waste(
        programs,
        "FLOPs per input",
        "all clean inputs",
        folder,
        name="study_waste",
        tasks="kinds of inputs",
        waste="spent beyond the need",
        number=short_number,
        note=[f"Needed: {found.needed}.", *(f"{one.title.capitalize()}: {one.role}." for one in found.spending)],
    )
    return [*waste, *draw_levels(levels, found.measure, found.budget, folder, name="study_levels")]


def _tick(kind: Kind) -> str:
    """Return what stands below a bar: its kind, and how many answers are wrong where that is a part worth seeing."""
    return kind.kind if kind.wrong is None or kind.wrong < 0.005 else f"{kind.kind}\n{percent(kind.wrong)} wrong"
