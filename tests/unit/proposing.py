"""A small study of proposals, a runner whose answer is known, and what its driver and Optuna leave behind."""

from math import inf
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sp_search.drive.inprocess import run_inprocess
from sp_search.events import Propose
from sp_search.ledger import Ledger, read_ledger
from sp_search.plan import plan_study
from sp_search.records import Assignment, Count, LineageMeasurement, Measured, RunnerState
from sp_search.running import search_of
from sp_search.search import Search
from sp_search.store import MemoryStore
from sp_search.study import Study, study_of
from sp_search.tune.proposer import JOURNAL_NAME, OptunaProposer

CONTENT: dict[str, Any] = {
    "name": "small",
    "task": {"kind": "prefix_sums", "bits": 5},
    "model": {"kind": "recall_conv"},
    "search": {"members": 12, "space": {"width": {"low": 1, "high": 16}, "rollouts": {"low": 1, "high": 8}}},
    "scheduler": {"kind": "fixed"},
    "population": {"replicas": 5},
    "tracking": {"uri": None},
}

LEAST = {"width": 6, "rollouts": 3}


def asked(**changes: Any) -> Study:
    search = {**CONTENT["search"], **changes.pop("search", {})}
    return study_of({**CONTENT, "search": search, **changes})


class Threshold:
    """A runner whose lineages pass from 6 units and 3 rollouts up, and come closer the nearer they are to it."""

    def __init__(self, model_width: int | None = None) -> None:
        self.model_width = model_width

    def begin(self, assignment: Assignment, inherited: RunnerState | None) -> RunnerState:
        return RunnerState()

    def step(self, assignment: Assignment, state: RunnerState) -> tuple[RunnerState, Measured]:
        axis = {"width": self.model_width, **assignment.config, **assignment.budget.axis}
        right = int(1000 * min(1.0, axis["width"] / 6) * min(1.0, axis["rollouts"] / 3))
        lineages = [
            LineageMeasurement(
                lineage=lineage,
                seed=seed,
                ended="reached" if right == 1000 else "exhausted",
                train_steps=1,
                gates={"iid": Count(correct=right, n=1000, exact=True)},
                max_available_flops=assignment.budget.cap,
                parameters=0,
                serial_depth=0,
            )
            for lineage, seed in zip(assignment.lineages, assignment.seeds, strict=True)
        ]
        measured = Measured(
            member=assignment.member,
            visit=assignment.visit,
            level=assignment.level,
            attempt=assignment.attempt,
            lineages=lineages,
            training_flops=1e6,
            verification_flops=0.0,
        )
        return state, measured


class Killed(Exception):
    """The driver dies."""


def begun(study: Study, folder: Path) -> Ledger:
    """Return the ledger of a study that was begun in `folder`."""
    folder.mkdir(exist_ok=True)
    ledger, plan = Ledger(folder, create=True), plan_study(study)
    earlier = [tried.model_dump(mode="json") for tried in plan.earlier]
    ledger.append({"header": {"name": study.name, "study": study.resolved(), "earlier": earlier}})
    return ledger


def drive(study: Study, ledger: Ledger, *, lines: float = inf, model_width: int | None = None) -> Search:
    """Take the study up where its ledger stands, and die when that has `lines` lines."""
    search = search_of(study, plan_study(study, begun=True), ledger)
    search.replay(ledger.entries)

    def append(entry: dict[str, Any]) -> None:
        if len(ledger.entries) >= lines:
            raise Killed
        ledger.append(entry)

    search.append = append
    if search.state.finished is None:
        run_inprocess(search, Threshold(model_width), MemoryStore())
    return search


def run(study: Study, folder: Path, *, model_width: int | None = None) -> Search:
    with begun(study, folder) as ledger:
        return drive(study, ledger, model_width=model_width)


def journal(folder: Path) -> dict[str, optuna.Study]:
    storage = JournalStorage(JournalFileBackend(str((folder / JOURNAL_NAME).resolve())))
    names = sorted(optuna.get_all_study_names(storage))
    return {name: optuna.load_study(study_name=name, storage=storage) for name in names}


def trials(folder: Path, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
    (study,) = journal(folder).values()
    return study.get_trials(states=states or None)


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [entry["event"] for entry in read_ledger(folder) if entry.get("event", {}).get("event") == kind]


def requests(folder: Path) -> dict[int, dict[str, Any]]:
    actions = [action for entry in read_ledger(folder) for action in entry.get("actions", [])]
    return {action["member"]: action for action in actions if action["action"] == "propose"}


def proposer_of(study: Study, folder: Path) -> OptunaProposer:
    with begun(study, folder) as ledger:
        return OptunaProposer(study, ledger.entries, folder)


def request(study: Study, member: int = 0, cap: float | None = None) -> Propose:
    top = plan_study(study).space.caps[-1]
    return Propose(member=member, visit=0, level=0, cap=cap or top, milestone=0.99)
