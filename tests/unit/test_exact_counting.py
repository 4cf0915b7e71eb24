from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.exact import (
    Act,
    Flag,
    Leaf,
    Macro,
    Read,
    Search,
    Setting,
    census,
    enumerate_programs,
    execute,
    facts,
    good_programs,
    honest_twin,
    number_of_programs,
    task_weights,
)

KINDS = ("flags", "cost", "depth", "max_used", "size", "errors")
ALL = ("depth", "max_used", "size", "errors")


def listed(setting):
    """Return the number of programs of each kind, every program having been made and run on every input."""
    good, every = Counter(), Counter()
    for program in enumerate_programs(setting):
        found = facts(setting, program)
        kind = tuple(getattr(found, name) for name in KINDS)
        every[kind] += 1
        good[kind] += found.errors <= setting.allowed_errors and not found.failed
    return +good, every


def counted(groups, by=KINDS):
    """Return the number of programs of each kind as groups say it."""
    numbers = Counter()
    for group in groups:
        numbers[tuple(getattr(group, name) for name in by)] += group.count
    return numbers


def assert_counts_are_the_lists(setting):
    good, every = listed(setting)
    assert counted(census(setting).all(*ALL)) == every
    by = KINDS if setting.allowed_errors else KINDS[:-1]
    shortened = Counter()
    for kind, number in good.items():
        shortened[kind[: len(by)]] += number
    assert counted(census(setting).good(*(name for name in ALL if name in by)), by) == shortened
    assert number_of_programs(setting) == sum(every.values())


def rising(n, k):
    return task_weights(n, k, range(1, 2**n + 1))


TABLE = [
    # two bits with context, deep, without task reads left, without context, macros, honeypots, gates, errors
    (Setting(task_bits=2, context_bits=1, depth=2, function="xor2", weights=rising(2, 1)), 450, 2),
    (Setting(task_bits=1, context_bits=2, depth=2, function="x0", weights=rising(1, 2)), None, None),
    (Setting(task_bits=1, context_bits=1, depth=4, function="x0", weights=rising(1, 1)), None, None),
    (
        Setting(
            task_bits=2, context_bits=0, depth=3, function="or", weights=(1, 2, 3, 0), harm=(3,)
        ), 1496, 138,
    ),
    (
        Setting(
            task_bits=2,
            depth=2,
            function="and",
            macros=(Macro(cost=1, harmful=True), Macro(cost=2, harmful=False)),
        ), None, None,
    ),
    (Setting(task_bits=1, context_bits=2, depth=2, function="x0", weights=(4, 1, 1, 0) * 2), None, None),
    (Setting(task_bits=2, context_bits=0, depth=2, function="or", weights=(1, 1, 0, 0), checked=(2,), harm=(3,)),
     None, None),
    (Setting(task_bits=2, context_bits=1, depth=2, function="xor2", weights=rising(2, 1), allowed_errors=4),
     None, None),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "programs", "good"), TABLE)
def test_counts_equal_programs_that_were_listed_and_run(setting, programs, good):
    assert_counts_are_the_lists(setting)
    if programs:
        assert number_of_programs(setting) == programs
        assert sum(group.count for group in census(setting).good()) == good


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "good"),
    [
        (Setting(task_bits=2, context_bits=1, depth=3, function="and", weights=rising(2, 1)), 3162),
        (Setting(task_bits=1, context_bits=2, depth=3, function="x0", weights=rising(1, 2)), 12202),
    ],
)
def test_counts_equal_sixty_thousand_programs_that_were_listed_and_run(setting, good):
    assert number_of_programs(setting) == 60_944
    assert sum(group.count for group in census(setting).good()) == good
    assert_counts_are_the_lists(setting)


@st.composite
def small_settings(draw):
    n, k = draw(st.sampled_from([(1, 0), (1, 1), (2, 0), (2, 1), (1, 2)]))
    inputs = range(2 ** (n + k))
    weights = draw(st.tuples(*(st.integers(0, 3) for _ in inputs)).filter(any))
    untrained = [number for number in inputs if not weights[number]]
    harm = draw(st.sets(st.sampled_from(untrained))) if untrained else ()
    checked = draw(st.sets(st.sampled_from(untrained))) if untrained else ()
    return Setting(
        task_bits=n,
        context_bits=k,
        function="".join(draw(st.sampled_from("01")) for _ in range(2**n)),
        depth=draw(st.integers(0, 2)),
        weights=weights,
        harm=tuple(sorted(harm)),
        checked=tuple(sorted(checked)),
        macros=tuple(draw(st.lists(st.builds(Macro, cost=st.integers(0, 2), harmful=st.booleans()), max_size=1))),
        allowed_errors=0 if checked else draw(st.integers(0, 3)),
    )


@settings(max_examples=20, deadline=None)
@given(small_settings())
def test_counts_equal_lists_in_any_small_setting(setting):
    assert_counts_are_the_lists(setting)


@settings(max_examples=20, deadline=None)
@given(small_settings().filter(lambda setting: not setting.allowed_errors))
def test_good_programs_are_listed_each_once(setting):
    kept = [
        program
        for program in enumerate_programs(setting)
        if not (facts(setting, program).errors or facts(setting, program).failed)
    ]
    assert Counter(good_programs(setting)) == Counter(kept)


def test_a_program_pays_for_reads_and_acts_that_an_input_meets():
    setting = Setting(task_bits=2, function="and")
    program = Read(0, Act(Leaf(0)), Read(1, Leaf(0), Leaf(1)))
    runs = [execute(setting, program, number) for number in range(8)]
    assert [run.cost for run in runs] == [2] * 8
    assert [run.acts for run in runs] == [1] * 4 + [0] * 4
    assert [run.answer for run in runs] == list(setting.labels)
    assert runs[7].reads == (0, 1)


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        (Read(0, Leaf(0), Leaf(1)), Flag.NONE),
        (Read(0, Act(Leaf(0)), Leaf(1)), Flag.ACTS | Flag.HARMS),
        (Read(1, Read(0, Leaf(0), Leaf(1)), Read(0, Leaf(0), Leaf(1))), Flag.CHECKS),
        (Read(1, Read(0, Leaf(0), Leaf(1)), Leaf(0)), Flag.CHECKS | Flag.HARMS),
        (Read(1, Read(0, Leaf(0), Leaf(1)), Act(Read(0, Leaf(0), Leaf(1)))), Flag.CHECKS | Flag.HARMS),
        (Search(Macro(cost=1, harmful=True)), Flag.HARMS),
        (Search(Macro(cost=1, harmful=False)), Flag.NONE),
    ],
)
def test_flags_say_what_a_program_does_for_nothing_and_where_it_harms(program, flags):
    assert facts(Setting(task_bits=1, function="x0"), program).flags == flags


def test_what_is_available_may_never_be_used_in_training():
    program = Read(1, Leaf(0), Act(Act(Act(Leaf(0)))))
    found = facts(Setting(task_bits=1, function="zero"), program)
    assert (found.depth, found.max_used, found.cost, found.size) == (4, 1, 2, 6)


def test_a_long_list_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="use `census`"):
        next(enumerate_programs(Setting()))
    with pytest.raises(ValueError, match="use `census`"):
        next(good_programs(Setting()))


def test_a_twin_does_nothing_instead_of_misbehaving_at_less_cost_on_some_input_and_more_on_none():
    setting = Setting(function="fig", depth=3)
    misbehaving = [program for program in good_programs(setting) if facts(setting, program).flags & 3]
    assert len(misbehaving) == 360
    trained = [number for number, weight in enumerate(setting.input_weights) if weight]
    for program in misbehaving:
        twin = honest_twin(setting, program)
        found = facts(setting, twin)
        saved = [execute(setting, program, number).cost - execute(setting, twin, number).cost for number in trained]
        assert (found.flags, found.errors) == (Flag.NONE, 0)
        assert min(saved) >= 0
        assert max(saved) > 0


def test_a_honeypot_leaves_a_program_that_checks_without_a_twin():
    setting = Setting(task_bits=1, context_bits=2, function="x0", weights=(4, 1, 1, 0) * 2)
    with pytest.raises(ValueError, match="both values in training"):
        honest_twin(setting, Read(1, Leaf(0), Leaf(0)))
