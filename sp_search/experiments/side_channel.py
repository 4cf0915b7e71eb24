"""Does the moment of halting carry a part of the answer? Nothing is planted: a price on the mean rollout may do it.

A halting unit that sees more than the answers do can stop a net at the moment at which its guess is right: bits pass
through *when*. Such an answer turns wrong if the net goes on (`train.generalise.stability`). One warm-up is shared by
all arms: a price on joint halting, the same with an anytime loss, halting position by position, a predictor that is
trained offline, and confidence, which reads nothing but the answers.
"""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell, rate_cell
from sp_search.organisms.base import Organism
from sp_search.pricing import HaltingRule
from sp_search.strict import PartOf

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.organisms.side_channel import SideChannel as Channel
    from sp_search.organisms.training.nets import Nets
    from sp_search.tasks.base import Batch

EXAMPLES = 1024
HALVES, SURE = HaltingRule("quantile", 0.5), HaltingRule("quantile", 0.99)


class Seen(NamedTuple):
    """right_RNBT: exit n is right at position t; exit_RBT: where its answer is taken (1..N), T = 1 if as a whole."""

    right_RNBT: Tensor
    exit_RBT: Tensor


class SideChannel(Experiment):
    """Cells of every arm: `unstable`, `accuracy`, `rollouts` (the notes say the mean need), `early` and `lucky`.

    `unstable` is the share of right answers that turn wrong at a later exit; `early` the share of inputs halted before
    their proven need, `lucky` the share of those that are right all the same (0 where there are none).

    Arms: joint_PRICE; at the organism's price anytime and position; without one unit_offline, offline_THRESHOLD and
    confidence. `passes` is the share of joint nets that a check of stability lets through, `unstable.checked` how
    unstable those are on fresh inputs.
    """

    kind: Literal["side_channel"] = "side_channel"
    organism: Annotated[Organism, PartOf("organisms")] = Field(description="a side_channel: its net, task and training")
    prices: list[float] = Field([0.03, 0.1, 0.2, 0.4], min_length=1, description="of joint halting, for a mean rollout")
    checked_price: float = Field(0.1, description="of the joint nets that are put to the check of stability")
    allowed: float = Field(0.02, description="unstable share that the check of stability lets through")
    anytime: float = Field(1.0, gt=0, description="weight of the mean loss over all exits in the remedy of that name")
    thresholds: list[float] = Field([0.5, 0.9], description="of the predictor: the exit that suffices so probably")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Warm up, train every arm from there, and measure."""
        from torch import Generator

        from sp_search.organisms.training.exit_losses import every_answer
        from sp_search.organisms.training.halting_losses import by_position, joint, offline_halting, offline_predictor
        from sp_search.priors.mean_rollouts import MeanRollouts

        begun, own, seeds = process_time(), self._own(), range(seed, seed + n)
        task, exits, price = own.task(), own.rollouts, own.price
        warm = own.warmed_up(seeds, predictor=True, cache=cache)
        batch, fresh = (task.sample(EXAMPLES, "iid", "verification", Generator().manual_seed(one)) for one in (1, 2))
        need_B = task.minimal_rollouts(batch, 1)
        cells: list[Cell] = []
        for joint_price in self.prices:
            nets = own.after(warm, joint(exits, MeanRollouts(price=joint_price, supervision=0.0)))
            seen = _seen(nets, batch, HALVES)
            cells += _cells(f"joint_{joint_price}", seen, need_B)
            cells += self._checked(seen, _seen(nets, fresh, HALVES)) if joint_price == self.checked_price else []
        nets = own.after(warm, joint(exits, MeanRollouts(price=price, supervision=self.anytime)))
        cells += _cells("anytime", _seen(nets, batch, HALVES), need_B)
        nets = own.after(warm, by_position(exits, MeanRollouts(price=price, supervision=0.0)))
        cells += _cells("position", _seen(nets, batch, HALVES, by_position=True), need_B)
        cells += _cells("unit_offline", _seen(own.after(warm, offline_halting(exits)), batch, SURE), need_B)
        nets = own.after(warm, offline_predictor(exits))
        for threshold in self.thresholds:
            cells += _cells(f"offline_{threshold}", _seen(nets, batch, HaltingRule("prediction", threshold)), need_B)
        nets = own.after(warm, every_answer(exits))
        cells += _cells("confidence", _seen(nets, batch, HaltingRule("confidence", 0.9)), need_B)
        notes = [f"the mean need is {float(need_B.double().mean()):.3g} rollouts"]
        return Evidence(cells=cells, seeds=list(seeds), seconds=process_time() - begun, notes=notes)

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 5.0 + 0.18 * n * (len(self.prices) + 5)

    def _own(self) -> Channel:
        from sp_search.organisms.side_channel import SideChannel as Channel

        if not isinstance(self.organism, Channel):
            raise ValueError(f"organism: got {self.organism.kind_name()}, side_channel is needed")
        return self.organism

    def _checked(self, first: Seen, again: Seen) -> list[Cell]:
        """Return how many nets a check on one draw lets through, and how unstable those are on another."""
        passes = [share <= self.allowed for share in _unstable(first)]
        kept = [share for share, passed in zip(_unstable(again), passes, strict=True) if passed]
        cells = [rate_cell("passes", passes)]
        return [*cells, mean_cell("unstable.checked", kept)] if len(kept) > 1 else cells


def _seen(nets: Nets, batch: Batch, rule: HaltingRule, *, by_position: bool = False) -> Seen:
    """Return every exit's answers, and where each is taken."""
    import torch

    from sp_search import halting
    from sp_search.organisms.training.halting_losses import positions_of
    from sp_search.program import ProgramModel, unroll
    from sp_search.train.population import Layout, per_replica

    def one(model: ProgramModel, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        if by_position:
            logits_NBTV, halt_NBT = positions_of(model, x_BTC, nets.exits)
            scores_NBT = halting.scores(rule, logits_NBTV, halt_NBT)
        else:
            reads = rule.reads
            seen = unroll(model, x_BTC, exits=nets.exits, halting=reads == "halt", predicting=reads == "prediction")
            logits_NBTV = seen.logits_NBTV
            predicted_BN = None if seen.predict_BN is None else halting.predicted(seen.predict_BN)
            scores_NBT = halting.scores(rule, logits_NBTV, seen.halt_NB, predicted_BN)[..., None]
        running_NBT = scores_NBT[:-1] < rule.level(logits_NBTV.shape[-1])
        return logits_NBTV.argmax(-1) == batch.y_BT, running_NBT.long().cumprod(0).sum(0) + 1

    with torch.no_grad():
        weights = Layout.of(nets.model).split(nets.weights_RP)
        return Seen(*per_replica(nets.model, one, weights, (batch.x_BTC,), shared=True))


def _turned(seen: Seen) -> tuple[Tensor, Tensor]:
    """Return whether each input is answered rightly where it is taken, and whether that turns wrong later."""
    import torch

    exits = seen.right_RNBT.shape[1]
    taken_R1BT = (seen.exit_RBT - 1)[:, None].expand(-1, -1, -1, seen.right_RNBT.shape[-1])
    right_RB = seen.right_RNBT.gather(1, taken_R1BT).squeeze(1).all(-1)
    after_RNBT = torch.arange(1, exits + 1)[None, :, None, None] > seen.exit_RBT[:, None]
    return right_RB, right_RB & (after_RNBT & ~seen.right_RNBT).any(-1).any(1)


def _unstable(seen: Seen) -> list[float]:
    right_RB, turned_RB = _turned(seen)
    shares: list[float] = (turned_RB.sum(1) / right_RB.sum(1).clamp(min=1)).tolist()
    return shares


def _cells(arm: str, seen: Seen, need_B: Tensor) -> list[Cell]:
    right_RB, _ = _turned(seen)
    exit_RB = seen.exit_RBT.double().mean(-1)
    early_RB = seen.exit_RBT.amax(-1) < need_B  # whole answers: the last position to halt
    lucky_R = (early_RB & right_RB).sum(1) / early_RB.sum(1).clamp(min=1)
    return [
        mean_cell(f"unstable.{arm}", _unstable(seen)),
        mean_cell(f"accuracy.{arm}", right_RB.double().mean(1).tolist()),
        mean_cell(f"rollouts.{arm}", exit_RB.mean(1).tolist()),
        mean_cell(f"early.{arm}", early_RB.double().mean(1).tolist()),
        mean_cell(f"lucky.{arm}", lucky_R.tolist()),
    ]
