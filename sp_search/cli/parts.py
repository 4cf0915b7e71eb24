"""Commands about the parts that are installed."""

from __future__ import annotations

import inspect
import json
from textwrap import shorten
from typing import Any

from pydantic_core import to_jsonable_python

from sp_search.cli.app import Answer, app
from sp_search.errors import StudyError
from sp_search.plugins import FAMILIES, Found, UnknownPluginError, find, located, suggest
from sp_search.strict import show
from sp_search.terminal import table


@app.command(name="list")
def list_parts(family: str | None = None, part: str | None = None, /) -> Answer:
    """List the parts that are installed; of a family with their settings, of one part all that is known.

    Args:
        family: tasks, models, priors, schedulers, oracles, audits, organisms or experiments; all if not given.
        part: its kind.
    """
    if family is not None and family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise StudyError([f"there is no family '{family}'.{suggest(family, list(FAMILIES))} Known: {known}."])
    families = FAMILIES if family is None else (family,)
    payload = {name: {kind: described(found) for kind, found in located(name).items()} for name in families}
    if family is not None and part is not None:
        try:
            find(family, part)
        except UnknownPluginError as error:
            raise StudyError([str(error)]) from None
        alone = payload[family][part]
        return Answer(alone, "\n".join(_page(family, part, alone)))
    lines = []
    for name, parts in payload.items():
        lines.append(f"{name}:")
        for kind, one in parts.items():
            origin = "" if one["source"] == "sp_search" else f" ({one['source']})"
            lines.append(f"  {kind}: {one['summary']}{origin}")
            lines += _settings(one["settings"], "    ") if family is not None else []
    lines.append("" if family is None else f"\nall about one of them: sp-search list {family} KIND")
    lines.append("with their settings: sp-search list FAMILY" if family is None else "")
    return Answer(payload, "\n".join(lines).rstrip())


def described(found: Found) -> dict[str, Any]:
    """Return what is to be said of a part, as JSON values."""
    part = found.part
    doc = inspect.getdoc(part) or ""
    schema = part.model_json_schema()
    settings = {
        key: {
            "default": None if info.is_required() else to_jsonable_python(info.get_default(call_default_factory=True)),
            "required": info.is_required(),
            "allowed": allowed(schema["properties"][key]),
            "description": info.description or "",
        }
        for key, info in part.model_fields.items()
        if key != "kind"
    }
    where = {"source": found.source, "class": f"{part.__module__}.{part.__qualname__}", "file": inspect.getfile(part)}
    return {"summary": doc.partition("\n")[0], "doc": doc, **where, "settings": settings}


def allowed(schema: dict[str, Any]) -> str:
    """Return what a JSON schema allows, in a few words: `integer >= 1`, `"mlp" or "gru"`, `list of text`."""
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(map(allowed, choices)))
    if "enum" in schema or "const" in schema:
        return " or ".join(map(show, schema.get("enum", [schema.get("const")])))
    kind, inner = schema.get("type"), schema.get("items") or schema.get("additionalProperties")
    if kind in ("integer", "number"):
        return f"{kind} {_bounds(schema)}".rstrip()
    if kind in ("array", "object") and isinstance(inner, dict):
        some = " (one or more)" if schema.get("minItems") == 1 else ""
        return f"{'list of' if kind == 'array' else 'mapping to'} {allowed(inner)}{some}"
    words = {"string": "text", "boolean": "true or false", "null": "null", "array": "list", None: "anything"}
    return "mapping" if "$ref" in schema else words.get(kind, "mapping")


def _bounds(schema: dict[str, Any]) -> str:
    signs = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
    return " and ".join(f"{sign} {schema[name]:g}" for name, sign in signs if name in schema)


def _page(family: str, kind: str, one: dict[str, Any]) -> list[str]:
    """Say everything of one part."""
    where = table([("  class", one["class"]), ("  file", one["file"]), ("  from", one["source"])])
    head = [f"{kind} ({family})", "", *(f"  {line}".rstrip() for line in one["doc"].splitlines()), "", *where, ""]
    return [*head, *(_settings(one["settings"], "  ") or ["  it has no settings"])]


def _settings(settings: dict[str, Any], indent: str) -> list[str]:
    rows = []
    for key, one in settings.items():
        default = "no default" if one["required"] else show(one["default"])
        rows.append((indent + key, default, shorten(one["allowed"], 60, placeholder=" ..."), one["description"]))
    return table(rows)


@app.command
def schema() -> Answer:
    """Print the JSON schema of a study file, with the parts that are installed."""
    from sp_search.arms import file_schema

    payload = file_schema()
    return Answer(payload, json.dumps(payload, indent=2))
