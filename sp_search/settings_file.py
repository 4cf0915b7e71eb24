"""A YAML file as validated settings: overrides first, then every problem at once, each with its file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from sp_search.errors import StudyError
from sp_search.plain_files import read_bytes
from sp_search.shipped import study_file, unknown_study
from sp_search.strict import KeyPath, Problem, Section, show
from sp_search.yaml_strict import MOST_CHARACTERS, Document, YamlProblem, load

MOST_BYTES = 4 * MOST_CHARACTERS
"""Of the longest file that may hold so many characters."""
SectionT = TypeVar("SectionT", bound=Section)


class Change(NamedTuple):
    """One override from the command line: what was written, which key it sets, and to what."""

    source: str
    path: KeyPath
    value: Any


class Cited(NamedTuple):
    """A problem and where it was written: a line of the file, or an override (line 0)."""

    line: int
    place: str
    key: KeyPath
    message: str

    @property
    def words(self) -> str:
        """The problem in one line."""
        return ": ".join(filter(None, (self.place, dotted(self.key), self.message)))


@dataclass(frozen=True)
class Draft:
    """The content of a file before it is validated. `lines` holds where every key was written."""

    path: Path
    data: Any
    lines: dict[KeyPath, int]
    problems: list[YamlProblem] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def cite(self, problem: Problem) -> Cited:
        """Cite the line of the nearest key that was written, in the file or in an override."""
        key, message = problem
        for change in reversed(self.changes):
            inside = change.path == key[: len(change.path)]
            if inside or (key not in self.lines and key == change.path[: len(key)]):
                return Cited(0, change.source, key, message)
        line = next(self.lines[key[:length]] for length in range(len(key), -1, -1) if key[:length] in self.lines)
        return Cited(line, f"{self.path}:{line}", key, message)

    def refused(self, problems: list[Cited]) -> StudyError:
        """Return all problems, with those of the document itself, as one error in the order of the lines."""
        own = [Cited(one.line, f"{self.path}:{one.line}", one.path, one.message) for one in self.problems]
        return StudyError([cited.words for cited in sorted(own + problems, key=lambda cited: cited.line)])


class Checked(NamedTuple):
    """What validating a draft gave: the settings, or every problem of theirs (then the settings are None)."""

    settings: Any
    problems: list[Problem]


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
    changes = read_changes(overrides, options)
    draft = changed(read_draft(path), changes)
    checked = check(settings, draft)
    if checked.problems or draft.problems:
        raise draft.refused([draft.cite(problem) for problem in checked.problems])
    result: SectionT = checked.settings
    return result


def read_changes(overrides: Sequence[str] = (), options: Mapping[str, Any] | None = None) -> list[Change]:
    """Return the overrides of a command line, or raise `StudyError` with every problem of them."""
    changes, problems = [], []
    for text in overrides:
        try:
            changes.append(_override(text))
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError(problems)
    return changes + [Change(f"--{key}", (key,), value) for key, value in (options or {}).items()]


def read_draft(path: Path) -> Draft:
    """Return a file's content with what is no plain YAML in it, or raise `StudyError` where it cannot be read.

    The bare name of a study that ships with the package will do.
    """
    path = study_file(path)
    try:
        document = _parsed(_decoded(read_bytes(path, MOST_BYTES))[: MOST_CHARACTERS + 1])
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise StudyError([f"{path}: cannot be read: {why}{unknown_study(path)}"]) from None
    problems = list(document.problems)
    if not isinstance(document.data, dict) and not problems:
        message = f"got {show(document.data)}: a study is a mapping, as in `name: quickstart`"
        problems.append(YamlProblem(1, (), message))
    return Draft(path, deepcopy(document.data), document.lines, problems)


@lru_cache(maxsize=1)
def _parsed(text: str) -> Document:
    """Parse once: a file is asked what it is (a study, arms, a tax study) before it is read as that."""
    return load(text)


def _decoded(content: bytes) -> str:
    """Return UTF-8 as text; of what is too long to be read only the start is looked at, wherever it was cut."""
    return content.decode("utf-8", errors="ignore" if len(content) > MOST_BYTES else "strict")


def changed(draft: Draft, changes: list[Change]) -> Draft:
    """Return the draft with the overrides applied to its data, which is changed in place."""
    if isinstance(draft.data, dict):
        for change in changes:
            _put(draft.data, change)
    return replace(draft, changes=changes)


def with_changes(content: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a content with values set by their dotted paths; what was given is left as it is.

    Raises:
        StudyError: a path leads nowhere.
    """
    data = deepcopy(content)
    for path, value in settings.items():
        steps = tuple(int(step) if step.isdecimal() else step for step in path.split("."))
        _put(data, Change(f"--set {path}", steps, value))
    return data


def check(settings: type[Section], draft: Draft) -> Checked:
    """Validate a draft's data; what the document itself was refused for is not said twice."""
    if not isinstance(draft.data, dict):
        return Checked(None, [])
    try:
        return Checked(settings.model_validate(draft.data), [])
    except ValidationError as error:
        known = {problem.path for problem in draft.problems}
        errors = error.errors(include_url=False)
        return Checked(None, [(one["loc"], one["msg"]) for one in errors if one["loc"] not in known])


def _override(text: str) -> Change:
    """Read `path=value`, the value as YAML."""
    source = f"--set {text}"
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise StudyError([f"{source}: it should be path=value, as in --set task.bits=9"])
    document = load(value or "null")
    if document.problems:
        raise StudyError([f"{source}: {problem.message}" for problem in document.problems])
    path = tuple(int(step) if step.isdecimal() else step for step in key.split("."))
    return Change(source, path, document.data)


def _put(data: Any, change: Change) -> None:
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


def dotted(path: KeyPath) -> str:
    """Return a key path as a person writes it."""
    return ".".join(str(step) for step in path if step != "")
