"""What accuracy hides about a lineage's program: is its halting alive, does it follow the need, do its answers hold?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sp_search.tasks.base import Batch
from sp_search.train.generalise import needs, over_spend, stability

if TYPE_CHECKING:
    from sp_search.program import Program
    from sp_search.records import Count
    from sp_search.tasks.base import Task
    from sp_search.train.evaluate import Trial


def diagnose(
    program: Program, task: Task, batch: Batch, trial: Trial, *, stable: Count | None = None, examples: int = 512
) -> dict[str, float | bool | None]:
    """Return what was seen beside accuracy; it decides nothing.

    `over_spend` is the mean of used / needed rollouts. `unstable_after_halt` is the share of rightly answered examples
    whose answer is wrong at some later exit, from `stable` where it was counted already, else over `examples`.
    """
    exit_B = trial.exit_B.double()
    spread = float(exit_B.std(correction=0))
    mean = float(exit_B.mean())
    found: dict[str, float | bool | None] = {"mean_exit": mean, "exit_std": spread}
    found["threshold"] = None if program.rule.kind == "last" else program.rule.threshold
    found["dead_halting"] = (
        program.rule.kind != "last" and program.exits > 1 and spread == 0.0 and mean == program.exits
    )
    need_B = needs(program, task, batch)
    if need_B is not None:
        found["mean_need"] = float(need_B.double().mean())
        found["over_spend"] = over_spend(need_B, trial, program).mean
        varies = spread > 0 and float(need_B.double().std(correction=0)) > 0
        found["corr_need"] = float(torch.corrcoef(torch.stack([exit_B, need_B.double()]))[0, 1]) if varies else None
    if program.rule.kind != "last":
        stable = stable or stability(program, task, *_first(batch, trial, examples))
        found["unstable_after_halt"] = 0.0 if stable is None else 1.0 - stable.correct / stable.n
    return found


def _first(batch: Batch, trial: Trial, examples: int) -> tuple[Batch, Trial]:
    part = replace(trial, right_B=trial.right_B[:examples], exit_B=trial.exit_B[:examples], exact=False)
    return Batch(batch.x_BTC[:examples], batch.y_BT[:examples]), replace(part, flops_B=trial.flops_B[:examples])
