"""A study's folder: how one is made, and what it says of itself without running anything of it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from sp_search import __version__
from sp_search.arms import Arms, load_asked
from sp_search.changes import CHANGES, changed_content
from sp_search.errors import StorageError, StudyError
from sp_search.ledger import LEDGER_NAME, read_ledger
from sp_search.own_parts import versions_of_parts
from sp_search.plain_files import read_json
from sp_search.seal import foreign_places, sealed
from sp_search.settings_file import dotted
from sp_search.store import CheckpointStore, store_at
from sp_search.strict import show
from sp_search.study import Study
from sp_search.whole_files import write_whole

RUNS = "sp_search_runs"


def new_folder(name: str, output: str | Path | None) -> Path:
    """Make and return the study's folder; an existing study is never written over."""
    if output is not None:
        folder = Path(output)
        if (folder / LEDGER_NAME).exists() or holds_arms(folder):
            raise StorageError(f"{folder} holds a study: resume it, or choose another --output")
    else:
        base, number = Path(RUNS) / name, 2
        folder = base
        while folder.exists():
            folder, number = base.with_name(f"{base.name}-{number}"), number + 1
    try:
        folder.mkdir(parents=True, exist_ok=output is not None)
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error}. Choose another --output") from error
    return folder


def header_of(folder: Path) -> dict[str, Any]:
    """Return what the ledger of a study was begun with."""
    entries = read_ledger(folder)
    if not entries or "header" not in entries[0]:
        raise StorageError(f"the ledger of {folder} was never begun: delete the folder and run the study again")
    header: dict[str, Any] = entries[0]["header"]
    return header


def begun_study(entries: list[dict[str, Any]], folder: Path) -> Study:
    """Return the study that a ledger was begun with."""
    if not entries or "header" not in entries[0]:
        raise StorageError(f"the ledger of {folder} was never begun: delete the folder and run the study again")
    return _valid(entries[0]["header"]["study"], folder)


def recorded_study(entries: list[dict[str, Any]], folder: Path) -> Study:
    """Return the study of a ledger as it stands: as it was begun, with what was added and extended since."""
    study = begun_study(entries, folder)
    events = [entry["event"] for entry in entries if entry.get("event", {}).get("event") in CHANGES]
    content = study.resolved()
    for event in events:
        content = changed_content(content, event)
    return _valid(content, folder) if events else study


def _valid(content: dict[str, Any], folder: Path) -> Study:
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise StorageError(
            f"the study of {folder} cannot be read by this version: {_problems(error)}; manifest.json says by which"
        ) from error


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{dotted(one['loc'])}: {one['msg']}" for one in error.errors(include_url=False))


def holds_arms(folder: Path) -> bool:
    """Whether a folder holds a comparison, whose studies lie in it as arms/NAME."""
    return (folder / "manifest.json").exists() and "arms" in manifest(folder)


def begun_arms(asked: Arms, driver: str, tracking_uri: str | None) -> dict[str, Any]:
    """Return the manifest of a comparison; its arms have their own."""
    first = asked.arms[0].study
    arms = [arm.name for arm in asked.arms]
    begun = {"seed": first.seed, "versions": versions(), "driver": driver, "tracking_uri": tracking_uri, "arms": arms}
    return sealed(begun)


def recorded_arms(folder: Path) -> Arms:
    """Return the arms that a comparison was begun with."""
    asked = load_asked(folder / "study.yaml")
    if not isinstance(asked, Arms):
        raise StorageError(
            f"{folder / 'study.yaml'} has no arms, and the manifest beside it names some: restore it from a copy"
        )
    return asked


class _Manifest(BaseModel):
    """What a manifest that is there may say of where things are; the rest is told and never used."""

    driver: Literal["ray", "inprocess"] = "ray"
    tracking_uri: str | None = None
    checkpoints: str | None = None
    arms: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]] = []


def manifest(folder: Path) -> dict[str, Any]:
    """Return what a study's folder was begun with: seed, versions, driver, tracking store."""
    path = folder / "manifest.json"
    try:
        content = read_json(path)
        _Manifest.model_validate(content)
    except FileNotFoundError:
        raise StorageError(f"{folder} holds no manifest.json, so it is no study folder: name the one to read") from None
    except ValidationError as error:
        raise StorageError(f"{path} cannot be read: {_problems(error)}: restore it from a copy") from None
    return content


def refuse_foreign_places(
    folder: Path, said: Sequence[str | None] = (), *, trust: bool = False, begins: Sequence[str | None] = ()
) -> None:
    """Refuse to go to places outside a folder that it names, if somebody else began it and nobody said them.

    Args:
        folder: a study's, or a comparison's.
        said: addresses that the user named: what lies in them is said.
        trust: the user vouches for the folder, which is written down.
        begins: addresses that it names for what nobody has begun yet.

    Raises:
        StudyError: names the places, and how to allow them.
    """
    content = manifest(folder)
    known = [place.rstrip("/") for place in said if place]
    foreign = [place for place in foreign_places(content, begins) if not any(_below(place, one) for one in known)]
    if foreign and trust:
        write_json(folder / "manifest.json", sealed(content))
    elif foreign:
        places = " and ".join(map(show, foreign))
        raise StudyError(
            [
                f"{folder}: it was begun by somebody else or on another machine, and names {places}, outside of it: "
                "if you know these places, say --trust"
            ]
        )
    for arm in sorted((folder / "arms").glob("*/manifest.json")):  # also one that study.yaml alone names
        refuse_foreign_places(arm.parent, said, trust=trust)


def _below(place: str, said: str) -> bool:
    """Whether a place is one that was said, or lies in it."""
    return place == said or (place.startswith(f"{said}/") and ".." not in place.split("/"))


def tracking_uri(folder: str | Path) -> str | None:
    """Return the absolute address of a study's MLflow store, or None when it is not tracked."""
    uri: str | None = manifest(Path(folder)).get("tracking_uri")
    return uri


def own_storage(storage: str | None, folder: Path) -> str | None:
    """Return where a new study's checkpoints lie in a storage that is shared: of a name that no other study has."""
    return None if storage is None else f"{storage.rstrip('/')}/{folder.name}-{secrets.token_hex(4)}/checkpoints"


def store_of(folder: Path) -> CheckpointStore:
    """Return the store of a study's checkpoints: in its own folder, or where its manifest says."""
    return store_at(manifest(folder).get("checkpoints") or str(folder.resolve() / "checkpoints"))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write whole or not at all."""
    try:
        write_whole(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}. Make room, then resume {path.parent}") from error


def versions() -> dict[str, str]:
    """Return the versions that an answer depends on, those of parts that are not ours among them."""
    packages = {name: importlib.metadata.version(name) for name in ("torch", "ray", "numpy", "scipy", "pydantic")}
    return {"sp_search": __version__, "python": platform.python_version(), **packages, **versions_of_parts()}
