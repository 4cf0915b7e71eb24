"""Exports: what a graph answers, what it costs, what is refused, and that a stranger's folder runs nothing."""

import json
import subprocess
import sys

import pytest
import torch
from torch import Generator

from sp_search import assembly
from sp_search.compute.flops import count_flops
from sp_search.compute.stopping import execute
from sp_search.errors import StorageError, StudyError
from sp_search.export.folder import Form, write_export
from sp_search.export.formats import FORMATS, trace
from sp_search.export.forms import FixedExit, Masked
from sp_search.models.exit_mlp import ExitMlp
from sp_search.models.recall_conv import RecallConv
from sp_search.pricing import HaltingRule
from sp_search.priors.halting_predictor import HaltingPredictorPrior
from sp_search.priors.none import NoPrior
from sp_search.priors.ponder_net import PonderNet
from sp_search.program import Program
from sp_search.tasks.base import Shape
from sp_search.train.export import export_program, load_program

torch.set_num_threads(1)
ALONE = """
import runpy, sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))  # nobody can import them
sys.path.insert(0, ".")
runpy.run_path("example.py")
"""
RULES = [
    HaltingRule("quantile", 0.4), HaltingRule("accumulated", 0.6), HaltingRule("prediction", 0.6),
    HaltingRule("confidence", 0.53), HaltingRule("entropy", 0.05), HaltingRule("margin", 0.05),
    HaltingRule("patience", 1.0), HaltingRule("stability", 0.8),
]  # fmt: skip


def program(rule, exits=3, model=None):
    prior = {"halt": PonderNet(), "prediction": HaltingPredictorPrior()}.get(rule.reads, NoPrior())
    shape = Shape(6, 2, 1, 3) if model else Shape(6, 2, 6, 2)
    network = assembly.build(model or RecallConv(width=4), prior, shape, exits, Generator().manual_seed(1))
    return Program(network.eval(), rule, exits)


def inputs(n=40):
    return 2 * torch.randn(n, 6, 2, generator=Generator().manual_seed(2))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_the_masked_form_answers_where_the_program_stops(rule):
    one, x_BTC = program(rule), inputs()
    ran = execute(one, x_BTC)
    assert len(ran.exit_B.unique()) > 1, "a case in which nothing varies shows nothing"
    with torch.no_grad():
        answer_BTV, exit_B = Masked(one)(x_BTC)
    assert torch.equal(exit_B, ran.exit_B)
    torch.testing.assert_close(answer_BTV, ran.answer_BTV)


@pytest.mark.parametrize("exit_index", [1, 2, 3])
def test_the_fixed_form_costs_what_a_program_of_that_many_exits_costs(exit_index):
    one, x_BTC = program(HaltingRule("quantile", 0.4)), inputs()
    counted = count_flops(FixedExit(one, exit_index), x_BTC).total / len(x_BTC)
    assert counted == Program(one.model, HaltingRule(), exit_index).flops_N(6)[-1]
    masked = count_flops(Masked(one), x_BTC).total / len(x_BTC)
    assert masked > one.max_available_flops(6) > counted - 1, "it pays for every exit's answer and for the choice"


FORMS = {
    "the program": (Form(), HaltingRule("quantile", 0.4)),
    "a draw decides": (Form(), HaltingRule("sample", seed=3)),
    "fixed": (Form("pt2"), HaltingRule("last")),
    "masked": (Form("pt2", masked=True), HaltingRule("confidence", 0.4)),
    "fixed, without torch": (Form("onnx"), HaltingRule("last")),
    "masked, without torch": (Form("onnx", masked=True), HaltingRule("confidence", 0.4)),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", FORMS)
def test_an_export_says_what_it_is_and_its_example_runs_without_us(name, tmp_path):
    (form, rule), x_BTC = FORMS[name], inputs()
    if form.format == "onnx":
        for package in ("onnxscript", "onnxruntime"):
            pytest.importorskip(package, reason="pip install 'sp_search[onnx]'")
    one = program(rule, model=None if form.format == "safetensors" else ExitMlp(width=6))
    folder = tmp_path / "here" / "made"
    write_export(folder, one, x_BTC, form, {"accuracy": 0.5}, {"training": 1e9})
    held = {path.name for path in folder.iterdir()}
    assert {"card.md", "config.json", "costs.json", "example.py", "examples.json"} < held
    said, costs = (json.loads((folder / file).read_text()) for file in ("config.json", "costs.json"))
    assert said["export"]["check"]["equal_answers"] == 1.0
    assert said["export"]["check"]["n"] == len(x_BTC)
    assert [row["flops_per_example"] for row in costs["exits"]] == list(one.flops_N(6))
    assert sum(row["share_of_inputs"] for row in costs["exits"]) == pytest.approx(1.0)
    assert costs["search_flops"] == {"training": 1e9}
    card = (folder / "card.md").read_text()
    assert f"`{said['export']['file']}` reads `x`, float32 (batch, 6, 2)" in card
    assert ("cannot stop early" in card) == form.masked
    absent = ["sp_search", *["torch"] * (form.format == "onnx"), *["onnxruntime"] * (form.format != "onnx")]
    ran = subprocess.run([sys.executable, "-c", ALONE, *absent], cwd=folder, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("answers [[")
    assert list(folder.parent.iterdir()) == [folder]


def test_a_fixed_exit_says_how_many_inputs_the_stopping_program_answers_otherwise(tmp_path):
    one, x_BTC = program(HaltingRule("confidence", 0.4), model=ExitMlp(width=6)), inputs()
    last = execute(Program(one.model, HaltingRule(), 3), x_BTC).answer_BTV
    same = (execute(one, x_BTC).answer_BTV.argmax(-1) == last.argmax(-1)).double().mean()
    assert 0 < same < 1
    write_export(tmp_path / "made", one, x_BTC, Form("pt2", exit=3), {}, {})
    said = json.loads((tmp_path / "made" / "config.json").read_text())["export"]
    assert said["as_the_stopping_program"] == same
    assert "cannot stop early" in (tmp_path / "made" / "card.md").read_text()


def test_an_export_that_answers_otherwise_is_refused_and_nothing_is_left(tmp_path, monkeypatch):
    one, x_BTC = program(HaltingRule(), model=ExitMlp(width=6)), inputs()
    other = trace(FixedExit(one, 1), one.model, x_BTC)
    right = FORMATS["pt2"]
    monkeypatch.setitem(FORMATS, "pt2", right._replace(write=lambda graph, path: right.write(other, path)))
    with pytest.raises(StudyError, match=r"program's answer to \d+\.\d+% of 40 fresh inputs"):
        write_export(tmp_path / "made", one, x_BTC, Form("pt2"), {}, {})
    assert list(tmp_path.iterdir()) == []


REFUSED = {
    "another format": (Form("pickle"), HaltingRule(), "Known: safetensors, pt2, onnx"),
    "an exit of the program itself": (Form("safetensors", exit=2), HaltingRule(), "they are for pt2 and onnx"),
    "two forms": (Form("pt2", exit=2, masked=True), HaltingRule("quantile"), "they exclude each other"),
    "an exit it has not": (Form("pt2", exit=9), HaltingRule(), "got 9, and the program has exits 1 to 3"),
    "no exit": (Form("pt2", exit=0), HaltingRule(), "got 0, and the program has exits 1 to 3"),
    "nothing to mask": (Form("pt2", masked=True), HaltingRule(), "there is nothing to mask"),
    "a draw to mask": (Form("onnx", masked=True), HaltingRule("sample"), "draws where it halts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_forms_that_there_are_not_are_refused_before_anything_is_written(name, tmp_path):
    form, rule, message = REFUSED[name]
    with pytest.raises(StudyError, match=message):
        write_export(tmp_path / "made", program(rule), inputs(), form, {}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_branches_on_its_input_is_refused_with_the_format_that_takes_it():
    one = program(HaltingRule())
    start = one.model.start
    one.model.start = lambda x_BTC: start(x_BTC if x_BTC.sum() > 0 else -x_BTC)
    with pytest.raises(StudyError, match=r"RecallConvNetwork cannot be traced .*: take --format safetensors"):
        trace(FixedExit(one, 1), one.model, inputs())


def test_a_strangers_loader_and_words_are_neither_run_nor_copied(tmp_path):
    export_program(tmp_path / "theirs", program(HaltingRule()), {})
    (tmp_path / "theirs" / "load.py").write_text("raise SystemExit('run')")
    facts = {"accuracy": "a | b\n<script>alert(1)</script>", "x`y": 1}
    write_export(tmp_path / "ours", load_program(tmp_path / "theirs"), inputs(), Form(), facts, {})
    assert "SystemExit" not in (tmp_path / "ours" / "load.py").read_text()
    card = (tmp_path / "ours" / "card.md").read_text()
    assert r"| accuracy | a \| b &lt;script&gt;alert(1)&lt;/script&gt; |" in card
    assert "| x'y | 1 |" in card


DAMAGES = {
    "no object": ("[]", "should hold an object"),
    "no facts": ('{"facts": "all"}', "and one of facts"),
    "no JSON": ("{", "cannot be read"),
    "no model": ("{}", r"KeyError: 'model'"),
    "a part that is not installed": ('{"model": {"kind": "os.system"}}', "another package has to be installed first"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_configuration_is_refused_in_words(name, tmp_path):
    content, message = DAMAGES[name]
    export_program(tmp_path, program(HaltingRule()), {})
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(StorageError, match=message):
        load_program(tmp_path)


def test_weights_that_do_not_fit_are_refused_in_words(tmp_path):
    export_program(tmp_path, program(HaltingRule()), {})
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(StorageError, match="cannot be read"):
        load_program(tmp_path)
