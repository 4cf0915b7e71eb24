"""Commands to begin with: the studies that ship, and skeletons of a study or of a part of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

from sp_search.cli.app import Answer, app
from sp_search.errors import StorageError, StudyError
from sp_search.plugins import suggest
from sp_search.shipped import shipped_studies
from sp_search.terminal import table


@app.command
def init(
    what: Literal["study", "task", "model", "prior", "scheduler", "audit", "parts"],
    name: str | None = None,
    /,
    *,
    output: Path | None = None,
) -> Answer:
    """Write a study, or a package with a part of your own and a study that uses it; both run as they stand.

    Args:
        what: study, task, model, prior, scheduler or audit; parts writes a package with one of each.
        name: of it; my_study, my_task, ... if not given.
        output: a new folder for the package, or the folder for the study; NAME, or the working folder, if not given.
    """
    from sp_search.starting import SKELETONS, part_files, study_files, write

    name = name or f"my_{what}"
    if what == "study":
        folder, texts = output or Path(), study_files(name)
        study = shlex.quote(str(folder / f"{name}.yaml"))
        following, notes = [f"sp-search plan {study}", f"sp-search run {study}"], []
    else:
        folder = output or Path(name)
        each = {key: one.kind for key, one in SKELETONS.items()}
        kinds: dict[str, str] = each if what == "parts" else {what: name}
        texts = part_files(name, kinds)
        place, run = shlex.quote(str(folder)), shlex.join(["sp-search", "run", str(folder / "study.yaml")])
        following = [f"pip install --editable {place}", run]
        contracts = [f"sp_search.contracts.test_{kind}s" for kind in kinds]
        check = shlex.join(["pytest", "--pyargs", *contracts, "-k", " or ".join(kinds.values())])
        source = shlex.quote(str(folder / "src" / name))
        notes = [f"installing nothing: {run} --plugins {source}", f"what every such part keeps to: {check}"]
    write(texts, folder)
    written = [str(folder / path) for path in texts]
    lines = ["written:", *(f"  {path}" for path in written), "next:", *(f"  {line}" for line in following), *notes]
    return Answer({"written": written, "next": following}, "\n".join(lines))


@app.command
def studies(name: str | None = None, /, *, output: Path | None = None) -> Answer:
    """List the studies that ship: what they show, and when they end at the latest; or show or copy one of them.

    Args:
        name: of a study, to be shown.
        output: a new file to copy it to.
    """
    known = shipped_studies()
    if name is None:
        if output is not None:
            raise StudyError(["--output: it copies a study: say which, sp-search studies NAME --output FILE"])
        rows = {study: _described(study, path) for study, path in known.items()}
        cells = [(one["name"], one["command"], one["ends_within"], one["shows"]) for one in rows.values()]
        lines = table([("study", "command", "ends within", "shows"), *cells])
        return Answer(rows, "\n".join([*lines, "", "a name will do for a path: sp-search run quickstart"]))
    if name not in known:
        raise StudyError([f"no study named '{name}' ships.{suggest(name, list(known))} Known: {', '.join(known)}."])
    text = known[name].read_text(encoding="utf-8")
    if output is None:
        return Answer({"name": name, "file": str(known[name]), "text": text}, text.rstrip())
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise StudyError([f"{output} is there already: choose another --output"]) from None
    except OSError as error:
        raise StorageError(f"cannot write {output}: {error}. Choose another --output") from error
    return Answer({"name": name, "written": str(output)}, str(output))


def _described(name: str, path: Path) -> dict[str, Any]:
    """Return a study's line: the first sentence of its comment, and the limit on its seconds."""
    from sp_search.settings_file import read_draft

    remarks = [
        line.removeprefix("#").strip() for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "#"
    ]
    words = " ".join(line for line in remarks if not line.startswith("yaml-language-server"))
    data = read_draft(path).data
    seconds = data.get("limits", {}).get("seconds")
    each = " an arm" if "arms" in data else " a search" if "tax" in data else ""
    return {
        "name": name,
        "command": "tax" if "tax" in data else "run",
        "ends_within": "no limit" if seconds is None else f"{seconds / 60:g} min{each}",
        "shows": shorten(words.partition(". ")[0].rstrip("."), 110, placeholder=" ..."),
    }
