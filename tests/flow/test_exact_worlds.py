"""A world of programs is searched alike in simulation, in process and by Ray: the same ledger, and the same program."""

import pytest

from sp_search.drive.inprocess import run_inprocess
from sp_search.drive.simulated import oracle_search, simulate
from sp_search.exact.runner import program_of
from sp_search.levels import Terms
from sp_search.oracles.decision_programs import DecisionPrograms
from sp_search.oracles.register_machine import RegisterMachine
from sp_search.schedulers.annealing import Annealing
from sp_search.store import FolderStore, MemoryStore
from sp_search.tune.actor import RunnerRecipe
from sp_search.tune.launch import run_tune

TERMS = Terms(seed=1007, milestones=[1.0], lineages_to_fail=2)


def selected(search, store):
    """The program that a search selected, as its world writes it."""
    chosen, _ = search.selection(1.0)
    cohort = search.state.history[chosen.visit].members[chosen.member].lineages
    return program_of(store.newest(chosen.member, chosen.visit, cohort).state, chosen.lineage)


def unmetered(lines):
    """Leave out what an actor used of its machine, which no other driver has."""
    return [{**line, "event": {key: value for key, value in line["event"].items() if key != "usage"}} for line in lines]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("oracle", [DecisionPrograms(), RegisterMachine(length=5, step=2.0)], ids=lambda one: one.kind)
def test_the_three_drivers_write_one_ledger_and_hold_one_program(oracle, tmp_path):
    scheduler, here, there = Annealing(budget="mean"), [], []
    virtual = simulate(scheduler, oracle, workers=1, seed=TERMS.seed, members=1, replicas=2, terms=TERMS)
    at_home = oracle_search(scheduler, oracle, TERMS, members=1, replicas=2, append=here.append)
    run_inprocess(at_home, oracle.runner(), store := MemoryStore())
    on_ray = oracle_search(scheduler, oracle, TERMS, members=1, replicas=2, append=there.append)
    arguments = {"oracle": oracle.model_dump(mode="json")}
    recipe = RunnerRecipe(factory="sp_search.drive.exact:oracle_runner", arguments=arguments)
    run_tune(on_ray, recipe, tmp_path, concurrent=1)
    apart = [{key: value for key, value in line.items() if key != "seq"} for line in virtual.events]
    assert unmetered(here) == unmetered(there) == unmetered(apart)
    assert selected(at_home, store) == selected(on_ray, FolderStore(tmp_path / "checkpoints"))
