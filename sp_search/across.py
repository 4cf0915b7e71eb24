"""Studies that were run separately, beside each other: what each found and paid, what they differ in, and by how much.

A *setting* is a study's file without its name, its seed, and where it ran; studies of one setting differ in the seed
alone. Everything is read from JSON; where tasks, milestones or gates differ nothing is ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from sp_search.effects import effect, holm, mean
from sp_search.errors import StudyError
from sp_search.folder import holds_arms, manifest, recorded_study
from sp_search.ledger import read_ledger
from sp_search.plain_files import plain_folder, read_json
from sp_search.rows import told

ELSEWHERE = ("name", "seed", "resources", "tracking")
"""Keys of a study that say where and when it ran, and nothing of what was searched."""
SAME = ("task", "milestones", "selection.gates")
"""What has to be equal for two studies to have answered one question."""
EVIDENCE = ("selection", "verdict")
"""What should be equal for two answers to be equally sure."""


class Ran(NamedTuple):
    """One study's folder, as it stands. Figures are None where no program was verified for the last milestone."""

    folder: str
    name: str
    seed: int
    content: dict[str, Any]
    met: bool
    ended: str
    budget: dict[str, Any] | None
    mean_flops: dict[str, Any] | None
    accuracy: dict[str, Any] | None
    search_flops: float
    lineages: int
    ledger_sha256: str


def across(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the comparison of studies, or of the arms of comparisons, as JSON.

    Raises:
        StudyError: fewer than two studies, or one twice.
        StorageError: a folder is no study, or damaged.
    """
    places = [place for folder in folders for place in _studies_in(plain_folder(folder))]
    if len({place.resolve() for place in places}) < len(places):
        raise StudyError(["a study is named twice, and it does not differ from itself: name every folder once"])
    if len(places) < 2:
        raise StudyError([f"got {len(places)} study, and a comparison takes two or more: name another folder"])
    return compared([read_study(place) for place in places])


def compared(studies: Sequence[Ran]) -> dict[str, Any]:
    """Return the comparison of studies that were read.

    Raises:
        StudyError: two are of one setting and one seed.
    """
    settings = _settings(studies)
    groups = {label: [studies[index] for index in indices] for label, indices in settings.items()}
    refusals = _refusals(groups)
    return {
        "studies": [{**one._asdict(), "setting": _label_of(settings, index)} for index, one in enumerate(studies)],
        "settings": {label: _summary(group) for label, group in groups.items()},
        "differences": _differences({label: group[0].content for label, group in groups.items()}),
        "refused": refusals,
        "warnings": [*refusals, *_warnings(groups)],
        "ranking": [] if refusals else _ranking(groups),
        "effects": [] if refusals else _effects(groups),
        "met": all(one.met for one in studies),
    }


def read_study(folder: Path) -> Ran:
    """Return what a study's folder says."""
    entries = read_ledger(folder)
    study = recorded_study(entries, folder)
    reader, _ = told(entries, folder)
    path = folder / "result.json"
    result = read_json(path) if path.exists() else {}
    last: dict[str, Any] = next(
        (one for one in result.get("milestones", []) if one["milestone"] == study.milestones[-1]), {}
    )
    spent = result.get("search_flops", reader.spent)
    return Ran(
        folder=str(folder),
        name=study.name,
        seed=study.seed,
        content=study.resolved(),
        met=bool(result.get("met")),
        ended=result.get("ended", "not finished"),
        budget=last.get("budget"),
        mean_flops=last.get("mean_flops_per_example"),
        accuracy=last.get("accuracy"),
        search_flops=float(sum(spent.values())),
        lineages=len({(row.assignment.member, row.measured.lineage) for row in reader.rows}),
        ledger_sha256=_sha256(folder),
    )


def _sha256(folder: Path) -> str:
    import hashlib

    from sp_search.ledger import LEDGER_NAME

    return hashlib.sha256((folder / LEDGER_NAME).read_bytes()).hexdigest()


def _studies_in(folder: Path) -> list[Path]:
    return [folder / "arms" / name for name in manifest(folder)["arms"]] if holds_arms(folder) else [folder]


def _flat(content: Any, path: str = "") -> dict[str, Any]:
    """Return every value of nested mappings by its dotted path; lists stay whole."""
    if not isinstance(content, dict) or not content:
        return {path: content}
    return {
        key: value
        for name, inner in content.items()
        for key, value in _flat(inner, f"{path}.{name}"[not path :]).items()
    }


def _setting(one: Ran) -> dict[str, Any]:
    return {key: value for key, value in one.content.items() if key not in ELSEWHERE}


def _settings(studies: Sequence[Ran]) -> dict[str, list[int]]:
    """Return the studies of every setting, by a label: the name of the first of them, numbered where two share it."""
    found: list[list[int]] = []
    for index, one in enumerate(studies):
        own = next((group for group in found if _setting(studies[group[0]]) == _setting(one)), None)
        if own is None:
            found.append([index])
        elif one.seed in (studies[other].seed for other in own):
            raise StudyError(
                [f"{one.folder}: another study of the same setting and seed {one.seed} is named too; one run is enough"]
            )
        else:
            own.append(index)
    labels: dict[str, list[int]] = {}
    for group in found:
        name = studies[group[0]].name
        number = sum(label == name or label.startswith(f"{name} #") for label in labels) + 1
        labels[name if number == 1 else f"{name} #{number}"] = group
    return labels


def _label_of(settings: dict[str, list[int]], index: int) -> str:
    return next(label for label, indices in settings.items() if index in indices)


def _differences(contents: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every setting in which the files differ, with its value in each; None where a file has none."""
    flat = {label: _flat({k: v for k, v in one.items() if k not in ELSEWHERE}) for label, one in contents.items()}
    paths = list(dict.fromkeys(path for one in flat.values() for path in one))
    values = {path: {label: one.get(path) for label, one in flat.items()} for path in paths}
    return [{"path": path, "values": own} for path, own in values.items() if len(set(map(repr, own.values()))) > 1]


def _same(groups: dict[str, list[Ran]], path: str) -> bool:
    found: list[Any] = [group[0].content for group in groups.values()]
    for key in path.split("."):
        found = [content[key] for content in found]
    return all(value == found[0] for value in found)


def _refusals(groups: dict[str, list[Ran]]) -> list[str]:
    differ = [path for path in SAME if not _same(groups, path)]
    return (
        [f"not ranked: the studies differ in {', '.join(differ)}, so they answered different questions"]
        if differ
        else []
    )


def _warnings(groups: dict[str, list[Ran]]) -> list[str]:
    warnings = [
        f"the studies differ in {key}, so one answer is surer than the other"
        for key in EVIDENCE
        if not _same(groups, key)
    ]
    for label, group in groups.items():
        lacking = [one for one in group if not one.met]
        if lacking:
            seeds = ", ".join(str(one.seed) for one in lacking)
            warnings.append(f"{label}: seed {seeds} did not meet every milestone; figures are of those that did")
        if len(group) == 1:
            warnings.append(f"{label}: one seed, so nothing is known of the luck of its training")
    measures = {(one.budget["kind"], one.budget["measure"]) for group in groups.values() for one in group if one.budget}
    if len(measures) > 1:
        warnings.append("budgets are caps of different kinds or measures: compare mean FLOPs, not caps")
    return warnings


FIGURES: dict[str, tuple[str, Callable[[Ran], float | None]]] = {
    "found budget": ("ratio", lambda one: None if one.budget is None else float(one.budget["cap"])),
    "mean FLOPs": ("ratio", lambda one: None if one.mean_flops is None else float(one.mean_flops["value"])),
    "accuracy": ("difference", lambda one: None if one.accuracy is None else float(one.accuracy["value"])),
    "search FLOPs": ("ratio", lambda one: one.search_flops or None),
}


def _summary(group: Sequence[Ran]) -> dict[str, Any]:
    """Return the means of a setting's figures over its seeds."""
    means: dict[str, float | None] = {}
    for figure, (kind, read) in FIGURES.items():
        values = [value for one in group if (value := read(one)) is not None]
        means[figure] = mean(kind, values) if values else None
    return {"seeds": sorted(one.seed for one in group), "met": sum(one.met for one in group), "means": means}


def _ranking(groups: dict[str, list[Ran]]) -> list[str]:
    """Return the settings that met every milestone with every seed, the least mean FLOPs first."""
    read = FIGURES["mean FLOPs"][1]
    costs = {
        label: [value for one in group if (value := read(one)) is not None]
        for label, group in groups.items()
        if all(one.met for one in group)
    }
    return sorted((label for label, values in costs.items() if values), key=lambda label: mean("ratio", costs[label]))


def _effects(groups: dict[str, list[Ran]]) -> list[dict[str, Any]]:
    """Return every figure's effect for every pair of settings; Holm's procedure corrects p over the pairs."""
    found = []
    for figure, (kind, read) in FIGURES.items():
        if (
            figure == "found budget"
            and len({(o.budget["kind"], o.budget["measure"]) for g in groups.values() for o in g if o.budget}) > 1
        ):
            continue
        pairs = list(combinations(groups, 2))
        by_seed = {
            label: {run.seed: value for run in group if (value := read(run)) is not None}
            for label, group in groups.items()
        }
        effects = [effect(figure, kind, by_seed[one], by_seed[other]) for one, other in pairs]
        adjusted = holm([own.p for own in effects])
        for (one, other), own, p in zip(pairs, effects, adjusted, strict=True):
            found.append({"one": one, "other": other, **own._asdict(), "p_holm": p})
    return found
