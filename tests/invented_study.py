"""A study's folder without a study: a real search and ledger over invented measurements, in milliseconds."""

import json
from pathlib import Path
from typing import Any

from sp_search.events import Capacity, LimitReached, MemberLost, SetBudget, Start
from sp_search.ledger import Ledger
from sp_search.levels import Terms
from sp_search.records import (
    Assignment,
    Budget,
    Count,
    LevelSpace,
    LineageMeasurement,
    Measured,
    Member,
    Population,
    Sample,
    Usage,
    derive_seed,
)
from sp_search.schedulers.annealing import Annealing
from sp_search.search import Search

LOADER = """
def load():
    return lambda x: 2 * x
"""
STUDY_YAML = "name: invented\nseed: 3\ntask: {kind: parity, bits: 11}\n"


def write_study(
    folder: Path,
    *,
    name: str = "invented",
    least: float = 5.0,
    config: dict[str, Any] | None = None,
    until: int | None = None,
    lose: frozenset[int] = frozenset({3}),
    study: dict[str, Any] | None = None,
    usage: Usage | None = None,
) -> Search:
    """Write `ledger.jsonl` and `study.yaml`, and `result.json` when the search was not cut short after `until` events.

    Programs with `least` rollouts or more pass. `lose` names attempts that the machinery loses once.
    `study` adds to what the header says was asked; `usage` is what every trial used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    caps = [float(cap) for cap in range(1, 9)]
    space = LevelSpace(kind="max", measure="rollouts", axis="rollouts", caps=caps)
    budgets = [Budget(kind="max", measure="rollouts", cap=cap, axis={"rollouts": int(cap)}) for cap in caps]
    configs = [{"width": 12, **(config or {})}, {"width": 16}]
    members = [Member(member=index, config=one, budgets=list(budgets)) for index, one in enumerate(configs)]
    population, terms = Population(members=members, replicas=3), Terms(seed=3, milestones=[0.95])
    asked = {"task": {"kind": "parity", "bits": 11}, "model": {"kind": "recall_conv", **configs[0]}, **(study or {})}
    with Ledger(folder, create=True) as ledger:
        header = {"name": name, "seed": 3, "study": asked, "versions": {"sp_search": "0.1.0", "torch": "2.13.0"}}
        dumped = {"space": space, "population": population, "terms": terms}
        ledger.append({"header": {**header, **{key: value.model_dump(mode="json") for key, value in dumped.items()}}})
        search = Search(Annealing(), space, population, terms, 0.99, ledger.append)
        finished = drive(search, least, until, lose, usage)
        (folder / "study.yaml").write_text(STUDY_YAML.replace("invented", json.dumps(name)))
        if finished:
            (folder / "result.json").write_text(json.dumps(result_of(search, name)))
    return search


def write_program(folder: Path, weights: bytes = b"weights", **facts: str) -> None:
    """Write a program that doubles its input, as a study exports one."""
    folder.mkdir(parents=True)
    (folder / "load.py").write_text(LOADER)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text(json.dumps({"shape": {"channels": 1, "classes": 1}, "facts": facts}))


def drive(
    search: Search,
    least: float,
    until: int | None,
    lose: frozenset[int],
    usage: Usage | None = None,
    queue: list[Assignment] | None = None,
) -> bool:
    """Feed a search until it ends, or `until` events were fed; `queue` goes on with one that was begun."""
    queue, event = queue or [], None if queue else Capacity(slots=2)
    for fed in range(1000):
        if fed == until:
            return False
        if event is not None:
            queue += [one.assignment for one in search.feed(event) if isinstance(one, Start | SetBudget)]
        if search.state.finished is not None:
            return True
        assignment = queue.pop(0)
        lost = assignment.attempt in lose
        event = MemberLost(member=assignment.member, attempt=assignment.attempt, reason="worker died (invented)")
        event = event if lost else measure(assignment, least).model_copy(update={"usage": usage})
    search.feed(LimitReached(limit="events"))
    return True


def measure(at: Assignment, least: float) -> Measured:
    lineages = [invent(at, lineage, seed, least) for lineage, seed in zip(at.lineages, at.seeds, strict=True)]
    return Measured(
        member=at.member,
        visit=at.visit,
        level=at.level,
        attempt=at.attempt,
        lineages=lineages,
        training_flops=3e9 * at.budget.cap * len(lineages),
        verification_flops=1e8 * at.budget.cap,
    )


def invent(at: Assignment, lineage: int, seed: int, least: float) -> LineageMeasurement:
    luck = derive_seed(seed, at.level) % 1000 / 1000
    flops = at.budget.cap * (1.1e4 if at.member == 0 else 1.9e4)
    diverged = luck > 0.97
    passes = at.budget.cap >= least and luck < 0.8
    accuracy = min(1.0, 0.5 + 0.5 * min(1.0, at.budget.cap / least) - 0.03 * luck * (not passes))
    sample = Sample(
        mean=flops, variance=0.0, p95=flops, largest=flops, n=2048, possible_low=flops, possible_high=flops, exact=True
    )
    return LineageMeasurement(
        lineage=lineage,
        seed=seed,
        ended="diverged" if diverged else "reached" if passes else "exhausted",
        train_steps=800,
        gates={"iid": Count(correct=8192 - int(8 * luck), n=8192)} if passes else {},
        compute={} if diverged else {"flops": sample},
        max_available_flops=flops,
        parameters=1234 + 1000 * at.member,
        serial_depth=int(4 * at.budget.cap),
        diagnostics={"validation_accuracy": None if diverged else accuracy},
    )


def result_of(search: Search, name: str) -> dict[str, Any]:
    """Return a `result.json` as the front door would write it."""
    caps, milestone = search.state.space.caps, search.state.terms.milestones[0]
    chosen = search.selection(milestone)
    answer: dict[str, Any] = {"milestone": milestone, "met": False, "program": None, "budget": None}
    answer["minimum"] = {"low": caps[-1], "high": None, "basis": "statistical", "text": "all of them failed"}
    if chosen is not None:
        selection, found = chosen
        flops = {"value": found.max_available_flops, "low": found.max_available_flops, "n": 2048, "exact": True}
        flops["high"] = found.max_available_flops
        answer |= {
            "met": True,
            "program": {"model": "recall_conv", "member": selection.member, "lineage": 0, "visit": selection.visit}
            | {**search.state.population.members[selection.member].config},
            "budget": selection.budget.model_dump(mode="json"),
            "accuracy": {
                "value": 0.9995,
                "low": 0.9971,
                "high": 0.9999,
                "n": 8192,
                "exact": False,
                "distribution": "iid",
            },
            "mean_flops_per_example": flops,
            "p95_flops_per_example": found.max_available_flops,
            "max_flops_per_example": found.max_available_flops,
            "max_available_flops": found.max_available_flops,
            "serial_depth": found.serial_depth,
            "parameters": found.parameters,
            "reports": {"longer": {"value": 0.981, "low": 0.97, "high": 0.99, "n": 1024, "rule": "in proportion"}},
        }
        low, failed = selection.budget.cap, selection.budget.cap - 1
        text = f"the next lower budget {failed:g} failed in 6 lineages: pass rate <= 0.39 at 95%"
        answer["minimum"] = {"low": low, "high": low, "basis": "statistical", "text": text}
    visits = [
        {"cap": caps[one.level], **one.model_dump(include={"visit", "level", "phase", "milestone", "verdict", "tried"})}
        | one.model_dump(include={"passed", "undecided", "pass_rate_high"})
        for one in search.state.history
    ]
    levels = [
        {"milestone": milestone, "level": row["level"], "cap": row["cap"], "lineages": row["tried"]}
        | {key: row[key] for key in ("passed", "undecided", "verdict")}
        | {
            "pass_rate": row["passed"] / row["tried"],
            "low": 0.0,
            "high": row["pass_rate_high"],
            "visits": [row["visit"]],
        }
        for row in sorted(visits, key=lambda row: row["cap"])
    ]
    return {
        "name": name,
        "seed": 3,
        "ended": search.state.finished,
        **answer,
        "milestones": [answer],
        "levels": levels,
        "visits": visits,
        "unsearched": [
            cap for level, cap in enumerate(caps) if level not in {one.level for one in search.state.history}
        ],
        "undecided": 0,
        "looks": search.looks,
        "search_flops": {**search.spent, "repeated": 0.0},
        "audits": [],
        "failures": search.failures,
    }
