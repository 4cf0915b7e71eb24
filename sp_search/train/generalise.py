"""How a selected program behaves beyond what selected it: with more rollouts than it takes, and input by input.

The overthinking curve is SDN's question (1810.07052), put to recurrent programs as deep-thinking networks do
(2106.04537): does an answer stay right when the program is made to go on? Nothing here is a verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from sp_search.program import unroll
from sp_search.records import Count, Sample
from sp_search.train.evaluate import chunks, sample_of

if TYPE_CHECKING:
    from sp_search.program import Program
    from sp_search.tasks.base import Batch, Task
    from sp_search.train.evaluate import Trial

BEYOND = 4
"""The curve of a program whose exits share weights goes to this many times its exits."""


def right_NB(program: Program, task: Task, batch: Batch, exits: int) -> Tensor:
    """Return whether the answer at each of `exits` exits is right, whatever the halting rule says."""
    parts = []
    with torch.no_grad():
        for part in chunks(batch):
            logits_NBTV = unroll(program.model, part.x_BTC, exits=exits, halting=False).logits_NBTV
            parts.append(torch.stack([task.correct(logits_BTV, part) for logits_BTV in logits_NBTV]).cpu())
    return torch.cat(parts, dim=1)


def stability(program: Program, task: Task, batch: Batch, trial: Trial) -> Count | None:
    """Count the right answers that stay right at every later exit; None where nothing was answered rightly.

    Where the answer would turn wrong, the moment of halting carries a part of it.
    """
    if not trial.right_B.any():
        return None
    stays_B = trial.right_B
    if program.rule.kind != "last":
        after_NB = torch.arange(1, program.exits + 1)[:, None] > trial.exit_B
        stays_B = trial.right_B & ~(after_NB & ~right_NB(program, task, batch, program.exits)).any(0)
    return Count(correct=int(stays_B.sum()), n=int(trial.right_B.sum()), exact=trial.exact)


def overthinking(program: Program, task: Task, distributions: list[str], n: int, seed: int) -> list[dict[str, Any]]:
    """Return, for each distribution, the accuracy at every exit up to `BEYOND` times N (N where exits differ)."""
    reaches_further = program.model.shares_weights
    curves = []
    for distribution in distributions:
        batch = task.sample(
            min(n, task.held_out("verification") or n), distribution, "verification", Generator().manual_seed(seed)
        )
        exits = program.exits * (BEYOND if reaches_further else 1)
        accuracy_N = right_NB(program, task, batch, exits).double().mean(1)
        curves.append({"distribution": distribution, "n": len(batch.x_BTC), "accuracy_N": accuracy_N.tolist()})
    return curves


def needs(program: Program, task: Task, batch: Batch) -> Tensor | None:
    """Return int_B: the rollouts that each input is known to need of this program, at least 1; None if unknown."""
    reach = program.model.reach()
    need_B = None if reach is None else task.minimal_rollouts(batch, reach)
    return None if need_B is None else need_B.clamp(min=1).cpu()


def steps_by_need(need_B: Tensor, trial: Trial) -> list[dict[str, float | int]]:
    """Return mean exit and accuracy for every known need, the least first."""
    rows = []
    for need in sorted(set(need_B.tolist())):
        own_B = need_B == need
        rows.append(
            {
                "need": int(need),
                "n": int(own_B.sum()),
                "mean_exit": float(trial.exit_B[own_B].double().mean()),
                "accuracy": float(trial.right_B[own_B].double().mean()),
            }
        )
    return rows


def over_spend(need_B: Tensor, trial: Trial, program: Program) -> Sample:
    """Return used / needed rollouts per input."""
    ratio_B = trial.exit_B.double() / need_B
    return sample_of(ratio_B, 1.0 / float(need_B.max()), float(program.exits), exact=trial.exact)
