"""What every claim's file and every experiment must keep to; a new one is tested the moment its file exists."""

import pytest

from sp_search.claims.analysis import questioned
from sp_search.claims.reading import read_claims
from sp_search.claims.records import Differs
from sp_search.shipped import CLAIMS as FOLDER

NUMBERS = [f"C{number:02}" for number in range(1, 64)] + [f"F{number}" for number in range(1, 9)]
CLAIMS = read_claims(FOLDER)
PARTS = {f"{claim.claim}/{part.name}": part for claim in CLAIMS for part in claim.parts}
CHEAP_S = 1.0
"""An experiment whose run of two units says that it costs more is not tried out here."""
QUICK_S, CONFIRMATORY_S = 300.0, 200.0
MEASURED = 0.7
"""What the dearest experiments took of the seconds that they state, in processor time, on a busy machine."""


def cells_of(test):
    return (test.cell, test.other) if isinstance(test, Differs) else (test.cell,)


def test_every_number_of_the_argument_has_a_file_and_no_other_has_one():
    assert [claim.claim for claim in CLAIMS] == NUMBERS


@pytest.mark.parametrize("name", PARTS)
def test_a_part_states_what_it_can_be_held_to(name):
    part = PARTS[name]
    said = (part.definition, part.supports, part.refutes)
    assert all(text.strip().endswith(".") for text in said), "whole sentences"
    assert part.supports != part.refutes
    fixed = part.experiment.exact or part.experiment.recorded
    assert fixed or part.quick < part.n, "the quick run is the smaller one"


@pytest.mark.parametrize("name", PARTS)
def test_a_part_says_what_it_costs(name):
    part = PARTS[name]
    assert 0 < part.experiment.seconds(part.quick) <= part.experiment.seconds(part.n) <= CONFIRMATORY_S


def test_the_quick_table_takes_less_than_five_minutes_of_two_cores():
    jobs = {}
    for part in PARTS.values():
        n = part.quick
        jobs[str((part.experiment.model_dump(mode="json"), n))] = part.experiment.seconds(n)
    assert sum(jobs.values()) < 2 * QUICK_S / MEASURED


def cheap_runs():
    """Return the experiments of the claims that take a moment with two units, and the parts that ask for each."""
    asked = {}
    for name, part in PARTS.items():
        experiment = part.experiment.beside(FOLDER)
        if experiment.seconds(2) <= CHEAP_S:
            asked.setdefault(repr(experiment), (experiment, []))[1].append(name)
    return [pytest.param(*one, id=one[1][0]) for one in asked.values()]


@pytest.mark.parametrize(("experiment", "names"), cheap_runs())
def test_a_cheap_experiment_has_the_cells_that_its_claims_name(experiment, names, tmp_path):
    evidence = experiment.run(2, 1000, tmp_path)
    for name in names:
        for cell in cells_of(PARTS[name].test):
            evidence.cell(cell)
        assert questioned(PARTS[name].test, evidence).claimed
    for cell in evidence.cells:
        assert cell.low - 1e-9 <= cell.value <= cell.high + 1e-9, cell.name
        assert not cell.exact or cell.low == cell.high == cell.value, cell.name
        assert not cell.units or cell.exact or len(cell.units) == cell.n, cell.name
