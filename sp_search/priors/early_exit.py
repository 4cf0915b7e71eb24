"""Part `early_exit`: a weighted sum of the exits' losses; the program stops where its answer looks good enough.

Named weights, w_n for exit n with cumulative cost c_n:

- `cost`: proportional to 1 / c_n, summing to 1: an answer is worth more where it is cheaper; a speed prior.
- `uniform`: 1 / N, deep supervision (MSDNet, 1703.09844, up to the factor).
- `branchynet`: 1 early and .3 at the last exit (B-LeNet in 1709.01686, from memory).
- `sdn`: 1 at the last exit; the others rise linearly from .01 to c_n / c_N (1810.07052): made for accuracy, not speed.

Under a mean budget the threshold is calibrated to the cap afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from sp_search.pricing import HaltingRule
from sp_search.priors.base import SpeedPrior

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from sp_search.program import Exits


class EarlyExit(SpeedPrior):
    """L = sum_n w_n L_n; halts at the first exit whose answer passes `stop` at `threshold`."""

    kind: Literal["early_exit"] = "early_exit"
    weights: Literal["cost", "uniform", "branchynet", "sdn"] = Field("cost", description="of the exits' losses")
    stop: Literal["confidence", "entropy", "margin", "patience", "stability"] = Field(
        "confidence", description="what it reads from an answer to decide"
    )
    threshold: float = Field(0.9, gt=0, description="at which it stops; for patience, unchanged exits, else below 1")

    @model_validator(mode="after")
    def _threshold_fits(self) -> EarlyExit:
        if self.stop != "patience" and self.threshold >= 1:
            raise ValueError(f"threshold of {self.stop} must be below 1, got {self.threshold}")
        return self

    def rule(self) -> HaltingRule:
        """Return the rule `stop`."""
        return HaltingRule(self.stop, self.threshold)

    def weight_N(self, flops_N: Sequence[float], progress: float) -> list[float]:
        """Return the weights of exits 1..N at this progress (`sdn` alone moves) from their cumulative FLOPs."""
        early = len(flops_N) - 1
        if self.weights == "uniform":
            return [1.0 / len(flops_N)] * len(flops_N)
        if self.weights == "branchynet":
            return [1.0] * early + [0.3]
        if self.weights == "sdn":
            return [0.01 + progress * (cost / flops_N[-1] - 0.01) for cost in flops_N[:-1]] + [1.0]
        worth = sum(1.0 / cost for cost in flops_N)
        return [1.0 / cost / worth for cost in flops_N]

    def halting(self, exits: Exits) -> Tensor:
        """Return p_NB: all mass on the first exit that passes, else on N."""
        import torch

        from sp_search.halting import scores

        logits_NBTV = exits.logits_NBTV
        going_NB = scores(self.rule(), logits_NBTV)[:-1] < self.rule().level(logits_NBTV.shape[-1])
        exit_B = going_NB.long().cumprod(0).sum(0)
        return torch.nn.functional.one_hot(exit_B, len(logits_NBTV)).T.to(logits_NBTV.dtype)

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the weighted sum over exits, averaged over examples."""
        import torch

        loss_N = torch.stack([batch_loss(logits_BTV).mean() for logits_BTV in exits.logits_NBTV])
        weights = self.weight_N(exits.flops_N, float(state.get("progress", 1.0)))
        return (loss_N.new_tensor(weights) * loss_N).sum(), state
