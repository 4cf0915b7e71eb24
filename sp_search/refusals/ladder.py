"""What the ladder of budgets and its scheduler cannot be, by themselves or for the model and prior.

Every function returns the words of a refusal, or nothing; `study.py` puts them at the field that they refuse.
"""

from __future__ import annotations

from math import ceil, floor

from sp_search.models.base import ModelSpec
from sp_search.plugins import suggest
from sp_search.pricing import MOST_EXITS
from sp_search.refusals.asked import Asked
from sp_search.schedulers.base import MOST_LEVELS, BudgetScheduler
from sp_search.strict import Problem, show

OF_A_LADDER = ("axis", "start", "stop", "resolution", "exits")
"""What a scheduler reads of the ladder of listed members."""
BOUNDS = ("start", "stop", "resolution", "factor")
READ_ALONG = {"rollouts": ("start", "stop", "resolution"), "width": ("start", "stop", "factor"), "depth": ()}
"""What of these a ladder along an axis reads; one of depths has them all (a mean budget along it: `resolution`)."""


def ladder_problems(scheduler: BudgetScheduler) -> list[Problem]:
    """Say what is wrong with the ladder of budgets by itself, and what is set although nothing reads it."""
    axis, start, stop, resolution = scheduler.axis, scheduler.start, scheduler.stop, scheduler.resolution
    read = () if scheduler.controls() else READ_ALONG.get(axis, BOUNDS)
    if axis == "depth" and scheduler.budget == "mean" and not scheduler.controls():
        read = ("resolution",)
    what = "that moves a control" if scheduler.controls() else f"along {axis}"
    unread = [name for name in BOUNDS if name not in read and not _at_default(scheduler, name)]
    if axis == "rollouts" and scheduler.budget == "max" and not scheduler.controls() and stop >= MOST_EXITS + 1:
        return [(("stop",), f"got {stop:g}: a program has {MOST_EXITS:,} rollouts at most")]
    if scheduler.exits > MOST_EXITS:
        return [(("exits",), f"got {scheduler.exits}: a program has {MOST_EXITS:,} at most")]
    if unread:
        message = f"nothing reads it on a ladder {what}: leave it out"
        return [((name,), f"got {show(getattr(scheduler, name))}: {message}") for name in unread]
    if "start" in read and start > stop:
        return [(("start",), f"got {start:g}, above stop ({stop:g}): the ladder of budgets runs from start up to stop")]
    if axis == "width" and "start" in read and ceil(start) > floor(stop):
        return [(("start",), f"got {start:g}: no whole width lies between it and stop ({stop:g})")]
    if "resolution" not in read:
        return []
    if axis == "depth" and not 1 / MOST_LEVELS <= resolution <= 1:
        return [(("resolution",), f"got {resolution:g}: along depth it is a share of an exit, at most 1")]
    if (stop - start) / resolution > MOST_LEVELS:
        return [
            (("resolution",), f"got {resolution:g}: from {start:g} to {stop:g} are more than {MOST_LEVELS:,} levels")
        ]
    if start < 1:
        return [(("start",), f"got {start:g}: a program takes at least one rollout")]
    if scheduler.budget == "mean" and start > scheduler.exits:
        return [(("start",), f"got {start:g}, above exits ({scheduler.exits}): no program has more rollouts")]
    return []


def _at_default(scheduler: BudgetScheduler, name: str) -> bool:
    return bool(getattr(scheduler, name) == type(scheduler).model_fields[name].default)


def search_ladder_problems(scheduler: BudgetScheduler) -> list[Problem]:
    """Say what of a scheduler a search by proposals has no use for."""
    problems: list[Problem] = []
    own = [name for name in OF_A_LADDER if not _at_default(scheduler, name)]
    message = "a search has a ladder of its own, of FLOPs: leave it out, and bound search.space and search.cap"
    problems += [((name,), f"got {show(getattr(scheduler, name))}: {message}") for name in own]
    if not _at_default(scheduler, "inherit"):
        message = "every proposal of a search begins with fresh weights: leave it out"
        problems.append((("inherit",), f"got {show(scheduler.inherit)}: {message}"))
    if scheduler.controls():
        problems.append((("kind",), "a search moves a cap, and this scheduler a control: choose annealing or fixed"))
    return problems


def scheduler_problems(scheduler: BudgetScheduler, asked: Asked) -> list[Problem]:
    """Say why a scheduler cannot move the budgets of the study's model under its prior."""
    model, prior = asked.model, asked.prior
    problems = ladder_problems(scheduler) if asked.search is None else search_ladder_problems(scheduler)
    if asked.search is None and model is not None:
        problems += [(("axis",), message) for message in _axis_refusals(scheduler, model)]
    moved = {name for level in scheduler.controls() for name in level}
    if prior is not None and (unknown := sorted(moved.difference(prior.controls()))):
        known = ", ".join(prior.controls()) or "none"
        message = f"it moves {', '.join(unknown)}, and prior {prior.kind_name()} has these controls: {known}"
        problems.append((("kind",), f"{message}: choose prior exit_penalty"))
    if prior is not None and scheduler.budget == "mean" and prior.rule().reads == "nothing":
        message = f"a mean budget needs a program that halts by itself, and prior {prior.kind_name()} always runs"
        problems.append((("budget",), f"{message} to the end: choose a prior that trains halting, or budget: max"))
    return problems


def _axis_refusals(scheduler: BudgetScheduler, model: ModelSpec) -> list[str]:
    kind, exits = model.kind_name(), model.exits_axis()
    if scheduler.axis not in model.axes():
        near, known = suggest(scheduler.axis, list(model.axes())), ", ".join(model.axes())
        return [f"model {kind} has no axis '{scheduler.axis}'.{near} Known: {known}."]
    if scheduler.controls() and scheduler.axis != exits:
        return [f"got {show(scheduler.axis)}: a control acts on the exits of a program, which {kind} has along {exits}"]
    return []
