"""The selected programs of a study in MLflow's registry: one model a study's name, a version a program, aliases.

A version is known by the hash of its weights and halting, so registering it again finds it. The alias of a milestone
(`milestone-0_95`: MLflow allows no dot) points to the program that the study of this name found last.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import Schema, TensorSpec

HASH_TAG, STUDY_TAG = "sp_search.sha256", "sp_search.study"
REQUIREMENTS = ("torch", "safetensors", "numpy")


class Registry:
    """Where one study's programs go."""

    def __init__(self, client: MlflowClient, experiment: str, name: str, study_id: str) -> None:
        """Register under `name`; models are logged in `experiment`."""
        self.client, self.experiment, self.name, self.study_id = client, experiment, name, study_id

    def register(self, program: Path, run_id: str, milestone: float, facts: dict[str, str]) -> str:
        """Log a program's folder as a model once, register it once, let its milestone's alias point to it.

        Returns:
            The number of its version.
        """
        digest = program_hash(program)
        tags = {HASH_TAG: digest, STUDY_TAG: self.study_id}
        model = self._logged(program, run_id, tags, facts)
        number = self._version(model, run_id, {**tags, **facts})
        self.client.set_registered_model_alias(self.name, alias(milestone), number)
        return number

    def _logged(self, program: Path, run_id: str, tags: dict[str, str], facts: dict[str, str]) -> LoggedModel:
        """Return the program's logged model; one that a kill left half-written is written again."""
        wanted = f"tags.`{HASH_TAG}` = '{tags[HASH_TAG]}' AND tags.`{STUDY_TAG}` = '{self.study_id}'"
        found = list(self.client.search_logged_models([self.experiment], filter_string=wanted))
        ready = [one for one in found if one.status == LoggedModelStatus.READY]
        if ready:
            return ready[0]
        model = found[0] if found else self._new_model(run_id, tags, facts)
        with tempfile.TemporaryDirectory() as scratch:
            _save(program, f"{scratch}/model")
            self.client.log_model_artifacts(model.model_id, f"{scratch}/model")
        return self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)

    def _new_model(self, run_id: str, tags: dict[str, str], facts: dict[str, str]) -> LoggedModel:
        return self.client.create_logged_model(
            self.experiment, "program", run_id, tags=tags, params=facts, model_type="program"
        )

    def _version(self, model: LoggedModel, run_id: str, tags: dict[str, str]) -> str:
        wanted = f"name = '{self.name}' and tags.`{HASH_TAG}` = '{tags[HASH_TAG]}'"
        try:
            self.client.create_registered_model(self.name, {"made_by": "sp_search"})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = [one for one in self.client.search_model_versions(wanted) if one.tags[STUDY_TAG] == self.study_id]
        if found:
            return str(found[0].version)
        source = model.artifact_location  # "models:/ID" would be looked up in the process's default store
        made = self.client.create_model_version(self.name, source, run_id, tags, model_id=model.model_id)
        return str(made.version)


def alias(milestone: float) -> str:
    """Return the alias of a milestone, of letters that MLflow allows."""
    return f"milestone-{milestone:g}".replace(".", "_").replace("+", "")


def program_hash(program: Path) -> str:
    """Return the SHA-256 of what a program computes with: weights, network, halting; not of the facts about it."""
    config = json.loads((program / "config.json").read_text(encoding="utf-8"))
    config.pop("facts", None)
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode())
    digest.update((program / "model.safetensors").read_bytes())
    return digest.hexdigest()


def _save(program: Path, target: str) -> None:
    """Save a program as a pyfunc model from code, with the requirements of its loader and nothing inferred."""
    from mlflow import pyfunc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for an input example, which it would run; the search is over
        pyfunc.save_model(
            target,
            python_model=str(Path(__file__).with_name("served_program.py")),
            artifacts={"program": str(program)},
            signature=_signature(program / "config.json"),
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS]
            + [f"mlflow=={version('mlflow')}"],
        )


def _signature(config: Path) -> ModelSignature | None:
    """Return the types of a program's input (batch, positions, channels) and of its logits."""
    shape = json.loads(config.read_text(encoding="utf-8")).get("shape")
    if shape is None:
        return None
    float32 = numpy.dtype(numpy.float32)
    inputs = TensorSpec(float32, (-1, -1, shape["channels"]))
    return ModelSignature(Schema([inputs]), Schema([TensorSpec(float32, (-1, -1, shape["classes"]))]))
