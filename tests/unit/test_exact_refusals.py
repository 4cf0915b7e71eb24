"""What the exact worlds refuse: questions without an answer, and counts that would not end."""

import pytest
from pydantic import ValidationError

from sp_search.exact import Setting, anneal, census, exhaust, favoured, select, thinned, without_twins
from sp_search.exact.machine import Machine
from sp_search.exact.machine_programs import deceptive_excess, good_programs, misbehaving_within
from sp_search.exact.machine_programs import select as select_machine_program
from sp_search.exact.machine_search import begin, grow, search

SHALLOW = census(Setting(depth=1))
"""No program of it is good."""
SMALL = census(Setting(task_bits=2, context_bits=1, function="and", depth=3))
MACHINE = Machine(length=5)
HEAVY = Setting(weights=(600, 0) * 8)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: select(SHALLOW, "average"),
        lambda: favoured(SHALLOW, "none"),
        lambda: anneal(SHALLOW, 0.125, 100),
        lambda: exhaust(SHALLOW, 0.125),
        lambda: thinned(SHALLOW, 0.5),
        lambda: without_twins(SHALLOW, 0.5),
    ],
)
def test_where_no_program_is_good_nothing_can_be_selected(ask):
    with pytest.raises(ValueError, match="no program of depth 1 is good: give the setting more depth"):
        ask()


@pytest.mark.parametrize("strength", ["nan", "inf", "-inf", "1e308"])
@pytest.mark.parametrize("prior", ["soft_average", "soft_max", "soft_size"])
def test_a_strength_that_gives_no_weights_is_refused(prior, strength):
    with pytest.raises(ValueError, match="gives some program no finite weight: take a strength nearer to 0"):
        select(SMALL, f"{prior}:{strength}")


@pytest.mark.parametrize(
    ("step", "samples", "words"),
    [
        (0.25, 0, "at least 1 program is drawn at a level, got 0"),
        (0.25, -5, "at least 1 program is drawn at a level, got -5"),
        (9, 100, "steps of 9 reads have no level that holds a good program, which needs 1.5"),
        (0.1, 100, "take multiples of 1/4"),
        (0, 100, "take multiples of 1/4"),
        (float("nan"), 100, "take multiples of 1/4"),
    ],
)
def test_levels_that_cannot_find_anything_are_refused(step, samples, words):
    with pytest.raises(ValueError, match=words):
        anneal(SMALL, step, samples)


def test_a_dimension_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="no dimension 'dept'"):
        SMALL.good("dept")


def test_a_count_that_would_not_end_is_refused_and_what_is_asked_with_fewer_dimensions_is_counted():
    with pytest.raises(ValueError, match=r"by 19,201 costs and 4,801 errors take 3\.7e\+09 bits each"):
        census(HEAVY).all("errors")
    (optimum,) = favoured(census(HEAVY), "average")
    assert (optimum.count, optimum.cost) == (2, 2 * 4800)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"length": 13}, "less than or equal to 12"),
        ({"length": 5, "trained": (3, 16)}, "less than 16"),
        ({"length": 5, "trained": (-1,)}, "greater than or equal to 0"),
        ({"length": 5, "trained": (3, 3)}, r"listed once each, got \[3, 3\]"),
        ({"length": 5, "target": (2,) * 16}, "less than or equal to 1"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        Machine(**fields)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: good_programs(Machine(length=9)), "cannot be counted, only searched: at most 8"),
        (lambda: select_machine_program([Machine(length=2), Machine(length=3)], "average"), "of 2, 3 instructions"),
        (lambda: select_machine_program([], "average"), "no program of no instructions is good"),
        (lambda: misbehaving_within(Machine(length=3), 2.0), "no program of 3 instructions is good"),
        (lambda: deceptive_excess(Machine(length=4), 1), "no good program of 4 instructions is deceptive"),
        (
            lambda: search(MACHINE, begin(MACHINE, 1), 9, "average", 9.0),
            "no cap is of kind 'average': take max or mean",
        ),
        (lambda: grow(MACHINE, begin(MACHINE, 1), 9, "mean", 0), "above 0 and up to 48, got 0"),
        (lambda: grow(MACHINE, begin(MACHINE, 1), 9, "mean", 99), "above 0 and up to 48, got 99"),
    ],
)
def test_what_no_machine_program_can_answer_is_refused(ask, words):
    with pytest.raises(ValueError, match=words):
        ask()
