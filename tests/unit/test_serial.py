"""The critical path: what can run side by side does not add up, what waits does."""

import itertools

import torch
from fakes import TinyProgram
from torch import nn

from sp_search.compute import count_flops, program_serial_depth, serial_depth
from sp_search.pricing import HaltingRule
from sp_search.program import Program
from sp_search.tasks.base import Shape

X = torch.linspace(-1, 1, 32).reshape(2, 16)


def test_equal_flops_side_by_side_and_one_after_another_differ():
    def wide(x):
        return torch.stack([torch.tanh(x + shift) for shift in range(8)])

    def deep(x):
        for shift in range(8):
            x = torch.tanh(x + shift)
        return x

    assert count_flops(wide, X).total == count_flops(deep, X).total
    assert (serial_depth(wide, X), serial_depth(deep, X)) == (2, 16)


def test_products_and_reductions_are_trees():
    assert serial_depth(lambda x: x.sum(-1), X) == 4
    assert serial_depth(lambda x: x @ torch.ones(16, 3), X) == 1 + 4
    assert serial_depth(nn.Linear(16, 3), X) == 1 + 5  # the bias is one more leaf
    assert serial_depth(lambda x: x.softmax(-1), X) == 3 + 2 * 4
    assert serial_depth(lambda x: x.cumsum(1), X) == 4


def test_movement_costs_no_depth_but_carries_it():
    assert serial_depth(lambda x: x.mT.clone()[1:], X) == 0
    assert serial_depth(lambda x: x.tanh().mT.reshape(-1)[3:].view(1, -1).tanh(), X) == 2


def test_in_place_changes_are_seen_through_every_view():
    def through_a_view(x):
        buffer = x.clone()
        buffer[0].tanh_()
        return buffer[1].exp()

    assert serial_depth(through_a_view, X) == 2


def test_a_freed_tensors_address_does_not_carry_its_depth():
    def forgetful(x):
        for _ in range(20):
            x.tanh()

    assert serial_depth(forgetful, X) == 1


def test_the_batch_does_not_count_and_every_rollout_does():
    shape = Shape(3, 2, 3, 2)
    depths = [program_serial_depth(Program(TinyProgram(), HaltingRule(), exits), shape) for exits in (1, 2, 3)]
    step = 1 + 2 + 1  # a product over 3 and a bias, then tanh
    assert [later - earlier for earlier, later in itertools.pairwise(depths)] == [step, step]
    network = TinyProgram()
    assert serial_depth(network.start, torch.ones(1, 3, 2)) == serial_depth(network.start, torch.ones(9, 3, 2))


def test_a_threshold_does_not_shorten_the_path():
    shape = Shape(3, 2, 3, 2)
    eager, never = (Program(TinyProgram(), HaltingRule("quantile", threshold), 3) for threshold in (0.0, 1.0))
    assert program_serial_depth(eager, shape) == program_serial_depth(never, shape)
