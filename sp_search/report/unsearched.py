"""The sections that say what went wrong, and what was left unsearched."""

from __future__ import annotations

from sp_search.report.part import MOST_ROWS, Part, Table, of_ledger
from sp_search.report.reading import Story
from sp_search.report.words import FAILURES, level_words


def failures(story: Story) -> Part:
    """Count what was lost, raised or diverged, by member and reason."""
    counts: dict[tuple[str, int, str], int] = {}
    for failure in story.ledger.failures:
        counts[failure] = counts.get(failure, 0) + 1
    if not counts:
        return Part("Failures", "None: nothing was lost, nothing raised, nothing diverged.")
    cells = [
        (FAILURES.get(kind, kind), str(count), f"member {member}", reason[:500])
        for (kind, member, reason), count in list(counts.items())[:MOST_ROWS]
    ]
    return Part("Failures", table=Table(("what", "times", "where", "why"), cells), source=of_ledger())


def left_out(story: Story) -> Part:
    """Say which budgets, lineages and members say nothing."""
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
