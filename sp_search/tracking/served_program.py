"""The selected program as MLflow serves it: this file is stored beside `program/` and needs no sp_search to run.

MLflow calls it a model from code. Its input is an array of examples, float32 (batch, positions, channels); its answer
are logits (batch, answers, classes).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


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

    def predict(self, context: Any, model_input: numpy.ndarray, params: Any = None) -> Any:
        """Return the logits of a batch of examples. MLflow reads the hint, and knows arrays without their arguments."""
        import torch

        return self.program(torch.as_tensor(numpy.asarray(model_input, dtype=numpy.float32))).numpy()


set_model(ServedProgram())
