"""A study file with `arms`: several complete studies of one task, milestone, seed and evidence, compared in one run.

An arm's keys are merged over the file's: mappings key by key, lists and everything else as a whole, and a part of
another kind as a whole. What makes arms comparable they share, so an arm may not set it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from sp_search.errors import StudyError
from sp_search.settings_file import Change, Checked, Cited, Draft, changed, check, read_changes, read_draft
from sp_search.strict import Problem, show
from sp_search.study import Study, load_study, study_of, study_schema
from sp_search.yaml_strict import dump

SHARED = ("seed", "task", "milestones", "selection", "verdict")
"""What an arm may not set: arms that differ in it answer different questions."""


class Arm(NamedTuple):
    """One of the studies that are compared."""

    name: str
    study: Study


class Arms(NamedTuple):
    """A file with arms, expanded."""

    name: str
    arms: list[Arm]

    def dump_yaml(self) -> str:
        """Return the file with all defaults filled in; it expands to equal arms."""
        resolved = [arm.study.resolved() for arm in self.arms]
        shared = {key: resolved[0][key] for key in SHARED}
        arms = [
            {**{key: value for key, value in one.items() if key not in SHARED}, "name": arm.name}
            for arm, one in zip(self.arms, resolved, strict=True)
        ]
        return dump({"name": self.name, **shared, "arms": arms})


def load_asked(path: str | Path, *, overrides: Sequence[str] = (), seed: int | None = None) -> Study | Arms:
    """Read a file with one study or with arms; overrides and the seed apply to every arm.

    Raises:
        StudyError: with every problem of the file, of the overrides and of the arms, which are named.
    """
    draft = read_draft(Path(path))
    if isinstance(draft.data, dict) and "tax" in draft.data:
        raise StudyError([f"{path}: its key tax asks for pairs of searches: sp-search tax {path} runs it"])
    if not isinstance(draft.data, dict) or "arms" not in draft.data:
        return load_study(path, overrides=overrides, seed=seed)
    changes = read_changes(overrides, {} if seed is None else {"seed": seed})
    of_arms = [change for change in changes if change.path[0] == "arms"]
    of_all = [change for change in changes if change.path[0] != "arms"]
    draft = changed(draft, of_arms)
    problems = _structure_problems(draft.data)
    if problems:
        raise draft.refused([draft.cite(problem) for problem in problems])
    drafts = {arm["name"]: _arm_draft(draft, index, of_all) for index, arm in enumerate(draft.data["arms"])}
    checked = {name: check(Study, one) for name, one in drafts.items()}
    cited = _cited(drafts, checked)
    if cited or draft.problems:
        raise draft.refused(cited)
    name = draft.data["name"]
    return Arms(name, [Arm(arm, one.settings) for arm, one in checked.items()])


def arms_of(content: dict[str, Any]) -> Arms:
    """Return the arms of a file's content, or raise `StudyError` with every problem."""
    problems = [f"{'.'.join(map(str, path))}: {message}" for path, message in _structure_problems(content)]
    if problems:
        raise StudyError(problems)
    arms = []
    for arm in content["arms"]:
        try:
            arms.append(Arm(arm["name"], study_of(_merged_arm(content, arm))))
        except StudyError as error:
            problems += [f"arm {arm['name']}: {problem}" for problem in error.problems]
    if problems:
        raise StudyError(problems)
    return Arms(content["name"], arms)


def file_schema() -> dict[str, Any]:
    """Return the JSON schema of a study file: one study, or arms over what they share."""
    schema = study_schema()
    required = schema.pop("required")
    keys = {key: {"type": ["object", "array"]} for key in schema["properties"] if key not in (*SHARED, "name")}
    arm = {
        "type": "object",
        "properties": {"name": schema["properties"]["name"], **keys},
        "required": ["name"],
        "additionalProperties": False,
    }
    schema["properties"]["arms"] = {
        "type": "array",
        "minItems": 2,
        "items": arm,
        "description": "studies to compare: each key is merged over the file's; they share " + ", ".join(SHARED),
    }
    plain = {"required": required}
    return {**schema, "if": {"required": ["arms"]}, "then": {"required": ["name", "task"]}, "else": plain}


def _structure_problems(data: dict[str, Any]) -> list[Problem]:
    """Say what is wrong with the list of arms by itself."""
    arms = data["arms"]
    if not isinstance(data.get("name"), str):
        return [(("name",), "missing, and it has no default" if "name" not in data else "it should be a name")]
    if not data["name"].strip("."):
        return [(("name",), f"got {show(data['name'])}: it names a folder, so it should be more than dots")]
    if not isinstance(arms, list) or len(arms) < 2:
        return [(("arms",), f"got {show(arms)}: it should list two arms or more, each a mapping with a name")]
    problems: list[Problem] = []
    seen: set[str] = set()
    for index, arm in enumerate(arms):
        name = arm.get("name") if isinstance(arm, dict) else None
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", name):
            message = f"got {show(name)}: it should be a name of at most 32 letters, digits, underscores and hyphens"
            problems.append((("arms", index, "name"), message))
            continue
        if name.lower() in seen:  # some file systems have one folder for both
            problems.append((("arms", index, "name"), f"two arms are named '{name}', be it in capitals: rename one"))
        seen.add(name.lower())
        for key in arm:
            if key in SHARED:
                message = f"arm '{name}' sets it: arms share {', '.join(SHARED)}, or they could not be compared"
                problems.append((("arms", index, key), message))
    return problems


def _arm_draft(draft: Draft, index: int, changes: list[Change]) -> Draft:
    """Return the draft of one arm; a key that the arm wrote has its line there."""
    own = {path[2:]: line for path, line in draft.lines.items() if path[:2] == ("arms", index) and len(path) > 2}
    merged = _merged_arm(draft.data, draft.data["arms"][index])
    try:
        return changed(replace(draft, data=merged, lines=draft.lines | own), changes)
    except StudyError as error:
        raise StudyError([f"{problem} (arm {merged['name']})" for problem in error.problems]) from None


def _merged_arm(base: dict[str, Any], arm: dict[str, Any]) -> dict[str, Any]:
    shared = {key: value for key, value in base.items() if key != "arms"}
    merged: dict[str, Any] = _merged(shared, arm)
    return {**merged, "name": f"{base['name']}.{arm['name']}"}


def _merged(base: Any, own: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(own, dict)) or own.get("kind", base.get("kind")) != base.get("kind"):
        return deepcopy(own)
    return deepcopy(base) | {key: _merged(base.get(key), value) for key, value in own.items()}


def _cited(drafts: dict[str, Draft], checked: dict[str, Checked]) -> list[Cited]:
    """Return the problems of all arms: once and without a name what all of them share, else with the arm's name."""
    found = [(name, drafts[name].cite(problem)) for name, one in checked.items() for problem in one.problems]
    times = Counter(cited for _, cited in found)
    kept: dict[Cited, None] = {}
    for name, cited in found:
        everywhere = times[cited] == len(drafts)
        kept[cited if everywhere else cited._replace(place=f"{cited.place}: arm {name}")] = None
    return list(kept)
