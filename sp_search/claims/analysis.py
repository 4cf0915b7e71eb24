"""Pure analysis: a part's test and its evidence give a finding; a family of findings gives outcomes.

A part has two nulls, of which at most one is true: that what it claims does not hold, and that it does (or that the
difference is as large as matters). Each gets a one-sided p value; the part's own p is twice the smaller, and Holm's
procedure (1979) runs over the p values of *all* empirical parts that the files state, run or not; directions may be
read off (Shaffer 1980). Counted numbers decide by themselves. Exploratory evidence is not corrected: it proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from sp_search.claims.comparing import difference, estimate
from sp_search.claims.estimates import Counted, Estimate, Mean, Stated, bootstrap
from sp_search.claims.power import Power, power_of
from sp_search.claims.records import Above, Below, Differs, Equals, Test
from sp_search.experiments.base import Evidence
from sp_search.records import Record

ALPHA = 0.05

Outcome = Literal["supported", "refuted", "inconclusive"]


class Finding(Record):
    """What one part's evidence says, before and after the correction over the family.

    `p_supports` and `p_refutes` are one-sided; `power` is that of the confirmatory n for the stated effect, at the
    level of the first step of Holm's procedure (the worst case).
    """

    outcome: Outcome
    alone: Outcome = Field(description="what it would be without the other parts")
    effect: float
    low: float
    high: float
    claimed: str = Field(description="the test in a line")
    exact: bool
    n: int
    p_supports: float
    p_refutes: float
    p_adjusted: float | None = None
    power: float | None = None
    n_needed: int | None = Field(None, description="units for a power of .8")
    note: str = ""


class Question(NamedTuple):
    """An estimate with the p values of its two nulls."""

    estimate: Estimate
    supports: float
    refutes: float
    claimed: str


def questioned(test: Test, evidence: Evidence) -> Question:
    """Return what the evidence says to the test.

    Raises:
        KeyError: the evidence has no such cell.
        ValueError: two cells should pair and cannot.
    """
    cell = evidence.cell(test.cell)
    match test:
        case Above():
            found = estimate(cell)
            return Question(
                found, found.above(test.than), _unless_above(found, test.than), f"{cell.name} > {test.than:g}"
            )
        case Below():
            found = estimate(cell)
            return Question(
                found, found.below(test.than), _unless_below(found, test.than), f"{cell.name} < {test.than:g}"
            )
        case Differs():
            pair = (cell, evidence.cell(test.other))
            more, less = pair if test.kind == "more" else pair[::-1]
            found = difference(more, less, paired=test.paired)
            of = f"{more.name} - {less.name} > 0 (matters from {test.effect:g})"
            return Question(found, found.above(0.0), found.below(test.effect), of)
        case Equals():
            found = estimate(cell)
            low, high = test.to - test.within, test.to + test.within
            outside = min(found.below(low), found.above(high))
            inside = float(outside == 0.0) if cell.exact else max(found.above(low), found.below(high))
            return Question(
                found, inside, outside, f"{cell.name} = {test.to:g}" + (f" ± {test.within:g}" if test.within else "")
            )


def _unless_above(found: Estimate, than: float) -> float:
    """Return the p value for `below`; a counted number that is not above is below or equal, which refutes too."""
    return float(found.above(than) == 0.0) if isinstance(found, Counted) else found.below(than)


def _unless_below(found: Estimate, than: float) -> float:
    return float(found.below(than) == 0.0) if isinstance(found, Counted) else found.above(than)


def analyse(test: Test, evidence: Evidence, *, n: int, family: int) -> Finding:
    """Return what one part's evidence says, by itself.

    Args:
        test: of the part.
        evidence: of its experiment.
        n: units of the confirmatory run, for which the power is stated.
        family: empirical parts that are corrected for together.
    """
    found, supports, refutes, of = questioned(test, evidence)
    exact = isinstance(found, Counted)
    low, high = found.interval()
    alone = decide(supports, refutes, min(1.0, 2 * min(supports, refutes)))
    power = Power() if exact else power_of(test, found, n, ALPHA / max(1, family))
    return Finding(
        outcome=alone,
        alone=alone,
        effect=found.value,
        low=low,
        high=high,
        claimed=of,
        exact=exact,
        n=evidence.cell(test.cell).n,
        p_supports=supports,
        p_refutes=refutes,
        power=power.power,
        n_needed=power.n_needed,
        note=_note(test, found, supports),
    )


def decide(supports: float, refutes: float, p: float) -> Outcome:
    """Return the outcome at a two-sided p value; smaller than what matters refutes, even where it is not nothing."""
    if p > ALPHA:
        return "inconclusive"
    return "refuted" if refutes <= ALPHA / 2 or refutes < supports else "supported"


def _note(test: Test, found: Estimate, supports: float) -> str:
    """Return what a reader must know about how the interval came about."""
    notes = []
    if isinstance(found, Mean):
        if found.sd == 0.0:
            notes.append("all units alike: sign test")
        elif len(found.units) > 1:
            low, high = bootstrap(found.units)
            t = found.interval()
            borders = [0.0] if isinstance(test, Differs) else [test.to] if isinstance(test, Equals) else [test.than]
            if any((low > x) != (t.low > x) or (high < x) != (t.high < x) for x in borders):
                notes.append(f"the bootstrap interval disagrees: {low:.3g} to {high:.3g}")
    if isinstance(found, Stated):
        notes.append("from intervals alone")
    if isinstance(test, Differs) and found.value > 0 and found.interval().high < test.effect and supports <= ALPHA:
        notes.append(f"there is a difference, smaller than the {test.effect:g} that matters")
    return "; ".join(notes)


def holm(p_values: Mapping[str, float], family: int) -> dict[str, float]:
    """Return adjusted p values (Holm 1979); members of the family that were not run count as 1."""
    adjusted, highest = {}, 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, p * max(1, family - rank)))
        adjusted[name] = highest
    return adjusted


def corrected(findings: Mapping[str, Finding], family: int) -> dict[str, Finding]:
    """Return the findings with their outcomes after Holm's procedure over the sampled ones."""
    own = {name: min(1.0, 2 * min(one.p_supports, one.p_refutes)) for name, one in findings.items() if not one.exact}
    adjusted = holm(own, max(family, len(own)))
    return {
        name: one
        if one.exact
        else one.model_copy(
            update={
                "p_adjusted": adjusted[name],
                "outcome": _after(one, adjusted[name] / own[name] if own[name] else 1.0, adjusted[name]),
            }
        )
        for name, one in findings.items()
    }


def _after(one: Finding, factor: float, p: float) -> Outcome:
    return decide(min(1.0, one.p_supports * factor), min(1.0, one.p_refutes * factor), p)
