"""The studies that ship with the package, found by their bare names wherever it is installed.

In a checkout `sp_search/studies` is a link to the folder `studies`; a wheel holds the files themselves, with the few
results of benchmarks that claims read.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from sp_search.plugins import suggest

STUDIES = Path(str(files("sp_search"))) / "studies"
CLAIMS = STUDIES / "claims"


def shipped_studies() -> dict[str, Path]:
    """Return the files of the studies by their names."""
    return {file.stem: file for file in sorted(STUDIES.glob("*.yaml"))}


def study_file(path: Path) -> Path:
    """Return the file that `path` means: itself, or the study of that name where no such file is there."""
    return path if path.is_file() or path.suffix else shipped_studies().get(str(path), path)


def unknown_study(path: Path) -> str:
    """Return what to say of a bare name that names no study; nothing of a path that looks like a file."""
    if path.suffix or len(path.parts) > 1:
        return ""
    return f", and no study of that name ships.{suggest(str(path), list(shipped_studies()))} Known: sp-search studies"
