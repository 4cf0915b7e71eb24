"""What every model part must keep to so that its programs can be exported: one graph for any batch."""

import pytest
import torch
from torch import Generator

from sp_search.export.folder import Form, described, write_export
from sp_search.models.reading_cell import ReadingCell
from sp_search.plugins import discover
from sp_search.pricing import HaltingRule
from sp_search.program import Program
from sp_search.tasks.base import Shape

torch.set_num_threads(1)
KINDS = sorted(discover("models"))
SHAPE = Shape(4, 2, 4, 2)
IN_EPISODES = "reading_cell in episodes"
"""Whose answers hang on the inputs before them in the batch."""
FORMS = [
    Form(),
    Form("pt2", masked=True),
    Form("pt2", exit=1),
    Form("onnx", masked=True),
    pytest.param(Form("onnx", exit=2), marks=pytest.mark.slow),  # a part of the masked graph
]


def program(kind):
    spec = ReadingCell(episode=3) if kind == IN_EPISODES else discover("models")[kind]()
    model = spec.build(SHAPE, 2, halting=True, generator=Generator().manual_seed(0))
    return Program(model.eval(), HaltingRule("quantile", 0.3), 2)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form)))
@pytest.mark.parametrize("kind", [*KINDS, IN_EPISODES])
def test_a_model_exports_and_answers_as_the_program_does_in_batches_of_every_size(kind, form, tmp_path):
    if form.format == "onnx":
        for package in ("onnxscript", "onnxruntime"):
            pytest.importorskip(package, reason="pip install 'sp_search[onnx]'")
    x_BTC = 2 * torch.randn(9, 4, 2, generator=Generator().manual_seed(1))
    write_export(tmp_path / "made", program(kind), x_BTC, form, {}, {})
    check = described(tmp_path / "made")["check"]
    assert (check["n"], check["equal_answers"], check["equal_exits"] or 1.0) == (9, 1.0, 1.0)
    assert check["largest_difference"] < (1e-5 if form.format == "onnx" else 1e-6)
