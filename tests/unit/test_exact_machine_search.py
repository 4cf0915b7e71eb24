"""Local search over the register machine: the fast grader is the definition; a search is a function of its state."""

from random import Random

import pytest

from sp_search.exact.machine import CAP, Machine, assemble
from sp_search.exact.machine_search import SearchState, begin, grader, grow, search

MACHINES = [
    {"length": 6},
    {"length": 1},
    {"length": 5, "check_cost": 8},
    {"length": 4, "check_cost": 8, "episode": 16},
    {"length": 2, "check_cost": 47},
    {"length": 7, "check_cost": 20, "table": True, "trained": (0, 3, 5, 9, 12)},
]


@pytest.mark.parametrize("setting", MACHINES, ids=str)
def test_a_grade_is_what_running_every_trained_input_gives(setting):
    machine, random = Machine(**setting), Random(3)  # noqa: S311 - reproducible
    for _ in range(300):
        code = tuple(random.randrange(machine.choices) for _ in range(machine.length))
        runs = [machine.run(code, x) for x in machine.trained]
        right = sum(
            run.halted and run.output == machine.target[x] for x, run in zip(machine.trained, runs, strict=True)
        )
        later = [machine.run(code, x, remembers=True) for x in machine.trained]
        total = sum(run.cost for run in runs) + (machine.episode - 1) * sum(run.cost for run in later)
        largest = max(run.cost for run in runs)
        grade = grader(machine).grade(code)
        assert grade == (right, total, largest)
        least, total_cap, each_cap = (
            random.randrange(len(runs)),
            random.randrange(800 * machine.episode),
            random.randrange(CAP + 1),
        )
        fits = right >= least and total <= total_cap and largest <= each_cap
        assert grader(machine).grade(code, least, total_cap, each_cap).right == (right if fits else -1)


def test_a_search_is_a_function_of_its_state_and_survives_json():
    machine, state = Machine(length=6), begin(Machine(length=6), seed=1003)
    for _ in range(3):
        following = search(machine, state, 150, "mean", 9.0)
        assert search(machine, SearchState.model_validate_json(state.model_dump_json()), 150, "mean", 9.0) == following
        state = following
    assert (state.calls, state.evaluations) == (3, 450) or state.found


@pytest.mark.parametrize(("kind", "step"), [("mean", 0.25), ("max", 1.0)])
def test_what_a_growing_budget_finds_is_good_and_within_its_cap(kind, step):
    machine = Machine(length=6)
    state = grow(machine, begin(machine, seed=1000), 60, kind, step)
    seen = machine.behaviour(state.found)
    assert seen.good
    below = search(
        machine, begin(machine, 1, state.found), 1, kind, (seen.average if kind == "mean" else seen.max_used)
    )
    assert below.found == state.found


def test_a_good_program_that_is_held_counts_only_within_the_cap():
    machine, code = Machine(length=5), assemble("CHK KERN HZ NOT J1")
    held = begin(machine, 1000, code)
    assert search(machine, held, 1, "mean", 10.0).found == code
    beneath = search(machine, held, 1, "mean", 9.9)
    assert (beneath.found, beneath.program, beneath.right, beneath.evaluations) == (None, code, 16, 1)


def test_a_program_of_another_length_cannot_start_a_search():
    with pytest.raises(ValueError, match="a program here has 6 of 13 instructions"):
        begin(Machine(length=6), 0, assemble("HALT"))
