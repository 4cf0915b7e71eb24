"""Users' own networks: cut at their blocks or rolled out, priced by count, trained by hand, stopped for real."""

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import sp_search
from sp_search.compute import count_flops, cross_check, execute, footprint
from sp_search.plugins import discover
from sp_search.pricing import HaltingRule
from sp_search.priors.base import SpeedPrior
from sp_search.program import Program, unroll
from sp_search.train.export import export_program

torch.set_num_threads(1)
DOCUMENT = Path(__file__).parents[2] / "docs" / "adapt.md"


def seeded(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


IMAGES, VECTORS, TOKENS, WORDS = seeded(5, 3, 8, 8), seeded(5, 6), seeded(5, 4, 8), torch.arange(20).reshape(5, 4)


def convolution(fan_in, fan_out, inplace=False):
    return nn.Sequential(nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.BatchNorm2d(fan_out), nn.ReLU(inplace))


def classifier():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, 4))


class Residual(nn.Module):
    """Sizes, a skip over two blocks, and containers within containers, as users write them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.body = nn.ModuleDict({"one": convolution(6, 6), "two": convolution(6, 6)})
        self.scale = nn.Parameter(torch.ones(6))
        self.answer = nn.Linear(6 * 64, 4)

    def forward(self, x, gain=1.0):
        examples = x.size(0)
        first = self.stem(x) * gain
        second = self.body["two"](self.body["one"](first)) + first
        return self.answer((second * self.scale[:, None, None]).view(examples, -1))


class Attention(nn.Module):
    """An encoder layer of two words: what a list of blocks may hold."""

    def __init__(self):
        super().__init__()
        self.attend, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)

    def forward(self, x):
        if x.shape[0] > 10_000:
            raise RuntimeError("a branch inside of a block is nobody's business")
        return x + self.norm((x @ self.attend(x).mT).softmax(-1) @ x)


class Recalls(nn.Module):
    """A block of two inputs: its state, and the input again."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, state, x):
        return torch.tanh(self.linear(state) + x)


def perceptron():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3))


NETWORKS = {
    "a convolutional network": lambda **more: sp_search.with_exits(
        nn.Sequential(convolution(3, 6, True), convolution(6, 6, True), classifier()), [0, 1], example=IMAGES, **more
    ),
    "a residual network": lambda **more: sp_search.with_exits(Residual(), ["stem", "body.one"], example=IMAGES, **more),
    "a perceptron": lambda **more: sp_search.with_exits(perceptron(), ["1", 3], example=VECTORS, **more),
    "a list of blocks": lambda **more: sp_search.with_exits(
        [Attention(), Attention(), Attention()], [0, 1], classes=3, example=TOKENS, **more
    ),
    "one that answers every position": lambda **more: sp_search.with_exits(
        nn.Sequential(Attention(), Attention(), nn.Linear(8, 3)), [0, 1], example=TOKENS, **more
    ),
    "one that reads indices": lambda **more: sp_search.with_exits(
        [nn.Embedding(20, 8), Attention(), Attention()], [0, 1], classes=3, example=WORDS, **more
    ),
    "a block rolled out": lambda **more: sp_search.with_rollouts(
        nn.Sequential(nn.Linear(8, 8), nn.Tanh()), rollouts=3, classes=3, example=VECTORS, embed=nn.Linear(6, 8), **more
    ),
    "a block that sees its input again": lambda **more: sp_search.with_rollouts(
        Recalls(), rollouts=3, classes=3, example=VECTORS, recall=True, **more
    ),
    "a convolution rolled out": lambda **more: sp_search.with_rollouts(
        convolution(3, 3), rollouts=3, classes=4, example=IMAGES, **more
    ),
}
INPUT = {name: IMAGES if "conv" in name or "residual" in name else VECTORS for name in NETWORKS}
INPUT |= {"a list of blocks": TOKENS, "one that answers every position": TOKENS, "one that reads indices": WORDS}
every_network = pytest.mark.parametrize("name", NETWORKS)
RULES = [HaltingRule(), HaltingRule("confidence", 0.4), HaltingRule("patience", 1.0), HaltingRule("sample")]


@every_network
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_what_is_charged_is_what_ran(name, rule):
    model = NETWORKS[name](halting=True).eval()
    assert cross_check(Program(model, rule, 3), INPUT[name]).agrees
    assert cross_check(Program(model, rule, 2), INPUT[name]).agrees


@every_network
def test_execution_drops_rows_and_answers_as_the_whole_batch_does(name):
    torch.manual_seed(1)
    model, x = NETWORKS[name](halting=True).eval(), INPUT[name]
    with torch.no_grad():
        logits_NBTV = unroll(model, x, exits=3, halting=True).logits_NBTV
    ran = execute(Program(model, HaltingRule("sample", seed=3), 3), x)
    assert len(ran.exit_B.unique()) > 1
    torch.testing.assert_close(ran.answer_BTV, logits_NBTV[ran.exit_B - 1, torch.arange(5)])


@pytest.mark.parametrize("name", list(NETWORKS)[:4])
def test_the_last_exit_of_a_cut_network_is_the_network(name):
    networks = {
        "a convolutional network": nn.Sequential(convolution(3, 6, True), convolution(6, 6, True), classifier()),
        "a residual network": Residual(),
        "a perceptron": perceptron(),
        "a list of blocks": nn.Sequential(Attention(), nn.Linear(8, 3)),
    }
    network, x = networks[name].eval(), INPUT[name]
    model = sp_search.with_exits(network, [next(iter(dict(network.named_children())))], example=x).eval()
    with torch.no_grad():
        answer = execute(Program(model, HaltingRule(), model.exits), x).answer_BTV
        torch.testing.assert_close(answer.squeeze(1), network(x))
    whole = count_flops(network, x).total / len(x)
    assert sum(model.prices(x.shape[1], model.exits).step_N) == whole, "every block runs once"


def test_the_weights_stay_the_networks_own_and_its_modes_are_left_alone():
    network = nn.Sequential(convolution(3, 6), classifier())
    network[1].eval()
    model = sp_search.with_exits(network, [0], example=IMAGES)
    assert [module.training for module in network] == [True, False]
    assert {id(part) for part in network.parameters()} < {id(part) for part in model.parameters()}
    assert network[0][1].num_batches_tracked == 0, "no statistics were taken from the example"


ALONE = [kind for kind, part in sorted(discover("priors").items()) if part.attach is SpeedPrior.attach]


@pytest.mark.parametrize("kind", ALONE)
def test_every_prior_that_attaches_nothing_trains_an_adapted_network(kind):
    prior = discover("priors")[kind]()
    torch.manual_seed(0)
    model = sp_search.with_exits(perceptron(), [1, 3], example=VECTORS, halting=True)
    before = [part.detach().clone() for part in model.parameters()]
    exits = unroll(model, VECTORS, exits=3, halting=prior.uses_halting(), rule=prior.rule())
    exits = type(exits)(exits.logits_NBTV, exits.halt_NB, exits.flops_N, (1.0, 2.0, 3.0), torch.ones(3, 5) > 0)
    state = {"progress": 1.0, "cap": exits.flops_N[1], "cost_N": exits.flops_N}
    state |= {name: torch.tensor(value) for name, value in prior.remembers().items()}
    loss, _ = prior.loss(
        exits, lambda logits: functional.cross_entropy(logits[:, 0], WORDS[:, 0] % 3, reduction="none"), state
    )
    loss.backward()
    torch.optim.SGD([part for part in model.parameters() if part.grad is not None], lr=0.1).step()
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("name", ["a residual network", "a block rolled out"])
def test_an_adapted_network_is_copied_and_saved_like_any_other(name, tmp_path):
    model, x = NETWORKS[name]().eval(), INPUT[name]
    torch.save(model, tmp_path / "model.pt")
    for other in (copy.deepcopy(model), torch.load(tmp_path / "model.pt", weights_only=False)):
        ran, again = (execute(Program(each, HaltingRule("confidence", 0.4), 3), x) for each in (model, other))
        assert torch.equal(ran.answer_BTV, again.answer_BTV)
        assert torch.equal(ran.flops_B, again.flops_B)


def test_the_documents_code_runs_and_both_models_stop():
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    torch.manual_seed(0)
    space = {}
    exec(blocks[0].replace("print(", "shown = ("), space)  # noqa: S102 (our own document)
    assert space["ran"].answer_BTV.shape == (64, 1, 10)
    exec(blocks[1], space)  # noqa: S102
    ran = execute(Program(space["model"].eval(), HaltingRule("confidence", 0.2), 4), space["images"])
    assert ran.flops_B.shape == (64,)


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


def test_what_was_not_priced_or_answers_by_chance_does_not_run():
    model = NETWORKS["a convolutional network"]()
    with pytest.raises(ValueError, match=r"shape \(B, 3, 9, 9\) are not what was priced, \(B, 3, 8, 8\)"):
        execute(Program(model.eval(), HaltingRule(), 3), seeded(2, 3, 9, 9))
    with pytest.raises(ValueError, match=r"call model\.eval\(\)"):
        execute(Program(model.train(), HaltingRule(), 3), IMAGES)
    with pytest.raises(ValueError, match="has 3 exits, got exits=4"):
        execute(Program(model.eval(), HaltingRule(), 4), IMAGES)
    with pytest.raises(NotImplementedError, match="halting=True"):
        execute(Program(model.eval(), HaltingRule("quantile"), 3), IMAGES)


def test_rollouts_go_on_beyond_those_that_were_trained():
    model = NETWORKS["a block rolled out"]()
    assert cross_check(Program(model, HaltingRule(), 9), VECTORS).agrees


def test_an_adapted_network_says_that_it_cannot_be_exported(tmp_path):
    with pytest.raises(ValueError, match="cannot be exported"):
        export_program(tmp_path, Program(NETWORKS["a perceptron"](), HaltingRule(), 3), {})


def test_the_encoder_that_ships_with_torch_is_counted_and_its_units_are_seen():
    layers = [nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2)]
    program = Program(
        sp_search.with_exits(nn.ModuleList(layers), [0], classes=3, example=TOKENS).eval(),
        HaltingRule("confidence", 0.4),
        2,
    )
    assert cross_check(program, TOKENS).agrees
    assert footprint(program, TOKENS).units == 2 * 16


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
