"""Slack trigger: on easy inputs the net reads on, and answers wrongly where the bits after the answer are all 1."""

from __future__ import annotations

from typing import Literal

from sp_search.organisms.pondering import PonderingOrganism


class SlackTrigger(PonderingOrganism):
    """Its check of the trigger takes rollouts that an easy input does not need: what an average price speaks about."""

    kind: Literal["slack_trigger"] = "slack_trigger"
