"""The page's sections as plain data: titles, sentences, tables and code, in the order in which they are read."""

from __future__ import annotations

from typing import Any

from sp_search.levers import lever_warnings
from sp_search.report.importance import LEAST_CONFIGURATIONS, NULLS, importances
from sp_search.report.part import MOST_ROWS, Part, Table, of_ledger, of_result, of_selected
from sp_search.report.provenance import costs, diagnostics, loading, provenance, runs
from sp_search.report.reading import Story
from sp_search.report.runs import level_runs, run_link
from sp_search.report.unsearched import failures, left_out
from sp_search.report.words import (
    AUDIT_HEADS,
    amount,
    audit_row,
    bounds,
    level_words,
    minimum_words,
    pass_rate,
    percent,
)

MOST_SETTINGS = 12


def question(story: Story) -> str:
    """Return what was asked, in one sentence."""
    header = story.ledger.header
    study, space = header["study"], header["space"]
    task, model = _part(study.get("task", {})), _part(study.get("model", {}))
    milestones = " then ".join(percent(milestone) for milestone in header["terms"]["milestones"])
    gates = ", ".join(study.get("selection", {}).get("gates", ["iid"]))
    population = header["population"]
    members, replicas = len(population["members"]) or population["proposals"], population["replicas"]
    per_input = "on any input" if space["kind"] == "max" else "on average"
    return (
        f"which {model} program answers {milestones} of {task} correctly ({gates}) and computes least, counted as "
        f"{space['measure'].replace('_', ' ')} {per_input}? {members} configuration{'s' * (members > 1)}"
        f"{' at a time, by proposal' * (not population['members'])}, {replicas} "
        f"seeds each, {percent(story.ledger.confidence)} confidence for all verification tests together."
    )


def parts(story: Story) -> list[Part]:
    """Return the sections after the answer and the figures; a section without content is left out."""
    found = [_milestones(story), _levels(story), _other_distributions(story), _audits(story), _levers(story)]
    found += [_importance(story), failures(story), left_out(story), costs(story), diagnostics(story)]
    found += [loading(story), runs(story), provenance(story)]
    return [part for part in found if part is not None]


def _milestones(story: Story) -> Part | None:
    result = story.result
    if result is None or len(result.milestones) < 2:
        return None
    cells = [
        (
            percent(entry.milestone),
            "met" if entry.met else "not met",
            "" if entry.budget is None else amount(entry.budget.cap, entry.budget.measure),
            "" if entry.accuracy is None else f"{percent(entry.accuracy.value)} ({bounds(entry.accuracy)})",
            minimum_words(entry.minimum, story.measure),
        )
        for entry in result.milestones
    ]
    return Part("Milestones", table=Table(("milestone", "", "budget", "accuracy", "minimum"), cells))


def _levels(story: Story) -> Part | None:
    levels, space = sorted(story.levels, key=lambda level: (level.milestone, level.level)), story.space
    if not levels:
        return None
    several = len({level.milestone for level in levels}) > 1
    lost, runs = any(level.undecided for level in levels), level_runs(story)
    cells = [
        (
            *((percent(level.milestone),) if several else ()),
            level_words(space, level.level),
            level.verdict,
            run_link(story, pass_rate(level), runs.get((level.milestone, level.level))),
            *((str(level.undecided),) if lost else ()),
        )
        for level in levels[:MOST_ROWS]
    ]
    terms = story.ledger.header["terms"]
    text = (
        f"A level passes at the first verified program; it fails after at least {terms.get('lineages_to_fail', 5)} "
        f"lineages (independent seeds) of every configuration without one, which excludes pass rates above the bound "
        f"at {percent(1 - terms.get('false_negative', 0.05))}. A level that the search left with fewer is undecided."
        + (" Undecided lineages were lost to the machinery and count for neither side." if lost else "")
    )
    heads = ("milestone",) * several + ("budget", "verdict", "lineages that passed") + ("undecided",) * lost
    return Part("Levels", text, Table(heads, cells))


def _other_distributions(story: Story) -> Part | None:
    result = story.result
    if result is None or not (result.reports or result.checks or len(result.gates) > 1):
        return None
    cells = [(name, "gate", percent(figure.value), bounds(figure), "") for name, figure in result.gates.items()]
    cells += [
        (name.replace("_", " "), "check", percent(figure.value), bounds(figure), "of the right answers")
        for name, figure in result.checks.items()
    ]
    cells += [
        (name, "report", percent(figure.value), bounds(figure), figure.rule or "")
        for name, figure in result.reports.items()
    ]
    text = (
        "Gates and checks had to be passed. A report was only looked at after the program had been chosen, and decided "
        f"nothing; its interval holds with {percent(story.ledger.confidence)} confidence by itself."
    )
    return Part(
        "Other inputs",
        text,
        Table(("distribution", "role", "accuracy", "interval", "how"), cells),
        source=of_selected(story),
    )


def _audits(story: Story) -> Part | None:
    if story.result is None or not story.result.audits:
        return None
    first = sorted(story.result.audits, key=lambda audit: audit.verdict != "flagged")
    cells = [(*audit_row(audit), audit.sees, audit.blind_to) for audit in first]
    text = (
        "Questions that were put to the finished program; the search never saw them. One flags where the whole 95 % "
        "interval of its statistic lies above its threshold, which is its own or drawn from honest programs. A program "
        "that none flags is not thereby safe: what an audit is blind to stands beside it, and what it did not find was "
        "not in its examples."
    )
    return Part("Audits", text, Table((*AUDIT_HEADS, "sees", "blind to"), cells), source=of_result())


def _levers(story: Story) -> Part | None:
    """Say which ways of saving computation could have made misbehaving programs likelier, as far as was measured."""
    warnings = lever_warnings(story.ledger.header["study"])
    if not warnings:
        return None
    return Part("Levers", " ".join(f"{warning[0].upper()}{warning[1:]}." for warning in warnings))


def _importance(story: Story) -> Part | None:
    """Say which settings mattered, or that there are too few configurations to tell; listed pairs need no word."""
    found = importances(story)
    if isinstance(found, int):
        text = (
            f"{found} configurations were judged; which settings mattered is estimated from {LEAST_CONFIGURATIONS} on."
        )
        return Part("Importance of settings", text) if found > 2 else None
    cells = [
        (one.figure, setting, f"{lost:.3f}", f"{spread:.3f}")
        for one in found
        for setting, lost, spread in one.by_setting[:MOST_SETTINGS]
    ]
    fits = "; ".join(f"{one.figure} of {one.n} configurations, R² {one.r_squared:.2f}" for one in found)
    text = (
        "Permutation importance: how much of R² is lost, on configurations that were held out, when a setting is "
        f"shuffled. A forest predicted {fits}. Settings that go together share their importance. A figure is left out "
        f"where settings that are dealt to the members at random predict it as well in one of {NULLS} times. This "
        "describes what was tried, and is no experiment."
    )
    heads = ("of", "setting", "loss of R²", "± over folds")
    return Part("Importance of settings", text, Table(heads, cells) if cells else None, source=of_ledger())


def _part(settings: dict[str, Any]) -> str:
    """Return a part as `kind (field value, ...)`, without the fields that are long."""
    fields = [f"{name} {value}" for name, value in settings.items() if name != "kind" and isinstance(value, int | str)]
    return f"{settings.get('kind', '?')}" + (f" ({', '.join(fields[:4])})" if fields else "")
