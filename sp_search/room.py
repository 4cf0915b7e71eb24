"""Whether a machine has what a study's trials need at least, said before anything is made or written.

Bytes come from the analytic number of parameters and the sizes of the draws, so nothing is built to know them. They
are a lower bound: activations come on top.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sp_search import assembly
from sp_search.assembly import Parts
from sp_search.errors import StudyError
from sp_search.proposals import ProposalSpace
from sp_search.tasks.base import LARGEST_SUPPORT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sp_search.records import Member
    from sp_search.study import Cluster, Study

COPIES = 4
"""Of all weights: themselves, their gradients, and Adam's two moments."""
FLOAT, LABEL = 4, 8
MOST_BYTES = 1 << 46
"""Of a trial on any machine: 64 TiB."""


def trial_bytes(study: Study, parts: Parts, axis: dict[str, int]) -> int:
    """Return what a trial of a member holds at the least at a level: weights, the data of a slice, and a draw."""
    built, exits, shape = parts._replace(model=parts.model.at(axis)), axis[parts.model.exits_axis()], study.task.shape()
    settings, training = study.train_settings(parts), study.task.distributions()[0]
    example = FLOAT * shape.positions * shape.channels + LABEL * shape.answers
    weights = COPIES * FLOAT * assembly.parameters(*built, shape, exits)
    slice_data = min(settings.steps, settings.evaluate_every) * settings.batch * example
    support = study.task.support_size(training)
    drawn = support if support is not None and support <= LARGEST_SUPPORT else study.selection.n
    held_out = study.task.held_out("verification")
    drawn = drawn if held_out is None else min(drawn, held_out)
    return study.population.replicas * (weights + slice_data) + drawn * example


def refuse_oversized(study: Study, dearest: list[tuple[str, Parts, dict[str, int]]], most: int, who: str) -> None:
    """Refuse members whose dearest level holds more than `most` bytes, the memory of `who`.

    Raises:
        StudyError: names every such member, what a trial of it holds, and what makes it smaller.
    """
    problems = []
    for place, parts, axis in dearest:
        needed = trial_bytes(study, parts, axis)
        if needed > most:
            sizes = ", ".join(f"{name} {value}" for name, value in axis.items())
            problems.append(
                f"{place}: a trial of it at {sizes} holds {_size(needed)} at least (lineages: "
                f"{study.population.replicas}), and {who} {_size(most)}: make the model, train.batch, "
                "train.evaluate_every, selection.n or population.replicas smaller"
            )
    if problems:
        raise StudyError(problems)


def dearest_levels(study: Study, members: list[Member]) -> list[tuple[str, Parts, dict[str, int]]]:
    """Return every member's place in the study, its parts, and the values of its axes at its largest level."""
    if study.search is not None:
        own, space = study.member_parts()[0], study.search.space
        if study.search.cap is not None:  # the largest values may be none that can be proposed together
            reached = ProposalSpace.of(study.search, own, study.task.shape(), study.scheduler.budget)
            return [("search.space", own, axis) for axis in reached.furthest(study.search.cap)]
        axis = {name: int(space[name].high or 1) for name in own.model.axes() if name in space}
        return [("search.space", own, axis)]
    parts = study.member_parts()
    found = []
    for member, own in zip(members, parts, strict=True):
        axes = [budget.axis for budget in member.budgets if budget is not None]
        if axes:
            found.append((f"population.members.{member.member}", own, max(axes, key=lambda axis: tuple(axis.values()))))
    return found


def refuse_without_room(study: Study, members: list[Member], cluster: Cluster, *, in_process: bool = False) -> None:
    """Refuse what this machine cannot run: GPUs that it does not have, or trials larger than its memory.

    Machines of a cluster that runs already (`cluster.address`, or one that this process is connected to) are asked when
    the study connects to it.

    Raises:
        StudyError: names the settings, and what to do.
    """
    if not in_process and (cluster.address != "local" or _connected()):
        return
    problems = list(_gpu_problems(study.resources.gpu, cluster.gpus, in_process=in_process))
    if problems:
        raise StudyError(problems)
    refuse_oversized(study, dearest_levels(study, members), _memory(), "this machine has")


def _connected() -> bool:
    """Whether this process has a connection to a cluster already, which comes before any other."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _gpu_problems(gpu: float, promised: int | None, *, in_process: bool) -> Iterator[str]:
    instead = "ask for none (--set resources.gpu=0), or give a cluster that has it (--address, --cluster)"
    if gpu and in_process:
        yield f"resources.gpu: got {gpu:g}, and --in-process trains on the processor alone: leave one of them out"
    elif gpu or promised:
        have = _gpus()
        if gpu > have:
            yield f"resources.gpu: got {gpu:g}, and torch sees {have or 'no'} GPU on this machine: {instead}"
        if promised and promised > have:
            yield f"gpus: the cluster file promises {promised}, and torch sees {have or 'no'} GPU on this machine"


def _gpus() -> int:
    """Return how many GPUs torch can use. Imports torch."""
    import torch

    return int(torch.cuda.device_count())


def _memory() -> int:
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"


def any_machine(study: Study, members: list[Member]) -> None:
    """Refuse trials that no machine holds.

    Raises:
        StudyError: as `refuse_oversized` says it.
    """
    refuse_oversized(study, dearest_levels(study, members), MOST_BYTES, "no machine has more than")
