"""The page's sections as plain data: titles, sentences, tables and code, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sp_search.ledger import LEDGER_NAME
from sp_search.levers import lever_warnings
from sp_search.report.importance import LEAST_CONFIGURATIONS, NULLS, importances
from sp_search.report.reading import Story
from sp_search.report.runs import (
    LEDGER_ANCHOR,
    MOST_RUNS,
    RESULT_ANCHOR,
    RUN_HEADS,
    Spot,
    level_runs,
    run_cells,
    run_link,
    selected_run,
)
from sp_search.report.words import (
    AUDIT_HEADS,
    FAILURES,
    amount,
    audit_row,
    bounds,
    flops,
    level_words,
    minimum_words,
    pass_rate,
    percent,
)

MOST_ROWS = 400
MOST_SETTINGS = 12


class Table(NamedTuple):
    """Heads and rows of text."""

    heads: tuple[str, ...]
    cells: Sequence[tuple[str, ...]]


class Part(NamedTuple):
    """One section of the page; links are paths beside it, `source` leads to where its numbers are from."""

    title: str
    text: str = ""
    table: Table | None = None
    code: str = ""
    fold_title: str = ""
    fold: str = ""
    links: Sequence[str] = ()
    source: str = ""


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
    found += [_importance(story), _failures(story), _left_out(story), _costs(story), _diagnostics(story)]
    found += [_loading(story), _runs(story), _provenance(story)]
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
        source=_of_selected(story),
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
    return Part("Audits", text, Table((*AUDIT_HEADS, "sees", "blind to"), cells), source=_of_result())


def _levers(story: Story) -> Part | None:
    """Say which ways of saving computation could have made misbehaving programs likelier, as far as was measured."""
    warnings = lever_warnings(story.ledger.header["study"])
    if not warnings:
        return None
    return Part("Levers", " ".join(f"{warning[0].upper()}{warning[1:]}." for warning in warnings))


def _failures(story: Story) -> Part:
    counts: dict[tuple[str, int, str], int] = {}
    for failure in story.ledger.failures:
        counts[failure] = counts.get(failure, 0) + 1
    if not counts:
        return Part("Failures", "None: nothing was lost, nothing raised, nothing diverged.")
    cells = [
        (FAILURES.get(kind, kind), str(count), f"member {member}", reason[:500])
        for (kind, member, reason), count in list(counts.items())[:MOST_ROWS]
    ]
    return Part("Failures", table=Table(("what", "times", "where", "why"), cells), source=_of_ledger())


def _left_out(story: Story) -> Part:
    sentences = _untried_levels(story) if story.ledger.header["population"]["members"] else _unproposed(story)
    undecided = sum(level.undecided for level in story.levels)
    if undecided:
        sentences.append(f"{undecided} lineages stayed undecided; they are evidence for nothing.")
    if story.result is not None:
        sentences += [
            f"Member {member} left the search: {why}." for member, why in story.result.dropped_members.items()
        ]
    sentences.append(
        "The statement holds for the stated family of programs, training recipe and training length; another recipe "
        "may reach the milestone with less."
    )
    return Part("What was left unsearched", " ".join(sentences))


def _unproposed(story: Story) -> list[str]:
    """Say how many programs a search by proposals looked at, and that it looked at no others."""
    caps = {row.assignment.member: row.assignment.budget.cap for row in story.ledger.rows}
    said = f"{len(caps)} programs were proposed and judged"
    if story.result is not None and story.result.budget is not None:
        cheaper = sum(cap < story.result.budget.cap for cap in caps.values())
        said += f", {cheaper} of them with a smaller budget than the answer"
    return [f"{said}. Nothing is known of what was not proposed."]


def _untried_levels(story: Story) -> list[str]:
    caps = story.space.caps
    seen = {outcome.level for outcome in story.ledger.outcomes}
    if story.space.controls:
        untried = [level_words(story.space, level) for level in range(len(caps)) if level not in seen]
        return [f"Not tried: {', '.join(untried)}."] if untried else ["Every level of the control was tried."]
    unsearched = [cap for level, cap in enumerate(caps) if level not in seen]
    unsearched = unsearched if story.result is None else story.result.unsearched
    answer = None if story.result is None or story.result.budget is None else story.result.budget.cap
    sentences: list[str] = []
    for where, left in (
        ("below the answer", [cap for cap in unsearched if answer is not None and cap < answer]),
        (
            "above the answer" if answer is not None else "",
            [cap for cap in unsearched if answer is None or cap >= answer],
        ),
    ):
        if left:
            listed = ", ".join(f"{cap:.6g}" for cap in left[:40]) + (" …" if len(left) > 40 else "")
            sentences.append(f"Budgets {where} that no program was tried at: {listed}.".replace("  ", " "))
    return sentences or ["Every budget of the ladder was tried."]


def _costs(story: Story) -> Part:
    spent: dict[str, float] = dict(story.ledger.spent if story.result is None else story.result.search_flops)
    cells = [(use, flops(value)) for use, value in spent.items()]
    looks = story.ledger.looks if story.result is None else story.result.looks
    tests = f"{looks} verification tests were spent." if looks else "No statistical test was needed."
    text = f"{tests} This is what the search paid, never part of a program's budget."
    return Part("What the search cost", text, Table(("use", "compute"), cells), source=_of_ledger())


def _diagnostics(story: Story) -> Part | None:
    if story.result is None or not story.result.diagnostics:
        return None
    known = {name: value for name, value in story.result.diagnostics.items() if value is not None}
    cells = [(name.replace("_", " "), _value(value)) for name, value in known.items()]
    return Part(
        "Diagnostics of the selected program", table=Table(("what", "value"), cells), source=_of_selected(story)
    )


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
    return Part("Importance of settings", text, Table(heads, cells) if cells else None, source=_of_ledger())


def _runs(story: Story) -> Part | None:
    """Return the runs that the page's numbers lead to."""
    cells, total = run_cells(story), len(story.ledger.rows)
    if not cells:
        return None
    text = "One row for each judged lineage: m is the member, v the visit of the search, l the lineage (one seed)."
    if total > MOST_RUNS:
        text += f" {len(cells):,} of {total:,} are shown: those that passed first, of the rest every so many-th."
    return Part("Runs", text, Table(RUN_HEADS, cells), source=_of_ledger())


def _of_selected(story: Story) -> str:
    run = selected_run(story)
    return _of_result() if run is None else run_link(story, f"run {run}", run)


def _of_result() -> str:
    return Spot("result.json", anchor=RESULT_ANCHOR)


def _of_ledger() -> str:
    return Spot(LEDGER_NAME, anchor=LEDGER_ANCHOR)


def _loading(story: Story) -> Part | None:
    if "program/config.json" not in story.hashes:
        return None
    code = (
        "# with sp_search, in this folder\n"
        'import sp_search\nprogram = sp_search.load(".")\n\n'
        "# with torch and safetensors alone, in the folder program/\n"
        "from load import load\nprogram = load()\n"
    )
    program = story.result.program if story.result is not None and story.result.program is not None else {}
    cells = [(str(name), _value(value)) for name, value in program.items() if name != "kind"]
    settings = Table(("setting", "value"), cells) if cells else None
    return Part("The program", table=settings, code=code, source=_of_selected(story))


def _provenance(story: Story) -> Part:
    ledger = story.ledger
    cells = [("seed", str(ledger.header["seed"]))]
    cells += [(name, str(version)) for name, version in ledger.header.get("versions", {}).items()]
    if ledger.began is not None and ledger.last is not None:
        cells.append(("began", _time(ledger.began)))
        cells.append(("last event", f"{_time(ledger.last)} ({_duration(ledger.last - ledger.began)} later)"))
    places = {LEDGER_NAME: LEDGER_ANCHOR, "result.json": RESULT_ANCHOR}
    cells += [(Spot(f"SHA-256 of {name}", id=places.get(name, "")), digest) for name, digest in story.hashes.items()]
    code = f"sp-search run study.yaml --seed {int(ledger.header['seed'])} --output again"
    return Part(
        "Provenance",
        "In this folder, with the versions below:",
        Table(("what", "value"), cells),
        code,
        "study.yaml",
        story.study_text,
    )


def _part(settings: dict[str, Any]) -> str:
    """Return a part as `kind (field value, ...)`, without the fields that are long."""
    fields = [f"{name} {value}" for name, value in settings.items() if name != "kind" and isinstance(value, int | str)]
    return f"{settings.get('kind', '?')}" + (f" ({', '.join(fields[:4])})" if fields else "")


def _value(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "unknown"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items())
    return str(value)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
