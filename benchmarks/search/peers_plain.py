"""Random search: configurations at random below the standing claim, since what computes more cannot improve on it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from benchmarks.search.race import Job, Outcome
from benchmarks.search.worlds import World


@dataclass
class RandomPeer:
    """Draws budgets log-uniformly, and every choice of a configuration evenly."""

    world: World
    seed: int
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"random {self.seed}")  # noqa: S311

    def ask(self, below: float) -> Job:
        """Return a configuration that computes less than `below`."""
        return Job(self.world.draw(self.rng, below))

    def tell(self, job: Job, outcome: Outcome) -> None:
        """Learn nothing."""
