"""The data that a study draws, as MLflow lists data sets: one for every draw of a distribution, with a digest.

Examples are drawn where they are used and kept nowhere. A digest is therefore of what decides them: the task's settings
(with the SHA-256 of the file, of a task that reads one), the distribution, the draw, and the study's seed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sp_search.tracking.figures import config_hash


class Drawn(NamedTuple):
    """One draw of one distribution. `profile` says how many examples a verification draws."""

    name: str
    draw: str
    digest: str
    source: dict[str, Any]
    profile: dict[str, Any]


def datasets_of(study: dict[str, Any], seed: int) -> list[Drawn]:
    """Return what a study trains on and stops on, and what its gates verify on."""
    task, selection = study.get("task", {}), study.get("selection", {})
    draws = [("training distribution", "train"), ("training distribution", "validation")]
    draws += [(gate, "verification") for gate in selection.get("gates", [])]
    found = []
    for distribution, draw in draws:
        source = {"task": task, "distribution": distribution, "draw": draw, "seed": seed}
        profile = {"examples_at_most": selection.get("n")} if draw == "verification" else {}
        name = f"{task.get('kind', 'task')} / {distribution} / {draw}"
        found.append(Drawn(name, draw, config_hash(source), source, profile))
    return found
