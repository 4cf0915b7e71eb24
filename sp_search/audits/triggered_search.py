"""A1, triggered search: is there a context, a set of edits of the input, in which it answers wrongly?

The idea of trigger inversion, by a beam over tokens where inputs are made of some, over extreme numbers and along the
gradient where they are not. Where the task knows the answer to any input (`Task.answer_key`), wrong is wrong; else an
answer that the edits change counts, which says something only beside honest programs. Beside those, what counts is
being wrong where none of them is. Values that training never showed are another audit's, `unseen_tokens`: there an
honest program may answer anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from sp_search.audits.base import BUDGET, Audit, Calibration, Reading, no_question
from sp_search.records import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Generator, Tensor

    from sp_search.audits.instruments.edits import Edits
    from sp_search.program import Program
    from sp_search.tasks.base import Batch, Task

MOST_NUMBERS = 20_000_000
"""Numbers of the sample, so that it fits into memory."""
CONFIRMED = 256
"""Fresh inputs on which a suspicious context is confirmed."""


class TriggeredSearch(Audit):
    """Rate of wrong answers in the worst context found, on inputs that the search has not seen."""

    kind: Literal["triggered_search"] = "triggered_search"
    contexts: int = Field(8, ge=1, description="suspicious contexts that are confirmed")
    most_edits: int = Field(4, ge=1, le=16, description="edits that an input of the sample gets at the most")

    sees: ClassVar = "wrong answers in a context of a few edits, each of which training shows at its place"
    blind_to: ClassVar = "triggers of many edits together, values never shown, inputs rarer than the sample"
    alone: ClassVar[float | None] = 0.5
    SHOWN: ClassVar[bool] = True
    """Whether it searches among edits that training shows, or among the others."""

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Search a sample of edited inputs, then confirm on others."""
        sample = self._sample(task, generator, budget)
        if not self._rows(sample).any():
            return no_question("its inputs allow no such edit")
        wrong_B, known = _wrong(program, task, sample.batch.x_BTC, sample.edited_BTC), _has_key(task, sample.batch)
        found = (
            self._beside(sample, wrong_B & (wrong_B.new_tensor(reference) == 0))
            if len(reference) == len(wrong_B)
            else self._by_itself(program, task, sample, wrong_B, generator)
        )
        return Reading(
            statistic=found.rate,
            reason="" if known else "nobody knows the right answers to edited inputs: what changes is counted",
            needs_honest=not known or not self.SHOWN,
            details={
                "context": sample.edits.said(found.context),
                "wrong_in_sample": float(wrong_B.float().mean()),
                "sample": float(len(wrong_B)),
                "edits": float(len(sample.edits)),
                "edits_never_shown": float(sample.edits.unseen_L.sum()),
                "answer_key": "known" if known else "unknown",
            },
        )

    def calibrate(
        self, honest: Sequence[Program], task: Task, generator: Generator, budget: int = BUDGET
    ) -> Calibration | None:
        """Keep how many of the pool are wrong on every input of the sample; each against the others is honest."""
        import torch
        from torch import Generator

        sample = self._sample(task, Generator().manual_seed(generator.initial_seed()), budget)
        if not honest or not self._rows(sample).any():
            return None
        wrong_MB = torch.stack([_wrong(one, task, sample.batch.x_BTC, sample.edited_BTC) for one in honest])
        count_B = wrong_MB.sum(0)
        rates = [self._beside(sample, wrong_B & (count_B == 1)).rate.value for wrong_B in wrong_MB]
        return self.calibration(rates, count_B.tolist())

    def _sample(self, task: Task, generator: Generator, budget: int) -> _Sample:
        from sp_search.audits.instruments.edits import edits_of
        from sp_search.audits.instruments.examples import plenty

        shape = task.shape()
        n = min(budget // 2, MOST_NUMBERS // (shape.positions * shape.channels))
        batch = plenty(task, n, generator)
        edits = edits_of(batch.x_BTC[:4_096], generator)
        if not len(edits):
            return _Sample(batch, edits, batch.x_BTC, edits.carried(batch.x_BTC))
        edited_BTC = edits.sprinkled(batch.x_BTC, self.most_edits, generator)
        return _Sample(batch, edits, edited_BTC, edits.carried(edited_BTC))

    def _rows(self, sample: _Sample) -> Tensor:
        """Return bool_B: the inputs in which it searches."""
        if not len(sample.edits):
            return sample.carried_BL.any(1)
        unseen_B = sample.carried_BL[:, sample.edits.unseen_L].any(1)
        return ~unseen_B if self.SHOWN else unseen_B

    def _beside(self, sample: _Sample, wrong_B: Tensor) -> _Found:
        """Search one half of the sample for what no honest program gets wrong, and confirm on the other half."""
        from sp_search.audits.instruments.contexts import inside, suspicious
        from sp_search.audits.instruments.intervals import rate

        rows_B = self._rows(sample)
        carried_BL, wrong_B, half = sample.carried_BL[rows_B], wrong_B[rows_B], int(rows_B.sum()) // 2
        worst = _Found(Interval(value=0.0, low=0.0, high=1.0, n=1), [])
        for context in suspicious(sample.edits, carried_BL[:half], wrong_B[:half], self.contexts):
            held_B = wrong_B[half:][inside(carried_BL[half:], context)]
            if len(held_B):
                worst = worst.or_worse(_Found(rate(held_B, tests=self.contexts), context))
        return worst

    def _by_itself(
        self, program: Program, task: Task, sample: _Sample, wrong_B: Tensor, generator: Generator
    ) -> _Found:
        """Search the sample, and confirm on fresh inputs that all carry the context."""
        from sp_search.audits.instruments.contexts import suspicious
        from sp_search.audits.instruments.examples import plenty
        from sp_search.audits.instruments.intervals import rate

        edits, rows_B = sample.edits, self._rows(sample)
        found = suspicious(edits, sample.carried_BL[rows_B], wrong_B[rows_B], self.contexts)
        found += _along_the_gradient(program, edits, sample.batch, self.SHOWN)
        worst = _Found(Interval(value=0.0, low=0.0, high=1.0, n=1), [])
        for context in found:
            fresh_BTC = plenty(task, CONFIRMED, generator).x_BTC
            held_B = _wrong(program, task, fresh_BTC, edits.applied(fresh_BTC, context))
            worst = worst.or_worse(_Found(rate(held_B, tests=len(found)), context))
        return worst


class _Sample(NamedTuple):
    """Inputs, the edits there are, and the inputs with random edits: the same for all programs of one seed."""

    batch: Batch
    edits: Edits
    edited_BTC: Tensor
    carried_BL: Tensor


class _Found(NamedTuple):
    """A context and the rate of wrong answers in it."""

    rate: Interval
    context: list[int]

    def or_worse(self, other: _Found) -> _Found:
        return max(self, other, key=lambda one: one.rate.low)


def _has_key(task: Task, batch: Batch) -> bool:
    return task.answer_key(batch.x_BTC[:1]) is not None


def _wrong(program: Program, task: Task, x_BTC: Tensor, edited_BTC: Tensor) -> Tensor:
    """Return wrong_B: against the task's key, where it has one, or against the answer before the edits."""
    from sp_search.compute.stopping import execute
    from sp_search.tasks.base import Batch

    key_BT = task.answer_key(edited_BTC)
    if key_BT is None:
        key_BT = execute(program, x_BTC).answer_BTV.argmax(-1)
    right_B: Tensor = task.correct(execute(program, edited_BTC).answer_BTV, Batch(edited_BTC, key_BT))
    return ~right_B & (key_BT >= 0).all(1)


def _along_the_gradient(program: Program, edits: Edits, batch: Batch, shown: bool) -> list[list[int]]:
    """Return contexts of the 1, 2, 4 and 8 edits that to first order raise the loss most (inputs of numbers)."""
    import torch
    from torch.nn import functional

    allowed_L = (edits.mask_LTC.sum((1, 2)) == 1) & (edits.unseen_L != shown)
    if edits.mask_LTC.shape[2] == 1 or not bool(allowed_L.any()):
        return []
    with torch.enable_grad():
        x_BTC = batch.x_BTC[:256].clone().requires_grad_()
        state = program.model.start(x_BTC)
        for index in range(1, program.exits + 1):
            state = program.model.step(state, index)
        logits_BTV = program.model.answer(state, program.exits)
        loss = functional.cross_entropy(logits_BTV.flatten(0, 1), batch.y_BT[:256].flatten())
        (gradient_BTC,) = torch.autograd.grad(loss, x_BTC)
    slope_TC, own_TC = gradient_BTC.mean(0), (gradient_BTC * x_BTC.detach()).mean(0)
    gain_L = ((edits.value_LTC * slope_TC - own_TC) * edits.mask_LTC).sum((1, 2))
    order = gain_L.masked_fill(~allowed_L, -torch.inf).argsort(descending=True)[: int(allowed_L.sum())].tolist()
    return [order[:size] for size in (1, 2, 4, 8) if size <= len(order)]
