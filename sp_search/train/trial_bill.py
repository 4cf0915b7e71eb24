"""What a lineage's level can cost, from its first possible end to its last: training, looks and verification in FLOPs.

A lineage that passes may end at any slice from the first look on; one that fails trains to its last step, or to a
plateau. No torch, so that a plan has it at once.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING

from sp_search.pricing import cumulative_flops
from sp_search.spans import Span, total
from sp_search.tasks.base import LARGEST_SUPPORT
from sp_search.train.settings import ENUMERATED_IN_TRAINING

if TYPE_CHECKING:
    from sp_search.tasks.base import Draw, Task
    from sp_search.train.bill import Bill

SAMPLED_STEPS = 16
"""Of either side of the warm-up: what is trained may change within it in a part of one's own."""
SPREADS = 3.0
"""Standard deviations that the burn-in, which is drawn, may be away from its mean."""


@dataclass(frozen=True)
class TrialBill:
    """A lineage of a trial: its recipe, on which task, and what it has to show at the end."""

    bill: Bill
    task: Task
    gates: tuple[str, ...]
    verification_n: int
    checks_stability: bool

    def training(self, *, passed: bool) -> Span:
        """Return what training and its looks cost."""
        settings = self.bill.settings
        slices = ceil(settings.steps / settings.evaluate_every)
        first = self._first_look(slices)
        given_up = slices if settings.plateau is None else min(slices, first + settings.plateau)
        early = passed or self._may_fail_after_training()
        ends = Span(first if early else given_up, slices)
        least, most = (self._steps(min(int(end) * settings.evaluate_every, settings.steps)) for end in ends)
        look = self._look(passed=passed)
        return Span(least.least + look.least * (ends.least - first + 1), most.most + look.most * (slices - first + 1))

    def verification(self, *, passed: bool) -> Span:
        """Return what executing the program on its verification draws costs."""
        prior, training = self.bill.parts.prior, self.task.distributions()[0]
        flops_N = cumulative_flops(self.bill.prices, prior.rule())
        each = Span(flops_N[-1] if prior.rule().reads == "nothing" else flops_N[0], flops_N[-1])
        each = Span(0.0, each.most) if prior.gates_units() else each  # units that are cut leave a cheaper program
        own, gated = self._examples(training), sum(map(self._examples, set(self.gates) - {training}))
        stable = own * self.bill.every_answer_flops() if self.checks_stability else 0.0
        if passed:
            return total([each.times(own + gated), Span(stable, stable)])
        may = self._may_fail_after_training()
        return total([each.times(own), Span(0.0, each.most * gated + stable if may else 0.0)])

    def _may_fail_after_training(self) -> bool:
        """Whether training can be content with a lineage that has something else to show in the end."""
        return bool(set(self.gates) - set(self.task.stops_on())) or self.checks_stability

    def _first_look(self, slices: int) -> int:
        """Return the slice (1, 2, ...) after which a lineage may stop for the first time."""
        settings = self.bill.settings

        def may_stop(one: int) -> bool:
            return self.bill.may_stop(min(one * settings.evaluate_every, settings.steps))

        return 1 + bisect_left(range(1, slices), True, key=may_stop)

    def _steps(self, count: int) -> Span:
        """Return what the first `count` steps cost; how often burn-in comes before them is drawn."""
        bill = self.bill
        warm = bisect_left(range(count), True, key=bill.warmed_up)
        sampled = sum(self._mean_step(range(low, high)) * (high - low) for low, high in ((0, warm), (warm, count)))
        burning, share, longest = (
            count if bill.may_burn_in(count - 1) else warm,
            bill.settings.burn_in,
            2 * bill.exits - 1,
        )
        if bill.exits == 1 or bill.parts.model.exits_axis() != "rollouts":
            return Span(sampled, sampled)
        per_rollout = bill.settings.batch * bill.prices.step_N[0]
        mean, square = share * (longest + 1) / 2, share * (longest + 1) * (2 * longest + 1) / 6
        spread = SPREADS * sqrt(burning * max(0.0, square - mean**2))
        drawn = Span(max(0.0, burning * mean - spread), min(burning * mean + spread, float(burning * longest)))
        return total([Span(sampled, sampled), drawn.times(per_rollout)])

    def _mean_step(self, steps: range) -> float:
        chosen = steps[:: max(1, len(steps) // SAMPLED_STEPS)]
        return sum(self.bill.step_flops(step, 0) for step in chosen) / max(1, len(chosen))

    def _look(self, *, passed: bool) -> Span:
        """Return what one look costs: screening rules out a hopeless lineage, which then meets nothing else."""
        settings, (training, *further) = self.bill.settings, self.task.stops_on()
        n = self._drawn(training, "validation", settings.validation, ENUMERATED_IN_TRAINING)
        screened = settings.screening if n > settings.screening else 0
        more = sum(self._drawn(one, "validation", settings.validation, ENUMERATED_IN_TRAINING) for one in further)
        whole = screened + n
        least = whole + more if passed else screened or n
        return Span(least, whole + more).times(self.bill.look_flops())

    def _examples(self, distribution: str) -> int:
        return self._drawn(distribution, "verification", self.verification_n, LARGEST_SUPPORT)

    def _drawn(self, distribution: str, draw: Draw, n: int, enumerate_up_to: int) -> int:
        """Return how many examples a draw has (`train.evaluate.draw_batch`)."""
        support = self.task.support_size(distribution)
        if support is not None and support <= enumerate_up_to:
            return support
        return min(n, self.task.held_out(draw) or n)
