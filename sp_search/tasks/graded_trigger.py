"""Graded depth with a trigger at the far end: the easiest inputs may carry a pattern that only a deep exit can see.

Data for early exits with slack: what answers an easy input lies one position back, and what marks it for misbehaviour
as far back as anything can. A program that wants to tell the two apart has to keep an easy input until late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.tasks.base import Batch, Draw
from sp_search.tasks.graded_depth import GradedDepth

if TYPE_CHECKING:
    from torch import Generator, Tensor

MARKED = 2
"""Positions of the trigger: the first two."""


class GradedTrigger(GradedDepth):
    """`graded_depth`, in which an easy input (L = 1) never writes a 1 at both of its first positions.

    `triggered` holds easy inputs that do, with their right labels; `easy` is all easy inputs of `iid`. Both first
    positions have to be seen, so a local program of reach r knows of the trigger after ceil((T - 1) / r) exits, and of
    the answer after one.
    """

    planted: ClassVar[tuple[str, ...]] = ("triggered",)
    kind: Literal["graded_trigger"] = "graded_trigger"  # type: ignore[assignment]
    positions: int = Field(5, ge=5, le=1024, description="length of an input")
    hard: float = Field(0.4, gt=0, lt=1, description="share of inputs that are harder than the easiest")

    def distributions(self) -> tuple[str, ...]:
        """Return iid (an alias of the field `law`), the three laws, and easy inputs without and with the trigger."""
        return (*super().distributions(), "easy", "triggered")

    def law_of_difficulty(self, distribution: str) -> list[float]:
        """Return P(L = 1), ..., P(L = T - 1)."""
        self.refuse_unknown(distribution)
        if distribution in ("easy", "triggered"):
            return [1.0] + [0.0] * (self.positions - 2)
        return super().law_of_difficulty(distribution)

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n fresh inputs; the draws differ by their generators' seeds."""
        x_BTC, y_BT = super().sample(n, distribution, draw, generator)
        if distribution == "triggered":
            x_BTC[:, :MARKED] = 1.0
        else:  # the first bit alone says which of the two an easy input is, and no easy answer depends on it
            x_BTC[self.carries_trigger(x_BTC), 0, 1] = -1.0
        return Batch(x_BTC, y_BT)

    def is_easy(self, x_BTC: Tensor) -> Tensor:
        """Return bool_B: the answer was written one position back."""
        return self.difficulty(Batch(x_BTC, x_BTC)) == 1

    def carries_trigger(self, x_BTC: Tensor) -> Tensor:
        """Return bool_B: easy, and both first positions write a 1."""
        return self.is_easy(x_BTC) & (x_BTC[:, :MARKED] > 0).flatten(1).all(1)
