"""One study from its plan to its `result.json`: begun or replayed, driven to its end, its answer measured and kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sp_search.answer import LookUp, remeasure, write_programs
from sp_search.audits.base import Verdict
from sp_search.audits.panel import hear
from sp_search.control import GoesOn, Inbox
from sp_search.errors import StorageError
from sp_search.events import Propose, Proposed, Proposer
from sp_search.folder import begun_study, manifest, own_storage, recorded_study, store_of, versions, write_json
from sp_search.keeping import collecting
from sp_search.ledger import LEDGER_NAME, Ledger, read_ledger
from sp_search.limits import limit_of, repeated_flops, room_of
from sp_search.plain_files import read_json, understood
from sp_search.plan import Plan, build_runner, plan_study
from sp_search.records import Assignment, LevelReport
from sp_search.report.live import LiveLine
from sp_search.result import Remeasured, build_result
from sp_search.seal import sealed
from sp_search.search import Search
from sp_search.segments import OwnDisk
from sp_search.session import copied, tracked
from sp_search.signals import interruptible
from sp_search.store import parked
from sp_search.study import Cluster, Study

if TYPE_CHECKING:
    from pandas import DataFrame

    from sp_search.program import Program

Driver = Literal["ray", "inprocess"]
RESULT_NAME = "result.json"


@dataclass(frozen=True)
class Result:
    """What a finished study leaves: its folder, and the content of its `result.json`."""

    folder: Path
    payload: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """The highest that applies: 6 an audit flagged, 4 too many trials or members failed, 3 not all met, else 0.

        A flag is never hidden: also a program of a milestone below the highest may be misbehaving.
        """
        flagged = any(one["verdict"] == "flagged" for one in self.payload.get("audits", []))
        failed = self.payload["ended"] in ("failures", "no_members")
        return 6 if flagged else 0 if self.met else 4 if failed else 3

    @property
    def met(self) -> bool:
        """Whether every milestone was met."""
        return bool(self.payload["met"])

    def dataframe(self) -> DataFrame:
        """Return a row for every lineage that was judged, at every visit; compute in FLOPs per example.

        Settings that a member overrides are columns `config.NAME`.
        """
        from sp_search.lineages import lineage_table

        return lineage_table(read_ledger(self.folder))

    def program(self) -> Program:
        """Return the selected program."""
        from sp_search.train.export import load_program

        return load_program(self.folder / "program")


def begin(asked: Study, plan: Plan, folder: Path, driver: Driver, where: Cluster) -> Result:
    """Write down what is asked, then drive it to its answer."""
    with Ledger(folder, create=True) as ledger:
        with _whole_or_nothing(folder):
            (folder / "study.yaml").write_text(asked.dump_yaml(), encoding="utf-8")
            begun = {
                "seed": asked.seed,
                "versions": versions(),
                "driver": driver,
                "tracking_uri": absolute_store(asked),
                "checkpoints": own_storage(where.storage, folder),
            }
            write_json(folder / "manifest.json", sealed(begun))
            header = {
                "name": asked.name,
                "seed": asked.seed,
                "study": asked.resolved(),
                "space": plan.space.model_dump(mode="json"),
                "population": plan.population.model_dump(mode="json"),
                "terms": plan.terms.model_dump(mode="json"),
                "earlier": [tried.model_dump(mode="json") for tried in plan.earlier],
                "versions": versions(),
            }
            ledger.append({"header": header})
        return _drive(asked, plan, ledger, search_of(asked, plan, ledger), driver, where)


@contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[None]:
    """Take back what was written of a study that the disk has no room to begin, so that the same command begins it.

    Raises:
        StorageError: in place of the disk's error.
    """
    try:
        yield
    except (OSError, StorageError) as error:
        for name in ("study.yaml", "manifest.partial", "manifest.json", LEDGER_NAME):
            (folder / name).unlink(missing_ok=True)
        said = error.__cause__ or error
        raise StorageError(
            f"cannot begin a study in {folder}: {said}. Make room or mend it, then run it again"
        ) from error


def go_on(path: Path, driver: Driver | None, where: Cluster) -> Result:
    """Replay the ledger of a begun study, then drive it to its answer."""
    with Ledger(path) as ledger:
        study, plan, search = replayed(ledger.entries, path, ledger)
        with understood(path):
            begun_with = manifest(path)["driver"]
        return _drive(study, plan, ledger, search, driver or begun_with, where)


def replayed(entries: list[dict[str, Any]], path: Path, ledger: Ledger | None = None) -> tuple[Study, Plan, Search]:
    """Return a study as it stands, the plan that it was begun with, and its search where the ledger leaves it.

    Args:
        entries: the ledger's.
        path: the study's folder.
        ledger: what the search goes on to write; None to read only.

    Raises:
        StorageError: the entries make no study together, or were written by another version.
    """
    with understood(path):
        begun = begun_study(entries, path)
        plan = plan_study(begun, begun=True)
        search = search_of(begun, plan, ledger)
        search.replay(entries)
        return recorded_study(entries, path), plan, search


def search_of(study: Study, plan: Plan, ledger: Ledger | None) -> Search:
    """Return a fresh search, which writes to `ledger` if there is one."""
    append, terms = None if ledger is None else ledger.append, plan.terms
    proposer = _proposer(study, ledger)
    return Search(study.scheduler, plan.space, plan.population, terms, study.selection.confidence, append, proposer)


class _Nobody:
    """Hears a replay where a study is only read."""

    def propose(self, request: Propose) -> Proposed:
        raise AssertionError("a replay proposes nothing")

    def accepted(self, proposed: Proposed) -> None:
        pass

    def judged(self, report: LevelReport) -> None:
        pass

    def ended(self, member: int, reason: str) -> None:
        pass


def _proposer(study: Study, ledger: Ledger | None) -> Proposer | None:
    if study.search is None:
        return None
    if ledger is None:
        return _Nobody()
    from sp_search.tune.proposer import OptunaProposer

    return OptunaProposer(study, ledger.entries, ledger.folder)


def _drive(study: Study, plan: Plan, ledger: Ledger, search: Search, driver: Driver, cluster: Cluster) -> Result:
    """Drive a new or replayed search to its end, then measure, write and track the answer."""
    folder = ledger.folder
    inbox, store = Inbox(folder, study), store_of(folder)
    if driver == "ray":
        import sp_search.tune.launch  # noqa: F401 - importing ray sets signal handlers of its own: before ours
    with interruptible(folder), tracked(study, folder), copied(folder) as copy:
        inbox.catch_up(search, lambda: [parked(store, one).training_flops for one in search.live_assignments()])
        while True:
            if search.state.finished is None:
                line = LiveLine()
                try:
                    _run_driver(inbox, search, ledger, driver, cluster, line.update, copy)
                finally:
                    line.close()
            for assignment in list(search.cut.values()):  # nobody is left who could say it
                search.feed(parked(store, assignment))

            def look_up() -> None:
                copy.check()
                inbox.look_up(search)

            try:
                result = _answer(inbox.study, plan, search, ledger, look_up)
            except GoesOn:
                continue
            inbox.forget()
            return result


def _answer(study: Study, plan: Plan, search: Search, ledger: Ledger, look_up: LookUp) -> Result:
    """Measure the chosen programs anew, and write the answer into the study's folder."""
    from sp_search.report.page import write_report

    folder = ledger.folder
    chosen = _choose(study, search, folder, ledger, look_up)
    repeated = repeated_flops(study, ledger.entries)
    found = {milestone: measured for milestone, (measured, _) in chosen.items()}
    payload = build_result(study, plan, search, found, repeated, _audited(study, folder, chosen, look_up))
    try:
        if chosen:
            write_programs(folder, {milestone: program for milestone, (_, program) in chosen.items()}, payload)
        write_json(folder / RESULT_NAME, payload)
        write_report(folder)
    except OSError as error:
        raise StorageError(f"cannot write the answer of {folder}: {error}. Make room, then resume {folder}") from error
    return Result(folder, payload)


def _audited(
    study: Study, folder: Path, chosen: dict[float, tuple[Remeasured, Program]], look_up: LookUp
) -> list[Verdict]:
    """Put the study's audits to the program of the highest milestone; the search is over and hears nothing of it.

    What a finished study's result holds of that program already stays: `sp-search audit` may have asked more since.
    """
    if not chosen:
        return []
    milestone, (remeasured, program) = max(chosen.items())
    told = _told(folder / RESULT_NAME, milestone, remeasured.program)
    asked = [audit for audit in study.audits if audit.kind_name() not in {one.audit for one in told}]
    for audit in asked:
        look_up()
        told += hear(program, study.task, [audit], seed=study.seed).verdicts
    return told


def _told(result: Path, milestone: float, program: dict[str, Any]) -> list[Verdict]:
    """Return what a result that was written before says of this program; nothing where it is damaged or of another.

    A study that was extended has another answer, which nobody has audited.
    """
    try:
        before = read_json(result)
        same = (before["milestone"], before["program"]) == (milestone, json.loads(json.dumps(program)))
        return [Verdict.model_validate(one) for one in before["audits"]] if same else []
    except (OSError, StorageError, ValueError, KeyError, TypeError):
        return []


def _run_driver(
    inbox: Inbox,
    search: Search,
    ledger: Ledger,
    driver: Driver,
    cluster: Cluster,
    progress: Callable[[Search], None],
    copy: OwnDisk,
) -> None:
    study, folder = inbox.study, ledger.folder
    limit = limit_of(lambda: inbox.study, ledger.entries)
    store = store_of(folder)
    told = collecting(store, study.limits.checkpoints, progress, copy.when_safe)

    def progressed(search: Search) -> None:
        copy.check()
        told(search)

    if driver == "inprocess":
        import torch

        from sp_search.drive.inprocess import run_inprocess

        torch.set_num_threads(study.resources.threads)
        run_inprocess(search, build_runner(study), store, limit=limit, progress=progressed, asked=inbox.look)
        return
    from sp_search.tune.actor import RunnerRecipe
    from sp_search.tune.launch import run_tune

    run_tune(
        search,
        RunnerRecipe.of_study(study),
        folder,
        cluster=cluster,
        cpu=study.resources.cpu,
        gpu=study.resources.gpu,
        concurrent=study.limits.concurrent,
        limit=limit,
        room=room_of(lambda: inbox.study),
        progress=progressed,
        asked=inbox.look,
        checkpoints=store.location,
        driver=copy.driver,
    )


def _choose(
    study: Study, search: Search, folder: Path, ledger: Ledger, look_up: LookUp
) -> dict[float, tuple[Remeasured, Program]]:
    """Return the answer of every milestone that was met."""
    if not search.cheapest:
        return {}
    runner, store = build_runner(study), store_of(folder)
    assignments = _assignments(ledger)
    answers = {m: remeasure(study, search, runner, store, assignments, m, look_up) for m in study.milestones}  # type: ignore[arg-type]
    return {milestone: answer for milestone, answer in answers.items() if answer is not None}


def _assignments(ledger: Ledger) -> list[Assignment]:
    """Return every assignment that the ledger holds, oldest first."""
    actions = [action for entry in ledger.entries for action in entry.get("actions", [])]
    return [Assignment.model_validate(action["assignment"]) for action in actions if "assignment" in action]


def absolute_store(study: Study) -> str | None:
    """Return the absolute address of the store that a study names, or None when it is not tracked."""
    from sp_search.tracking.mlflow import absolute_uri

    return None if study.tracking.uri is None else absolute_uri(study.tracking.uri)
