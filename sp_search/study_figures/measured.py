"""What `sp-search figures --study` measures: the two diagrams of the argument, from the networks of a study.

First, what the selected program and a misbehaving one need and waste, input by input. Second, compute against
performance of every lineage in the ledger. A folder is read as JSON and safetensors; nothing of it runs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from sp_search.auditing import asked_of, program_of
from sp_search.errors import StorageError, StudyError
from sp_search.plain_files import read_bytes
from sp_search.pricing import HaltingRule
from sp_search.records import Record, derive_seed
from sp_search.report.figures import seen_accuracy
from sp_search.report.reading import ResultFile, Story, read_story
from sp_search.report.words import percent, spaced
from sp_search.study_figures.spending import Inputs, NetSpending

if TYPE_CHECKING:
    from sp_search.program import Program
    from sp_search.rows import LineageRow

EXAMPLES = 4_096
TAX_NAME, HARM = "tax.json", "harm"
PROVEN = "a lower bound that the task proves: no program of this reach can know the answer before"
TAKEN = (
    "the less of what it and the selected program spend on an input: an upper bound, as this task proves nothing of it"
)
IDLE = "the same weights, tampered with: they run to the last exit on every input"


class NetPoint(Record):
    """A lineage, or a program that was measured here. `passed`: its level; of others accuracy is validation's."""

    cost: float
    accuracy: float
    passed: bool
    misbehaving: bool


class NetVisit(Record):
    """A visit of the search: its budget (or what else the levels move), phase and verdict."""

    budget: float
    phase: str
    verdict: str


class StudyFigures(Record):
    """Everything that the two diagrams of a study show."""

    name: str
    measure: str
    budget: str = Field(description="what the search moved")
    needed: str
    spending: list[NetSpending]
    milestone: float
    least: float
    points: list[NetPoint]
    visits: list[NetVisit]
    unknown: int = Field(description="lineages of searches for deceivers whose harm was not verified: not drawn")


class Sides(NamedTuple):
    """What is compared: the study of the selected program, a misbehaving program's folder, and all searches."""

    honest: Path
    misbehaving: Path | None
    title: str
    role: str
    searches: list[Path]
    deceivers: list[Path]


def measured_study(folder: Path, misbehaving: Path | None = None, *, examples: int = EXAMPLES) -> StudyFigures:
    """Measure both diagrams of a study.

    Args:
        folder: of a finished study, or of a tax study.
        misbehaving: a folder with a program known to misbehave, built for the same inputs; by default the deceiver of
            a tax study, else the selected program tampered with.
        examples: of every kind, about; small supports are enumerated.

    Raises:
        StudyError: the programs take inputs of different shapes.
        StorageError: a folder cannot be read, its search found no program, or its ledger tells nothing.
    """
    sides = _sides(folder, misbehaving)
    task, _ = asked_of(sides.honest)
    selected = program_of(sides.honest, task)
    other = _tampered(selected) if sides.misbehaving is None else program_of(sides.misbehaving, task)
    story = read_story(sides.honest)
    if story.result is None:
        raise StorageError(f"{sides.honest} has no result.json: the study has not ended (sp-search resume goes on)")
    inputs = Inputs.drawn(task, selected, examples, derive_seed(story.result.seed, "figures"))
    spending = [inputs.spent_by(selected, "selected", f"cheapest verified at {percent(story.result.milestone)}")]
    if other is not None:
        spending.append(inputs.spent_by(other, sides.title, sides.role))
    mean = story.space.kind == "mean"
    (points, unknown), visits = _points(sides, mean), _visits(story)
    if not points or not visits:
        raise StorageError(f"the ledger of {sides.honest} tells of no closed level: restore it from a copy")
    if other is not None and not sides.deceivers:
        one = spending[1]
        cost = one.average if mean else other.max_available_flops(task.shape().positions)
        points.append(NetPoint(cost=cost, accuracy=one.accuracy, passed=False, misbehaving=True))
    return StudyFigures(
        name=story.result.name,
        measure=f"{'mean' if mean else 'most'} FLOPs per input",
        budget=_budget(story),
        needed=PROVEN if inputs.proven else TAKEN,
        spending=spending,
        milestone=story.result.milestone,
        least=_cost(story.result, mean),
        points=points,
        visits=visits,
        unknown=unknown,
    )


def _sides(folder: Path, misbehaving: Path | None) -> Sides:
    """Say which programs are compared, and which searches are drawn."""
    given = None if misbehaving is None else ("given as misbehaving", f"the program of {misbehaving.name}")
    if not (folder / TAX_NAME).exists():
        return Sides(folder, misbehaving, *(given or ("the same, idling", IDLE)), [folder], [])
    try:
        efforts = json.loads(read_bytes(folder / TAX_NAME))["efforts"]
        hardest = efforts[-1]
        both = [pair for pair in hardest["pairs"] if None not in (pair["honest"]["cost"], pair["deceiver"]["cost"])]
        seeds = [int(pair["seed"]) for pair in hardest["pairs"]]
        steps, effort = float(hardest["steps"]), str(hardest["effort"])
        drawn = min(both, key=lambda pair: pair["honest"]["cost"], default=None)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise StorageError(
            f"{folder / TAX_NAME} cannot be read ({type(error).__name__}: {error}): run sp-search tax on it again"
        ) from None
    if drawn is None:
        raise StudyError([f"{folder}: no pair of effort {effort} found both programs: there is nothing to compare"])
    honest, deceiver = f"honest-x{steps:g}", f"deceiver-{effort}"
    own = folder / f"seed{int(drawn['seed'])}"
    words = ("deceiver", f"selected by the paired search for deceivers, effort {effort}")
    return Sides(
        own / honest,
        misbehaving or own / deceiver,
        *(given or words),
        [folder / f"seed{seed}" / honest for seed in seeds],
        [folder / f"seed{seed}" / deceiver for seed in seeds],
    )


def _tampered(selected: Program) -> Program | None:
    """Return the program that never stops early, or None where that is what it does anyway."""
    return None if selected.rule.kind == "last" else replace(selected, rule=HaltingRule("last"))


def _cost(result: ResultFile, mean: bool) -> float:
    found = result.mean_flops_per_example if mean else result.max_available_flops
    if found is None:
        raise StorageError(f"{result.name} met no milestone: there is no C* to draw; name a study that met one")
    return found.value


def _of_row(row: LineageRow, mean: bool) -> float:
    return row.mean_flops if mean else row.measured.max_available_flops


def _points(sides: Sides, mean: bool) -> tuple[list[NetPoint], int]:
    """Return every lineage that was judged, and how many of the searches for deceivers are left out.

    A lineage is known to misbehave where its answers to most triggered inputs were counted to do harm.
    """
    points, unknown = [], 0
    for folder in (*sides.searches, *sides.deceivers):
        for row in read_story(folder).ledger.rows:
            accuracy, harm = seen_accuracy(row), row.measured.gates.get(HARM)
            if folder in sides.deceivers and harm is None:
                unknown += 1
            elif accuracy is not None:
                harmful = harm is not None and 2 * harm.correct > harm.n
                cost, passed = _of_row(row, mean), row.report.passed is True
                points.append(NetPoint(cost=cost, accuracy=accuracy, passed=passed, misbehaving=harmful))
    return points, unknown


def _budget(story: Story) -> str:
    """Name what the levels of the search differ by."""
    if story.space.controls:
        return f"control: {next(iter(story.space.controls[0]))}"
    return f"budget: {story.space.kind} {'FLOPs' if story.measure == 'flops' else spaced(story.measure)} per input"


def _visits(story: Story) -> list[NetVisit]:
    controls = story.space.controls
    return [
        NetVisit(
            budget=next(iter(controls[one.level].values())) if controls else one.cap,
            phase=one.phase,
            verdict=one.verdict,
        )
        for one in story.ledger.outcomes
    ]
