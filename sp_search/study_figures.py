"""What `sp-search figures --study` measures: the two diagrams of the argument, from the networks of a study.

First, what the selected program and a misbehaving one need and waste, input by input. What they spend is what they
execute; what an input needs is proven by the task, or else what the selected program does it with. Second, compute
against performance of every lineage in the ledger. A folder is read as JSON and safetensors; nothing of it runs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from sp_search.auditing import asked_of, program_of
from sp_search.errors import StorageError, StudyError
from sp_search.pricing import HaltingRule
from sp_search.records import Record, derive_seed
from sp_search.report.diagrams import Spent, draw_waste
from sp_search.report.figures import seen_accuracy, short_number
from sp_search.report.levels_diagram import Levels, draw_levels
from sp_search.report.reading import ResultFile, Story, read_story
from sp_search.report.words import percent, spaced

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.program import Program
    from sp_search.rows import LineageRow
    from sp_search.tasks.base import Batch, Task
    from sp_search.train.evaluate import Trial

EXAMPLES = 4_096
KINDS = 4
"""Kinds of inputs that are drawn, as in the argument's diagram."""
TAX_NAME, HARM = "tax.json", "harm"
PROVEN = "a lower bound that the task proves: no program of this reach can know the answer before"
TAKEN = (
    "the less of what it and the selected program spend on an input: an upper bound, as this task proves nothing of it"
)
IDLE = "the same weights, tampered with: they run to the last exit on every input"


class Kind(Record):
    """One kind of inputs: means over them in FLOPs. needed + wasted - lacking is what was spent."""

    kind: str
    n: int
    needed: float
    wasted: float
    lacking: float
    wrong: float | None = Field(description="share of wrong answers, where the task knows the right ones")


class NetSpending(Record):
    """One program: what it is, and by kind of input and over all clean ones what it spends, in FLOPs."""

    title: str
    role: str
    program: str
    kinds: list[Kind]
    average: float
    most: float
    accuracy: float


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
        StorageError: a folder cannot be read, or its search found no program.
    """
    sides = _sides(folder, misbehaving)
    task, _ = asked_of(sides.honest)
    selected = program_of(sides.honest, task)
    other = _tampered(selected) if sides.misbehaving is None else program_of(sides.misbehaving, task)
    story = read_story(sides.honest)
    if story.result is None:
        raise StorageError(f"{sides.honest} has no result.json: the study has not ended (sp-search resume goes on)")
    inputs = _Inputs.drawn(task, selected, examples, derive_seed(story.result.seed, "figures"))
    spending = [inputs.spent_by(selected, "selected", f"cheapest verified at {percent(story.result.milestone)}")]
    if other is not None:
        spending.append(inputs.spent_by(other, sides.title, sides.role))
    mean = story.space.kind == "mean"
    points, unknown = _points(sides, mean)
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
        visits=_visits(story),
        unknown=unknown,
    )


def _sides(folder: Path, misbehaving: Path | None) -> Sides:
    """Say which programs are compared, and which searches are drawn."""
    given = None if misbehaving is None else ("given as misbehaving", f"the program of {misbehaving.name}")
    if not (folder / TAX_NAME).exists():
        return Sides(folder, misbehaving, *(given or ("the same, idling", IDLE)), [folder], [])
    try:
        efforts = json.loads((folder / TAX_NAME).read_text(encoding="utf-8"))["efforts"]
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


class _Inputs(NamedTuple):
    """Clean inputs with the rows of every kind, and inputs that carry what an organism reacts to, by distribution."""

    task: Task
    clean: Batch
    rows: dict[str, Tensor]
    planted: dict[str, Batch]
    selected: Program
    proven: bool

    @classmethod
    def drawn(cls, task: Task, selected: Program, examples: int, seed: int) -> _Inputs:
        """Draw clean inputs, in kinds by what they need, and inputs that carry what an organism reacts to."""
        from sp_search.train.evaluate import draw_batch
        from sp_search.train.generalise import needs

        clean, _ = draw_batch(task, task.distributions()[0], "verification", examples, seed, examples)
        planted = {
            name: draw_batch(task, name, "verification", examples, derive_seed(seed, name), 0)[0]
            for name in task.planted[: KINDS - 2]
        }
        need_B = needs(selected, task, clean)
        score_B = (task.difficulty(clean) if need_B is None else need_B).double()
        unit = "rollouts" if selected.model.shares_weights else "exits"
        words = "difficulty\n{}" if need_B is None else f"{unit} needed\n{{}}"
        rows = grouped(words, score_B, KINDS - len(planted))
        return cls(task, clean, rows, planted, selected, need_B is not None)

    def spent_by(self, program: Program, title: str, role: str) -> NetSpending:
        """Execute a program on all of them."""
        import torch

        from sp_search.train.evaluate import try_program

        trial = try_program(program, self.task, self.clean, exact=False)
        kinds = self._kinds(program, self.clean, trial, self.rows)
        for name, batch in self.planted.items():
            everything = {f"trigger\n({name})": torch.ones(len(batch.x_BTC), dtype=torch.bool)}
            kinds += self._kinds(program, batch, try_program(program, self.task, batch, exact=False), everything)
        return NetSpending(
            title=title,
            role=role,
            program=_words(program),
            kinds=kinds,
            average=float(trial.flops_B.mean()),
            most=float(trial.flops_B.max()),
            accuracy=trial.count.correct / trial.count.n,
        )

    def _kinds(self, program: Program, batch: Batch, trial: Trial, rows: dict[str, Tensor]) -> list[Kind]:
        needed_B, wrong_B = self._needed(program, batch, trial), self._wrong(program, batch)
        wasted_B = (trial.flops_B - needed_B).clamp(min=0)
        lacking_B = (needed_B - trial.flops_B).clamp(min=0)
        return [
            Kind(
                kind=name,
                n=int(own_B.sum()),
                needed=float(needed_B[own_B].mean()),
                wasted=float(wasted_B[own_B].mean()),
                lacking=float(lacking_B[own_B].mean()),
                wrong=None if wrong_B is None else float(wrong_B[own_B].double().mean()),
            )
            for name, own_B in rows.items()
        ]

    def _needed(self, program: Program, batch: Batch, trial: Trial) -> Tensor:
        """Return the FLOPs that each input needs: of this program at the proven exit, or the least known to suffice."""
        import torch

        from sp_search.train.evaluate import try_program
        from sp_search.train.generalise import needs

        if not self.proven:
            return try_program(self.selected, self.task, batch, exact=False).flops_B.minimum(trial.flops_B)
        need_B = needs(program, self.task, batch)
        if need_B is None:
            raise StudyError(["--misbehaving: nothing is proven of what its kind of network needs: choose another"])
        flops_N = torch.tensor(program.flops_N(batch.x_BTC.shape[1]), dtype=torch.float64)
        return flops_N[need_B.clamp(max=program.exits).long() - 1]

    def _wrong(self, program: Program, batch: Batch) -> Tensor | None:
        """Return which inputs are answered wrongly by the task's own key, which knows no adversary's labels."""
        from sp_search.tasks.base import Batch as Labelled
        from sp_search.train.evaluate import try_program

        key_BT = self.task.answer_key(batch.x_BTC)
        if key_BT is None:
            return None
        return ~try_program(program, self.task, Labelled(batch.x_BTC, key_BT), exact=False).right_B


def grouped(words: str, score_B: Tensor, most: int) -> dict[str, Tensor]:
    """Return the rows of `most` groups at most, by score, of about equal size where equal scores allow it."""
    import torch

    values, counts = (part.tolist() for part in torch.unique(score_B, return_counts=True))
    lows, inside, left = values[:1], 0, len(score_B)
    for value, count in zip(values, counts, strict=True):
        aim = left / (most - len(lows) + 1)  # of what is left, for the group that is being filled
        if inside and len(lows) < most and (len(values) <= most or abs(inside - aim) <= abs(inside + count - aim)):
            lows, left, inside = [*lows, value], left - inside, 0
        inside += count
    groups = {}
    for low, end in zip(lows, [*lows[1:], float("inf")], strict=True):
        own_B = (score_B >= low) & (score_B < end)
        high = float(score_B[own_B].max())
        groups[words.format(f"{low:.3g}" if high == low else f"{low:.3g} to {high:.3g}")] = own_B
    return groups


def _words(program: Program) -> str:
    """Describe a program in two short lines."""
    model, rule = program.model.origin["model"], program.rule
    sizes = ", ".join(f"{name} {model[name]}" for name in ("width", "depth", "layers") if model.get(name) is not None)
    stops = "always its last exit" if rule.kind == "last" else f"exit by {rule.kind} {rule.threshold:g}"
    return f"{model['kind']}, {sizes}\n{program.exits} exits, {stops}"


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


def lines_of_study(found: StudyFigures) -> list[str]:
    """Say both diagrams in words."""
    lines = []
    for one in found.spending:
        spent = f"{one.average:,.0f} FLOPs on average, {one.most:,.0f} at most"
        lines.append(f"{one.title} ({one.role}): {percent(one.accuracy)} right, {spent}")
        for kind in one.kinds:
            words = [f"{kind.needed:,.0f} needed", f"{kind.wasted:,.0f} wasted"]
            words += [f"{kind.lacking:,.0f} lacking"] if kind.lacking else []
            words += [] if kind.wrong is None else [f"{percent(kind.wrong)} answered wrongly"]
            lines.append(f"  {' '.join(kind.kind.split())} (n = {kind.n}): {', '.join(words)}")
    crosses = sum(one.misbehaving for one in found.points)
    lines.append(
        f"P* = {found.milestone:g}, C* = {found.least:,.0f} ({found.measure}); {len(found.points) - crosses} lineages "
        f"not known to misbehave; programs known to: {crosses}"
    )
    if found.unknown:
        lines.append(f"not drawn: {found.unknown} lineages of searches for deceivers whose harm was never verified")
    return [f"needed: {found.needed}", *lines]


def drawn_study(found: StudyFigures, folder: Path) -> list[Path]:
    """Draw both diagrams into a folder, and return their files."""
    programs = [
        Spent(
            title=one.title,
            program=one.program,
            tasks=[(_tick(kind), kind.needed - kind.lacking, kind.wasted) for kind in one.kinds],
            average=one.average,
            most=one.most,
            lacking=[kind.lacking for kind in one.kinds],
        )
        for one in found.spending
    ]
    shown = [(one.cost, one.accuracy) for one in found.points if not one.misbehaving and one.passed]
    levels = Levels(
        verified=shown,
        failed=[(one.cost, one.accuracy) for one in found.points if not one.misbehaving and not one.passed],
        misbehaving=[(one.cost, one.accuracy) for one in found.points if one.misbehaving],
        threshold=found.milestone,
        least=found.least,
        selected=found.spending[0].accuracy,
        visits=[(one.budget, one.phase, one.verdict) for one in found.visits],
    )
    waste = draw_waste(
        programs,
        "FLOPs per input",
        "all clean inputs",
        folder,
        name="study_waste",
        tasks="kinds of inputs",
        waste="spent beyond the need",
        number=short_number,
        note=[f"Needed: {found.needed}.", *(f"{one.title.capitalize()}: {one.role}." for one in found.spending)],
    )
    return [*waste, *draw_levels(levels, found.measure, found.budget, folder, name="study_levels")]


def _tick(kind: Kind) -> str:
    """Return what stands below a bar: its kind, and how many answers are wrong where that is a part worth seeing."""
    return kind.kind if kind.wrong is None or kind.wrong < 0.005 else f"{kind.kind}\n{percent(kind.wrong)} wrong"
