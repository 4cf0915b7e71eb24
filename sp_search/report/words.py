"""Numbers and verdicts in plain words, for a reader who has never heard of the project."""

from __future__ import annotations

from math import ceil, floor, isclose

from sp_search.records import Budget, LevelSpace, Minimum
from sp_search.report.reading import AuditEntry, Estimate, LevelEntry, MilestoneEntry, Story

PHASES = {
    "up_fast": "up fast",
    "down_slow": "down slowly",
    "up_slower": "up slower",
    "confirm": "confirming",
    "growing": "growing",
    "descending": "descending",
    "searching": "searching",
}
ENDINGS = {
    "resolved": "the search settled every milestone",
    "exhausted": "even the largest budget of the ladder failed",
    "undecided": "too few lineages of the largest budget could be judged",
    "no_members": "every member was lost or failed",
    "seconds": "its time limit was reached",
    "search_flops": "its limit of search compute was reached",
    "trials": "its limit of trials was reached",
    "failures": "too many trials failed",
    "interrupted": "it was interrupted",
    "stopped": "somebody stopped it",
}
FAILURES = {
    "diverged": "lineages whose training stopped being finite",
    "member_lost": "trials that the machinery lost (never evidence about a budget)",
    "member_failed": "trials whose own code raised",
}
BASES = {
    "proven": "This is proven, not measured.",
    "statistical": "This is statistical evidence, not a proof: programs that pass more rarely than that may exist. "
    "That still smaller budgets fail too rests on training that a larger budget never hurts.",
    "none": "Nothing is claimed about smaller budgets.",
}


def flops(value: float) -> str:
    """Return a number of FLOPs with its unit."""
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.3g} {unit}FLOPs"
    return f"{value:,.0f} FLOPs"


def amount(value: float, measure: str) -> str:
    """Return a cap in its measure: `5 rollouts`, `12,345 FLOPs`."""
    if measure == "flops":
        return flops(value)
    noun = measure.replace("_", " ")
    return f"{value:,.6g} {noun[:-1] if value == 1 and noun.endswith('s') else noun}"


def level_words(space: LevelSpace, level: int) -> str:
    """Return what a level of the ladder allows: its cap, or the value of its control."""
    if space.controls:
        return ", ".join(f"{name} {value:g}" for name, value in space.controls[level].items())
    return amount(space.caps[level], space.measure)


def percent(value: float) -> str:
    """Return a share in percent, with as many digits as it takes to tell it from 100."""
    digits = 1 if value < 0.9 else 2 if value < 0.9995 else 3
    return f"{100 * value:.{digits}f}".rstrip("0").rstrip(".") + " %"


def bounds(estimate: Estimate) -> str:
    """Return an accuracy's interval in percent, rounded outwards."""
    if estimate.exact:
        return "exact: every possible input was checked"
    if estimate.low is None or estimate.high is None:
        return "no interval"
    low, high = floor(estimate.low * 1e4) / 100, min(100.0, ceil(estimate.high * 1e4) / 100)
    return f"between {low:g} and {high:g} %" + (f", {estimate.n:,} inputs" if estimate.n else "")


def spread(estimate: Estimate, confidence: float) -> str:
    """Return the interval of a cost, or nothing where it has none."""
    if estimate.low is None or estimate.high is None:
        return ""
    if isclose(estimate.low, estimate.high):
        return "the same on every input"
    return f"between {flops(estimate.low)} and {flops(estimate.high)}, {percent(confidence)} confidence"


def pass_rate(level: LevelEntry) -> str:
    """Return how many lineages passed, and what that says about the rate."""
    counted = f"{level.passed} of {level.lineages}"
    if not level.lineages:
        return "none judged"
    if not level.passed:
        return f"{counted}; pass rate ≤ {percent(level.high)}" if level.high is not None else counted
    if level.low is None or level.high is None:
        return counted
    return f"{counted}; pass rate {percent(level.low)} to {percent(level.high)}"


def budget_words(budget: Budget) -> str:
    """Return a budget as a phrase."""
    cap = amount(budget.cap, budget.measure)
    return f"at most {cap} on any input" if budget.kind == "max" else f"at most {cap} on average"


def answer(story: Story) -> str:
    """Return the answer in one sentence."""
    result = story.result
    if result is None:
        return _progress(story)
    if result.budget is None:
        ended = ENDINGS.get(result.ended, f"it ended by {result.ended}")
        return f"No program reached {percent(result.milestone)} correct answers: {ended}."
    words = f"The cheapest program that passed spends {budget_words(result.budget)}"
    if result.mean_flops_per_example is not None:
        words += f" ({flops(result.mean_flops_per_example.value)} on average)"
    if result.accuracy is None:
        return words + "."
    if result.accuracy.exact:
        right = f"{percent(result.accuracy.value)} of all possible inputs; every one was checked"
    else:
        right = f"{percent(result.accuracy.value)} of the inputs ({bounds(result.accuracy)})"
    return f"{words} and answers correctly on {right}."


def _progress(story: Story) -> str:
    passed = [level for level in story.levels if level.verdict == "passed"]
    if not passed:
        return f"This study is not finished: {len(story.levels)} budgets were judged and none has passed yet."
    best = min(passed, key=lambda level: (-level.milestone, level.cap))
    found = f"the least that has passed {percent(best.milestone)} is {amount(best.cap, story.measure)}"
    return f"This study is not finished. So far {found}; smaller budgets may follow."


def minimum_words(minimum: Minimum, measure: str) -> str:
    """Return what is known about the least budget, and what that rests on."""
    if minimum.high is not None and minimum.low == minimum.high:
        known = f"{amount(minimum.high, measure)} is the least that the search leaves possible"
        known = f"{amount(minimum.high, measure)} is the minimum" if minimum.basis == "proven" else known
    elif minimum.low is not None and minimum.high is not None:
        known = f"The least budget lies between {minimum.low:g} and {amount(minimum.high, measure)}"
    elif minimum.low is not None:
        known = f"A program that passes needs {amount(minimum.low, measure)} or more"
    elif minimum.high is None and minimum.basis == "statistical":
        known = "No budget that was tried passed"
    else:
        known = "How much less would do is not known"
    return f"{known}: {minimum.text}. {BASES[minimum.basis]}" if minimum.text else f"{known}. {BASES[minimum.basis]}"


def cards(entry: MilestoneEntry, confidence: float) -> list[tuple[str, str, str]]:
    """Return the answer's figures as (name, value, remark); `confidence` is that of the intervals of costs."""
    rows: list[tuple[str, str, str]] = []
    if entry.budget is not None:
        axis = ", ".join(f"{value} {name}" for name, value in entry.budget.axis.items() if value != entry.budget.cap)
        on = "any input" if entry.budget.kind == "max" else "average"
        rows.append(
            ("budget", amount(entry.budget.cap, entry.budget.measure), f"a cap on {on}" + (f"; {axis}" if axis else ""))
        )
    if entry.accuracy is not None:
        rows.append(("accuracy", percent(entry.accuracy.value), bounds(entry.accuracy)))
    rows += _costs(entry, confidence)
    if entry.over_spend is not None:
        rows.append(("over-spend", f"{entry.over_spend.value:.2f}", "rollouts taken / needed, on average"))
    if entry.parameters is not None:
        rows.append(("parameters", f"{entry.parameters:,}", ""))
    if entry.serial_depth is not None:
        rows.append(("serial depth", f"{entry.serial_depth:,}", "operations in a row"))
    return rows


def _costs(entry: MilestoneEntry, confidence: float) -> list[tuple[str, str, str]]:
    """Return what the program spends: one figure when every input costs the same and all of it is used."""
    mean, available = entry.mean_flops_per_example, entry.max_available_flops
    if mean is not None and available is not None and mean.low == mean.high == available.value:
        return [("compute per input", flops(mean.value), "the same on every input")]
    named = (
        ("mean compute", mean),
        ("95th percentile", entry.p95_flops_per_example),
        ("most used", entry.max_flops_per_example),
        ("most available", available),
    )
    return [
        (name, flops(cost.value), spread(cost, confidence) if cost.n else "per input")
        for name, cost in named
        if cost is not None
    ]


MOST_DETAILS = 6
AUDIT_HEADS = ("audit", "verdict", "statistic", "examples", "threshold", "why")


def audit_row(entry: AuditEntry) -> tuple[str, str, str, str, str, str]:
    """Return an audit's name, its verdict, its statistic with interval and n, its threshold, and why it says so."""
    statistic = examples = threshold = ""
    if entry.statistic is not None:
        statistic = f"{entry.statistic.value:.3g} ({entry.statistic.low:.3g} to {entry.statistic.high:.3g})"
        examples = f"{entry.statistic.n:,}"
    if entry.threshold is not None:
        threshold = f"{entry.threshold:.3g}" + (f" ({entry.honest} honest)" if entry.honest else "")
    found = _found(entry.details) if entry.verdict == "flagged" else ""
    why = "; ".join(filter(None, (found, entry.reason)))
    return spaced(entry.audit), spaced(entry.verdict), statistic, examples, threshold, why


def _found(details: dict[str, float | str]) -> str:
    """Say the context in which an audit found something, or the first of the numbers behind its statistic."""
    if details.get("context"):
        return f"where {details['context']}"
    numbers = [(name, value) for name, value in details.items() if not isinstance(value, str)]
    return ", ".join(f"{spaced(name)} {number(value)}" for name, value in numbers[:MOST_DETAILS])


def spaced(name: str) -> str:
    """Return a name of a part, cell or factor as a person reads it."""
    return name.replace("_", " ")


def number(value: float) -> str:
    """Return a number with three digits."""
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.2e}"
