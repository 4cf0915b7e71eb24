"""Parts of a project that is not installed: packages that the user names, and nothing that merely lies around.

`--plugins DIR`, or the environment variable `SP_SEARCH_PLUGINS`, names folders with an `__init__.py`. Their modules are
imported when parts are looked for, but for those that begin with an underscore. Opening a study or its folder never
names one: whoever runs a study with parts of its own names them each time. Ray's workers get the folders with the job.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from sp_search.errors import StudyError, describe

VARIABLE = "SP_SEARCH_PLUGINS"


class OwnPackage(NamedTuple):
    """A package of the user's, and its modules."""

    name: str
    folder: Path
    modules: list[ModuleType]


def name_folders(folders: Iterable[Path]) -> None:
    """Have the parts of these folders found by this process and by those that it starts.

    Raises:
        StudyError: one of them is no package.
    """
    named = [str(folder.resolve()) for folder in folders]
    problems = [f"--plugins {folder}: {why}" for folder in named if (why := _refusal(Path(folder)))]
    if problems:
        raise StudyError(problems)
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*_named(), *named]))


def own_packages() -> list[OwnPackage]:
    """Import the packages that are named, each a folder or, on a worker, a name that can be imported.

    Raises:
        StudyError: one cannot be imported, or is named like another package.
    """
    return [_imported(Path(entry) if os.sep in entry else entry) for entry in _named()]


def runtime_environment() -> dict[str, Any]:
    """Return Ray's `runtime_env` for workers on any machine: the named folders, shipped; empty where none is named."""
    entries = [Path(entry).resolve() if os.sep in entry else entry for entry in _named()]
    folders = [str(entry) for entry in entries if isinstance(entry, Path)]
    names = [entry.name if isinstance(entry, Path) else entry for entry in entries]
    return {"py_modules": folders, "env_vars": {VARIABLE: os.pathsep.join(names)}} if folders else {}


def versions_of_parts() -> dict[str, str]:
    """Return what an answer depends on beside us: installed packages with parts, and hashes of the named ones."""
    groups = [group for group in metadata.entry_points().groups if group.startswith("sp_search.")]
    dists = [point.dist for group in groups for point in metadata.entry_points(group=group)]
    installed = {dist.name: dist.version for dist in dists if dist is not None}
    return installed | {package.name: _digest(package.folder) for package in own_packages()}


def _digest(folder: Path) -> str:
    sources = b"".join(file.read_bytes() for file in sorted(folder.rglob("*.py")))
    return f"sources {hashlib.sha256(sources).hexdigest()[:16]}"


def _named() -> list[str]:
    return [entry for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]


def _refusal(folder: Path) -> str:
    """Say why a folder is no package that can be imported, or nothing."""
    if not folder.is_dir():
        return "there is no such folder"
    if not (folder / "__init__.py").is_file():
        return "it should be a package: a folder with an __init__.py, which may be empty"
    if not folder.name.isidentifier():
        return f"'{folder.name}' is no name of a package: letters, digits and underscores"
    return ""


def _imported(package: Path | str) -> OwnPackage:
    if isinstance(package, Path) and (why := _refusal(package)):
        raise StudyError([f"{VARIABLE}: {package}: {why}"])
    try:
        root = _from_folder(package) if isinstance(package, Path) else importlib.import_module(package)
        entries = sorted(pkgutil.iter_modules(root.__path__), key=lambda item: item.name)
        names = [entry.name for entry in entries if not entry.ispkg and not entry.name.startswith("_")]
        folder = Path(next(iter(root.__path__)))
        return OwnPackage(root.__name__, folder, [importlib.import_module(f"{root.__name__}.{name}") for name in names])
    except StudyError:
        raise
    except Exception as error:  # the user's own code may raise anything
        raise StudyError([f"{VARIABLE}: {package} cannot be imported: {describe(error)}"]) from error


def _from_folder(folder: Path) -> ModuleType:
    """Import a package from where it lies, without making its neighbours importable."""
    folder = folder.resolve()
    init, known = folder / "__init__.py", sys.modules.get(folder.name)
    spec = importlib.util.find_spec(folder.name) if known is None else known.__spec__
    origin = None if spec is None else spec.origin
    if origin is not None and Path(origin).resolve() == init:
        return importlib.import_module(folder.name)
    if known is not None or origin is not None:
        raise StudyError([f"{VARIABLE}: {folder}: a package of that name is there already ({origin}): rename it"])
    own = importlib.util.spec_from_file_location(folder.name, init, submodule_search_locations=[str(folder)])
    assert own is not None
    assert own.loader is not None
    module = importlib.util.module_from_spec(own)
    sys.modules[folder.name] = module
    try:
        own.loader.exec_module(module)
    except BaseException:
        del sys.modules[folder.name]
        raise
    return module
