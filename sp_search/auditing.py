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
from safetensors import SafetensorError

from sp_search import api
from sp_search.audits.base import BUDGET, LEAST_BUDGET, Audit
from sp_search.audits.panel import Heard, chosen, hear
from sp_search.errors import StorageError, StudyError
from sp_search.folder import holds_arms, manifest, recorded_study, write_json
from sp_search.ledger import LEDGER_NAME, read_ledger
from sp_search.plain_files import read_bytes
from sp_search.plugins import find

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
        StudyError: an unknown audit, none, or one twice; too small a budget; an honest program or data of another
            shape; an honest program that is the audited one, or given twice.
        StorageError: the folder holds no program that can be read, or nothing says what its task is.
    """
    path = Path(folder)
    task, named = asked_of(path)
    task = task if data is None else _with_data(task, Path(data))
    try:
        panel = chosen(audits if audits is not None else named or None)
    except ValueError as error:
        raise StudyError([f"--audits: {error}"]) from None
    if budget < LEAST_BUDGET:
        raise StudyError([f"--budget: got {budget}, an audit needs {LEAST_BUDGET} examples or more to say anything"])
    program = program_of(path, task)
    pool = _pool(path, [Path(one) for one in honest], task)
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


def asked_of(path: Path) -> tuple[Task, list[Audit]]:
    """Return the task of a folder, and the audits that its study names."""
    if (path / LEDGER_NAME).exists():
        study = recorded_study(read_ledger(path), path)
        return study.task, study.audits
    if (path / TASK_NAME).exists():
        return _task(path / TASK_NAME), []
    if holds_arms(path):
        arms = ", ".join(str(path / "arms" / name) for name in manifest(path)["arms"])
        raise StorageError(f"{path} holds a comparison, with a program for each arm: take one of {arms}")
    raise StorageError(
        f"{path} is no study folder, and no {TASK_NAME} says what its program is for: write its kind and settings there"
    )


def _task(file: Path) -> Task:
    try:
        written = json.loads(read_bytes(file))
        return find("tasks", written["kind"]).model_validate(written)  # type: ignore[return-value]  # the family's class
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{file} is no task ({_short(error)}): its kind and settings are needed, as JSON") from None


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _with_data(task: Task, data: Path) -> Task:
    fields = task.model_dump()
    if "path" not in fields:
        raise StudyError([f"--data: task {task.kind_name()} reads no file; task dataset does"])
    unset = dict.fromkeys({"digest", "sizes", "rows"} & set(fields))
    try:
        return type(task).model_validate({**fields, **unset, "path": str(data)})
    except ValidationError as error:
        raise StudyError([f"--data: {one['msg']}" for one in error.errors(include_url=False)]) from None


def program_of(path: Path, task: Task) -> Program:
    """Return the program of a folder.

    Raises:
        StudyError: it was built for inputs of another shape than the task's.
        StorageError: there is none, or it cannot be read.
    """
    if not (_program_folder(path) / "config.json").exists():
        raise StorageError(
            f"{path} holds no program: the study has not met a milestone (yet); see sp-search status {path}"
        )
    try:
        program = api.load(path)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise StorageError(f"the program of {path} cannot be read: {_short(error)}; restore it from a copy") from error
    built, shape = program.model.origin["shape"], task.shape()._asdict()
    if built != shape:
        differs = ", ".join(
            f"{name} {built.get(name)} instead of {shape[name]}" for name in shape if built.get(name) != shape[name]
        )
        built_for = f"its program was built for inputs of another shape than the task's ({differs})"
        raise StudyError([f"{path}: {built_for}: name its own task"])
    return program


def _pool(path: Path, honest: list[Path], task: Task) -> list[Program]:
    """Return the honest programs; one that is the audited one, or stands there twice, would say nothing."""
    pool, seen = [], {_weights(path): path}
    for one in honest:
        pool.append(program_of(one, task))
        other = seen.setdefault(_weights(one), one)
        if other is not one:
            raise StudyError(
                [f"--honest: {one} holds the weights of {other}: give each program once, and others than the audited"]
            )
    return pool


def _program_folder(path: Path) -> Path:
    return path / "program" if (path / "program").is_dir() else path


def _weights(path: Path) -> str:
    return hashlib.sha256((_program_folder(path) / "model.safetensors").read_bytes()).hexdigest()


def _repeat(path: Path, verdicts: list[dict[str, Any]]) -> None:
    """Write the verdicts into a finished study's result, and its page anew; what other audits said there stays."""
    result = path / "result.json"
    if not result.exists() or not (path / LEDGER_NAME).exists():
        return
    try:
        content = json.loads(read_bytes(result))
    except ValueError as error:
        raise StorageError(f"{result} is no JSON ({error}): sp-search resume {path} writes it anew") from error
    again = {one["audit"] for one in verdicts}
    kept = [one for one in content.get("audits", []) if one["audit"] not in again]
    write_json(result, {**content, "audits": [*kept, *verdicts]})
    api.report(path)
