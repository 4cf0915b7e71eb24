"""What a speed prior is: which exit halts with which probability, and what the loss says about spending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sp_search.plugins import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor

    from sp_search.pricing import HaltingRule, Prices
    from sp_search.program import Exits, ProgramModel
    from sp_search.tasks.base import Shape


class SpeedPrior(Plugin):
    """Base of every prior. Priors never anneal themselves: schedulers move budgets and controls."""

    def uses_halting(self) -> bool:
        """Whether the model needs a halting unit."""
        return False

    def rule(self) -> HaltingRule:
        """Return how programs trained under this prior stop by default (a threshold may be calibrated afterwards)."""
        raise NotImplementedError

    def refuses(self, budget: str) -> str | None:
        """Say why this prior cannot train under a `max` or a `mean` budget (what is missing, what to do), or None."""
        return None

    def needs_every_exit(self) -> bool:
        """Whether the loss reads the answers of all exits; otherwise only exit N is answered, which trains faster."""
        return True

    def warmup_share(self) -> float:
        """Return the share of a fresh lineage's train_steps in which the program trains and halting does not yet."""
        return 0.0

    def trains_program(self, progress: float) -> bool:
        """Whether the program itself trains at this progress; a prior that trains offline freezes it after warm-up."""
        return True

    def reads_depth(self) -> bool:
        """Whether the loss reads the serial depth of every exit, which is measured by running them."""
        return False

    def gates_units(self) -> bool:
        """Whether `attach` gives the model's units gates, for which it needs a unit layout."""
        return False

    def attach(self, network: ProgramModel, shape: Shape, exits: int, generator: Generator) -> ProgramModel:
        """Return the network with the prior's own parameters, if it has any, as submodules of it."""
        return network

    def priced(self, prices: Prices, shape: Shape, exits: int) -> Prices:
        """Return a model's prices with those of the prior's own parts at inference."""
        return prices

    def parameters(self, shape: Shape, exits: int) -> int:
        """Return the number of parameters that `attach` adds."""
        return 0

    def remembers(self) -> dict[str, float]:
        """Return the numbers that each lineage remembers from step to step, at their beginning (a multiplier, say)."""
        return {}

    def controls(self) -> tuple[str, ...]:
        """Return the numbers that a scheduler may move; `loss` finds them in its state where it does."""
        return ()

    def train_defaults(self) -> dict[str, float | int]:
        """Return what the recipe of this prior changes in the model's (`TrainSettings` fields)."""
        return {}

    def halting(self, exits: Exits) -> Tensor:
        """Return p_NB, which sums to 1 over N; the remainder stays on the last exit: that is what executes."""
        raise NotImplementedError

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the scalar loss of one replica and the prior's new state.

        Args:
            exits: every exit of the batch.
            batch_loss: maps logits_BTV to the task loss per example, float_B.
            state: what `remembers` names, a scalar tensor each, to be returned as it should be at the next step; also
                `progress` in 0..1 (share of the level's train_steps done), `cap` (of a mean budget, else None) and
                `cost_N` (of answering at exit n, in the measure of the budget).
        """
        raise NotImplementedError


PART = SpeedPrior
