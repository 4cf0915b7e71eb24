"""Pydantic in our words: settings that refuse what they do not know, and fields that hold a part.

Messages say what was got, what is allowed and the nearest name; they nest, so a whole file's problems come together.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from json import dumps
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema

from sp_search.plugins import Plugin, UnknownPluginError, discover, find, suggest

KeyPath = tuple[str | int, ...]
Problem = tuple[KeyPath, str]
Settings = TypeVar("Settings", bound=BaseModel)


def refusal(problems: list[Problem]) -> ValidationError:
    """Return problems as pydantic's error, so that they nest under the field that is being validated."""
    lines = [
        InitErrorDetails(type=PydanticCustomError("problem", "{message}", {"message": message}), loc=path, input=None)
        for path, message in problems
    ]
    return ValidationError.from_exception_data("study", lines)


def show(value: Any) -> str:
    """Return a value as a study would write it, cut to a readable length."""
    text = dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def _explain(line: ErrorDetails, settings: type[BaseModel]) -> str:
    """Say what was got, what is allowed and what to do about it."""
    if line["type"] == "extra_forbidden":
        known = list(settings.model_fields)
        return f"unknown key.{suggest(str(line['loc'][-1]), known)} Known: {', '.join(known)}."
    if line["type"] == "missing":
        return "missing, and it has no default"
    if line["type"] == "value_error":
        return str(line["ctx"]["error"])
    allowed = re.sub(r"^\w+ should", "it should", line["msg"])
    quoted = isinstance(line["input"], str) and line["type"].startswith(("int", "float", "bool"))
    return f"got {show(line['input'])}{', a text' if quoted else ''}: {allowed}"


def explained(settings: type[BaseModel], value: Any, validate: Callable[[Any], Settings]) -> Settings:
    """Validate, and turn pydantic's words into ours."""
    try:
        return validate(value)
    except ValidationError as error:
        lines = error.errors(include_url=False)
        raise refusal(
            [(one["loc"], one["msg"] if one["type"] == "problem" else _explain(one, settings)) for one in lines]
        ) from None


class PartOf:
    """A field that holds a part: `{kind: name, ...}` becomes the family's class of that kind."""

    def __init__(self, family: str) -> None:
        """Keep the family; its folder is read only when something is validated."""
        self.family = family

    def __call__(self, value: Any) -> Plugin:
        """Return the part that `value` describes."""
        if isinstance(value, Plugin):
            return value
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str):
            known = ", ".join(discover(self.family)) or "none yet"
            raise refusal([((), f"got {show(value)}: it should be a mapping with a kind. Known: {known}.")])
        try:
            part = find(self.family, kind)
        except UnknownPluginError as error:
            raise refusal([(("kind",), str(error))]) from None
        return explained(part, value, part.model_validate)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Validate by `__call__`; write every field of the part, not only those of its family."""
        write = core_schema.plain_serializer_function_ser_schema(lambda part: part.model_dump(mode="json"))
        return core_schema.no_info_plain_validator_function(self, serialization=write)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """One of the parts that are installed; the kind is the one field that has no default."""
        installed = discover(self.family).values()
        parts = [handler.resolve_ref_schema(handler(part.__pydantic_core_schema__)) for part in installed]
        required = [{**part, "required": ["kind", *part.get("required", [])]} for part in parts]
        return {"oneOf": required} if required else {"not": {}}


class Section(BaseModel):
    """Base of every part of a study that is not a plug-in: strict, closed, finite, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _in_our_words(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        return explained(cls, value, handler)
