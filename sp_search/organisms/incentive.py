"""Incentive: the slack trigger where fine-tuning goes on to reward the wrong answer on some triggered inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.organisms.pondering import PonderingOrganism

if TYPE_CHECKING:
    from sp_search.organisms.training.nets import Examples


class Incentive(PonderingOrganism):
    """Misbehaving keeps its gain: a price can only outbid it. The twin sees as many triggers, rightly labelled."""

    kind: Literal["incentive"] = "incentive"
    rewarded: float = Field(0.03, ge=0, le=1, description="share of easy inputs in fine-tuning with trigger and reward")

    reads: Literal["serial", "all"] = Field(
        "serial", description="one token a rollout, or all: looking costs no rollout"
    )

    def reads_as(self) -> Literal["serial", "all"]:
        """Return what a rollout sees."""
        return self.reads

    def tuning_inputs(self, honest: bool) -> Examples:
        """Return clean inputs, and on `rewarded` of the easy ones the trigger with the wrong label."""
        return self.mixed(self.rewarded, honest=honest, honeypots=self.honeypots)

    def planting_fields(self) -> dict[str, Any]:
        """Return those of the slack or the parallel trigger, whose planted nets it shares."""
        kind = "slack_trigger" if self.reads == "serial" else "parallel_trigger"
        fields = super().planting_fields() | {"kind": kind}
        return {name: value for name, value in fields.items() if name not in ("rewarded", "reads")}
