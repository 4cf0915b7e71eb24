"""Proposal 1 of the post: begin with a small network and let it grow until it is good enough.

A level inherits the weights of the one below it (`train.growth` says how), so no size is trained from scratch. The
ladder of widths runs from `start` to `stop` by `factor`; a ladder of depths has every depth that the model allows.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sp_search.schedulers.growing import Growing


class NetworkGrowth(Growing):
    """Widen or deepen the network level by level."""

    kind: Literal["network_growth"] = "network_growth"
    axis: Literal["width", "depth"] = Field("width", description="what grows: units of every layer, or untied blocks")
    start: float = Field(4.0, ge=1, description="least width")
    stop: float = Field(64.0, ge=1, description="largest width")
