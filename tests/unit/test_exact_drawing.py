from collections import Counter
from fractions import Fraction
from random import Random

import pytest

from sp_search.exact import Macro, Setting, census, draw, enumerate_programs, facts, favoured, honeypot_weights


def seeded(seed):
    return Random(seed)  # noqa: S311  (reproducible, nothing secret)


SMALL = Setting(task_bits=2, depth=2, function="and", macros=(Macro(cost=1, harmful=True),))


@pytest.mark.parametrize("by", [(), ("depth",), ("max_used", "size"), ("depth", "max_used", "size", "errors")])
def test_draws_from_all_programs_are_uniform_over_a_listed_kind(by):
    counted = census(SMALL)
    groups = [group for group in counted.all(*by) if group.cost == 4]
    kind = {program for program in enumerate_programs(SMALL) if facts(SMALL, program).cost == 4}
    generator, n = seeded(0), 30 * len(kind)
    drawn = Counter(draw(counted, groups, generator, good=False).program for _ in range(n))
    assert set(drawn) == kind
    chi2 = sum((number - 30) ** 2 / 30 for number in drawn.values())
    assert chi2 < len(kind) + 5 * (2 * len(kind)) ** 0.5


@pytest.mark.parametrize("prior", ["none", "max", "max_used", "average", "simplest"])
def test_what_a_prior_favours_is_drawn_as_good_programs_of_that_kind(prior):
    counted = census(Setting())
    groups = favoured(counted, prior)
    kinds = {(group.flags, group.cost) for group in groups}
    for _ in range(20):
        found = draw(counted, groups, seeded(1)).facts
        assert found.errors == 0
        assert (found.flags, found.cost) in kinds


def test_draws_reach_a_setting_with_honeypots_and_one_that_allows_errors():
    weights = honeypot_weights(2, 2, Fraction(1, 5))
    baited = Setting(task_bits=2, context_bits=2, function="and", weights=weights)
    lenient = Setting(function="parity", depth=2, allowed_errors=4)
    for setting in (baited, lenient):
        counted = census(setting)
        found = draw(counted, counted.good(), seeded(2)).facts
        assert found.errors <= setting.allowed_errors


def test_draws_follow_from_their_generator():
    counted = census(Setting())
    assert draw(counted, counted.good(), seeded(3)) == draw(counted, counted.good(), seeded(3))


def test_nothing_can_be_drawn_from_no_groups():
    with pytest.raises(ValueError, match="hold no program"):
        draw(census(SMALL), [], seeded(0))
