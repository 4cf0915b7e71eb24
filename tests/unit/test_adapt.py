"""Users' own networks: cut at their blocks or rolled out, priced by count, trained by hand, stopped for real."""

import copy
import re
from pathlib import Path

import pytest
import torch
from own_networks import (
    IMAGES,
    INPUT,
    NETWORKS,
    TOKENS,
    VECTORS,
    WORDS,
    Attention,
    Residual,
    classifier,
    convolution,
    perceptron,
    seeded,
)
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
