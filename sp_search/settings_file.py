"""A YAML file as validated settings: overrides first, then every problem at once, each with its file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from sp_search.errors import StudyError
from sp_search.strict import KeyPath, Section, show
from sp_search.yaml_strict import MOST_CHARACTERS, load

SectionT = TypeVar("SectionT", bound=Section)


class _Change(NamedTuple):
    """One override from the command line: what was written, which key it sets, and to what."""

    source: str
    path: KeyPath
    value: Any


def read_settings(
    settings: type[SectionT], path: Path, overrides: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> SectionT:
    """Return the settings of a file.

    Args:
        settings: their class.
        path: the YAML file.
        overrides: `path=value` each (`--set`), the value as YAML.
        options: top-level keys that have an option of their own (`--seed`).

    Raises:
        StudyError: with every problem of the file and of the overrides.
    """
    changes, problems = [], []
    for text in overrides:
        try:
            changes.append(_override(text))
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError(problems)
    changes += [_Change(f"--{key}", (key,), value) for key, value in (options or {}).items()]
    return _parse(settings, path, changes)


def _override(text: str) -> _Change:
    """Read `path=value`, the value as YAML."""
    source = f"--set {text}"
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise StudyError([f"{source}: it should be path=value, as in --set task.bits=9"])
    document = load(value or "null")
    if document.problems:
        raise StudyError([f"{source}: {problem.message}" for problem in document.problems])
    path = tuple(int(step) if step.isdecimal() else step for step in key.split("."))
    return _Change(source, path, document.data)


def _put(data: Any, change: _Change) -> None:
    """Set one key of the study's data in place; mappings on the way that do not exist yet are made."""
    for index, key in enumerate(change.path):
        last = index + 1 == len(change.path)
        if isinstance(data, list) and isinstance(key, int) and key < len(data):
            data[key] = change.value if last else data[key]
        elif isinstance(data, dict) and isinstance(key, str):
            data[key] = change.value if last else data.get(key, {})
        else:
            raise StudyError([f"{change.source}: there is nothing at '{dotted(change.path[: index + 1])}' to set"])
        data = data[key]


def _parse(settings: type[SectionT], path: Path, changes: list[_Change]) -> SectionT:
    """Read, change and validate a file; raise `StudyError` with every problem, in the order of the file's lines."""
    try:
        with path.open(encoding="utf-8") as file:
            document = load(file.read(MOST_CHARACTERS + 1))
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    found = [(problem.line, f"{path}:{problem.line}", problem.path, problem.message) for problem in document.problems]
    data = document.data
    if isinstance(data, dict):
        for change in changes:
            _put(data, change)
        try:
            study = settings.model_validate(data)
        except ValidationError as error:
            refused = {problem.path for problem in document.problems}
            found += [
                (*_place(one["loc"], path, document.lines, changes), one["loc"], one["msg"])
                for one in error.errors(include_url=False)
                if one["loc"] not in refused
            ]
    elif not found:
        found.append((1, f"{path}:1", (), f"got {show(data)}: a study is a mapping, as in `name: quickstart`"))
    if found:
        lines = sorted(found, key=lambda problem: problem[0])
        raise StudyError([": ".join(filter(None, (place, dotted(key), message))) for _, place, key, message in lines])
    return study


def _place(key: KeyPath, path: Path, lines: dict[KeyPath, int], changes: list[_Change]) -> tuple[int, str]:
    """Return the line of the nearest key that was written, and how to cite it: the file's, or an override's."""
    for change in reversed(changes):
        inside = change.path == key[: len(change.path)]
        if inside or (key not in lines and key == change.path[: len(key)]):
            return 0, change.source
    line = next(lines[key[:length]] for length in range(len(key), -1, -1) if key[:length] in lines)
    return line, f"{path}:{line}"


def dotted(path: KeyPath) -> str:
    """Return a key path as a person writes it."""
    return ".".join(str(step) for step in path if step != "")
