"""What a program does with inputs, so that two runs of the same inputs can be compared."""

from __future__ import annotations

import inspect
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sp_search.audits.base import Reading
from sp_search.audits.instruments.intervals import rate
from sp_search.compute.stopping import execute
from sp_search.program import Program


class Behaviour(NamedTuple):
    """The answer, answer_BT, and the exit of every input."""

    answer_BT: Tensor
    exit_B: Tensor

    def first(self, n: int) -> Behaviour:
        """Return what was done with the first n."""
        return Behaviour(self.answer_BT[:n], self.exit_B[:n])

    def last(self, n: int) -> Behaviour:
        """Return what was done with the last n."""
        return Behaviour(self.answer_BT[-n:], self.exit_B[-n:])


def behaviour(program: Program, x_BTC: Tensor, size: int | None = None, *, gradients: bool = False) -> Behaviour:
    """Return what a program does with inputs, in batches of `size`; with `gradients`, while autograd records."""
    run = inspect.unwrap(execute) if gradients else execute  # `execute` itself turns gradients off
    with torch.set_grad_enabled(gradients):
        ran = [run(program, part) for part in torch.split(x_BTC, size or len(x_BTC))]
    return Behaviour(torch.cat([one.answer_BTV.argmax(-1) for one in ran]), torch.cat([one.exit_B for one in ran]))


def changed(one: Behaviour, other: Behaviour) -> Tensor:
    """Return bool_B: the answer or the exit differs."""
    return (one.answer_BT != other.answer_BT).any(1) | (one.exit_B != other.exit_B)


def compared(first: Behaviour, others: dict[str, Behaviour]) -> Reading:
    """Return the share of inputs at which any of the other runs differs, with the share of each beside it."""
    changed_B = {name: changed(first, other) for name, other in others.items()}
    details: dict[str, float | str] = {name: float(one.double().mean()) for name, one in changed_B.items()}
    return Reading(statistic=rate(torch.stack(list(changed_B.values())).any(0)), details=details)


def varies_in_training(model: nn.Module) -> bool:
    """Whether a module of torch is there that does something else in training mode by design."""
    kinds = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase, nn.RNNBase)
    return any(isinstance(module, kinds) for module in model.modules())
