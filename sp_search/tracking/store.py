"""One study's runs in an MLflow store, written through `MlflowClient` alone: no fluent state, every run id explicit."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME, MLFLOW_SOURCE_NAME, MLFLOW_USER

from sp_search.tracking.updates import STUDY, Update, Updates, config_hash, key_of

MEMORY = "mlflow.json"
ARTIFACTS = ("study.yaml", "manifest.json", "result.json", "report.html", "program")
REQUIREMENTS = ("torch", "safetensors", "numpy")
KEY_TAG, STUDY_TAG = "sp_search.run", "sp_search.study"


class Store:
    """The runs of one study. `cursor` is the number of ledger lines that the store has.

    Raises:
        MlflowException: the store cannot be reached or made.
    """

    def __init__(self, uri: str, study_name: str, folder: Path) -> None:
        """Open the store and the study's experiment; a fresh SQLite file is made here, which takes seconds."""
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self.uri, self.folder = uri, folder
        self.client = MlflowClient(tracking_uri=uri)
        remembered = self._remembered()
        self.cursor: int = remembered.get("cursor", 0)
        self.runs: dict[str, str] = remembered.get("runs", {})
        self.model: str | None = remembered.get("model")
        self.experiment = remembered.get("experiment") or self._experiment(study_name)

    def write(self, updates: Updates, cursor: int) -> None:
        """Write all pending updates, then remember that the first `cursor` lines are there."""
        study_id = f"{updates.reader.begun['name']}-{config_hash(updates.reader.begun)}-{updates.reader.began}"
        for key in sorted(updates.pending, key=lambda key: key != STUDY):
            self._write_run(key, updates.pending[key], study_id)
        updates.pending.clear()
        self.cursor = cursor
        self._remember()

    def close(self, updates: Updates) -> None:
        """Write the answer's figures and files, and end the runs that are still open."""
        parent = self.runs.get(STUDY)
        if parent is None:
            return
        time_ms = int((updates.reader.last or 0.0) * 1000)
        result_file = self.folder / "result.json"
        result = json.loads(result_file.read_text(encoding="utf-8")) if result_file.exists() else None
        for key in list(updates.open):
            self.client.set_terminated(self.runs[key], "KILLED", time_ms)
        if result is None:
            self.client.set_terminated(parent, "KILLED", time_ms)
            return
        self._write_answer(parent, result, time_ms)
        for name in ARTIFACTS:
            path = self.folder / name
            if path.is_dir():
                self.client.log_artifacts(parent, str(path), name)
            elif path.exists():
                self.client.log_artifact(parent, str(path))
        if (self.folder / "program" / "load.py").exists():
            self._log_model(parent, result)
        self.client.set_terminated(parent, "FINISHED", time_ms)

    def is_gone(self, error: Exception) -> bool:
        """Whether the store answered that what is remembered of it no longer exists."""
        return isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST"

    def _experiment(self, name: str) -> str:
        """Return the id of the study's experiment. A SQLite store keeps its artifacts in a folder beside it."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = None
            if self.uri.startswith("sqlite:///"):
                location = (Path(self.uri.removeprefix("sqlite:///")).parent / "mlartifacts" / name).as_uri()
            return str(self.client.create_experiment(name, artifact_location=location))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _write_run(self, key: str, update: Update, study_id: str) -> None:
        run_id = self.runs.get(key) or self._find_or_create(key, update, study_id)
        if update.config is not None:
            self.client.log_dict(run_id, update.config, "config.json")
        self.client.log_batch(
            run_id,
            metrics=[Metric(point.name, point.value, point.time_ms, point.step) for point in update.points],
            params=[Param(name, value) for name, value in update.params.items()],
            tags=[RunTag(name, value) for name, value in update.tags.items()],
        )
        if update.status == "RUNNING":
            self.client.update_run(run_id, status="RUNNING")
        elif update.status is not None:
            self.client.set_terminated(run_id, update.status, update.time_ms)

    def _find_or_create(self, key: str, update: Update, study_id: str) -> str:
        """Return the run of that key; one made just before a crash, and not remembered, is found by its tags."""
        query = f"tags.`{STUDY_TAG}` = '{study_id}' and tags.`{KEY_TAG}` = '{key}'"
        found = self.client.search_runs([self.experiment], query, ViewType.ACTIVE_ONLY, max_results=1)
        if found:
            run_id = found[0].info.run_id
        else:
            tags = {STUDY_TAG: study_id, KEY_TAG: key, MLFLOW_RUN_NAME: update.name, MLFLOW_SOURCE_NAME: "sp_search"}
            tags[MLFLOW_USER] = os.environ.get("MLFLOW_TRACKING_USERNAME", "sp_search")
            if key != STUDY:
                tags[MLFLOW_PARENT_RUN_ID] = self.runs[STUDY]
            run_id = self.client.create_run(self.experiment, update.began_ms, tags, update.name).info.run_id
        self.runs[key] = run_id
        return str(run_id)

    def _write_answer(self, parent: str, result: dict[str, Any], time_ms: int) -> None:
        program = result.get("program") or {}
        selected = self.runs.get(key_of(program.get("member", -1), program.get("visit", -1)))
        if selected is not None:
            self.client.set_tag(selected, "selected", "true")
        figures = answer_metrics(result)
        self.client.log_batch(
            parent,
            metrics=[Metric(name, value, time_ms, 0) for name, value in figures.items()],
            tags=[RunTag("met", str(result["met"]).lower()), RunTag("ended", str(result.get("ended", "")))],
        )

    def _log_model(self, parent: str, result: dict[str, Any]) -> None:
        """Log the program as a pyfunc model from code, with the requirements of its loader and nothing inferred."""
        from mlflow import pyfunc

        if self.model is None:
            kind = str((result.get("program") or {}).get("model", ""))
            params = {"milestone": str(result.get("milestone", "")), "model": kind}
            model = self.client.create_logged_model(
                self.experiment, "program", parent, params=params, model_type="program"
            )
            self.model = str(model.model_id)
            self._remember()
        elif self.client.get_logged_model(self.model).status == LoggedModelStatus.READY:
            return
        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks for an input example, which it would run; the search is over
            pyfunc.save_model(
                f"{scratch}/model",
                python_model=str(Path(__file__).with_name("served_program.py")),
                artifacts={"program": str(self.folder / "program")},
                signature=_signature(self.folder / "program" / "config.json"),
                pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS]
                + [f"mlflow=={version('mlflow')}"],
            )
            self.client.log_model_artifacts(self.model, f"{scratch}/model")
        self.client.finalize_logged_model(self.model, LoggedModelStatus.READY)

    def _remembered(self) -> dict[str, Any]:
        try:
            remembered = json.loads((self.folder / MEMORY).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return remembered if remembered.get("uri") == self.uri else {}

    def _remember(self) -> None:
        """Write whole or not at all."""
        memory = {
            "uri": self.uri,
            "experiment": self.experiment,
            "runs": self.runs,
            "cursor": self.cursor,
            "model": self.model,
        }
        partial = self.folder / f"{MEMORY}.partial"
        partial.write_text(json.dumps(memory, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, self.folder / MEMORY)


def _signature(config: Path) -> ModelSignature | None:
    """Return the types of a program's input (batch, positions, channels) and of its logits."""
    shape = json.loads(config.read_text(encoding="utf-8")).get("shape") if config.exists() else None
    if shape is None:
        return None
    float32 = numpy.dtype(numpy.float32)
    inputs = TensorSpec(float32, (-1, -1, shape["channels"]))
    return ModelSignature(Schema([inputs]), Schema([TensorSpec(float32, (-1, -1, shape["classes"]))]))


def answer_metrics(result: dict[str, Any]) -> dict[str, float]:
    """Return the answer's figures under the names that the child runs use."""
    sources = {
        "mean_flops": result.get("mean_flops_per_example"),
        "p95_flops": result.get("p95_flops_per_example"),
        "max_flops": result.get("max_flops_per_example"),
        "max_available_flops": result.get("max_available_flops"),
        "accuracy": result.get("accuracy"),
        "serial_depth": result.get("serial_depth"),
        "parameters": result.get("parameters"),
    }
    values = {name: source["value"] if isinstance(source, dict) else source for name, source in sources.items()}
    values["accuracy_low"] = (result.get("accuracy") or {}).get("low")
    values["answer_cap"] = (result.get("budget") or {}).get("cap")
    return {name: float(value) for name, value in values.items() if value is not None}
