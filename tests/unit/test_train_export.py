"""An exported program answers alone as it does inside."""

import json
import runpy
import subprocess
import sys
from typing import get_args

import pytest
import torch
from torch import Generator

from sp_search import assembly
from sp_search.compute.stopping import execute
from sp_search.errors import StorageError
from sp_search.models.exit_conv import ExitConv
from sp_search.models.exit_mlp import ExitMlp
from sp_search.models.exit_transformer import ExitTransformer
from sp_search.models.nested import Nested
from sp_search.models.recall_conv import RecallConv
from sp_search.pricing import HaltingRule, RuleKind
from sp_search.priors.halting_predictor import HaltingPredictorPrior
from sp_search.priors.none import NoPrior
from sp_search.priors.ponder_net import PonderNet
from sp_search.program import Program
from sp_search.tasks.base import Shape
from sp_search.train.export import export_program, load_program

torch.set_num_threads(1)
ALONE = """
import importlib.util, sys
from pathlib import Path
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "sp_search":
            raise ImportError("sp_search is not here")
sys.meta_path.insert(0, Absent())
import torch
torch.set_num_threads(1)
for folder in Path(sys.argv[1]).iterdir():
    spec = importlib.util.spec_from_file_location("load_" + folder.name, folder / "load.py")
    load = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(load)
    x = torch.load(folder / "given.pt")["x"]
    answer, exit_B = load.load().run(x)
    assert torch.equal(load.load()(x), answer)
    assert load.load()(x[:0]).shape == (0, *answer.shape[1:])
    torch.save({"answer": answer, "exit_B": exit_B}, folder / "found.pt")
assert "sp_search" not in sys.modules
"""
CASES = {
    "recall_last": (RecallConv(width=4), Shape(6, 2, 6, 2), HaltingRule("last")),
    "recall_quantile": (RecallConv(width=4, layers=3, kernel=3), Shape(6, 2, 6, 2), HaltingRule("quantile", 0.4)),
    "mlp_quantile": (ExitMlp(width=6), Shape(3, 2, 1, 5), HaltingRule("quantile", 0.4)),
    "mlp_confidence": (ExitMlp(width=6), Shape(3, 2, 1, 5), HaltingRule("confidence", 0.35)),
    "conv_confidence": (ExitConv(width=6), Shape(6, 2, 1, 3), HaltingRule("confidence", 0.6)),
    "square_quantile": (ExitConv(width=6, readout="mean"), Shape(9, 2, 1, 3, 2), HaltingRule("quantile", 0.4)),
    "transformer_quantile": (ExitTransformer(width=6), Shape(6, 2, 6, 3), HaltingRule("quantile", 0.5)),
    "nested_confidence": (Nested(widths=[3, 6], depth=2), Shape(3, 2, 1, 5), HaltingRule("confidence", 0.35)),
    "recall_sample": (RecallConv(width=4), Shape(6, 2, 6, 2), HaltingRule("sample", seed=3)),
    "recall_accumulated": (RecallConv(width=4), Shape(6, 2, 6, 2), HaltingRule("accumulated", 0.6)),
    "recall_entropy": (RecallConv(width=4), Shape(6, 2, 6, 2), HaltingRule("entropy", 0.05)),
    "recall_margin": (RecallConv(width=4), Shape(6, 2, 6, 2), HaltingRule("margin", 0.05)),
    "recall_patience": (RecallConv(width=4), Shape(6, 2, 6, 2), HaltingRule("patience", 1.0)),
    "recall_stability": (RecallConv(width=4), Shape(6, 2, 6, 2), HaltingRule("stability", 0.8)),
    "recall_prediction": (RecallConv(width=4), Shape(6, 2, 6, 2), HaltingRule("prediction", 0.6)),
}


def example(case):
    spec, shape, rule = CASES[case]
    prior = {"halt": PonderNet(), "prediction": HaltingPredictorPrior()}.get(rule.reads, NoPrior())
    model = assembly.build(spec, prior, shape, 3, Generator().manual_seed(1))
    x_BTC = 2 * torch.randn(9, shape.positions, shape.channels, generator=Generator().manual_seed(2))
    return Program(model, rule, 3), x_BTC


@pytest.fixture(scope="module")
def loaded_alone(tmp_path_factory):
    """Every case exported, and executed by its own loader in a process that has no sp_search."""
    folder = tmp_path_factory.mktemp("programs")
    for case in CASES:
        program, x_BTC = example(case)
        export_program(folder / case, program, {"accuracy": 0.5})
        torch.save({"x": x_BTC}, folder / case / "given.pt")
    subprocess.run([sys.executable, "-c", ALONE, str(folder)], check=True, cwd=folder)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_the_loader_needs_torch_and_safetensors_alone_and_stops_where_the_program_does(case, loaded_alone):
    program, x_BTC = example(case)
    found, ran = torch.load(loaded_alone / case / "found.pt"), execute(program, x_BTC)
    assert torch.equal(found["exit_B"], ran.exit_B)
    torch.testing.assert_close(found["answer"], ran.answer_BTV)


def test_the_cases_cover_every_rule_and_most_of_them_stop_at_several_exits():
    assert {rule.kind for _, _, rule in CASES.values()} == set(get_args(RuleKind))
    stops = [len(execute(*example(case)).exit_B.unique()) for case in CASES]
    assert sum(count > 1 for count in stops) > len(CASES) / 2


@pytest.mark.parametrize("case", CASES)
def test_a_program_comes_back_as_it_was(case, tmp_path):
    program, x_BTC = example(case)
    export_program(tmp_path, program, {"accuracy": 0.5})
    loaded = load_program(tmp_path)
    assert (loaded.rule, loaded.exits) == (program.rule, program.exits)
    assert torch.equal(execute(loaded, x_BTC).answer_BTV, execute(program, x_BTC).answer_BTV)
    positions = x_BTC.shape[1]
    assert loaded.flops_N(positions) == program.flops_N(positions)
    assert "| accuracy | 0.5 |" in (tmp_path / "card.md").read_text()


@pytest.mark.parametrize("exits", [0, -1, 10**12, True, 2.0, "3", None])
def test_exits_that_no_program_has_are_refused_before_any_runs(exits, tmp_path):
    program, _ = example("recall_margin")
    export_program(tmp_path, program, {})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "exits": exits}))
    with pytest.raises(StorageError, match=r"config.json says exits .*, a program has 1 to 1,000: restore it"):
        load_program(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"exits": 10**12}, "got 1000000000000 exits, a program has 1 to 1,000"),
        ({"network": {"class": "HaltingRule", "arguments": {}}}, "HaltingRule is no network"),
    ],
)
def test_the_loader_refuses_what_no_program_is(change, said, tmp_path):
    program, _ = example("recall_margin")
    export_program(tmp_path, program, {})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    loader = runpy.run_path(str(tmp_path / "load.py"))
    with pytest.raises(ValueError, match=said):
        loader["load"](tmp_path)


UNFIT = {
    "one input without its batch": (torch.zeros(6, 2), r"shape \(6, 2\) do not fit: RecallConvNetwork .* \(B, T, 2\)"),
    "other channels": (torch.zeros(3, 6, 5), r"shape \(3, 6, 5\) do not fit"),
    "no positions": (torch.zeros(3, 0, 2), r"shape \(3, 0, 2\) do not fit"),
    "whole numbers": (torch.zeros(3, 6, 2, dtype=torch.int64), r"give x\.to\(torch\.float32\)"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_inputs_that_do_not_fit_are_refused(name):
    x, message = UNFIT[name]
    model = RecallConv(width=4).build(Shape(6, 2, 6, 2), 3, halting=False, generator=Generator())
    with pytest.raises(ValueError, match=message):
        execute(Program(model, HaltingRule(), 3), x)


def test_inputs_of_another_length_are_refused_where_the_length_is_built_in():
    model = ExitMlp(width=6).build(Shape(3, 2, 1, 5), 2, halting=False, generator=Generator())
    with pytest.raises(ValueError, match=r"was built for \(B, 3, 2\)"):
        execute(Program(model, HaltingRule(), 2), torch.zeros(2, 4, 2))
