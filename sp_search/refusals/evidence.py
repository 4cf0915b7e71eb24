"""What the evidence that a study asks for could never show.

Every function returns the words of a refusal, or nothing; `study.py` puts them at the field that they refuse.
"""

from __future__ import annotations

from math import ceil, floor

from sp_search.assembly import parts_of
from sp_search.plugins import suggest
from sp_search.refusals.asked import Asked
from sp_search.sections import SelectionSettings
from sp_search.selection import largest_certifiable
from sp_search.tasks.base import LARGEST_SUPPORT, Task
from sp_search.train.settings import ENUMERATED_IN_TRAINING

REPORT_ONLY = ("longer",)


def gate_refusal(gate: str, earlier: list[str], task: Task) -> str | None:
    """Say why a distribution cannot be a gate, or return None."""
    known = [name for name in task.distributions() if name not in REPORT_ONLY]
    if gate in earlier:
        return f"'{gate}' is listed twice: remove one"
    if gate in REPORT_ONLY:
        return f"'{gate}' is a report, never a gate: a program whose budget is capped cannot unroll further"
    if gate not in known:
        return f"task {task.kind_name()} has no distribution '{gate}'.{suggest(gate, known)} Known: {', '.join(known)}."
    return None


def stability_refusal(task: Task, selection: SelectionSettings) -> str | None:
    """Say why the check on answers after the halt could never be passed, or return None."""
    allowed, n = selection.stable_after_halt, _held_out(task, task.distributions()[0], selection)
    if allowed is None or n is None:
        return None
    least = 1.0 - largest_certifiable(n, selection.confidence)
    if allowed >= least:
        return None
    return f"got {allowed:g}: {n} held-out examples can show {ceil(least * 1e5) / 1e5:g} at least: raise selection.n"


def milestone_refusal(milestone: float, asked: Asked) -> str | None:
    """Say why no program of the study could be shown to meet a milestone, or return None."""
    task, selection = asked.task, asked.selection
    if task is None or selection is None:
        return None
    for gate in selection.gates:
        n = _held_out(task, gate, selection)
        largest = largest_certifiable(n, selection.confidence)
        if milestone > largest:
            most = floor(largest * 1e5) / 1e5
            return f"got {milestone}: {n} held-out examples of '{gate}' can certify {most} at most"
        least = _least_rollouts(milestone, gate, task, asked)
        if asked.scheduler is not None and least > asked.scheduler.stop:
            allowed = f"{asked.scheduler.stop:g}"
            return f"got {milestone}: '{gate}' needs {least} rollouts (proven), and scheduler.stop allows {allowed}"
    return _validation_refusal(milestone, task, selection, asked)


def _validation_refusal(milestone: float, task: Task, selection: SelectionSettings, asked: Asked) -> str | None:
    """Say why training could never see that the milestone is met: its validation bound stays below; else None."""
    support = task.support_size(task.distributions()[0])
    if asked.model is None or asked.prior is None or asked.train is None:
        return None
    if support is not None and support <= ENUMERATED_IN_TRAINING:
        return None
    settings = asked.train.over(asked.model.train_defaults(), asked.prior.train_defaults())
    n = min(settings.validation, task.held_out("validation") or settings.validation)
    largest = floor((1.0 - selection.confidence) ** (1.0 / n) * 1e5) / 1e5
    if milestone <= largest:
        return None
    return f"got {milestone}: {n} validation examples can show {largest} at most: raise train.validation"


def _held_out(task: Task, gate: str, selection: SelectionSettings) -> int | None:
    """Return how many examples verify a gate, or None where all inputs are enumerated."""
    support = task.support_size(gate)
    if support is not None and support <= LARGEST_SUPPORT:
        return None
    held_out = task.held_out("verification")
    return selection.n if held_out is None else min(selection.n, held_out)


def _least_rollouts(milestone: float, gate: str, task: Task, asked: Asked) -> int:
    """Return the rollouts below which a gate is proven out of reach for every member (0 where nothing is proven).

    The proofs are about programs that answer at a fixed rollout under a max budget.
    """
    scheduler, prior, model, population = asked.scheduler, asked.prior, asked.model, asked.population
    if scheduler is None or prior is None or model is None or population is None or asked.search is not None:
        return 0
    members = [parts_of(model, prior, config) for config in population.members]
    fixed = all(member.prior.rule().reads == "nothing" for member in members)
    if not fixed or (scheduler.axis, scheduler.budget) != ("rollouts", "max"):
        return 0
    reaches = [member.model.reach() for member in members]
    known = [reach for reach in reaches if reach is not None]
    return task.least_rollouts_for(gate, max(known), milestone) if len(known) == len(reaches) else 0
