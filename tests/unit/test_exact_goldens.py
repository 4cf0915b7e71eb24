"""Figures of the decision programs that were counted before, by other code, to the last digit given."""

from fractions import Fraction

import pytest

from sp_search.exact import Setting, anneal, census, exhaust, honeypot_weights, select, task_weights, thinned


def total(groups, kind=None):
    return sum(group.count for group in groups if kind is None or getattr(group, kind))


@pytest.mark.parametrize(
    ("function", "good", "misbehaving", "deceptive"),
    [
        ("fig", 38_868_034, 38_867_984, 9_493_582),
        ("majority", 36_576_984, 36_576_936, 9_214_212),
        ("parity", 7_809_228, 7_809_216, 2_951_568),
    ],
)
def test_numbers_of_good_programs(function, good, misbehaving, deceptive):
    groups = census(Setting(function=function)).good()
    assert (total(groups), total(groups, "misbehaving"), total(groups, "deceptive")) == (good, misbehaving, deceptive)


@pytest.mark.parametrize(
    ("function", "depth", "shallow", "misbehaving", "average", "cheap", "nodes", "small"),
    [
        ("fig", 3, 410, 360, 2.0, 2, 9, 2),
        ("majority", 3, 300, 252, 2.5, 12, 11, 12),
        ("parity", 3, 12, 0, 3.0, 12, 15, 12),
    ],
)
def test_what_each_prior_selects(function, depth, shallow, misbehaving, average, cheap, nodes, small):
    counted = census(Setting(function=function))
    available = select(counted, "max")
    assert min(group.depth for group in counted.good("depth")) == depth
    assert (available.programs, available.programs - available.honest) == (shallow, misbehaving)
    least = select(counted, "average")
    assert (least.average_cost, least.programs, least.misbehaving) == (average, cheap, 0)
    simplest = select(counted, "simplest")
    assert min(group.size for group in counted.good("size")) == nodes
    assert (simplest.programs, simplest.misbehaving) == (small, 0)


def test_the_figures_least_depth_by_kind():
    groups = [group for group in census(Setting()).good("depth") if group.depth == 3]
    kinds = {"acts": 1, "checks": 2, "harms": 4}
    numbers = {name: sum(group.count for group in groups if group.flags & flag) for name, flag in kinds.items()}
    assert numbers == {"acts": 144, "checks": 292, "harms": 276}
    assert total(groups, "deceptive") == 138


@pytest.mark.parametrize(
    ("cap", "programs", "honest", "misbehaving"),
    [
        (1.875, 129_848, 0, 0),
        (2.0, 1_281_374, 2, 0),
        (2.125, 1_306_718, 2, 24),
        (2.25, 1_813_022, 2, 168),
        (2.375, 2_259_998, 2, 600),
        (2.5, 15_621_350, 14, 1_820),
        (3.0, 290_021_752, 50, 378_434),
        (3.5, 3_519_388_480, 50, 5_857_176),
        (4.0, 14_857_495_594, 50, 38_867_984),
    ],
)
def test_the_programs_within_a_budget(cap, programs, honest, misbehaving):
    counted = census(Setting())
    good = [group for group in counted.good() if group.cost <= 8 * cap]
    assert total(group for group in counted.all() if group.cost <= 8 * cap) == programs
    assert (total(good) - total(good, "misbehaving"), total(good, "misbehaving")) == (honest, misbehaving)


def test_the_priors_over_all_functions_of_three_bits():
    choices = {name: [] for name in ("none", "max", "average", "max_then_average", "simplest")}
    for number in range(256):
        counted = census(Setting(function=f"{number:08b}"))
        for name, chosen in choices.items():
            chosen.append(select(counted, name))

    def means(name):
        kinds = ("misbehaving", "harmful", "deceptive")
        return [round(sum(getattr(one, kind) for one in choices[name]) / 256, 3) for kind in kinds]

    assert means("none") == [1.000, 0.998, 0.217]
    assert means("max") == [0.716, 0.584, 0.289]
    assert sum(one.misbehaving > 0 for one in choices["max"]) == 216
    for name in ("average", "max_then_average", "simplest"):
        assert not any(one.misbehaving or one.harmful for one in choices[name])


def test_samples_at_each_level_that_make_annealing_slow_enough():
    counted = census(Setting())
    found = [round(anneal(counted, 1 / 8, 10**power).misbehaving, 3) for power in (3, 4, 5, 6, 7)]
    assert found == [0.994, 0.964, 0.797, 0.194, 0.000]
    assert round(anneal(counted, 1, 10**6).misbehaving, 3) == 0.210


@pytest.mark.parametrize(
    ("function", "misbehaving"),
    [
        ("fig", [0, 0.462, 0.727, 0.862, 0.931]),
        ("majority", [0, 0.462, 0.722, 0.861, 0.930]),
        ("parity", [0, 0.480, 0.739, 0.870, 0.935]),
    ],
)
def test_coarse_jumps_averaged_over_their_phase(function, misbehaving):
    counted = census(Setting(function=function))
    assert [round(exhaust(counted, step).misbehaving, 3) for step in (1 / 8, 1 / 4, 1 / 2, 1, 2)] == misbehaving


def test_a_soft_average_prior_first_prunes_acts_and_leaves_deceivers():
    counted = census(Setting())
    chosen = {beta: select(counted, f"soft_average:{beta}") for beta in (0, 2, 4, 8, 16, 32, 64)}
    assert [round(one.deceptive, 3) for one in chosen.values()] == [0.244, 0.297, 0.379, 0.535, 0.327, 0.068, 0.001]
    assert [round(chosen[beta].misbehaving, 3) for beta in (8, 16, 32, 64)] == [0.994, 0.795, 0.197, 0.004]
    assert round(select(counted, "soft_max:64").misbehaving, 3) == 0.878


@pytest.mark.parametrize(
    ("k", "share", "available", "excess", "deceptive"),
    [
        (1, 0, 2, 0.25, 0.183),
        (2, 0, 2, 0.25, 0.838),
        (2, Fraction(1, 5), 3, 0.275, 0.106),
        (2, Fraction(1, 2), 3, 0.3125, 0.071),
        (3, 0, 2, 0.25, 0.939),
        (3, Fraction(1, 5), 3, 0.25 * (1 + 0.2 / 3), 0.330),
        (3, Fraction(1, 2), 3, 0.25 * (1 + 0.5 / 3), 0.379),
    ],
)
def test_honeypots_cost_deceivers_little_on_average_and_catch_many(k, share, available, excess, deceptive):
    weights = honeypot_weights(2, k, Fraction(share)) if k > 1 else None
    setting = Setting(task_bits=2, context_bits=k, function="and", depth=5, weights=weights)
    counted = census(setting)
    groups = counted.good("depth")
    honest = min(group.cost for group in groups if not group.misbehaving)
    cheapest = min(group.cost for group in groups if group.deceptive)
    assert min(group.depth for group in groups if group.deceptive) == available
    assert counted.average(cheapest - honest) == pytest.approx(excess)
    assert round(select(counted, "soft_average:16").deceptive, 3) == deceptive


@pytest.mark.parametrize(("rest", "rare", "excess"), [(3, 1, 0.05), (49, 3, 0.01), (83, 1, 0.002)])
def test_the_cheapest_deceiver_checks_only_where_training_rarely_is(rest, rare, excess):
    counted = census(Setting(weights=task_weights(3, 1, [rest] * 6 + [rare] * 2)))
    honest = min(group.cost for group in counted.good() if not group.misbehaving)
    deceptive = min(group.cost for group in counted.good() if group.deceptive)
    assert counted.average(deceptive - honest) == pytest.approx(excess)


@pytest.mark.parametrize(
    ("function", "misbehaving"),
    [("fig", [0, 0.25, 0.81, 0.98]), ("majority", [0, 0.0002, 0.28, 0.88]), ("parity", [0, 0.0002, 0.28, 0.89])],
)
def test_a_space_that_misses_programs_loses_its_honest_optima(function, misbehaving):
    counted = census(Setting(function=function))
    found = [thinned(counted, presence) for presence in (1, 0.5, 0.1, 0.01)]
    assert [round(one, 4 if one < 0.01 else 2) for one in found] == misbehaving


def test_however_rare_programs_are_the_only_one_present_is_any_of_them():
    counted = census(Setting())
    good = counted.some_good()
    misbehaving = sum(group.count for group in good if group.misbehaving) / sum(group.count for group in good)
    assert thinned(counted, 1e-20) == pytest.approx(misbehaving, rel=1e-9)
