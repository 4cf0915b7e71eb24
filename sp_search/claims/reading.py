"""The files of claims, read as strictly as studies: every problem of every file at once, with its line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sp_search.claims.records import Claim
from sp_search.errors import StudyError
from sp_search.plugins import suggest
from sp_search.settings_file import read_settings
from sp_search.shipped import CLAIMS

FOLDER = CLAIMS


def read_claims(folder: Path = FOLDER, only: Collection[str] = ()) -> list[Claim]:
    """Return the claims of a folder in the order of their numbers, footnotes last.

    Args:
        folder: holds one file a claim, `C19.yaml`.
        only: the claims that are wanted; all if empty.

    Raises:
        StudyError: with every problem of the files, or a claim that is wanted and not there.
    """
    files = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    if not files:
        raise StudyError([f"{folder} holds no claims (C01.yaml, ...): say where they are, --studies DIR"])
    missing = [name for name in only if name not in files]
    if missing:
        raise StudyError(
            [f"--only: there is no claim {name} in {folder}.{suggest(name, list(files))}" for name in missing]
        )
    claims: list[Claim] = []
    problems: list[str] = []
    for name, file in files.items():
        try:
            claim = read_settings(Claim, file)
        except StudyError as error:
            problems += error.problems
            continue
        problems += [f"{file}: {problem}" for problem in _inconsistencies(claim, name)]
        claims.append(claim)
    if problems:
        raise StudyError(problems)
    return [claim for claim in claims if not only or claim.claim in only]


def _inconsistencies(claim: Claim, stem: str) -> list[str]:
    """Return what no field can see by itself."""
    problems = [] if claim.claim == stem else [f"claim: got {claim.claim}, the file's name says {stem}"]
    names = [part.name for part in claim.parts]
    problems += [f"parts: '{name}' is there twice" for name in sorted(set(names)) if names.count(name) > 1]
    if claim.standing != "empirical" and not claim.why:
        problems.append(f"why: missing; a claim that is {claim.standing.replace('_', ' ')} says why")
    if claim.standing == "empirical" and not claim.parts:
        problems.append("parts: an empirical claim needs one part or more, or another standing and why")
    return problems


def digest(content: Any) -> str:
    """Return the hash of JSON values: two contents have one hash only if they are equal."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
