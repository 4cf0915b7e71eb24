"""What every model part must keep to so that its programs can be exported: one graph for any batch."""

import pytest
import torch
from torch import Generator

from sp_search.compute.stopping import execute
from sp_search.export.formats import FORMATS, trace
from sp_search.export.forms import FixedExit, Masked
from sp_search.plugins import discover
from sp_search.pricing import HaltingRule
from sp_search.program import Program
from sp_search.tasks.base import Shape

torch.set_num_threads(1)
KINDS = sorted(discover("models"))
SHAPE = Shape(4, 2, 4, 2)


def program(kind):
    model = discover("models")[kind]().build(SHAPE, 2, halting=True, generator=Generator().manual_seed(0))
    return Program(model.eval(), HaltingRule("quantile", 0.3), 2)


def check(kind, format, form, tmp_path):
    """Write a form of a fresh program, read it back and compare it at several sizes of batch."""
    one, x_BTC = program(kind), 2 * torch.randn(9, 4, 2, generator=Generator().manual_seed(1))
    path = tmp_path / FORMATS[format].file
    FORMATS[format].write(trace(form(one), one.model, x_BTC), path)
    run = FORMATS[format].read(path)
    for part_BTC in (x_BTC[:1], x_BTC):
        with torch.no_grad():
            found, right = run(part_BTC), form(one)(part_BTC)
        torch.testing.assert_close(found, right, atol=1e-5, rtol=1e-4)
    assert torch.equal(execute(one, x_BTC).exit_B, Masked(one)(x_BTC)[1])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_exports_to_pt2_for_any_batch(kind, tmp_path):
    check(kind, "pt2", Masked, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", [Masked, lambda one: FixedExit(one, 2)], ids=["masked", "fixed"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_exports_to_onnx_for_any_batch(kind, form, tmp_path):
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    check(kind, "onnx", form, tmp_path)
