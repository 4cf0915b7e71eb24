"""Sizes of a program: parameters, carried bytes, and units that do something."""

import pytest
import torch
from fakes import TinyProgram
from torch import Generator

from sp_search.compute import Footprint, footprint
from sp_search.models.exit_mlp import ExitMlp
from sp_search.models.recall_conv import RecallConv
from sp_search.pricing import HaltingRule
from sp_search.program import Program
from sp_search.tasks.base import Shape

torch.set_num_threads(1)
X = torch.randn(6, 5, 2, generator=Generator().manual_seed(0))


def test_a_recurrent_program_carries_its_state_and_its_units_are_counted_once():
    model = TinyProgram(width=3)
    parameters = (2 * 3 + 3) + (3 * 3 + 3) + (3 * 2 + 2) + (3 + 1)
    assert footprint(Program(model, HaltingRule(), 4), X) == Footprint(parameters, 5 * 3 * 4, 3 + 3, 3 + 3)
    assert footprint(Program(model.double(), HaltingRule(), 9), X.double()).state_bytes == 5 * 3 * 8


def test_an_input_that_is_passed_on_as_it_came_is_not_carried():
    model = RecallConv(width=4).build(Shape(5, 2, 5, 2), 3, halting=False, generator=Generator().manual_seed(0))
    assert any(part is X for part in model.start(X))
    assert footprint(Program(model, HaltingRule(), 3), X).state_bytes == 5 * 4 * 4


def test_a_unit_that_is_never_on_is_not_active_and_separate_exits_have_separate_units():
    model = ExitMlp(width=6).build(Shape(5, 2, 1, 3), 3, halting=False, generator=Generator().manual_seed(0))
    program = Program(model, HaltingRule(), 3)
    before = footprint(program, X)
    assert before.units == 3 * 6
    with torch.no_grad():
        model.blocks[2].weight.zero_()
        model.blocks[2].bias.copy_(torch.tensor([-1.0, -1.0, 1.0, 1.0, 1.0, 1.0]))
    after = footprint(program, X)
    first_two_blocks = footprint(Program(model, HaltingRule(), 2), X).active_units
    assert after.active_units == first_two_blocks + 4
    assert (after.parameters, after.state_bytes) == (before.parameters, before.state_bytes)


def test_an_empty_batch_measures_nothing():
    with pytest.raises(ValueError, match="at least one example"):
        footprint(Program(TinyProgram(), HaltingRule(), 2), X[:0])
