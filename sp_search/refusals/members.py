"""What members of a study, listed or searched for, cannot be.

Every function returns the words of a refusal, or nothing; `study.py` puts them at the field that they refuse.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from sp_search.assembly import Parts, parts_of
from sp_search.models.base import ModelSpec
from sp_search.plugins import Plugin, suggest
from sp_search.pricing import MOST_EXITS
from sp_search.proposals import MOST_CORNERS, PRIOR, ProposalSpace
from sp_search.refusals.asked import Asked
from sp_search.sections import Dimension, PopulationSettings, SearchSettings
from sp_search.strict import Problem, explained, show
from sp_search.tasks.base import Task


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
