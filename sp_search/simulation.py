"""A study's scheduler, verdict and population in a world whose truth is known: the answer of `sp-search simulate`.

Costs and times are in prices of one lineage at C*, so that worlds can be compared. Left out: the study's task, model
and ladder; searches by proposals, whose space is not the oracle's.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError

from sp_search.drive.cluster import Stragglers
from sp_search.drive.exact import selected_program
from sp_search.drive.simulated import SimulationResult, simulate
from sp_search.errors import StudyError
from sp_search.levels import Terms
from sp_search.oracles.base import OraclePart, ProgramOracle, RunningOracle
from sp_search.records import Count, derive_seed
from sp_search.selection import accuracy_interval
from sp_search.settings_file import dotted, read_changes
from sp_search.store import MemoryStore, Store
from sp_search.strict import PartOf, Section
from sp_search.study import Study

CRASHES = 200
"""Most ledger lines after which a search is let die; of more, so many evenly spread."""
KINDS = ("misbehaving", "deceptive", "harmful")


class _World(Section):
    oracle: Annotated[OraclePart, PartOf("oracles")]


class Setting(Section):
    """How often and on what a study is simulated."""

    workers: list[Annotated[int, Field(ge=1, le=1_000_000)]] = Field(min_length=1)
    seeds: int = Field(ge=1, le=1_000_000)
    stragglers: float = Field(ge=0, le=1)


class Truth(NamedTuple):
    """C* of an oracle by the study's own standard, and the price of a lineage there (1 where there is no C*)."""

    least: float | None
    price: float


def oracle_of(name: str, settings: Sequence[str]) -> OraclePart:
    """Return the oracle of that name with `field=value` settings, its data read.

    Raises:
        StudyError: no such oracle, a setting that it refuses, or a package that is not installed.
    """
    values = {dotted(change.path): change.value for change in read_changes(settings)}
    try:
        oracle = _World.model_validate({"oracle": {**values, "kind": name}}).oracle
        oracle.levels  # noqa: B018  # a table is read here, where its absence can be said
    except ValidationError as error:
        lines = [(dotted(one["loc"][1:]), one["msg"]) for one in error.errors(include_url=False)]
        problems = [f"{key}: {words}" if key else words for key, words in lines]
        raise StudyError([f"--oracle {name}: {problem}" for problem in problems]) from None
    except ImportError as error:
        raise StudyError([f"--oracle {name}: {error}"]) from None
    return oracle


def setting_of(workers: str, seeds: int, stragglers: float) -> Setting:
    """Return the setting of a command line (`workers` as `1,4,16`), or raise `StudyError` with what is wrong."""
    numbers = [int(one) if one.strip().isdecimal() else one for one in workers.split(",")]
    try:
        return Setting.model_validate({"workers": numbers, "seeds": seeds, "stragglers": stragglers})
    except ValidationError as error:
        raise StudyError([f"--{one['loc'][0]}: {one['msg']}" for one in error.errors(include_url=False)]) from None


def simulated(study: Study, oracle: OraclePart, setting: Setting, *, crashes: bool = False) -> dict[str, Any]:
    """Return what `study` finds and pays in the oracle's world, by number of workers.

    Raises:
        StudyError: it searches by proposals.
    """
    if study.search is not None:
        raise StudyError(
            [f"search: '{study.name}' searches a space of its own, which no oracle knows: simulate a study of members"]
        )
    oracle = oracle.under(study.scheduler.budget)
    rate = study.verdict.min_pass_rate
    least = oracle.least(rate)
    truth = Truth(least, 1.0 if least is None else oracle.cost(least))
    return {
        "name": study.name,
        "scheduler": study.scheduler.model_dump(mode="json"),
        "oracle": oracle.model_dump(mode="json"),
        "least": least,
        "least_means": oracle.least_means(rate),
        "rate": rate,
        "price": truth.price,
        "members": len(study.population.members),
        "replicas": study.population.replicas,
        "lineages_to_fail": study.verdict.lineages_to_fail,
        "seeds": [study.seed + index for index in range(setting.seeds)],
        "stragglers": setting.stragglers,
        "workers": [_at(study, oracle, truth, setting, workers, crashes) for workers in setting.workers],
    }


def _at(
    study: Study, oracle: OraclePart, truth: Truth, setting: Setting, workers: int, crashes: bool
) -> dict[str, Any]:
    """Return every seed's search with that many workers, and what they have in common."""
    runs = []
    for index in range(setting.seeds):
        store = MemoryStore()
        result = _run(study, oracle, setting, workers, study.seed + index, store=store)
        runs.append(_row(study.seed + index, result, oracle, truth) | _selected(result, oracle, store))
    found = [row["found"] / truth.least for row in runs if row["found"] is not None and truth.least is not None]
    at = {
        "workers": workers,
        "met": fmean(row["found"] is not None for row in runs),
        "found": [min(found), median(found), max(found)] if found else None,
        "false": fmean(row["false"] for row in runs),
        "lucky": None if truth.least is None else fmean(one < 1 - 1e-12 for one in found) if found else 0.0,
        "covered": None if truth.least is None else fmean(row["covered"] for row in runs),
        **{key: fmean(row[key] for row in runs) for key in ("cost", "trials", "time", "utilisation")},
        **_true_of([row["truth"] for row in runs if "truth" in row]),
        "curve": _curve(runs, truth),
        "runs": runs,
    }
    return at | ({"crashes": _crashes(study, oracle, setting, workers, truth)} if crashes else {})


def _run(
    study: Study,
    oracle: OraclePart,
    setting: Setting,
    workers: int,
    seed: int,
    crash_at: int | None = None,
    store: Store | None = None,
) -> SimulationResult:
    terms = Terms(
        seed=seed,
        milestones=[oracle.milestone_asked],
        lineages_to_fail=study.verdict.lineages_to_fail,
        false_negative=study.verdict.false_negative,
        quorum=study.verdict.quorum,
    )
    return simulate(
        study.scheduler,
        oracle,
        workers=workers,
        seed=seed,
        crash_at=crash_at,
        members=study.population.members,
        replicas=study.population.replicas,
        terms=terms,
        confidence=study.selection.confidence,
        stragglers=Stragglers(share=setting.stragglers),
        store=store,
    )


def _row(seed: int, result: SimulationResult, oracle: OraclePart, truth: Truth) -> dict[str, Any]:
    low, high, claim = result.minimum.low, result.minimum.high, result.selected
    false = False
    if claim is not None and not isinstance(oracle, RunningOracle):  # whose programs are checked on every input
        false = not oracle.passes(claim.cost, derive_seed(seed, claim.member, claim.lineage))
    return {
        "seed": seed,
        "found": result.found_budget,
        "false": false,
        "low": low,
        "high": high,
        "covered": truth.least is not None and _at_most(low, truth.least) and _at_most(truth.least, high),
        "cost": result.search_cost / truth.price,
        "trials": result.trials,
        "time": result.virtual_time / truth.price,
        "utilisation": result.utilisation,
        "curve": [[paid / truth.price, cap] for _, paid, cap in result.curve],
    }


def _selected(result: SimulationResult, oracle: OraclePart, store: MemoryStore) -> dict[str, Any]:
    """Return what is true of the selected program, in a world of programs."""
    if not isinstance(oracle, ProgramOracle):
        return {}
    program = selected_program(result, store)
    return {"program": program, "truth": None if program is None else oracle.truth(program)._asdict()}


def _at_most(low: float | None, high: float | None) -> bool:
    return low is None or high is None or low <= high * (1 + 1e-12)


def _true_of(truths: list[dict[str, Any] | None]) -> dict[str, Any]:
    """Return how many searches selected a program, and the share of all that selected one which misbehaves, ...

    Shares have their 95 % interval over searches. Empty outside worlds of programs.
    """
    if not truths:
        return {}
    selected, n = [one for one in truths if one is not None], len(truths)
    counts = {kind: Count(correct=sum(one[kind] for one in selected), n=n) for kind in KINDS}
    return {"selected": len(selected)} | {
        kind: accuracy_interval(count, 0.05).model_dump() for kind, count in counts.items()
    }


def _curve(runs: list[dict[str, Any]], truth: Truth) -> list[tuple[float, float | None]]:
    """Return (spent, median of the least caps found by then over C*), None where fewer than half found any."""
    most, spent, points = max(row["cost"] for row in runs), 1.0, []
    while True:
        caps = [min((cap for paid, cap in row["curve"] if paid <= spent), default=float("inf")) for row in runs]
        middle = sorted(caps)[len(caps) // 2] / (truth.least or 1.0)
        points.append((spent, None if middle == float("inf") else middle))
        if spent >= most:
            return points
        spent *= 2


def _crashes(study: Study, oracle: OraclePart, setting: Setting, workers: int, truth: Truth) -> dict[str, Any]:
    """Let the search of the first seed die after its ledger lines, one search for each, and compare its answers."""
    calm = _run(study, oracle, setting, workers, study.seed)
    lines = range(1, len(calm.events) + 1, -(-len(calm.events) // CRASHES))
    died = [_run(study, oracle, setting, workers, study.seed, line) for line in lines]
    same = [
        (one.found_budget, one.selected, one.levels) == (calm.found_budget, calm.selected, calm.levels) for one in died
    ]
    lost = [one.lost / truth.price for one in died]
    return {
        "lines": len(calm.events),
        "crashes": len(died),
        "same": sum(same),
        "lost": fmean(lost),
        "most_lost": max(lost),
    }
