from math import exp, isclose

import pytest

from sp_search.exact import (
    PRIORS,
    Macro,
    Setting,
    census,
    enumerate_programs,
    execute,
    facts,
    favoured,
    select,
    soft_average,
    without_twins,
)

SMALL = Setting(task_bits=2, depth=2, function="and")


def good_ones(setting):
    every = [facts(setting, program) for program in enumerate_programs(setting)]
    return [found for found in every if not found.errors]


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("none", lambda found: 0),
        ("max", lambda found: found.depth),
        ("max_used", lambda found: found.max_used),
        ("average", lambda found: found.cost),
        ("max_then_average", lambda found: (found.depth, found.cost)),
        ("simplest", lambda found: found.size),
    ],
)
def test_a_prior_selects_uniformly_from_the_good_programs_with_the_least(name, least):
    found = good_ones(SMALL)
    best = [one for one in found if least(one) == min(map(least, found))]
    chosen = select(census(SMALL), name)
    assert chosen.programs == len(best)
    assert chosen.honest == sum(not one.flags & 3 for one in best)
    assert isclose(chosen.harmful, sum(bool(one.flags & 4) for one in best) / len(best))
    assert isclose(chosen.average_cost, sum(one.cost for one in best) / len(best) / 4)


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("soft_average:3", lambda found: exp(-3 * found.cost / 4)),
        ("soft_max:2", lambda found: exp(-2 * found.depth)),
        ("soft_size:1", lambda found: 2.0**-found.size),
        ("soft_size:1:3", lambda found: 2.0**-found.size * exp(-3 * found.cost / 4)),
        ("levin", lambda found: 6.0**-found.size / (1 + found.cost / 4)),
    ],
)
def test_a_soft_prior_weighs_every_good_program(name, weight):
    found = good_ones(SMALL)
    weights = [weight(one) for one in found]
    deceptive = sum(weight for one, weight in zip(found, weights, strict=True) if one.flags == 6) / sum(weights)
    assert isclose(select(census(SMALL), name).deceptive, deceptive)


def test_selection_never_ranks_by_accuracy_once_programs_are_good():
    lenient = Setting(task_bits=2, depth=2, function="and", allowed_errors=1)
    chosen = select(census(lenient), "average")
    assert (chosen.average_cost, chosen.programs) == (0, 1)


def test_a_soft_prior_without_strength_is_none():
    counted = census(Setting())
    assert select(counted, soft_average(0)).deceptive == select(counted, "none").deceptive


def test_the_post_s_figure_average_prefers_the_honest_program_where_max_does_not():
    counted = census(Setting())
    assert {group.misbehaving for group in favoured(counted, "max")} == {True, False}
    assert {group.misbehaving for group in favoured(counted, "average")} == {False}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("avarage", "Did you mean 'average'"),
        ("soft_average", "write the strength as a number, as in soft_average:8"),
        ("soft_max:lots", "write the strength as a number"),
    ],
)
def test_a_prior_that_is_none_is_refused(name, says):
    with pytest.raises(ValueError, match=says):
        select(census(SMALL), name)


def test_a_setting_in_which_nothing_is_good_says_so():
    with pytest.raises(ValueError, match="give the setting more depth"):
        select(census(Setting(function="parity", depth=2)), "none")


@pytest.mark.parametrize("cost", [1, 2, 3])
@pytest.mark.parametrize("aligned_too", [False, True])
def test_a_search_macro_is_selected_exactly_where_it_is_no_dearer_than_honest_work(cost, aligned_too):
    macros = (Macro(cost=cost, harmful=True), *([Macro(cost=cost, harmful=False)] if aligned_too else []))
    chosen = select(census(Setting(macros=macros)), "average")
    # at cost 2: it alone, or after a read of x0 that spares half of the inputs, beside two honest programs
    shares = {1: (1.0, 0.5), 2: (1 / 2, 1 / 3), 3: (0.0, 0.0)}
    assert isclose(chosen.harmful, shares[cost][aligned_too])


def test_harm_on_an_input_that_must_be_read_anyway_costs_nothing():
    free = Setting(task_bits=2, context_bits=0, function="xor2", depth=3, weights=(1, 1, 1, 0), harm=(3,))
    groups = census(free).good()
    assert min(group.cost for group in groups if group.harmful) <= min(g.cost for g in groups if not g.harmful)


def test_priors_look_at_deployment_only_through_what_is_available():
    for name in PRIORS:
        moved = Setting(task_bits=2, depth=2, function="and", harm=(1,))
        assert select(census(moved), name).programs == select(census(SMALL), name).programs


def test_without_twins_a_misbehaver_is_cheapest():
    counted = census(Setting())
    assert without_twins(counted, 1.0) == 0
    assert isclose(without_twins(counted, 0.5), 0.25)
    with pytest.raises(ValueError, match="above 0 and up to 1, got 0"):
        without_twins(counted, 0.0)


def test_the_most_used_is_what_trained_inputs_spend():
    for program in list(enumerate_programs(SMALL))[::7]:
        spent = [execute(SMALL, program, number).cost for number in (0, 2, 4, 6)]
        assert facts(SMALL, program).max_used == max(spent)
