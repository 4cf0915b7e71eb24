"""A part is one pydantic class in one file, and the folder is the registry.

`discover("tasks")` imports every module of `sp_search/tasks` and every entry point of the group `sp_search.tasks`, and
returns the classes that they define by their `kind`. Nothing is listed by hand, and no study names an import path.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from functools import cache
from importlib.metadata import entry_points

from pydantic import BaseModel, ConfigDict

from sp_search.errors import StudyError, describe

FAMILIES = ("tasks", "models", "priors", "schedulers", "oracles", "audits", "organisms", "experiments")


class UnknownPluginError(ValueError):
    """No part of that family has the kind that was asked for."""


class Plugin(BaseModel):
    """Base of every part: its fields are its settings in a study file, refused when unknown, mistyped or not finite.

    A subclass declares `kind: Literal["its_name"] = "its_name"` and imports torch only inside its methods, so that
    listing and validating stay fast.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def kind_name(cls) -> str:
        """The word that a study writes after `kind:`."""
        return str(cls.model_fields["kind"].default)


def suggest(word: str, known: list[str]) -> str:
    """Return ` Did you mean 'x'?` for a near match of `word` in `known`, else an empty string."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""


def _parts_of(module: object, base: type[Plugin]) -> dict[str, type[Plugin]]:
    return {
        member.kind_name(): member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, base) and member is not base and "kind" in member.model_fields
        if member.__module__ == getattr(module, "__name__", None)
    }


@cache
def discover(family: str) -> dict[str, type[Plugin]]:
    """Return every part of `family` (one of `FAMILIES`) by kind: the folder's own, then installed entry points.

    Raises:
        ValueError: two parts claim one kind, or an entry point is no part of the family.
    """
    package = importlib.import_module(f"sp_search.{family}")
    base: type[Plugin] = importlib.import_module(f"sp_search.{family}.base").PART
    parts: dict[str, type[Plugin]] = {}
    for entry in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
        if entry.name != "base":
            parts |= _parts_of(importlib.import_module(f"sp_search.{family}.{entry.name}"), base)
    for point in sorted(entry_points(group=f"sp_search.{family}"), key=lambda item: item.name):
        try:
            part = point.load()
        except Exception as error:
            owner = point.dist.name if point.dist else "an unknown package"
            raise StudyError([f"plug-in {point.value} of {owner} cannot be imported: {describe(error)}"]) from error
        if not (inspect.isclass(part) and issubclass(part, base)):
            raise ValueError(
                f"entry point {point.value} of group sp_search.{family} is not a subclass of {base.__name__}"
            )
        if part.kind_name() in parts:
            raise ValueError(f"two {family} are named '{part.kind_name()}': rename the one in {point.value}")
        parts[part.kind_name()] = part
    return parts


def find(family: str, kind: str) -> type[Plugin]:
    """Return the part of `family` named `kind`, or raise `UnknownPluginError` with the nearest name and all names."""
    parts = discover(family)
    if kind not in parts:
        known = ", ".join(parts) or "none yet"
        raise UnknownPluginError(f"no {family} plug-in is named '{kind}'.{suggest(kind, list(parts))} Known: {known}.")
    return parts[kind]
