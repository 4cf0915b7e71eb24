"""YAML 1.2 as data and nothing else: no tags, aliases or duplicate keys, and every value knows its line.

Built on the events of ruamel.yaml's parser, so that nothing is constructed that is not meant: `no` and `12:30:00` are
strings, `1e-3` is a number, `0123` is refused rather than read as 83 or 123. All problems come together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, Event, MappingStartEvent, ScalarEvent, SequenceStartEvent

from sp_search.strict import KeyPath

MOST_CHARACTERS = 200_000
MOST_VALUES = 50_000
"""Of which a second's reading."""
DEEPEST = 20

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,20}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,16}")
_OCTAL_LOOKING = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class YamlProblem(ValueError):
    """One thing that is wrong at one place."""

    def __init__(self, line: int, path: KeyPath, message: str) -> None:
        """Keep where and what."""
        super().__init__(message)
        self.line = line
        self.path = path
        self.message = message


@dataclass
class Document:
    """What a file says: plain data, the line of every key and item, and what had to be refused."""

    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[YamlProblem] = field(default_factory=list)


def load(text: str) -> Document:
    """Read a document of at most `MOST_CHARACTERS` and `MOST_VALUES`; never raises, all problems are in the result."""
    if len(text) > MOST_CHARACTERS:
        refused = YamlProblem(1, (), f"got {len(text):,} characters, at most {MOST_CHARACTERS:,} are read")
        return Document(problems=[refused])
    return _Reader(text).document


def scalar(text: str) -> Any:
    """Return what a plain scalar means in YAML 1.2's core schema, with `1e-3` a number.

    Raises:
        ValueError: it is a number that is not finite, or that looks octal.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _OCTAL_LOOKING.fullmatch(text):
        raise ValueError(f"got {text}, which some readers take for octal: write it without leading zeros, or quoted")
    if _INTEGER.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        number = math.inf if text.lstrip("+-").lower() in (".inf", ".nan") else float(text)
        if not math.isfinite(number):
            raise ValueError(f"got {text if len(text) < 40 else 'a huge number'}, numbers must be finite")
        return number
    return text


def dump(data: Any) -> str:
    """Return `data` as YAML that `load` reads back unchanged."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # its class leaves the attribute untyped
    yaml.width = 10_000
    stream = StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


class _Reader:
    """Turns one stream of events into a `Document`."""

    def __init__(self, text: str) -> None:
        self.document = Document()
        try:
            self._events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse(StringIO(text)))
            self._read()
        except YamlProblem as problem:
            self.document.problems.append(problem)
        except YAMLError as error:
            self.document.problems.append(_syntax(error, text))

    def _read(self) -> None:
        next(self._events)  # the stream's start
        if type(next(self._events)).__name__ == "StreamEndEvent":
            raise YamlProblem(1, (), "the file is empty: sp-search init study writes one")
        self.document.data = self._value(next(self._events), (), 1)
        next(self._events)  # the document's end
        following = next(self._events)
        if type(following).__name__ != "StreamEndEvent":
            raise YamlProblem(_line(following), (), "a second document begins: one file holds one document")

    def _value(self, event: Any, path: KeyPath, depth: int) -> Any:
        self.document.lines.setdefault(path, _line(event))
        if len(self.document.lines) > MOST_VALUES:
            self._stop(event, (), f"more than {MOST_VALUES:,} values, and no more are read")
        if depth > DEEPEST:
            self._stop(event, path, f"nested deeper than {DEEPEST} levels")
        if isinstance(event, AliasEvent) or event.anchor is not None:
            self._stop(event, path, "anchors and aliases (& and *) are not read: write the value out")
        if event.tag is not None:
            self._refuse(path, f"got the tag {event.tag}, tags (!) are not read: write plain values")
        if isinstance(event, MappingStartEvent):
            return self._mapping(path, depth)
        if isinstance(event, SequenceStartEvent):
            return [self._value(item, (*path, index), depth + 1) for index, item in enumerate(self._until_end())]
        return self._scalar(event, path)

    def _mapping(self, path: KeyPath, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for event in self._until_end():
            if not isinstance(event, ScalarEvent):
                self._stop(event, path, "got a nested key, keys must be words")
            key = self._scalar(event, path)
            if not isinstance(key, str):
                self._stop(event, path, f"got the key {event.value}, keys must be words")
            inner = (*path, key)
            if key in mapping:
                self._refuse(inner, f"written twice, on lines {self.document.lines[inner]} and {_line(event)}", event)
                inner = (*inner, "")  # its values are read, and then forgotten
            self.document.lines.setdefault(inner, _line(event))
            value = self._value(next(self._events), inner, depth + 1)
            mapping.setdefault(key, value)
        return mapping

    def _scalar(self, event: ScalarEvent, path: KeyPath) -> Any:
        if _CONTROL.search(event.value):
            self._refuse(path, f"got {event.value[:40]!r}, line breaks and control characters are not allowed", event)
        if event.style is not None:
            return event.value
        try:
            return scalar(event.value)
        except ValueError as error:
            self._refuse(path, str(error), event)

    def _until_end(self) -> Iterator[Any]:
        while not type(event := next(self._events)).__name__.endswith("EndEvent"):
            yield event

    def _refuse(self, path: KeyPath, message: str, event: Event | None = None) -> None:
        line = self.document.lines[path] if event is None else _line(event)
        self.document.problems.append(YamlProblem(line, path, message))

    def _stop(self, event: Event, path: KeyPath, message: str) -> NoReturn:
        raise YamlProblem(_line(event), path, message)


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1


def _syntax(error: YAMLError, text: str) -> YamlProblem:
    """Say in one line what the parser could not read."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = getattr(error, "position", None)
    line = mark.line + 1 if mark is not None else text.count("\n", 0, position) + 1 if position is not None else 1
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).splitlines()[0]
    return YamlProblem(line, (), f"not YAML: {said}")
