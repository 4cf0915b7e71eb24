"""What every budget scheduler must keep to, against a world whose truth is known; new ones are found here."""

import pytest

from sp_search.drive.simulated import simulate
from sp_search.plugins import discover

KINDS = sorted(discover("schedulers"))
WORLDS = [(1, 1), (1, 9), (4, 9), (9, 9), (7, 30), (5, 4)]


class Threshold:
    """Every budget from `least` passes, and none below it."""

    def __init__(self, least, top):
        self.levels, self.least = [float(level) for level in range(1, top + 1)], least

    def cost(self, budget):
        return budget

    def passes(self, budget, seed):
        return budget >= self.least


def search(kind, least, top, **options):
    return simulate(discover("schedulers")[kind](), Threshold(least, top), workers=3, seed=0, **options)


def decided(result):
    return result.found_budget, result.minimum, result.levels


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("least", "top"), WORLDS)
def test_it_ends_takes_what_passes_and_excludes_nothing_that_would(kind, least, top):
    result = search(kind, least, top)
    if least > top:
        assert result.found_budget is None
        return
    assert least <= result.found_budget <= top
    assert result.minimum.high == result.found_budget
    assert (result.minimum.low or 0) <= least, "a budget is excluded only where lineages failed"


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_that_died_and_goes_on_decides_the_same(kind):
    whole = search(kind, 4, 9)
    for line in range(1, len(whole.events), 7):
        assert decided(search(kind, 4, 9, crash_at=line)) == decided(whole), f"after line {line} of the ledger"


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_trial_is_no_evidence(kind):
    result = search(kind, 4, 9, lose=frozenset({0, 2, 3}))
    assert result.found_budget == search(kind, 4, 9).found_budget
