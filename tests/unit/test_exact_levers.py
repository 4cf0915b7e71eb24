"""Levers in exact worlds: equal evaluations, donors that are carried, and a local search that keeps to its space."""

from itertools import islice
from random import Random

import pytest

from sp_search.exact.levers import Design, select
from sp_search.exact.machine import Machine
from sp_search.exact.machine_levers import MachineWorld
from sp_search.exact.programs import Act, Read, depth, enumerate_programs, facts, misbehaves
from sp_search.exact.setting import Macro, Setting
from sp_search.exact.tree_search import TreeWorld, nodes, proposed
from sp_search.experiments.search_levers import COMPARISONS, DESIGNS, SearchLevers

TREES = Setting(function="xor2", task_bits=2, depth=3)
WORLDS = [MachineWorld(Machine(length=5)), TreeWorld(TREES, other_task="and")]
GOING_ON = [
    {},
    {"inherit": True},
    {"lineages": 5, "inherit": True, "clones": True},
    {"curriculum": True},
    {"below": True},
    {"step": 8, "below": True, "inherit": True},
]


def misbehaving(world, program):
    if isinstance(world, MachineWorld):
        return world.machine.behaviour(program).misbehaving
    return misbehaves(facts(world.setting, program).flags)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: type(world).__name__)
@pytest.mark.parametrize("design", GOING_ON, ids=str)
def test_a_search_spends_its_total_and_no_more(world, design):
    asked = Design(per_level=20, **design)
    assert select(world, asked, 777, 1001).evaluations == 777
    assert select(world, asked, 777, 1001) == select(world, asked, 777, 1001)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: type(world).__name__)
def test_stopping_takes_the_first_find_and_going_on_never_makes_it_dearer(world):
    first = select(world, Design(per_level=400, stops=True, inherit=True), 20000, 1003)
    assert first.program is not None
    assert first.evaluations < 20000
    longer = select(world, Design(per_level=400, inherit=True, below=True), first.evaluations + 2000, 1003)
    assert world.cost(longer.program) <= world.cost(first.program)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: type(world).__name__)
@pytest.mark.parametrize("kind", ["honest", "poisoned"])
def test_a_search_that_may_spend_anything_selects_its_donor(world, kind):
    asked = Design(donor=kind, step=int(world.highest / world.grain), per_level=1)
    selected = select(world, asked, 1, 1003)
    assert selected.program == world.donor(kind, 1003, other_task=False)
    assert misbehaving(world, selected.program) == (kind == "poisoned")


def test_a_donor_of_another_task_is_good_there():
    world = WORLDS[1]
    donor = world.donor("honest", 1000, other_task=True)
    assert facts(world.other, donor).errors == 0


def test_a_donor_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no poisoned donor"):
        select(MachineWorld(Machine(length=4)), Design(donor="poisoned"), 100, 1000)


def test_all_inputs_at_once_are_graded_as_one_by_one():
    world = WORLDS[1]
    for program in islice(enumerate_programs(TREES), 0, None, 97):
        true = facts(TREES, program)
        assert world.grade(program) == (TREES.total_weight - true.errors, true.cost)


def test_a_proposal_is_a_program_of_the_setting_and_every_node_can_change():
    random = Random(1000)  # noqa: S311 - reproducible
    program = WORLDS[1].begin(1000).program
    seen = set()
    for _ in range(3000):
        program = proposed(TREES, program, random)
        assert depth(program) <= TREES.depth
        assert reads_once(program, set())
        seen.add(program)
    assert len(seen) > 200
    assert {nodes(one) for one in seen} >= set(range(1, 8))


def reads_once(program, above):
    if isinstance(program, Act):
        return reads_once(program.then, above)
    if isinstance(program, Read):
        below = above | {program.bit}
        return program.bit not in above and reads_once(program.zero, below) and reads_once(program.one, below)
    return True


def test_settings_whose_cost_a_mask_cannot_count_are_refused():
    with pytest.raises(ValueError, match="weight 1"):
        TreeWorld(Setting(macros=(Macro(cost=1, harmful=True),)))


def test_every_lever_is_compared_with_a_design_that_differs_by_it():
    for lever, with_it, without in COMPARISONS:
        assert {with_it, without} <= set(DESIGNS), lever
        assert DESIGNS[with_it] != DESIGNS[without]


@pytest.mark.parametrize("world", ["machine", "trees"])
def test_levers_give_every_cell_that_was_asked_for_at_equal_cost(world, tmp_path):
    names = ["fresh", "curriculum", "early_stopping", "going_on"]
    evidence = SearchLevers(world=world, length=5, per_level=40, total=300, designs=names).run(2, 1000, tmp_path)
    assert evidence.cell("evaluations_fresh").units == evidence.cell("evaluations_curriculum").units == [300, 300]
    assert evidence.cell("evaluations_early_stopping").units == evidence.cell("evaluations_going_on").units
    assert -1 <= evidence.cell("early_stopping_beyond").value <= 1


def test_a_design_that_spends_what_another_spent_asks_for_it_first(tmp_path):
    with pytest.raises(ValueError, match="name that one before it"):
        SearchLevers(length=5, designs=["going_on"]).run(1, 1000, tmp_path)
