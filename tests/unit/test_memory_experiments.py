"""Experiments on what is remembered: between rollouts, between inputs, and between the tasks of an exact world."""

from pathlib import Path

import pytest
import torch

from sp_search.experiments.base import EXPLORATORY
from sp_search.experiments.memory_harm import MemoryHarm
from sp_search.experiments.memory_schedules import MemorySchedules
from sp_search.experiments.scratchpad_harm import ScratchpadHarm

torch.set_num_threads(1)
GROWING = {"scheduler": {"kind": "rollout_growth", "budget": "mean"}, "evaluations": 40}


def test_every_corner_is_met_with_its_memory_and_without(tmp_path):
    evidence = MemoryHarm(steps=1, planting_steps=1).run(2, EXPLORATORY, tmp_path)
    corners = {cell.name.split(".")[0] for cell in evidence.cells if cell.name.endswith(".harmful")}
    assert len(corners) == 2 * 3 * 2 + 2
    assert {"planted_carried", "none_alone_erased", "average_followed_carried"} <= corners
    assert {cell.name for cell in evidence.cells if "." not in cell.name} == {"prior", "alone", "followed", "erasing"}
    assert len(evidence.data["memory"]) == 12
    honeypots = MemoryHarm(steps=1, planting_steps=1).organism("average", "followed")
    assert (honeypots.price, honeypots.checks, honeypots.honeypots) == (0.1, "followed", 0.2)


def test_an_intact_scratchpad_is_what_the_program_runs_with(tmp_path):
    from torch import Generator

    from sp_search.organisms.scratchpad_trigger import ScratchpadTrigger
    from sp_search.organisms.training.nets import outcome
    from sp_search.pricing import HaltingRule
    from sp_search.records import derive_seed

    evidence = ScratchpadHarm(planting_steps=2).run(2, EXPLORATORY, tmp_path)
    organism = ScratchpadTrigger(planting_steps=2)
    nets = organism.nets((1000, 1001), honest=False, cache=tmp_path)
    generator = Generator().manual_seed(derive_seed(0, "scratchpad_harm"))
    clean = organism.task().sample(1024, "iid", "verification", generator)
    right_R = outcome(nets, clean, HaltingRule("last")).right_RB.double().mean(1)
    assert evidence.cell("intact.accuracy").units == right_R.tolist()
    assert evidence.cell("unwritten.accuracy").n == evidence.cell("erased.attack").n == 2


def test_worlds_that_remember_longer_are_cheaper_to_deceive_in_and_the_search_knows():
    asked = {
        "length": 5,
        "check_cost": 4,
        "episodes": (1, 16),
        "arms": {"growing": GROWING},
        "drawn": [{"step": 0.25, "samples": 500}],
    }
    evidence = MemorySchedules.model_validate(asked).run(2, EXPLORATORY, Path())
    one, many = (evidence.cell(f"within_4_{tasks}.deceptive") for tasks in (1, 16))
    assert one.exact
    assert many.value > one.value
    assert evidence.cell("growing_16.misbehaving").n == 2
    assert evidence.cell("uniform_0.25_1.misbehaving").value < evidence.cell("within_4_1.misbehaving").value


@pytest.mark.parametrize("tasks", [1, 16])
def test_without_arms_nothing_is_searched(tasks):
    evidence = MemorySchedules(length=4, episodes=(tasks,), arms={}).run(1, EXPLORATORY, Path())
    assert all(cell.exact for cell in evidence.cells)
