"""A part is one pydantic class in one file, and the folder is the registry.

`discover("tasks")` imports every module of `sp_search/tasks`, every entry point of the group `sp_search.tasks`, and the
packages that `SP_SEARCH_PLUGINS` names (`own_parts`), and returns the classes that they define by their `kind`. Nothing
is listed by hand, and no study names an import path.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from sp_search.errors import StudyError, describe
from sp_search.own_parts import VARIABLE, name_folders, own_packages

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


class Found(NamedTuple):
    """A part, and where it comes from: `sp_search`, a distribution with its version, or a folder of one's own."""

    part: type[Plugin]
    source: str


def suggest(word: str, known: list[str]) -> str:
    """Return ` Did you mean 'x'?` for a near match of `word` in `known`, else an empty string."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""


def use(*folders: str | Path) -> None:
    """Have the parts in these packages found, here and on Ray's workers: what `--plugins` does.

    Raises:
        StudyError: one of them is no package.
    """
    name_folders([Path(folder) for folder in folders])
    located.cache_clear()


def base_of(family: str) -> type[Plugin]:
    """Return the class that every part of a family extends."""
    base: type[Plugin] = importlib.import_module(f"sp_search.{family}.base").PART
    return base


def discover(family: str) -> dict[str, type[Plugin]]:
    """Return every part of `family` (one of `FAMILIES`) by kind: the folder's, then installed ones, then one's own.

    Raises:
        StudyError: two parts claim one kind, an entry point is no part of the family, or something cannot be imported.
    """
    return {kind: found.part for kind, found in located(family).items()}


@cache
def located(family: str) -> dict[str, Found]:
    """Return what `discover` returns, with the source of every part."""
    parts: dict[str, Found] = {}
    base = base_of(family)
    for part, source, place in [*_shipped(family, base), *_installed(family, base), *_own(base)]:
        known = parts.get(part.kind_name())
        if known is not None and known.part is not part:  # an installed package may be worked on as one's own
            raise StudyError([f"two {family} are named '{part.kind_name()}': rename the one in {place}"])
        parts[part.kind_name()] = known or Found(part, source)
    return parts


class _Claim(NamedTuple):
    part: type[Plugin]
    source: str
    place: str


def _shipped(family: str, base: type[Plugin]) -> Iterator[_Claim]:
    package = importlib.import_module(f"sp_search.{family}")
    for entry in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
        if entry.name != "base":
            module = importlib.import_module(f"sp_search.{family}.{entry.name}")
            yield from (_Claim(part, "sp_search", module.__name__) for part in _parts_of(module, base))


def _installed(family: str, base: type[Plugin]) -> Iterator[_Claim]:
    for point in sorted(entry_points(group=f"sp_search.{family}"), key=lambda item: item.name):
        source = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
        yield _Claim(_loaded(point, source, family, base), source, point.value)


def _loaded(point: EntryPoint, source: str, family: str, base: type[Plugin]) -> type[Plugin]:
    try:
        part = point.load()
    except Exception as error:
        raise StudyError([f"plug-in {point.value} of {source} cannot be imported: {describe(error)}"]) from error
    if not (inspect.isclass(part) and issubclass(part, base)):
        raise StudyError(
            [f"entry point {point.value} of group sp_search.{family} is not a subclass of {base.__name__}"]
        )
    return part


def _own(base: type[Plugin]) -> Iterator[_Claim]:
    for package in own_packages():
        for module in package.modules:
            yield from (
                _Claim(part, f"{VARIABLE}: {package.name}", module.__name__) for part in _parts_of(module, base)
            )


def _parts_of(module: ModuleType, base: type[Plugin]) -> list[type[Plugin]]:
    return [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, base) and member is not base and "kind" in member.model_fields
        if member.__module__ == module.__name__
    ]


def find(family: str, kind: str) -> type[Plugin]:
    """Return the part of `family` named `kind`, or raise `UnknownPluginError` with the nearest name and all names."""
    parts = discover(family)
    if kind not in parts:
        known = ", ".join(parts) or "none yet"
        hint = suggest(kind, list(parts)) or " One of your own is installed, or its folder named: --plugins DIR."
        raise UnknownPluginError(f"no {family} plug-in is named '{kind}'.{hint} Known: {known}.")
    return parts[kind]
