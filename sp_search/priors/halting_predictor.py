"""Part `halting_predictor`: a separate model reads the input and predicts how many rollouts it needs (Proposal 2B).

Offline, the program first trains on all exits alike and is then frozen; the predictor alone learns, by cross-entropy,
the least *stable* exit: right there and at every later exit (N if there is none), so that a lucky guess is no label.
Nothing of the program takes part in halting, so the program cannot game it, and no gradient of the predictor can reach
it. Online, both train on side by side and the labels move. Its own FLOPs are paid once per input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.pricing import HaltingRule
from sp_search.priors.base import SpeedPrior

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor

    from sp_search.pricing import Prices
    from sp_search.program import Exits, ProgramModel
    from sp_search.tasks.base import Shape


def least_stable_exit(right_NB: Tensor) -> Tensor:
    """Return the index (from 0) of the first exit from which on all are right, int64_B; N - 1 where exit N is wrong."""
    stable_NB = right_NB.long().flip(0).cumprod(0)
    exit_B: Tensor = (len(right_NB) - stable_NB.sum(0)).clamp(max=len(right_NB) - 1)
    return exit_B


class HaltingPredictorPrior(SpeedPrior):
    """Warm-up: L = mean_n L_n. Then L = cross-entropy of the predictor; `online` adds mean_n L_n."""

    kind: Literal["halting_predictor"] = "halting_predictor"
    mode: Literal["offline", "online"] = Field("offline", description="whether the program is frozen as it learns")
    threshold: float = Field(0.9, gt=0, lt=1, description="q: runs the least n that suffices with this probability")
    layers: int = Field(2, ge=1, le=1_000, description="the predictor's convolutions; it sees kernel^layers positions")
    width: int = Field(8, ge=1, description="the predictor's channels")
    kernel: int = Field(4, ge=1, description="positions that one of its convolutions combines")
    warmup: float = Field(0.35, gt=0, lt=1, description="share of train_steps that trains the program alone")

    def rule(self) -> HaltingRule:
        """Return: run the exit that suffices with probability `threshold`, as predicted before the first step."""
        return HaltingRule("prediction", self.threshold)

    def warmup_share(self) -> float:
        """Return `warmup`."""
        return self.warmup

    def trains_program(self, progress: float) -> bool:
        """Whether the program still trains: offline it is frozen after the warm-up."""
        return self.mode == "online" or progress < self.warmup

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe measured on addition: 420 steps for the program, 780 cheaper ones for the predictor."""
        return {"steps": 1200, "learning_rate": 5e-3, "warmup_steps": 50, "decay_from": 0.6, "decay_to": 0.1}

    def attach(self, network: ProgramModel, shape: Shape, exits: int, generator: Generator) -> ProgramModel:
        """Return the network with its predictor, and with what the predictor is built from in `origin`."""
        from sp_search.priors.networks.halting_predictor import HaltingPredictor

        sizes = {"layers": self.layers, "width": self.width, "kernel": self.kernel}
        predictor = HaltingPredictor(channels=shape.channels, exits=exits, **sizes, generator=generator)
        network.halting_predictor = predictor
        network.origin["predictor"] = {"class": type(predictor).__name__, "arguments": predictor.arguments}
        return network

    def priced(self, prices: Prices, shape: Shape, exits: int) -> Prices:
        """Return the prices with the predictor's: affine maps, relus, the maximum, the head and its probabilities."""
        per_position = sum((2 * fan_in + 1) * self.width + self.width for fan_in in self._fan_ins(shape))
        pooled = shape.positions * (per_position + self.width)
        return prices._replace(predict=float(pooled + (2 * self.width + 1) * exits + 6 * exits))

    def parameters(self, shape: Shape, exits: int) -> int:
        """Return the predictor's number of parameters."""
        return sum((fan_in + 1) * self.width for fan_in in self._fan_ins(shape)) + (self.width + 1) * exits

    def halting(self, exits: Exits) -> Tensor:
        """Return p_NB: all mass on the first exit that suffices with probability `threshold`, else on N."""
        import torch

        from sp_search.halting import predicted

        enough_BN = predicted(self._logits(exits))
        exit_B = (enough_BN[:, :-1] < self.threshold).long().sum(1)
        return torch.nn.functional.one_hot(exit_B, enough_BN.shape[1]).T.to(enough_BN.dtype)

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the program's loss in the warm-up, then the predictor's (online: their sum)."""
        import torch

        progress = float(state.get("progress", 1.0))
        program = torch.stack([batch_loss(logits_BTV) for logits_BTV in exits.logits_NBTV]).mean()
        if progress < self.warmup:
            return program, state
        if exits.right_NB is None:
            raise ValueError("halting_predictor learns from which exits are right, and right_NB was not computed")
        loss = torch.nn.functional.cross_entropy(self._logits(exits), least_stable_exit(exits.right_NB))
        return loss + program if self.mode == "online" else loss, state

    def _logits(self, exits: Exits) -> Tensor:
        if exits.predict_BN is None:
            raise ValueError("halting_predictor needs a network with its predictor attached (assembly.build)")
        return exits.predict_BN

    def _fan_ins(self, shape: Shape) -> list[int]:
        return [self.kernel * shape.channels] + [self.kernel * self.width] * (self.layers - 1)
