"""Experiments on the register machine: what cells count, and seeds that pair."""

import pytest

from sp_search.experiments.machine_census import MachineCensus
from sp_search.experiments.machine_schedules import MachineSchedules
from sp_search.experiments.machine_search import Arm, MachineSearch
from sp_search.experiments.machine_table import MachineTable


def test_a_census_says_what_every_prior_selects(tmp_path):
    evidence = MachineCensus(lengths=[4, 5], tasks=[1, 2], samples=[10**9]).run(1, 0, tmp_path)
    assert evidence.cell("misbehaving_none_5").value == pytest.approx(35 / 158)
    assert evidence.cell("misbehaving_average").value == 0
    assert (evidence.cell("least_size_honest").value, evidence.cell("least_size_deceptive").value) == (4, 5)
    assert evidence.cell("misbehaving_uniform_1000000000_5").value == 0, "so many samples find the optimum first"
    assert all(cell.exact for cell in evidence.cells)


def test_arms_of_a_search_pair_by_seed_and_are_reproducible(tmp_path):
    asked = MachineSearch(length=5, arms=[Arm(budget="none"), Arm(budget="mean", step=2, per_level=40)])
    evidence = asked.run(3, 1000, tmp_path)
    assert evidence == asked.run(3, 1000, tmp_path)
    later = asked.run(2, 1001, tmp_path)
    assert later.cell("misbehaving_none").units == evidence.cell("misbehaving_none").units[1:]
    assert sum(evidence.data["none"]["uniform"].values()) == pytest.approx(1)


def test_a_schedule_selects_nothing_dearer_than_its_first_find(tmp_path):
    evidence = MachineSchedules(length=5, per_level=150, slow_per_level=20).run(3, 1000, tmp_path)
    fast, annealed = evidence.cell("cost_fast").units, evidence.cell("cost_annealed").units
    assert all(late <= early for late, early in zip(annealed, fast, strict=True))
    spent = evidence.cell("evaluations_fast").units, evidence.cell("evaluations_annealed").units
    assert all(more > fewer for fewer, more in zip(*spent, strict=True))


def test_a_table_answers_what_was_shown_and_little_else(tmp_path):
    evidence = MachineTable(length=4, shown=8).run(2, 1000, tmp_path)
    assert evidence.cell("generalises_average_table").value == 0
    assert evidence.cell("generalises_none_algorithms").value > 0
