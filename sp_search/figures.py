"""What `sp-search figures` measures: the two diagrams of the argument, from programs that exist.

The world is the exact one of `sp_search.exact`. First, what an honest and a misbehaving program spend on four tasks,
the one selected by the average prior, the other by the max prior (the cheapest that misbehaves). Second, how well
programs do within a cap C on average compute, what misbehaving wastes, and how the product's own annealing finds C*.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from pydantic import Field

from sp_search.drive.exact import Found, search_programs
from sp_search.exact.census import Census, Group, census
from sp_search.exact.drawing import Drawn, draw
from sp_search.exact.priors import favoured
from sp_search.exact.programs import Act, Leaf, Program, Read, Search, execute, facts, misbehaves
from sp_search.exact.setting import Setting, boolean_function
from sp_search.exact.twins import honest_twin
from sp_search.experiments.base import rate_cell
from sp_search.oracles.decision_programs import DecisionPrograms
from sp_search.records import Record, derive_seed
from sp_search.report.diagrams import Scatter, Spent, draw_annealing, draw_waste
from sp_search.schedulers.annealing import Annealing

SEARCHES = 200
"""Searches, seeds 0, 1, ..., whose selections are counted; the first one is drawn."""
CROSSES = 4
"""Misbehaving programs that are drawn for every performance."""
TASK_BITS = 3


class Bar(Record):
    """One task: what a program needs there (what its honest twin spends), and what it spends beside."""

    task: str
    needed: int
    wasted: int


class Spending(Record):
    """One program: its text, its prior, four tasks of it, and over all trained inputs the average and the most."""

    program: str
    prior: str
    candidates: int
    honest: bool
    bars: list[Bar]
    average: float
    wasted: float
    most: int


class Point(Record):
    """A drawn program: its average compute, its share of right answers, and what its honest twin computes."""

    cost: float
    accuracy: float
    honest: bool
    twin: float


class Step(Record):
    """A visit of the drawn search: the cap, the phase, and whether a good program was found there."""

    cap: float
    phase: str
    found: bool


class Share(Record):
    """Good programs of average compute `cost` at most: how many there are, and how many of them misbehave."""

    cost: float
    good: int
    misbehaving: int


class Figures(Record):
    """Everything that the two diagrams show. Costs are reads and acts per input."""

    function: str
    programs: int
    honest: int
    spending: list[Spending]
    least: float
    points: list[Point]
    shares: list[Share]
    samples: int
    steps: list[Step]
    selected: float
    selected_honest: bool
    searches: int
    found: int = Field(description="searches that select a good program")
    misbehaving: int = Field(
        description="searches that select a misbehaving one, with the 95 % interval of their share"
    )
    misbehaving_low: float
    misbehaving_high: float


def measured(function: str = "fig", *, samples: int = 1_000_000, searches: int = SEARCHES) -> Figures:
    """Measure both diagrams for one function of three bits.

    Args:
        function: what is to be learnt, by name or truth table.
        samples: programs that each lineage of a search evaluates at a level.
        searches: how many searches are counted.

    Raises:
        ValueError: no such function, or the max prior selects nothing that misbehaves (every input needs as much),
            or the search that is to be drawn finds nothing.
    """
    boolean_function(function, TASK_BITS)
    oracle = DecisionPrograms(function=function, task_bits=TASK_BITS, samples=samples)
    counted = census(oracle.setting)
    spending = [_spending(counted, "average", honest=True), _spending(counted, "max", honest=False)]
    found = [search_programs(Annealing(budget="mean"), oracle, seed=seed) for seed in range(searches)]
    first = found[0]
    rate = rate_cell("misbehaving", [one.misbehaves for one in found])
    if first.truth is None:
        raise ValueError(f"the search of seed 0 finds no good program among {samples} a lineage and level: take more")
    return Figures(
        function=function,
        programs=sum(group.count for group in counted.all()),
        honest=sum(group.count for group in counted.good() if not group.misbehaving),
        spending=spending,
        least=min(counted.average(group.cost) for group in counted.good()),
        points=list(_points(counted)),
        shares=_shares(counted),
        samples=samples,
        steps=_steps(first),
        selected=first.truth.average,
        selected_honest=not first.misbehaves,
        searches=searches,
        found=sum(one.truth is not None for one in found),
        misbehaving=sum(one.misbehaves for one in found),
        misbehaving_low=rate.low,
        misbehaving_high=rate.high,
    )


def text(setting: Setting, program: Program) -> str:
    """Return a program as a line: `x0 ? then : else` reads a task bit, `d0` one of context, `!` acts."""
    match program:
        case Leaf(bit):
            return str(bit)
        case Search(macro):
            return f"search({macro.cost})"
        case Act(then):
            return f"!{text(setting, then)}"
        case Read(bit, zero, one):
            name = f"x{bit}" if bit < setting.task_bits else f"d{bit - setting.task_bits}"
            return f"({name} ? {text(setting, one)} : {text(setting, zero)})"


def _spending(counted: Census, prior: str, *, honest: bool) -> Spending:
    """Draw one of the cheapest honest, or misbehaving, programs that a prior selects from."""
    setting = counted.setting
    groups = [group for group in favoured(counted, prior) if group.misbehaving != honest]
    if not groups:
        kind = "honest" if honest else "misbehaving"
        raise ValueError(f"the {prior} prior selects no {kind} program for '{setting.function}': take another function")
    least = min(group.cost for group in groups)
    cheapest = [group for group in groups if group.cost == least]
    drawn = draw(counted, cheapest, _luck("spending", prior))
    twin = honest_twin(setting, drawn.program)
    bars = []
    for x in range(0, 2**setting.task_bits, 2 ** max(0, setting.task_bits - 2)):
        number = x << setting.context_bits
        needed, spent = (execute(setting, one, number).cost for one in (twin, drawn.program))
        bars.append(Bar(task=f"{x:0{setting.task_bits}b}", needed=needed, wasted=spent - needed))
    average = counted.average(drawn.facts.cost)
    return Spending(
        program=text(setting, drawn.program).removeprefix("(").removesuffix(")"),
        prior=prior,
        candidates=sum(group.count for group in cheapest),
        honest=honest,
        bars=bars,
        average=average,
        wasted=average - counted.average(facts(setting, twin).cost),
        most=drawn.facts.max_used,
    )


def _points(counted: Census) -> list[Point]:
    """Draw honest programs of every cost, and a few misbehaving ones, for every share of right answers from a half."""
    setting, total = counted.setting, counted.setting.total_weight
    kinds: dict[tuple[int, bool], dict[int, list[Group]]] = {}
    most = total * setting.depth * 4 // 5
    for group in counted.all("errors"):
        assert group.errors is not None
        if group.errors * 2 <= total and group.cost <= most:
            kinds.setdefault((group.errors, group.misbehaving), {}).setdefault(group.cost, []).append(group)
    points = []
    for (errors, misbehaving), costs in sorted(kinds.items()):
        luck = _luck("points", errors, misbehaving)
        shown = sorted(costs)
        if misbehaving:  # the cheapest, and others at random
            shown = [shown[0], *sorted(luck.sample(shown[1:], min(CROSSES - 1, len(shown) - 1)))]
        points += [_point(counted, draw(counted, costs[cost], luck, good=False)) for cost in shown]
    return points


def _point(counted: Census, drawn: Drawn) -> Point:
    setting = counted.setting
    twin = facts(setting, honest_twin(setting, drawn.program))
    assert twin.errors == drawn.facts.errors, "an honest twin answers as the program does"
    return Point(
        cost=counted.average(drawn.facts.cost),
        accuracy=1 - drawn.facts.errors / setting.total_weight,
        honest=not misbehaves(drawn.facts.flags),
        twin=counted.average(twin.cost),
    )


def _shares(counted: Census) -> list[Share]:
    """Return how many of the good programs within every cap misbehave."""
    shares, good, bad = [], 0, 0
    groups = sorted(counted.good(), key=lambda group: group.cost)
    for index, group in enumerate(groups):
        good, bad = good + group.count, bad + group.count * group.misbehaving
        if index + 1 == len(groups) or groups[index + 1].cost > group.cost:
            shares.append(Share(cost=counted.average(group.cost), good=good, misbehaving=bad))
    return shares


def _steps(found: Found) -> list[Step]:
    outcomes = found.result.levels
    return [Step(cap=one.cap, phase=one.phase, found=one.found_level is not None) for one in outcomes]


def _luck(*purpose: object) -> Random:
    return Random(derive_seed(0, "figures", *purpose))  # noqa: S311 - reproducible luck


def lines_of(figures: Figures) -> list[str]:
    """Say both diagrams in words."""
    honest, wasteful = figures.spending
    good = figures.shares[-1].good
    second = figures.shares[1] if len(figures.shares) > 1 else figures.shares[0]
    return [
        f"{figures.programs:,} programs, {good:,} of them good, of which {figures.honest} are honest",
        f"needed and wasted: honest ({honest.prior} prior, one of {honest.candidates}) {honest.average:g} on average, "
        f"{honest.most} at most; misbehaving ({wasteful.prior} prior, one of {wasteful.candidates}) "
        f"{wasteful.average:g} on average, {wasteful.wasted:g} of it wasted, {wasteful.most} at most",
        f"C* = {figures.least:g}, where {figures.shares[0].misbehaving} of {figures.shares[0].good} good programs "
        f"misbehave; at C = {second.cost:g}: {second.misbehaving} of {second.good}",
        f"annealing, {figures.samples:,} programs a lineage and level: found {figures.selected:g} in "
        f"{len(figures.steps)} visits, {'honest' if figures.selected_honest else 'misbehaving'} (seed 0); "
        f"{figures.found} of {figures.searches} searches select a good program, {figures.misbehaving} a misbehaving "
        f"one ({figures.misbehaving / figures.searches:.3g} of all, 95 % interval "
        f"[{figures.misbehaving_low:.3f}, {figures.misbehaving_high:.3f}])",
    ]


def _wrapped(program: str) -> str:
    """Return a program's line in two, broken before its last branch that fits."""
    at = program.rfind(" : (", 0, 48) if len(program) > 48 else program.rfind(" : ")
    return f"{program[:at]}\n  {program[at:]}" if at > 0 else f"{program}\n"


def drawn(figures: Figures, folder: Path) -> list[Path]:
    """Draw both diagrams into a folder, and return their files."""
    programs = [
        Spent(
            title=f"{'honest' if one.honest else 'misbehaving, as good'} ({one.prior} prior)",
            program=_wrapped(one.program),
            tasks=[(f"x = {bar.task}", bar.needed, bar.wasted) for bar in one.bars],
            average=one.average,
            most=one.most,
        )
        for one in figures.spending
    ]
    scatter = Scatter(
        honest=[(point.cost, point.accuracy) for point in figures.points if point.honest],
        misbehaving=[(point.cost, point.accuracy, point.twin) for point in figures.points if not point.honest],
        threshold=1.0,
        least=figures.least,
        shares=[(share.cost, share.good, share.misbehaving) for share in figures.shares],
        visits=[(step.cap, step.phase, step.found) for step in figures.steps],
        selected=(figures.selected, figures.selected_honest),
    )
    unit = "reads and acts"
    return [
        *draw_waste(programs, unit, "all trained inputs", folder),
        *draw_annealing(scatter, unit, "performance (share of right answers)", folder),
    ]
