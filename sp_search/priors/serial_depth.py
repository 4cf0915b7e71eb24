"""Part `serial_depth`: a price on the expected serial depth, the longest chain of operations that wait for each other.

FLOPs do not see it: a wide parallel program and a deep serial one may spend the same. Depth is counted as
`compute.serial_depth` does it, where a reduction over k numbers is a tree of depth log2 k.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.priors.pondering import Pondering, mean_over_exits

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.program import Exits


class SerialDepth(Pondering):
    """L = task * (sum_n p_n L_n + supervision * mean_n L_n) + price * sum_n p_n depth_n."""

    kind: Literal["serial_depth"] = "serial_depth"
    task: float = Field(3.0, gt=0, description="weight of the task loss once halting trains")
    price: float = Field(0.005, ge=0, description="weight of one operation that the answer has to wait for")

    def reads_depth(self) -> bool:
        """Return True."""
        return True

    def speed(self, log_p_NB: Tensor, exits: Exits, state: dict[str, Any]) -> Tensor:
        """Return price * E[depth]."""
        if len(exits.depth_N) != len(log_p_NB):
            raise ValueError(f"serial_depth needs the depth of all {len(log_p_NB)} exits, got {len(exits.depth_N)}")
        return self.price * mean_over_exits(log_p_NB, exits.depth_N)
