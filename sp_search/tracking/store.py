"""One study's runs in an MLflow store, written through `MlflowClient` alone: no fluent state, every run id explicit."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import (
    MLFLOW_LOGGED_ARTIFACTS,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_USER,
)

from sp_search.tracking.datasets import datasets_of
from sp_search.tracking.figures import answer_metrics, frontier_table
from sp_search.tracking.registry import Registry
from sp_search.tracking.updates import STUDY, Update, Updates, key_of, member_key
from sp_search.tracking.words import MARK, experiment_note, members_pages, run_page, short_answer, study_note
from sp_search.whole_files import write_whole

ARTIFACTS = ("study.yaml", "manifest.json", "result.json", "report.html", "frontier.png", "program", "programs")
FRONTIER = "frontier.json"
PAGE = 1000
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
KEY_TAG, STUDY_TAG = "sp_search.run", "sp_search.study"


class Store:
    """The runs of one study, whose only writer this is. `cursor` is the number of ledger lines that the store has.

    Raises:
        MlflowException: the store cannot be reached or made.
    """

    def __init__(self, uri: str, study_name: str, folder: Path, memory: Path) -> None:
        """Open the store and the study's experiment; a fresh SQLite file is made here, which takes seconds.

        Args:
            uri: of the store.
            study_name: its experiment's name.
            folder: of the study.
            memory: the file that remembers how far the store is.
        """
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self.uri, self.folder, self.memory = uri, folder, memory
        self.client = MlflowClient(tracking_uri=uri)
        self.experiment = self._experiment(study_name)
        self.runs: dict[str, str] = {}
        self._looked = False
        remembered = self._remembered()
        self.cursor: int = remembered.get("cursor", 0) if remembered.get("experiment") == self.experiment else 0

    def find_runs(self, study_id: str) -> None:
        """Learn which runs of the study the store has; where its own is gone, everything is to be written anew.

        What was made just before a crash, or while an answer was lost, is found here and not made twice. A server
        that made a run after we had given up has two: the one that nothing was written to is deleted, by anybody. A
        run with content is never deleted: somebody may have copied our tags into one of their own.
        """
        if self._looked:
            return
        self.runs.clear()
        found = [run for run in self._search(study_id) if KEY_TAG in run.data.tags]
        for run in sorted(found, key=lambda run: ("run_of" not in run.data.tags, run.info.start_time, run.info.run_id)):
            kept = self.runs.setdefault(run.data.tags[KEY_TAG], run.info.run_id)
            if kept != run.info.run_id and _blank(run):
                self.client.delete_run(run.info.run_id)
        self._looked = True
        if STUDY not in self.runs:
            self.cursor = 0

    def write(self, updates: Updates, cursor: int) -> None:
        """Write all pending updates, outer runs first, then remember that the first `cursor` lines are there."""
        self.find_runs(updates.study_id)
        try:
            for key in sorted(updates.pending, key=lambda key: (key != STUDY, key.count("/"))):
                self._write_run(key, updates.pending[key], updates)
        except Exception:
            self._looked = False  # the server may have done what it did not answer
            raise
        updates.pending.clear()
        self.cursor = cursor
        self._remember()

    def close(self, updates: Updates) -> None:
        """Write the answer's figures and files where the study has ended, and end the runs that are still open."""
        self._looked = False
        self.find_runs(updates.study_id)
        parent = self.runs.get(STUDY)
        if parent is None:
            return
        time_ms = int((updates.reader.last or 0.0) * 1000)
        for key in list(updates.open):
            self.client.set_terminated(self.runs[key], "KILLED", time_ms)
        result_file = self.folder / "result.json"
        if updates.reader.finished is None or not result_file.exists():  # a result may be older than an extension
            self.client.set_terminated(parent, "KILLED", time_ms)
            return
        self._write_answer(parent, updates, json.loads(result_file.read_text(encoding="utf-8")), time_ms)
        for name in ARTIFACTS:
            path = self.folder / name
            if path.is_dir():
                self.client.log_artifacts(parent, str(path), name)
            elif path.exists():
                self.client.log_artifact(parent, str(path))
        self.client.set_terminated(parent, "FINISHED", time_ms)

    def is_gone(self, error: Exception) -> bool:
        """Whether the store answered that a run does not exist any more."""
        return isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST"

    def _experiment(self, name: str) -> str:
        """Return the id of the study's experiment. A SQLite store keeps its artifacts in a folder beside it."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = None
            if self.uri.startswith("sqlite:///"):
                location = (Path(self.uri.removeprefix("sqlite:///")).parent / "mlartifacts" / name).as_uri()
            made = str(self.client.create_experiment(name, location, EXPERIMENT_TAGS))
            self.client.set_experiment_tag(made, MLFLOW_RUN_NOTE, experiment_note(made, ""))
            return made
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _search(self, study_id: str, further: str = "") -> Iterator[Run]:
        """Yield the study's runs for which `further` holds."""
        query, token = f"tags.`{STUDY_TAG}` = '{study_id}'{further}", None
        while True:
            page = self.client.search_runs([self.experiment], query, max_results=PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _write_run(self, key: str, update: Update, updates: Updates) -> None:
        study = updates.reader.header.get("study", {})
        if key not in self.runs:
            self._create(key, update, updates.study_id, study.get("tracking", {}).get("owner", ""))
        run_id = self.runs[key]
        if update.describe:
            self._describe(run_id, updates)
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

    def _create(self, key: str, update: Update, study_id: str, owner: str) -> None:
        tags = {STUDY_TAG: study_id, KEY_TAG: key, MLFLOW_RUN_NAME: update.name, MLFLOW_SOURCE_NAME: "sp_search"}
        tags[MLFLOW_USER] = owner or os.environ.get("MLFLOW_TRACKING_USERNAME", "sp_search")
        if update.parent is not None:
            tags[MLFLOW_PARENT_RUN_ID] = self.runs[update.parent]
        run = self.client.create_run(self.experiment, update.began_ms, tags, update.name)
        self.runs[key] = run.info.run_id

    def _members(self, updates: Updates) -> str:
        return "" if updates.detail == "study" else members_pages(self.experiment, updates.study_id)

    def _describe(self, run_id: str, updates: Updates) -> None:
        """Say what a study is for, and which data it draws."""
        study, seed = updates.reader.header.get("study", {}), updates.reader.header["seed"]
        self.client.set_tag(run_id, MLFLOW_RUN_NOTE, study_note(study, self._members(updates), None, {}))
        inputs = [
            DatasetInput(
                Dataset(one.name, one.digest, "sp_search", json.dumps(one.source), profile=json.dumps(one.profile)),
                [InputTag("mlflow.data.context", one.draw)],
            )
            for one in datasets_of(study, seed)
        ]
        self.client.log_inputs(run_id, inputs)

    def _write_answer(self, parent: str, updates: Updates, result: dict[str, Any], time_ms: int) -> None:
        """Tell the answer: figures, which runs are selected for which milestone, frontier, versions, description."""
        self.client.log_dict(parent, frontier_table(updates.frontier), FRONTIER)
        met = [entry for entry in result.get("milestones", []) if entry["met"]]
        chosen = {entry["milestone"]: entry["program"] for entry in met}
        self._select(updates.study_id, chosen)
        versions = self._register(updates, met)
        links = {milestone: self._page(program) for milestone, program in chosen.items()}
        self._describe_experiment(short_answer(result, links))
        note = study_note(updates.reader.header.get("study", {}), self._members(updates), result, links)
        tags = {
            "met": str(result["met"]).lower(),
            "ended": str(result.get("ended", "")),
            MLFLOW_RUN_NOTE: note,
            MLFLOW_LOGGED_ARTIFACTS: json.dumps([{"path": FRONTIER, "type": "table"}]),
            **{f"version.of.milestone.{milestone:g}": number for milestone, number in versions.items()},
        }
        step = len(updates.reader.outcomes)
        figures = [Metric(name, value, time_ms, step) for name, value in answer_metrics(result).items()]
        self.client.log_batch(parent, metrics=figures, tags=[RunTag(*tag) for tag in tags.items()])

    def _select(self, study_id: str, chosen: dict[float, dict[str, Any]]) -> None:
        """Mark the runs of the chosen programs; what an answer before an extension had chosen is no longer marked."""
        wanted: dict[str, list[str]] = {}
        for milestone, program in chosen.items():
            for key in (member_key(program["member"]), key_of(program["member"], program["visit"])):
                if key in self.runs:
                    wanted.setdefault(self.runs[key], []).append(f"{milestone:g}")
        for run in list(self._search(study_id, " and tags.selected = 'true'")):  # what we change is not to be paged
            if run.info.run_id not in wanted:
                if "selected_for" in run.data.tags:
                    self.client.delete_tag(run.info.run_id, "selected_for")
                self.client.set_tag(run.info.run_id, "selected", "false")
        for run_id, milestones in wanted.items():
            tags = [RunTag("selected", "true"), RunTag("selected_for", ", ".join(milestones))]
            self.client.log_batch(run_id, tags=tags)

    def _register(self, updates: Updates, met: list[dict[str, Any]]) -> dict[float, str]:
        """Register the programs that the folder holds; return their versions by milestone."""
        registry = Registry(self.client, self.experiment, updates.reader.begun["name"], updates.study_id)
        versions = {}
        for entry in met:
            milestone, last = entry["milestone"], entry is met[-1]
            folder = self.folder / "program" if last else self.folder / "programs" / f"{milestone:g}"
            if (folder / "load.py").exists():
                facts = {"milestone": f"{milestone:g}", "model": str(entry["program"].get("model", ""))}
                versions[milestone] = registry.register(folder, self.runs[STUDY], milestone, facts)
        return versions

    def _page(self, program: dict[str, Any]) -> str:
        """Return the page of the innermost run in which a program is told."""
        keys = (key_of(program["member"], program["visit"]), member_key(program["member"]), STUDY)
        return run_page(self.experiment, next(self.runs[key] for key in keys if key in self.runs))

    def _describe_experiment(self, answer: str) -> None:
        """Put the answer in front of the experiment's description, unless somebody has written another one."""
        note = self.client.get_experiment(self.experiment).tags.get(MLFLOW_RUN_NOTE, MARK)
        if MARK in note:
            self.client.set_experiment_tag(self.experiment, MLFLOW_RUN_NOTE, experiment_note(self.experiment, answer))

    def _remembered(self) -> dict[str, Any]:
        try:
            remembered: dict[str, Any] = json.loads(self.memory.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return remembered if remembered.get("uri") == self.uri else {}

    def _remember(self) -> None:
        """Write whole or not at all."""
        content = {"uri": self.uri, "experiment": self.experiment, "run": self.runs[STUDY], "cursor": self.cursor}
        write_whole(self.memory, json.dumps(content, indent=2) + "\n")


def _blank(run: Run) -> bool:
    """Whether nothing was written to a run since it was made."""
    return "run_of" not in run.data.tags and not run.data.metrics and not run.data.params
