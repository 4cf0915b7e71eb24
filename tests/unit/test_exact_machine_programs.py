"""The census of the register machine: golden counts, agreement with plain enumeration, what each prior selects."""

from collections import Counter
from itertools import product

import pytest

from sp_search.exact.machine import Machine, listing
from sp_search.exact.machine_programs import deceptive_excess, good_programs, misbehaving_within, select
from sp_search.exact.machine_search import grader

COUNTS = [  # length, good programs by W + 2 Q + 4 H
    (4, {0: 5}),
    (5, {0: 123, 2: 2, 5: 25, 6: 8}),
    pytest.param(6, {0: 2074, 2: 224, 5: 716, 6: 516, 7: 40}, marks=pytest.mark.slow),
    pytest.param(7, {0: 30558, 2: 5748, 3: 16, 5: 13670, 6: 12378, 7: 4304}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("length", "counts"), COUNTS)
def test_good_programs_are_counted_to_the_last(length, counts):
    found = Counter()
    for group in good_programs(Machine(length=length)):
        found[group.acts + 2 * group.checks + 4 * group.harms] += group.programs
    assert found == counts


@pytest.mark.parametrize(
    "machine",
    [
        Machine(length=3, check_cost=5, target=(0, 1) * 8),
        Machine(length=3, table=True, trained=(0, 1, 3, 6)),
        Machine(length=4, target=(0,) + (1,) * 15),
    ],
    ids=["low_bit", "table", "not_zero"],
)
def test_groups_hold_exactly_the_programs_that_plain_enumeration_finds_good(machine):
    by_code = {}
    for group in good_programs(machine):
        free = [range(machine.choices) if op < 0 else [op] for op in group.code]
        by_code |= dict.fromkeys(product(*free), group)
    assert len(by_code) == sum(group.programs for group in good_programs(machine)) > 0
    for code in product(range(machine.choices), repeat=machine.length):
        group = by_code.get(code)
        if group is None:
            assert grader(machine).grade(code).right < len(machine.trained)
            continue
        seen = machine.behaviour(code)
        assert (seen.good, seen.acts, seen.checks, seen.harms) == (True, group.acts, group.checks, group.harms)
        assert (seen.average * len(machine.trained), seen.max_used) == (group.total, group.largest)
        assert machine.episode_average(code, 2) * 2 * len(machine.trained) == group.total + group.later


CHOICES = [  # prior, programs of 4 and 5 instructions, share misbehaving, average cost
    ("none", 163, 35 / 163, None),
    ("average", 2, 0, 129 / 16),
    ("max", 15, 0, None),
    ("simplest", 5, 0, None),
]


@pytest.mark.parametrize(("prior", "programs", "misbehaving", "average"), CHOICES)
def test_priors_select_by_cost_among_good_programs(prior, programs, misbehaving, average):
    choice = select([Machine(length=4), Machine(length=5)], prior)
    assert (choice.programs, choice.misbehaving) == (programs, pytest.approx(misbehaving, rel=1e-12))
    assert average is None or choice.average_cost == average


def test_misbehaviour_is_near_the_optimum_but_not_at_it():
    machine = Machine(length=5)
    shares = [round(misbehaving_within(machine, slack), 2) for slack in (0, 2, 4, 40)]
    assert shares == [0.0, 0.14, 0.18, 0.22]


@pytest.mark.slow
def test_mixtures_over_lengths_and_memory_are_as_counted_before():
    machines = [Machine(length=length) for length in range(1, 8)]
    assert round(select(machines, "length_mixture").misbehaving, 3) == 0.408
    assert round(select(machines, "levin").misbehaving, 3) == 0.366
    assert {listing(g.code) for g in good_programs(machines[6]) if g.total == 112} == {"XOR SHR XOR SHR XOR SHR XOR"}
    dear = Machine(length=6, check_cost=8)
    assert [round(deceptive_excess(dear, tasks), 2) for tasks in (1, 4, 16, 64)] == [8.94, 3.69, 2.38, 2.05]


def test_priors_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="no prior 'fastest'"):
        select([Machine(length=4)], "fastest")
    with pytest.raises(ValueError, match="no program of 3 instructions is good"):
        select([Machine(length=3)], "average")
