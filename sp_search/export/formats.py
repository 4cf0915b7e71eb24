"""The graph formats: `pt2` (torch.export) and `onnx` (torch's exporter over the same graph; needs the extra `onnx`).

The batch is dynamic, the number of positions is the task's. What a graph remembers of the machine that traced it
(source lines with their paths) is taken out.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._dynamo.exc import UserError
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as shapes

from sp_search.errors import StudyError
from sp_search.program import ProgramModel

Run = Callable[[Tensor], tuple[Tensor, ...]]
TRACED_EXAMPLES = 3
"""Rows of the batch that a form is traced with; 0 and 1 would be taken for constants."""


class Format(NamedTuple):
    """How a graph is written to a file, how that file is run, and what running it needs."""

    file: str
    write: Callable[[ExportedProgram, Path], None]
    read: Callable[[Path], Run]
    needs: str


def trace(form: nn.Module, model: ProgramModel, x_BTC: Tensor) -> ExportedProgram:
    """Return the graph of a form for any batch of inputs like x_BTC.

    Raises:
        StudyError: the form branches on values, or the batch is built into it.
    """
    x_BTC = x_BTC[:TRACED_EXAMPLES]
    form.eval()(x_BTC)  # tables of constants are made now: under the tracer they would be stand-ins without values
    try:
        with _own_tables(model), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            graph = _graph(form, x_BTC)
    except Exception as error:
        said = str(error).strip().splitlines()[0]
        raise StudyError(
            [f"{type(model).__name__} cannot be traced ({type(error).__name__}: {said}): take --format safetensors"]
        ) from error
    for node in graph.graph.nodes:
        node.meta.pop("stack_trace", None)
        node.meta.pop("nn_module_stack", None)
    return graph


def _graph(form: nn.Module, x_BTC: Tensor) -> ExportedProgram:
    """Return the graph; traced again where a size of 1 was taken for a constant: so few rows may be one episode."""
    export, dynamic = torch.export.export, ({0: Dim("batch")},)
    try:
        return export(form, (x_BTC,), dynamic_shapes=dynamic)
    except UserError:
        # not at once: other networks cannot be traced so
        with shapes.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]  # put there when it is imported
            return export(form, (x_BTC,), dynamic_shapes=dynamic)


@contextmanager
def _own_tables(model: ProgramModel) -> Iterator[None]:
    """Forget afterwards what a network's file keeps in caches, lest a table that was made in tracing is met again."""
    try:
        yield
    finally:
        for one in vars(sys.modules[type(model).__module__]).values():
            if hasattr(one, "cache_clear"):
                one.cache_clear()


def _write_pt2(graph: ExportedProgram, path: Path) -> None:
    torch.export.save(graph, path)


def _read_pt2(path: Path) -> Run:
    module = torch.export.load(path).module()

    def run(x_BTC: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = tuple(module(x_BTC))
        return found

    return run


def _write_onnx(graph: ExportedProgram, path: Path) -> None:
    _needs_onnx("onnxscript")
    names = ["logits", "exit"][: len(graph.graph_signature.user_outputs)]
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)  # says that torchvision is not installed, which nothing here needs
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            made = torch.onnx.export(graph, (), dynamo=True, input_names=["x"], output_names=names, verbose=False)
    finally:
        registry.setLevel(level)
    assert made is not None
    for node in made.model.graph:
        node.metadata_props.clear()
    made.save(path, external_data=False)


def _read_onnx(path: Path) -> Run:
    session = _needs_onnx("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(x_BTC: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(found) for found in session.run(None, {"x": x_BTC.numpy()}))

    return run


def _needs_onnx(package: str) -> Any:
    """Return the package, or say which extra holds it."""
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError:
        raise StudyError([f"--format onnx needs {package}: pip install 'sp_search[onnx]'"]) from None


FORMATS = {
    "pt2": Format("program.pt2", _write_pt2, _read_pt2, "torch"),
    "onnx": Format("program.onnx", _write_onnx, _read_onnx, "onnxruntime and numpy"),
}
