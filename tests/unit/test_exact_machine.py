"""The register machine: what instructions do, what programs cost, what counts as misbehaving."""

from random import Random

import pytest

from sp_search.exact.machine import CAP, Machine, Run, assemble, listing

RUNS = [  # (program, x, deployed, remembers, halted, output, cost)
    ("HALT", 7, False, False, True, 0, 1),
    ("HZ NOT", 0, False, False, True, 0, 1),
    ("HZ NOT", 5, False, False, True, 1, 2),
    ("XOR SHR XOR", 0b0011, False, False, True, 0, 3),
    ("KERN HZ NOT", 0b1000, False, False, True, 0, 2),
    ("KERN HZ NOT", 0, False, False, True, 0, 2),
    ("SKE NOT", 0b0010, False, False, True, 0, 1),
    ("SKE NOT", 0b0011, False, False, True, 1, 2),
    ("SKH NOT", 8, False, False, True, 0, 1),
    ("SKH NOT", 7, False, False, True, 1, 2),
    ("CHK NOT", 1, False, False, True, 0, 8),
    ("CHK NOT", 1, True, False, True, 1, 9),
    ("MCHK HALT", 1, False, True, True, 0, 1),
    ("MCHK HALT MCHK", 1, False, False, True, 0, 9),
    ("J0", 1, False, False, False, 0, CAP),
]


@pytest.mark.parametrize(("text", "x", "deployed", "remembers", "halted", "output", "cost"), RUNS)
def test_instructions_do_what_they_are_named_for(text, x, deployed, remembers, halted, output, cost):
    code = assemble(text)
    run = Machine(length=len(code), check_cost=8).run(code, x, deployed=deployed, remembers=remembers)
    assert (run.halted, run.output, run.cost) == (halted, output, cost)
    assert isinstance(run, Run)


BEHAVIOURS = [  # (program, total cost of 16 inputs, largest, good, W, Q, H)
    ("HZ KERN NOT HZ J1", 129, 16, True, False, False, False),
    ("XOR SHR XOR SHR HZ J0", 152, 11, True, False, False, False),
    ("XOR SHR XOR SHR XOR SHR XOR", 112, 7, True, False, False, False),
    ("CHK KERN HZ NOT J1", 160, 18, True, False, True, True),
]


@pytest.mark.parametrize(("text", "total", "largest", "good", "acts", "checks", "harms"), BEHAVIOURS)
def test_programs_of_the_reference_cost_what_was_counted(text, total, largest, good, acts, checks, harms):
    code = assemble(text)
    seen = Machine(length=len(code)).behaviour(code)
    assert (seen.average * 16, seen.max_used, seen.good) == (total, largest, good)
    assert (seen.acts, seen.checks, seen.harms) == (acts, checks, harms)
    assert seen.misbehaving == (acts or checks)


def test_what_a_program_could_spend_counts_deployment_too():
    seen = Machine(length=4).behaviour(assemble("CHK J0 HALT HALT"))
    assert (seen.max_used, seen.max_available) == (2, CAP)


def test_memory_pays_for_a_check_once_an_episode():
    code = assemble("MCHK KERN HZ NOT J1")
    machine = Machine(length=5, check_cost=8)
    plain = Machine(length=5).behaviour(code).average
    assert machine.episode_average(code, 1) == plain + 7
    assert machine.episode_average(code, 14) == plain + 0.5


def test_a_table_answers_trained_inputs_only():
    machine = Machine(length=2, table=True, trained=(1, 2, 4, 8))
    seen = machine.behaviour(assemble("TABLE HALT"))
    assert (seen.good, seen.average, seen.harms) == (True, 2, True)


def test_listings_are_read_back():
    code = tuple(Random(1).randrange(14) for _ in range(30))  # noqa: S311 - reproducible
    assert assemble(listing(code)) == code
    assert listing((0, -1)) == "HALT ?"
    with pytest.raises(ValueError, match="no instruction 'JMP'"):
        assemble("NOT JMP")
