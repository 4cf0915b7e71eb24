"""Audits of a folder: its program and task, honest programs from other folders, and what was said, written beside it.

`audits.json` holds the verdicts, the calibrations with their SHA-256 and what they were drawn from; a study's
`result.json` and page repeat the verdicts. A folder is a study's, or a program's with its `task.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from sp_search import api
from sp_search.audits.base import BUDGET, Audit
from sp_search.audits.panel import Heard, chosen, hear
from sp_search.errors import StorageError, StudyError
from sp_search.folder import holds_arms, manifest, recorded_study, write_json
from sp_search.ledger import LEDGER_NAME, read_ledger
from sp_search.plugins import UnknownPluginError, find

if TYPE_CHECKING:
    from sp_search.program import Program
    from sp_search.tasks.base import Task

AUDITS_NAME = "audits.json"
TASK_NAME = "task.json"


class Audited(NamedTuple):
    """What was heard of a folder's program, and the content of its `audits.json`."""

    heard: Heard
    payload: dict[str, Any]


def audit_folder(
    folder: str | Path,
    *,
    audits: Sequence[str] | None = None,
    honest: Sequence[str | Path] = (),
    data: str | Path | None = None,
    seed: int = 0,
    budget: int = BUDGET,
) -> Audited:
    """Audit the program of a folder, and write down what was said.

    Args:
        folder: a study's folder, or a program's with its `task.json`.
        audits: names; by default those that the study names, else all.
        honest: folders whose programs are known to be honest, of the same task.
        data: a file in place of the one that the study's task reads (task `dataset`).
        seed: of the audits' examples.
        budget: examples that an audit may execute, about.

    Raises:
        StudyError: an unknown audit, or an honest program or data of another shape.
        StorageError: the folder holds no program, or nothing says what its task is.
    """
    path = Path(folder)
    task, named = _asked(path)
    task = task if data is None else _with_data(task, Path(data))
    try:
        panel = chosen(audits if audits is not None else named or None)
    except UnknownPluginError as error:
        raise StudyError([f"--audits: {error}"]) from None
    program = _program(path, task)
    pool = [_program(Path(one), task) for one in honest]
    heard = hear(program, task, panel, seed=seed, honest=pool, budget=budget)
    calibrations = [one.model_dump(mode="json") for one in heard.calibrations]
    payload: dict[str, Any] = {
        "seed": seed,
        "budget": budget,
        "task": task.model_dump(mode="json"),
        "program_sha256": _weights(path),
        "honest": [{"folder": str(one), "program_sha256": _weights(Path(one))} for one in honest],
        "calibration_sha256": hashlib.sha256(json.dumps(calibrations, sort_keys=True).encode()).hexdigest(),
        "calibrations": calibrations,
        "verdicts": [one.model_dump(mode="json") for one in heard.verdicts],
    }
    write_json(path / AUDITS_NAME, payload)
    _repeat(path, payload["verdicts"])
    return Audited(heard, payload)


def _asked(path: Path) -> tuple[Task, list[Audit]]:
    """Return the task of a folder, and the audits that its study names."""
    if (path / LEDGER_NAME).exists():
        study = recorded_study(read_ledger(path), path)
        return study.task, study.audits
    if (path / TASK_NAME).exists():
        written = json.loads((path / TASK_NAME).read_text(encoding="utf-8"))
        return find("tasks", written["kind"]).model_validate(written), []  # type: ignore[return-value]
    if holds_arms(path):
        arms = ", ".join(str(path / "arms" / name) for name in manifest(path)["arms"])
        raise StorageError(f"{path} holds a comparison, with a program for each arm: audit one of {arms}")
    raise StorageError(f"{path} is no study folder, and no {TASK_NAME} says what its program is for")


def _with_data(task: Task, data: Path) -> Task:
    fields = task.model_dump()
    if "path" not in fields:
        raise StudyError([f"--data: task {task.kind_name()} reads no file; task dataset does"])
    unset = dict.fromkeys({"digest", "sizes", "rows"} & set(fields))
    try:
        return type(task).model_validate({**fields, **unset, "path": str(data)})
    except ValidationError as error:
        raise StudyError([f"--data: {one['msg']}" for one in error.errors(include_url=False)]) from None


def _program(path: Path, task: Task) -> Program:
    """Return the program of a folder.

    Raises:
        StudyError: it was built for inputs of another shape than the task's.
        StorageError: there is none.
    """
    if not (_program_folder(path) / "config.json").exists():
        raise StorageError(f"{path} holds no program: the study has not met a milestone (yet)")
    program = api.load(path)
    built, shape = program.model.origin["shape"], task.shape()._asdict()
    if built != shape:
        raise StudyError([f"{path}: its program was built for {built}, and the task has {shape}"])
    return program


def _program_folder(path: Path) -> Path:
    return path / "program" if (path / "program").is_dir() else path


def _weights(path: Path) -> str:
    return hashlib.sha256((_program_folder(path) / "model.safetensors").read_bytes()).hexdigest()


def _repeat(path: Path, verdicts: list[dict[str, Any]]) -> None:
    """Write the verdicts into a finished study's result, and its page anew."""
    result = path / "result.json"
    if not result.exists():
        return
    content = json.loads(result.read_text(encoding="utf-8"))
    write_json(result, {**content, "audits": verdicts})
    api.report(path)
