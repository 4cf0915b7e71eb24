"""Part `active_compute`: the computation is measured and penalised directly, as expected FLOPs of the units in use.

Every unit has a hard-concrete gate (1712.01312), the same in all layers: unit j of each is one index of the width. The
loss pays for the expected FLOPs of a network with the units that are open. The finished program is cut to these units,
an ordinary narrower network, so what it saves is real. Gates choose a width by gradient; a scheduler that grows or
anneals the width chooses it by trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.pricing import HaltingRule
from sp_search.priors.base import SpeedPrior

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor

    from sp_search.program import Exits, ProgramModel
    from sp_search.tasks.base import Shape


class ActiveCompute(SpeedPrior):
    """L = task loss at exit N + strength * E[FLOPs of the open units] / FLOPs of all units, once warmed up.

    A price from the first step on closes gates before there is a program that is worth keeping them open for.
    """

    kind: Literal["active_compute"] = "active_compute"
    strength: float = Field(3.0, ge=0, description="weight of the expected share of the FLOPs that is in use")
    warmup: float = Field(0.3, ge=0, lt=1, description="share of train_steps in which nothing is paid for yet")
    begin: float = Field(2.0, description="log-odds (log alpha) with which every gate begins")
    speed: float = Field(20.0, gt=0, description="how much faster than a weight a gate moves")

    def gates_units(self) -> bool:
        """Return True."""
        return True

    def warmup_share(self) -> float:
        """Return `warmup`."""
        return self.warmup

    def needs_every_exit(self) -> bool:
        """Return False: the loss reads exit N."""
        return False

    def rule(self) -> HaltingRule:
        """Return the rule `last`."""
        return HaltingRule("last")

    def attach(self, network: ProgramModel, shape: Shape, exits: int, generator: Generator) -> ProgramModel:
        """Return the network with a gate for each of its units."""
        from sp_search.priors.networks.unit_gates import UnitGates
        from sp_search.units import network_width

        if network.units is None:
            raise ValueError(f"{type(network).__name__} has no unit layout, and active_compute gates units")
        width = network_width(network.units, {name: tuple(part.shape) for name, part in network.named_parameters()})
        network.unit_gates = UnitGates(width, begin=self.begin, speed=self.speed)
        return network

    def halting(self, exits: Exits) -> Tensor:
        """Return p_NB with all mass on exit N."""
        import torch

        p_NB = torch.zeros_like(exits.logits_NBTV[..., 0, 0])
        p_NB[-1] = 1.0
        return p_NB

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the task loss at exit N with the price of what is open."""
        if exits.active is None:
            raise ValueError("active_compute needs a network with unit gates: attach them")
        strength = 0.0 if state.get("progress", 1.0) < self.warmup else self.strength
        return batch_loss(exits.logits_NBTV[-1]).mean() + strength * exits.active, state
