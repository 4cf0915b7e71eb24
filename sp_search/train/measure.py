"""Puts a finished lineage's program to fresh verification draws and writes down what it did. Not a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sp_search.compute.serial import program_serial_depth
from sp_search.records import Check, Count, LineageMeasurement
from sp_search.tasks.base import LARGEST_SUPPORT
from sp_search.train.diagnose import diagnose
from sp_search.train.evaluate import draw_batch, try_program
from sp_search.train.generalise import stability

if TYPE_CHECKING:
    from sp_search.program import Program
    from sp_search.train.job import Job

NEVER_RIGHT = Count(correct=0, n=1, exact=True)


def measure_lineage(
    job: Job,
    program: Program,
    meta: dict[str, Any],
    lineage: int,
    gates: list[str],
    verification_n: int,
    stable_after_halt: float | None = None,
) -> tuple[LineageMeasurement, float]:
    """Return what was seen of one lineage, and the verification FLOPs.

    A lineage that reached the bound meets every gate. One that used up its steps is executed on the training
    distribution alone, so that its compute is known. A diverged one is not executed.

    Args:
        job: the level.
        program: the lineage's program.
        meta: of the runner's state: how the lineages ended.
        lineage: its number.
        gates: distributions on which a program must be good enough.
        verification_n: examples of a draw where the support is too large to enumerate.
        stable_after_halt: most right answers on the training distribution that may turn wrong after the halt.
    """
    row = meta["lineages"].index(lineage)
    ended, shape, training = meta["ended"][row], job.task.shape(), job.task.distributions()[0]
    reached = ended == "reached"
    diagnostics: dict[str, float | bool | None] = {"validation_accuracy": meta["validation_accuracy"][row]}
    counts: dict[str, Count] = {}
    checks: dict[str, Check] = {}
    compute, flops = {}, 0.0
    distributions = [] if ended == "diverged" else [training, *(gates if reached else [])]
    for distribution in dict.fromkeys(distributions):
        seed = job.seed(lineage, "verification", distribution)
        batch, exact = draw_batch(
            job.task, distribution, "verification", verification_n, seed, LARGEST_SUPPORT, job.device
        )
        trial = try_program(program, job.task, batch, exact=exact)
        flops += float(trial.flops_B.sum())
        if distribution == training:
            compute = trial.compute(program, shape.positions)
            stable = None
            if reached and stable_after_halt is not None:
                stable = stability(program, job.task, batch, trial)
                flops += len(trial.right_B) * job.bill.every_answer_flops()
                checks["stable_after_halt"] = Check(count=stable or NEVER_RIGHT, least=1.0 - stable_after_halt)
            diagnostics |= diagnose(program, job.task, batch, trial, stable=stable)
        if reached and distribution in gates:
            counts[distribution] = trial.count
    found = LineageMeasurement(
        lineage=lineage,
        seed=job.assignment.seeds[row],
        ended=ended,
        train_steps=meta["train_steps"][row],
        gates=counts,
        checks=checks,
        compute=compute,
        max_available_flops=program.max_available_flops(shape.positions),
        parameters=sum(part.numel() for part in program.model.parameters()),
        serial_depth=program_serial_depth(program, shape),
        diagnostics=diagnostics,
    )
    return found, flops
