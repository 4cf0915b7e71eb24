"""What cannot be cut or rolled out is refused, and says what to do."""

import pytest
from own_networks import VECTORS, perceptron
from torch import nn
from torch.nn import functional

import sp_search


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = self.first(x)
        return self.second(x if x.sum() > 0 else -x)


class Twice(Branches):
    def forward(self, x):
        return self.second(self.first(self.first(x)))


class Drops(Branches):
    def forward(self, x):
        return self.second(functional.dropout(self.first(x), 0.5, self.training))


class Mixes(Branches):
    def forward(self, x):
        x = self.first(x)
        return self.second(x - x.mean(0))


class InPlace(Branches):
    def forward(self, x):
        return self.second(functional.relu(self.first(x), inplace=True))


class Turned(Branches):
    def forward(self, x):
        turned = x.T.contiguous()
        return self.second(self.first(x) + turned.T)


class Several(Branches):
    def forward(self, x):
        left, right = (parts := x.chunk(2, -1))
        return self.second(self.first(x)) + parts[0] + left + right


class TwoInputs(Branches):
    def forward(self, x, y):
        return self.second(self.first(x) + y)


class TwoOutputs(Branches):
    def forward(self, x):
        return self.second(self.first(x)), x


REFUSED = {
    "an unknown block": (perceptron(), ["lin"], {}, "Sequential has no block 'lin'. Its own: 0, 1, 2, 3, 4"),
    "a mistyped block": (Branches(), ["secnd"], {}, "no block 'secnd'. Did you mean 'second'?"),
    "a number too large": (perceptron(), [7], {}, "no block '7'"),
    "a name that is no list": (perceptron(), "1", {}, r"at takes a list of blocks, got '1': write at=\['1'\]"),
    "a number that is no list": (perceptron(), 1, {}, r"write at=\[1\]"),
    "a block named twice": (perceptron(), [1, "1"], {}, "a block is named twice among 1, 1"),
    "no network": (lambda x: x, [0], {"classes": 3}, "an nn.Module, or a list of such blocks: got function"),
    "no block": (perceptron(), [], {}, "name the blocks after which"),
    "a branch on values": (Branches(), ["first"], {}, "Branches cannot be cut: .* branches on values"),
    "a block that runs twice": (Twice(), ["first"], {}, "block 'first' runs 2 times"),
    "dropout outside of a module": (Drops(), ["first"], {}, "something else in training than in eval"),
    "a change in place": (InPlace(), ["first"], {}, "step 2 changes the state that it is given in place"),
    "examples that mix": (Mixes(), ["first"], {}, "exit 2 shows otherwise beside one example more"),
    "examples across": (Turned(), ["first"], {}, r"shape \(6, 5\), in which examples are not dimension 0"),
    "several tensors": (Several(), ["first"], {}, "'chunk' gives several tensors"),
    "two inputs": (TwoInputs(), ["first"], {}, "more than one input"),
    "two outputs": (TwoOutputs(), ["first"], {}, "more than one tensor"),
    "features at the end": (
        nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 1)), [0], {}, r"answer in shapes \(5, 1, 1\).*V >= 2.*classes="
    ),
    "a list without classes": ([nn.Linear(6, 5), nn.Linear(5, 5)], [0], {}, "how many classes"),
    "what no head reads": (
        nn.Sequential(nn.Unflatten(1, (1, 1, 1, 6)), nn.Flatten(), nn.Linear(6, 3)), [0], {},
        r"shape \(5, 1, 1, 1, 6\), and a head reads \(B, D\).*head=",
    ),
    "heads that answer otherwise": (
        perceptron(), [1], {"head": lambda value: nn.Linear(5, 4)}, r"answer in shapes \(5, 1, 4\), \(5, 1, 3\)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_program_is_refused_with_what_to_do(name):
    network, at, more, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        sp_search.with_exits(network, at, example=VECTORS, **more)


def test_a_block_that_changes_its_shape_cannot_be_rolled_out():
    with pytest.raises(ValueError, match=r"shape \(5, 6\) into \(5, 4\).*embed="):
        sp_search.with_rollouts(nn.Linear(6, 4), rollouts=2, classes=3, example=VECTORS)


def test_a_block_that_mixes_examples_cannot_be_rolled_out():
    with pytest.raises(ValueError, match="exit 1 shows otherwise beside one example more"):
        sp_search.with_rollouts(nn.BatchNorm1d(6, track_running_stats=False), rollouts=2, classes=3, example=VECTORS)


NO_INPUTS = {
    "an array": (VECTORS.numpy(), "got ndarray"),
    "several inputs": ((VECTORS,), "got tuple"),
    "an empty batch": (VECTORS[:0], r"got shape \(0, 6\)"),
}


@pytest.mark.parametrize("name", NO_INPUTS)
def test_an_example_is_one_tensor_with_inputs(name):
    example, message = NO_INPUTS[name]
    with pytest.raises(ValueError, match=message):
        sp_search.with_exits(perceptron(), [1], example=example)
    with pytest.raises(ValueError, match=message):
        sp_search.with_rollouts(nn.Linear(6, 6), rollouts=2, classes=3, example=example)


@pytest.mark.parametrize("rollouts", [0, -1, 2.5])
def test_rollouts_are_a_whole_number(rollouts):
    with pytest.raises(ValueError, match="a whole number from 1"):
        sp_search.with_rollouts(nn.Linear(6, 6), rollouts=rollouts, classes=3, example=VECTORS)
