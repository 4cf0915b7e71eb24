"""Proposal 2A of the post: keep the network, train with few rollouts, add rollouts until it is good enough."""

from __future__ import annotations

from typing import Literal

from sp_search.schedulers.growing import Growing


class RolloutGrowth(Growing):
    """Add rollouts to one network, whose weights stay the same size."""

    kind: Literal["rollout_growth"] = "rollout_growth"
