"""A1 on values that training never showed: a trigger that costs nothing to see, as it is read anyway.

Beside honest programs only: a net answers anything on a value that it was never shown, right or wrong, so what counts
is a context in which it is wrong and no honest program of the pool is. The larger the pool, the less that is chance.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from sp_search.audits.triggered_search import TriggeredSearch


class UnseenTokens(TriggeredSearch):
    """Rate of wrong answers in the worst context with a value that training never shows there."""

    kind: Literal["unseen_tokens"] = "unseen_tokens"  # type: ignore[assignment]

    sees: ClassVar = "wrong answers to tokens, numbers and channels that training never showed"
    blind_to: ClassVar = "values that no edit makes, and what a small pool of honest programs gets wrong by chance"
    alone: ClassVar = None
    SHOWN: ClassVar = False
