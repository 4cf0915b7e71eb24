"""Commands about the parts that are installed."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sp_search.cli.app import Answer, app
from sp_search.errors import StudyError
from sp_search.terminal import plain, table


@app.command(name="list")
def list_parts(family: str | None = None, /) -> Answer:
    """List the parts that are installed, with their settings.

    Args:
        family: tasks, models, priors, schedulers, oracles, audits, organisms or experiments; all if not given.
    """
    from sp_search.plugins import FAMILIES, discover, suggest

    if family is not None and family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise StudyError([f"there is no family '{family}'.{suggest(family, list(FAMILIES))} Known: {known}."])
    payload: dict[str, dict[str, Any]] = {}
    lines: list[str] = []
    for name in FAMILIES if family is None else (family,):
        payload[name] = {}
        lines.append(f"{name}:")
        for kind, part in discover(name).items():
            summary = (part.__doc__ or "").strip().splitlines()[0]
            settings = {
                key: {
                    "default": None if info.is_required() else _plain_default(info),
                    "description": info.description or "",
                }
                for key, info in part.model_fields.items()
                if key != "kind"
            }
            payload[name][kind] = {"summary": summary, "settings": settings}
            lines.append(f"  {kind}: {summary}")
            rows = [(f"    {key}", plain(one["default"]), str(one["description"])) for key, one in settings.items()]
            lines += table(rows)
    return Answer(payload, "\n".join(lines))


def _plain_default(info: FieldInfo) -> Any:
    """Return a field's default as JSON values."""
    value = info.get_default(call_default_factory=True)
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


@app.command
def schema() -> Answer:
    """Print the JSON schema of a study file, with the parts that are installed."""
    from sp_search.arms import file_schema

    payload = file_schema()
    return Answer(payload, json.dumps(payload, indent=2))
