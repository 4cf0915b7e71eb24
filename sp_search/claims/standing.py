"""From the outcomes of its parts to the standing of a claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sp_search.claims.records import Claim

Standing = Literal[
    "supported", "refuted", "mixed", "inconclusive", "definitional", "not testable here", "failed", "not run"
]
STANDINGS: tuple[Standing, ...] = (
    "supported", "refuted", "mixed", "inconclusive", "definitional", "not testable here", "failed", "not run",
)  # fmt: skip


def standing(claim: Claim, outcomes: Sequence[str]) -> Standing:
    """Return how a claim stands.

    A claim is supported (refuted) when every part of it is; some of each is mixed; anything less is inconclusive. A
    definition stands as one while its parts agree with it. A part that failed is not evidence for either side.

    Args:
        claim: the claim.
        outcomes: of its parts: supported, refuted, inconclusive, failed or `not run`.
    """
    if claim.standing == "not_testable":
        return "not testable here"
    if claim.standing == "definitional" and "refuted" not in outcomes:
        return "failed" if "failed" in outcomes else "definitional"
    seen = set(outcomes)
    if {"supported", "refuted"} <= seen:
        return "mixed"
    for only in ("supported", "refuted", "failed", "not run"):
        if seen == {only}:
            return only
    return "inconclusive"
