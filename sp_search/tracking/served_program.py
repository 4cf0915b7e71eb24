"""The selected program as MLflow serves it: this file is stored beside `program/` and needs no sp_search to run.

MLflow calls it a model from code. Its input is an array of examples, float32 (batch, positions, channels); its answer
are logits (batch, answers, classes).
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

warnings.filterwarnings("ignore", message=".*Add type hints to the `predict` method")


class ServedProgram(PythonModel):
    """Loads `program/load.py` from the artifacts and runs what its `load()` returns."""

    def load_context(self, context: Any) -> None:
        """Load the program with the loader that it was exported with."""
        path = Path(context.artifacts["program"]) / "load.py"
        spec = importlib.util.spec_from_file_location("load", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.program = module.load()

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Return the logits of a batch of examples. Hints would be read as a data schema."""
        import torch

        return self.program(torch.as_tensor(numpy.asarray(model_input, dtype=numpy.float32))).numpy()


set_model(ServedProgram())
