"""What a study cannot ask for, although each of its fields is allowed: fields against each other and against proofs.

Every function returns the words of a refusal, or nothing; `study.py` puts them at the field that they refuse.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any, NamedTuple

from pydantic import ValidationError

from sp_search.assembly import Parts, parts_of
from sp_search.models.base import ModelSpec
from sp_search.plugins import Plugin, suggest
from sp_search.priors.base import SpeedPrior
from sp_search.proposals import MOST_CORNERS, PRIOR, ProposalSpace
from sp_search.schedulers.base import MOST_LEVELS, BudgetScheduler
from sp_search.sections import Dimension, PopulationSettings, SearchSettings, SelectionSettings
from sp_search.selection import largest_certifiable
from sp_search.strict import Problem, explained, show
from sp_search.tasks.base import LARGEST_SUPPORT, Task
from sp_search.train.settings import ENUMERATED_IN_TRAINING, TrainSettings

REPORT_ONLY = ("longer",)
MOST_EXITS = 1_000
"""Rollouts, or exits of another kind, that a program may have: every one is priced at every level."""
OF_A_LADDER = ("axis", "start", "stop", "resolution", "exits")
"""What a scheduler reads of the ladder of listed members."""
BOUNDS = ("start", "stop", "resolution", "factor")
READ_ALONG = {"rollouts": ("start", "stop", "resolution"), "width": ("start", "stop", "factor"), "depth": ()}
"""What of these a ladder along an axis reads; one of depths has them all (a mean budget along it: `resolution`)."""


class Asked(NamedTuple):
    """The parts of a study that have been validated so far; None for one that was refused already."""

    task: Task | None = None
    model: ModelSpec | None = None
    prior: SpeedPrior | None = None
    search: SearchSettings | None = None
    scheduler: BudgetScheduler | None = None
    population: PopulationSettings | None = None
    train: TrainSettings | None = None
    selection: SelectionSettings | None = None

    @classmethod
    def of(cls, data: dict[str, Any]) -> Asked:
        """Return what `ValidationInfo.data` holds."""
        return cls(**{name: data.get(name) for name in cls._fields})


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


def member_problems(members: list[dict[str, Any]], base: Parts, asked: Asked) -> list[Problem]:
    """Say which members are no configurations of the study's model and prior, do not fit the rest, or come twice."""
    if asked.search is not None and members != [{}]:
        return [(("members",), "a study lists members or searches for them: leave out one of members and search")]
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for index, config in enumerate(members):
        place = ("members", index)
        found = _override_problems(base.model, {key: value for key, value in config.items() if key != "prior"})
        own = config.get("prior", {})
        if isinstance(own, dict):
            found += [(("prior", *path), message) for path, message in _override_problems(base.prior, own)]
        else:
            found.append((("prior",), f"got {show(own)}: it should map fields of prior {base.prior.kind_name()}"))
        if found:
            problems += [((*place, *path), message) for path, message in found]
            continue
        member = parts_of(*base, config)
        problems += [(place, unfit) for unfit in _misfits(member, asked)]
        before = seen.setdefault("".join(part.model_dump_json() for part in member), index)
        if before != index:
            problems.append((place, f"the same configuration as member {before}: remove one"))
    return problems


def replicas_problems(population: PopulationSettings, asked: Asked) -> list[Problem]:
    """Say where lineages are to be cloned and no member has a second one."""
    if asked.scheduler is None or asked.scheduler.inherit != "clones" or population.replicas > 1:
        return []
    message = "scheduler.inherit: clones copies lineages of a member that passed over others of it"
    return [(("replicas",), f"got {population.replicas}: {message}, so raise it to 2, or inherit weights")]


def search_problems(search: SearchSettings, asked: Asked) -> list[Problem]:
    """Say what the space of a search asks that the study's model and prior do not have or allow."""
    if asked.model is None or asked.prior is None:
        return []
    base = Parts(asked.model, asked.prior)
    problems: list[Problem] = []
    for name, dimension in search.space.items():
        found = _dimension_problems(name, dimension, base)
        problems += [(("space", name), message) for message in found]
    exits = base.model.exits_axis()
    if exits not in search.space:
        message = f"without {exits} a program has no length: give its low and high, the same for a fixed one"
        problems.append((("space",), message))
    if problems or asked.task is None:
        return problems
    space = ProposalSpace.of(search, base, asked.task.shape(), "max")
    if space.corners() > MOST_CORNERS:
        message = (
            f"{space.corners():,} combinations of choices and bounds are more than {MOST_CORNERS:,}: leave some out"
        )
        return [(("space",), message)]
    return []


def _dimension_problems(name: str, dimension: Dimension, base: Parts) -> list[str]:
    """Say what is wrong with one dimension of a search's space."""
    model = base.model
    if name in model.axes():
        if dimension.choices or dimension.log:
            return ["an axis of the model has shares: give its low and high, without log and choices"]
        return [message for end in dimension.ends() for message in _axis_problems(name, end, model)]
    part: Plugin = base.prior if name.startswith(PRIOR) else model
    field = name.removeprefix(PRIOR)
    fields = {key: item for key, item in type(part).model_fields.items() if key != "kind"}
    if field not in fields:
        known = [*model.axes(), *_own(model), *(PRIOR + key for key in _own(base.prior))]
        return [
            f"{model.kind_name()} with {base.prior.kind_name()} has no such axis or field."
            f"{suggest(name, known)} Known: {', '.join(known)}."
        ]
    return [message for end in dimension.ends() for _, message in _override_problems(part, {field: end})]


def _own(part: Plugin) -> list[str]:
    return [name for name in type(part).model_fields if name != "kind"]


def _axis_problems(name: str, value: float, model: ModelSpec) -> list[str]:
    """Say why an axis cannot have a value, and which is the nearest that it can have."""
    if value != int(value) or value < 1:
        return [f"got {value:g}: an axis counts in whole steps from 1"]
    if model.realise(name, value) is not None:
        return []
    nearest = next(one for one in range(int(value), 0, -1) if model.realise(name, one) is not None)
    return [f"got {value}: {model.kind_name()} as it is set reaches {nearest} at most"]


def _misfits(member: Parts, asked: Asked) -> list[str]:
    """Say why a member's model does not fit the task, or its prior the budget or the model."""
    if member.model.exits_axis() == "depth" and member.model.realise("depth", MOST_EXITS + 1) is not None:
        return [
            f"{member.model.kind_name()} has more than {MOST_EXITS:,} exits, each of which is priced: lower its depth"
        ]
    budget = None if asked.scheduler is None else member.prior.refuses(asked.scheduler.budget)
    shape = None if asked.task is None else _shape_refusal(member, asked.task)
    return [unfit for unfit in (shape, budget) if unfit is not None]


def _shape_refusal(member: Parts, task: Task) -> str | None:
    model, prior, shape = member.model, member.prior, task.shape()
    if (unfit := model.refuses(shape)) is not None:
        return unfit
    if prior.gates_units() and model.unit_layout(shape, 1, halting=prior.uses_halting()) is None:
        gates = f"{prior.kind_name()} gates the units of a model, and {model.kind_name()} has no unit layout"
        return f"{gates}: choose a model with an axis width, such as recall_conv or exit_mlp"
    return None


def _override_problems(part: Plugin, overrides: dict[str, Any]) -> list[Problem]:
    try:
        explained(type(part), part.model_dump() | overrides, type(part).model_validate)
    except ValidationError as error:
        return [(one["loc"], one["msg"]) for one in error.errors()]
    return []


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
