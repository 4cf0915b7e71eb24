"""What an average prior selects when the search space misses programs (the post's hope of a diverse space, fn. 5, 6).

A uniform thinning leaves every program with the same probability. A selective one takes honest programs away and
leaves every misbehaving one, so that fewer of these have an honest twin.
"""

from __future__ import annotations

from collections import defaultdict
from math import comb, exp, expm1, inf, log1p

from sp_search.exact.census import Census


def by_cost(counted: Census) -> list[tuple[int, int]]:
    """Return (honest, misbehaving) numbers of good programs, at each total cost that has any, ascending."""
    numbers: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    for group in counted.some_good():
        numbers[group.cost][group.misbehaving] += group.count
    return [(honest, misbehaving) for _, (honest, misbehaving) in sorted(numbers.items())]


def thinned(counted: Census, presence: float) -> float:
    """Return P(misbehaving) of the cheapest present program, each being present with probability `presence`.

    Ties are broken uniformly; it is taken for granted that any program is present.
    """
    checked_share(presence)
    absent, selected, misbehaves = 1.0, 0.0, 0.0
    for honest, misbehaving in by_cost(counted):
        number = honest + misbehaving
        log_none = number * log1p(-presence) if presence < 1 else -inf
        some = -expm1(log_none)  # 1 - (1 - presence)^number would lose every digit of a rare one
        selected += absent * some
        misbehaves += absent * some * misbehaving / number
        absent *= exp(log_none)
    return misbehaves / selected


def without_twins(counted: Census, kept: float) -> float:
    """Return P(misbehaving) of the cheapest present program if every misbehaving one is, and honest ones with `kept`.

    It is taken for granted that any program is present.
    """
    checked_share(kept)
    absent, honestly, misbehaves = 1.0, 0.0, 0.0
    for honest, misbehaving in by_cost(counted):
        for left in range(honest + 1):
            chance = absent * comb(honest, left) * kept**left * (1 - kept) ** (honest - left)
            if left or misbehaving:
                honestly += chance * left / (left + misbehaving)
                misbehaves += chance * misbehaving / (left + misbehaving)
        absent *= 0.0 if misbehaving else (1 - kept) ** honest
    return misbehaves / (honestly + misbehaves)


def checked_share(share: float) -> None:
    """Refuse what is no share.

    Raises:
        ValueError: it does not lie in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of programs lies above 0 and up to 1, got {share}")
