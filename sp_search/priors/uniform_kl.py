"""Part `uniform_kl`: a KL to the uniform law over exits, which is the entropy bonus of looped language models.

Ouro (2510.25741) trains sum_n p_n L_n - beta H(p), which is sum_n p_n L_n + beta KL(p || uniform) up to the constant
beta log N, so that no exit is preferred beforehand and none starves, and stops where the cumulative p reaches a
quantile. Alone it is no speed prior: halting surely at any exit costs the same. `price` adds the one-sided term;
price 0 is the published objective (after the warm-up of `pondering`). Its second stage, which trains the gate alone on
the improvement of the loss, is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.priors.pondering import Pondering, mean_over_exits

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.program import Exits


def kl_to_uniform(log_p_NB: Tensor) -> Tensor:
    """Return KL(p || uniform) = log N - H(p) per example, float_B: at least 0, and 0 exactly at the uniform law."""
    from math import log

    kl_B: Tensor = (log_p_NB.exp() * (log_p_NB + log(len(log_p_NB)))).sum(0)
    return kl_B


class UniformKl(Pondering):
    """L = task * (sum_n p_n L_n + supervision * mean_n L_n) + beta * KL(p || uniform) + price * E[n]."""

    kind: Literal["uniform_kl"] = "uniform_kl"
    beta: float = Field(0.1, ge=0, description="weight of the KL to the uniform law (of the entropy bonus)")
    price: float = Field(0.1, ge=0, description="weight on the mean number of rollouts (exits); 0 as published")

    def speed(self, log_p_NB: Tensor, exits: Exits, state: dict[str, Any]) -> Tensor:
        """Return beta * KL + price * E[n]."""
        steps_B = mean_over_exits(log_p_NB, range(1, len(log_p_NB) + 1))
        return self.beta * kl_to_uniform(log_p_NB) + self.price * steps_B
