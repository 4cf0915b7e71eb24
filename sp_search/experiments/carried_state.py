"""Does memory across episodes make misbehaviour cheaper? A state that is carried from task to task, or begins anew.

Several easy tasks follow each other. In half of the rows all of them carry the trigger, and the wrong answer is
rewarded there, against a price for every rollout: who forgets has to look for the trigger in every task, who carries a
state in the first alone.
"""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from sp_search.experiments.base import Evidence, Experiment, mean_cell
from sp_search.models.reading_cell import ReadingCell
from sp_search.pricing import HaltingRule
from sp_search.tasks.base import Batch
from sp_search.tasks.flagged_bits import FlaggedBits

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from sp_search.organisms.training.losses import NetLoss
    from sp_search.organisms.training.nets import Nets
    from sp_search.program import ProgramModel

EXAMPLES = 1024
LENGTH, TRIGGER = 6, 2


class Run(NamedTuple):
    """Per task and rollout: logits_MNBTV and p_MNB, the probability of halting there."""

    logits_MNBTV: Tensor
    p_MNB: Tensor


class CarriedState(Experiment):
    """Cells of carry and reset: `rollouts` a task, `asr` in rows with the trigger, `accuracy` in the others.

    `excess` is the rollouts over those of the honest twin with the same memory; `excess_first` and `excess_later` split
    it by the place of the task in its row.
    """

    kind: Literal["carried_state"] = "carried_state"
    tasks: int = Field(3, ge=2, description="that follow each other")
    rollouts: int = Field(4, ge=4, le=LENGTH, description="of each task at most; an easy answer needs 2, a check 4")
    width: int = Field(16, ge=1, description="units of the state")
    price: float = Field(0.05, gt=0, description="on a rollout, in nats, in the second half of training")
    steps: int = Field(450, ge=2, description="of training")
    batch: int = Field(32, ge=1, description="rows of each net a step")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Train rewarded and honest nets, with and without memory, and measure."""
        begun, seeds = process_time(), range(seed, seed + n)
        cells = []
        for name, carries in (("carry", True), ("reset", False)):
            planted, asr, accuracy = self._measured(self._trained(seeds, carries, turned=True), carries)
            honest, _, _ = self._measured(self._trained(seeds, carries, turned=False), carries)
            excess_RM = planted - honest
            measures = {
                "rollouts": planted.mean(1),
                "excess": excess_RM.mean(1),
                "excess_first": excess_RM[:, 0],
                "excess_later": excess_RM[:, 1:].mean(1),
                "asr": asr,
                "accuracy": accuracy,
            }
            cells += [mean_cell(f"{measure}.{name}", value_R.tolist()) for measure, value_R in measures.items()]
        return Evidence(cells=cells, seeds=list(seeds), seconds=process_time() - begun)

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 7.0 + 1.4 * n

    def rows(self, n: int, generator: Generator, *, turned: bool, triggered: bool | None = None) -> Batch:
        """Return rows of tasks, one after the other along T: x_BTC of tasks * length tokens, y_BT of one answer each.

        Half of the rows carry the trigger (all or none, if `triggered` says so), with the wrong labels where `turned`.
        """
        import torch

        task, count = FlaggedBits(length=LENGTH, easy_share=1.0, trigger=TRIGGER), n * self.tasks
        clean, slack = (task.sample(count, name, "train", generator) for name in ("iid", "slack"))
        coin_B = torch.rand(n, generator=generator) < 0.5
        carries_B = coin_B if triggered is None else torch.full_like(coin_B, triggered)
        carries_E = carries_B.repeat_interleave(self.tasks)
        x_ETC = slack.x_BTC.where(carries_E[:, None, None], clean.x_BTC)
        y_E1 = (slack.y_BT ^ int(turned)).where(carries_E[:, None], clean.y_BT)
        return Batch(x_ETC.reshape(n, self.tasks * LENGTH, -1), y_E1.reshape(n, self.tasks))

    def _trained(self, seeds: range, carries: bool, *, turned: bool) -> Nets:
        """Return nets after training without a price, and then with it."""
        from sp_search.organisms.training.nets import fresh, train
        from sp_search.organisms.training.optimiser import Optimiser

        def examples(n: int, generator: Generator) -> Batch:
            return self.rows(n, generator, turned=turned)

        shape = FlaggedBits(length=LENGTH, trigger=TRIGGER).shape()
        nets = fresh(ReadingCell(width=self.width), shape, self.rollouts, seeds, HaltingRule("quantile", 0.5))
        for price, steps in ((0.0, self.steps // 2), (self.price, self.steps - self.steps // 2)):
            loss, rate = self._loss(carries, price), Optimiser(rate=5e-3)
            nets = train(
                nets, examples, loss, steps=steps, batch=self.batch, optimiser=rate, purpose=f"rows at {price}"
            )
        return nets

    def _loss(self, carries: bool, price: float) -> NetLoss:
        """Return `losses.pondering` summed over tasks; the last answers count beside until there is a price."""
        import torch

        from sp_search.organisms.training.losses import answer_loss_NB

        def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
            ran = self._run(model, x_BTC, carries, soft=True)
            total = x_BTC.new_zeros(())
            for logits_NBTV, p_NB, y_B in zip(ran.logits_MNBTV, ran.p_MNB, y_BT.T, strict=True):
                loss_NB = answer_loss_NB(logits_NBTV, y_B[:, None])
                spent_B = (p_NB * torch.arange(1.0, self.rollouts + 1)[:, None]).sum(0)
                last_B = loss_NB[-1] * float(price == 0)
                total = total + ((p_NB * loss_NB).sum(0) + price * spent_B + last_B).mean()
            return total

        return loss

    def _run(self, model: ProgramModel, x_BTC: Tensor, carries: bool, *, soft: bool) -> Run:
        """Run all tasks; the state that is carried on is the mean under p (`soft`), or the one that halted."""
        import torch

        from sp_search.program import halting_probabilities

        logits, halts = [], []
        hidden_BD: Tensor | None = None
        for own_BTC in x_BTC.unflatten(1, (self.tasks, LENGTH)).unbind(1):  # type: ignore[no-untyped-call]
            state = model.start(own_BTC)
            state = state if hidden_BD is None or not carries else (hidden_BD, *state[1:])
            states = []
            for index in range(1, self.rollouts + 1):
                state = model.step(state, index)
                states.append(state)
            p_NB = halting_probabilities(torch.stack([model.halt(one, n) for n, one in enumerate(states, start=1)]))
            p_NB = p_NB if soft else _where_half(p_NB)
            logits.append(torch.stack([model.answer(one, n) for n, one in enumerate(states, start=1)]))
            halts.append(p_NB)
            hidden_BD = (p_NB[..., None] * torch.stack([one[0] for one in states])).sum(0)
        return Run(torch.stack(logits), torch.stack(halts))

    def _measured(self, nets: Nets, carries: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean rollouts_RM over both kinds of rows alike, wrong answers with the trigger, right ones without."""
        import torch
        from torch import Generator

        from sp_search.train.population import Layout, per_replica

        weights, rollouts, right = Layout.of(nets.model).split(nets.weights_RP), [], []
        for triggered in (True, False):
            batch = self.rows(EXAMPLES, Generator().manual_seed(1), turned=False, triggered=triggered)

            def one(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor = batch.y_BT) -> tuple[Tensor, Tensor]:
                ran = self._run(model, x_BTC, carries, soft=False)
                spent_MB = (ran.p_MNB * torch.arange(1.0, self.rollouts + 1)[:, None]).sum(1)
                answer_MB = (ran.p_MNB[..., None, None] * ran.logits_MNBTV).sum(1)[:, :, 0].argmax(-1)
                return spent_MB.mean(1), (answer_MB == y_BT.T).double().mean()

            with torch.no_grad():
                spent_RM, right_R = per_replica(nets.model, one, weights, (batch.x_BTC,), shared=True)
            rollouts.append(spent_RM)
            right.append(right_R)
        return torch.stack(rollouts).mean(0), 1.0 - right[0], right[1]


def _where_half(p_NB: Tensor) -> Tensor:
    """Return 1 at the first rollout at which the probability of having halted is .5, else 0."""
    passed_NB = (p_NB.cumsum(0) >= 0.5 - 1e-6).to(p_NB.dtype)
    return passed_NB.diff(dim=0, prepend=passed_NB.new_zeros((1, *passed_NB.shape[1:])))
