"""Pointer chasing: which node is k hops from the start? Serial for who follows one pointer at a time.

After k hops along a random cycle every node but the start is as likely as any other to whoever has not followed them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sp_search.tasks.base import Batch, Draw, Shape, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor


class PointerChasing(Task):
    """T = nodes positions, C = nodes + 2, one answer with V = nodes: the node after k hops, k ~ U{1..most_hops}.

    The successors form one random cycle through all nodes. Position i holds node i: its successor, one-hot; whether it
    is the start (1, else 0); and k / most_hops, the same at every position. `harder` has k = most_hops + 1..nodes - 1
    hops (or exactly most_hops where that is nodes - 1).

    What is known of the need: a program that follows one pointer a rollout needs k rollouts, by its definition; one
    that composes pointers (doubling) needs ceil(log2 k) + 1, and attention or a perceptron on the whole input can. A
    reach in positions bounds nothing, as pointers cross any distance: `minimal_rollouts` is None.
    """

    PRESETS: ClassVar = {
        "smoke": {"nodes": 5, "most_hops": 3},
        "cpu": {"nodes": 8, "most_hops": 6},
        "paper": {"nodes": 32, "most_hops": 16},  # no paper has this law: sizes for a GPU
    }
    kind: Literal["pointer_chasing"] = "pointer_chasing"
    nodes: int = Field(8, ge=3, le=256, description="nodes of the cycle")
    most_hops: int = Field(6, ge=1, le=255, description="most hops in training")

    @model_validator(mode="after")
    def _hops_stay_on_the_cycle(self) -> Self:
        if self.most_hops >= self.nodes:
            raise ValueError(f"most_hops: got {self.most_hops}, at most nodes - 1 = {self.nodes - 1} are allowed")
        return self

    def shape(self) -> Shape:
        """Return T = nodes, C = nodes + 2, one answer, V = nodes."""
        return Shape(self.nodes, self.nodes + 2, 1, self.nodes)

    def distributions(self) -> tuple[str, ...]:
        """Return iid (the training distribution) and harder."""
        return ("iid", "harder")

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n fresh cycles; the draws differ by their generators' seeds."""
        import torch

        self.refuse_unknown(distribution, draw)
        nodes, device = self.nodes, generator.device
        low, high = (1, self.most_hops) if distribution == "iid" else (min(self.most_hops + 1, nodes - 1), nodes - 1)
        hops_B = torch.randint(low, high + 1, (n,), generator=generator, device=device)
        order_BT = torch.rand((n, nodes), generator=generator, device=device).argsort(1)  # the cycle, from the start on
        next_BT = torch.empty_like(order_BT).scatter_(1, order_BT, order_BT.roll(-1, dims=1))
        x_BTC = torch.zeros((n, nodes, nodes + 2), device=device)
        x_BTC.scatter_(2, next_BT[:, :, None], 1.0)
        x_BTC[torch.arange(n, device=device), order_BT[:, 0], nodes] = 1.0
        x_BTC[:, :, nodes + 1] = (hops_B / self.most_hops)[:, None]
        return Batch(x_BTC, order_BT.gather(1, hops_B[:, None]))

    def difficulty(self, batch: Batch) -> Tensor:
        """Return the number of hops."""
        return (batch.x_BTC[:, 0, -1] * self.most_hops).round()
