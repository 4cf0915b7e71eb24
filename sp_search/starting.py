"""What `sp-search init` writes: a study, or a package with a part of one's own and a study that uses it.

The skeletons are parts that run as they stand (`sp_search/skeletons`, which the tests train and check like any other);
a name of one's own takes the place of theirs. `examples/` is what is written for one of each.
"""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from sp_search.errors import StorageError, StudyError
from sp_search.plugins import discover
from sp_search.shipped import shipped_studies
from sp_search.strict import show


class Skeleton(NamedTuple):
    """A part to begin with: its kind and class as they stand, its files, and the shipped part that replaces it."""

    kind: str
    class_name: str
    files: tuple[str, ...]
    instead: str


SKELETONS = {
    "task": Skeleton("majority", "Majority", ("task.py",), "parity"),
    "model": Skeleton("reader", "Reader", ("model.py", "_network.py"), "reading_cell"),
    "prior": Skeleton("squared_rollouts", "SquaredRollouts", ("prior.py",), "none"),
    "scheduler": Skeleton("descent", "Descent", ("scheduler.py",), "annealing"),
    "audit": Skeleton("hard_inputs", "HardInputs", ("audit.py",), "cost_accounting"),
}
PACKAGE = "sp_search.skeletons"


def study_files(name: str) -> dict[str, str]:
    """Return the file of a study to begin with, by its name.

    Raises:
        StudyError: no study may have that name.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise StudyError(
            [f"got the name {show(name)}: it should be letters, digits, underscores and hyphens, at most 64"]
        )
    if name in shipped_studies():
        raise StudyError([f"got the name {name}, which a study has that ships: sp-search studies {name} --output FILE"])
    return {f"{name}.yaml": _text("study.yaml").replace("my_study", name)}


def part_files(package: str, names: dict[str, str]) -> dict[str, str]:
    """Return the files of a package with parts, by their paths.

    Args:
        package: what it is called.
        names: the kinds of its parts by what they are (task, model, prior, scheduler, audit).

    Raises:
        StudyError: a name is none, or taken.
    """
    problems = [why for name in dict.fromkeys([package, *names.values()]) if (why := _bad_name(name))]
    problems += [why for what, name in names.items() if (why := _taken_kind(what, name))]
    if not problems and (spec := find_spec(package)) is not None and spec.origin is not None:
        problems.append(f"got the name {package}: a package of that name is there already ({spec.origin})")
    if problems:
        raise StudyError(problems)
    sources = ["__init__.py", *(file for what in names for file in SKELETONS[what].files)]
    written = {f"src/{package}/{file}": _own(_text(file), package, names) for file in sources}
    paragraphs = _text("project.toml").split("\n\n")
    others = [f":{skeleton.class_name}" for what, skeleton in SKELETONS.items() if what not in names]
    kept = [one for one in paragraphs if not any(other in one for other in others)]
    written["pyproject.toml"] = _own("\n\n".join(kept).rstrip() + "\n", package, names)
    written["study.yaml"] = _own(_text("part_study.yaml"), package, names)
    return written


def write(texts: dict[str, str], folder: Path) -> None:
    """Write new files; nothing that is there already is written over, and a package gets a folder of its own.

    Raises:
        StudyError: something is there already.
        StorageError: the disk refuses.
    """
    there = [str(folder / path) for path in texts if (folder / path).exists()]
    if not there and "pyproject.toml" in texts and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        there = [str(folder)]
    if there:
        raise StudyError([f"{path} is there already: choose another name or --output" for path in there])
    try:
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write below {folder}: {error}. Make room, or choose another --output") from error


def class_name(kind: str) -> str:
    """Return the name of the class of a kind: `my_task` is MyTask."""
    return "".join(word[:1].upper() + word[1:] for word in kind.split("_"))


def _text(file: str) -> str:
    return files(PACKAGE).joinpath(file).read_text(encoding="utf-8")


def _own(text: str, package: str, names: dict[str, str]) -> str:
    """Put names of one's own in place of the skeleton's, and shipped parts in place of those that are not asked for."""
    swaps = {PACKAGE: package}
    for what, skeleton in SKELETONS.items():
        kind = names.get(what, skeleton.instead)
        swaps |= {skeleton.kind: kind, skeleton.class_name: class_name(kind)}
        swaps |= {f"{skeleton.class_name}Network": f"{class_name(kind)}Network"}
    return re.sub("|".join(rf"\b{re.escape(word)}\b" for word in swaps), lambda found: swaps[found[0]], text)


def _bad_name(name: str) -> str:
    if name.isascii() and name.isidentifier() and name == name.lower() and not keyword.iskeyword(name):
        return "" if not name.startswith("_") else f"got the name {show(name)}: it should not begin with an underscore"
    return f"got the name {show(name)}: it should be a name as Python has them, in small letters, as in my_task"


def _taken_kind(what: str, name: str) -> str:
    return f"got the name {name}: a {what} of that kind is there already" if name in discover(f"{what}s") else ""
