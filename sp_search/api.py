"""The library's front door: run, resume, plan, status, report, export, load. It composes; the deciding is elsewhere."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sp_search.answer import remeasure, write_program
from sp_search.arms import Arms, arms_of, load_asked
from sp_search.comparison import COMPARISON_NAME, arm_folder, build_comparison
from sp_search.errors import Interrupted, StorageError, StudyError
from sp_search.folder import (
    begun_arms,
    holds_arms,
    manifest,
    new_folder,
    recorded_arms,
    recorded_study,
    versions,
    write_json,
)
from sp_search.ledger import LEDGER_NAME, Ledger, read_ledger
from sp_search.limits import limit_of, repeated_flops
from sp_search.plan import Plan, build_runner, plan_study
from sp_search.records import Assignment
from sp_search.report.live import LiveLine
from sp_search.result import Remeasured, build_result
from sp_search.search import Search
from sp_search.session import interruptible, tracked
from sp_search.store import FolderStore
from sp_search.study import Cluster, Study, load_cluster, study_of

if TYPE_CHECKING:
    from sp_search.program import Program

Driver = Literal["ray", "inprocess"]


@dataclass(frozen=True)
class Result:
    """What a finished study leaves: its folder, and the content of its `result.json`."""

    folder: Path
    payload: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """0 when all milestones are met, 4 when too many trials failed (or all members did), else 3."""
        if self.payload["met"]:
            return 0
        return 4 if self.payload["ended"] in ("failures", "no_members") else 3

    @property
    def met(self) -> bool:
        """Whether every milestone was met."""
        return bool(self.payload["met"])

    def program(self) -> Program:
        """Return the selected program."""
        return load(self.folder)


@dataclass(frozen=True)
class Comparison(Result):
    """What a study with arms leaves: the content of `comparison.json`, and the result of every arm that has ended."""

    arms: dict[str, Result]

    @property
    def exit_code(self) -> int:
        """0 when all arms met all their milestones, 4 when an arm ended by too many failures, else 3."""
        codes = [arm.exit_code for arm in self.arms.values()]
        return max(codes, default=3)

    def program(self) -> Program:
        """Refuse: every arm has a program of its own."""
        raise StudyError([f"a comparison has a program for each arm: take one of arms, {', '.join(self.arms)}"])


def run(
    study: Study | str | Path | dict[str, Any],
    *,
    output: str | Path | None = None,
    address: str | None = None,
    cluster: str | Path | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    driver: Driver = "ray",
) -> Result:
    """Run a study to its answer; with `arms`, every arm to its own, and return a `Comparison`.

    Args:
        study: a `Study`, its file, or its content; a file or content with `arms` runs every arm.
        output: the study's folder; by default a new one under `sp_search_runs`.
        address: of a running Ray cluster; None starts a local one.
        cluster: a cluster file, which says the same and more; `address` comes first.
        seed: overrides the study's seed.
        overrides: `path=value` each, applied to a study file before it is validated.
        driver: `ray`, or `inprocess` for one trial after another in this process.

    Raises:
        StudyError: the study is not valid; nothing was started or written.
        StorageError: the folder or the disk cannot be used.
        Interrupted: a signal ended it; `resume` goes on.
    """
    if driver not in get_args(Driver):
        raise StudyError([f"driver: got {driver!r}. Known: {', '.join(get_args(Driver))}."])
    asked, where = _as_asked(study, overrides, seed), _as_cluster(address, cluster)
    if isinstance(asked, Arms):
        return _begin_arms(asked, output, driver, where)
    plan = plan_study(asked)
    return _begin(asked, plan, new_folder(asked.name, output), driver, where)


def _begin(asked: Study, plan: Plan, folder: Path, driver: Driver, where: Cluster) -> Result:
    with Ledger(folder, create=True) as ledger:
        (folder / "study.yaml").write_text(asked.dump_yaml(), encoding="utf-8")
        begun = {
            "seed": asked.seed,
            "versions": versions(),
            "driver": driver,
            "tracking_uri": _absolute_store(asked),
        }
        write_json(folder / "manifest.json", begun)
        header = {
            "name": asked.name,
            "seed": asked.seed,
            "study": asked.resolved(),
            "space": plan.space.model_dump(mode="json"),
            "population": plan.population.model_dump(mode="json"),
            "terms": plan.terms.model_dump(mode="json"),
            "versions": versions(),
        }
        ledger.append({"header": header})
        return _drive(asked, plan, ledger, _search(asked, plan, ledger), driver, where)


def resume(
    folder: str | Path,
    *,
    address: str | None = None,
    cluster: str | Path | None = None,
    driver: Driver | None = None,
) -> Result:
    """Go on with a study that stopped half-way; a finished one only writes its result and tracks it again.

    Args:
        folder: the study's folder.
        address: of a running Ray cluster; None starts a local one.
        cluster: a cluster file, which says the same and more; `address` comes first.
        driver: None takes the one that the study was begun with.

    Raises:
        StorageError: the folder is no study, is damaged, or another driver holds it.
    """
    path, where = Path(folder), _as_cluster(address, cluster)
    if holds_arms(path):
        return _drive_arms(recorded_arms(path), path, driver or manifest(path)["driver"], where)
    if not (path / LEDGER_NAME).exists():
        raise StorageError(f"{path} holds no {LEDGER_NAME}: it is no study folder")
    return _resume(path, driver, where)


def _resume(path: Path, driver: Driver | None, where: Cluster) -> Result:
    with Ledger(path) as ledger:
        study = recorded_study(ledger.entries, path)
        plan = plan_study(study)
        search = _search(study, plan, ledger)
        search.replay(ledger.entries)
        return _drive(study, plan, ledger, search, driver or manifest(path)["driver"], where)


def plan(study: Study | str | Path | dict[str, Any]) -> Plan:
    """Return what a study (or one arm's) would run and what it could cost, without starting anything."""
    asked = _as_asked(study, (), None)
    if isinstance(asked, Arms):
        raise StudyError([f"{asked.name} has arms, each with a plan of its own: sp_search.arms.load_asked gives them"])
    return plan_study(asked)


def status(folder: str | Path) -> dict[str, Any]:
    """Return where a study stands, from its ledger alone; it may be running. Of a comparison, where every arm does."""
    if holds_arms(Path(folder)):
        return _arms_status(Path(folder))
    entries = read_ledger(Path(folder))
    study = recorded_study(entries, Path(folder))
    search = _search(study, plan_study(study), None)
    search.replay(entries)
    state = search.state
    return {
        "name": study.name,
        "finished": state.finished,
        "phase": state.open.phase if state.open else None,
        "cap": state.space.caps[state.open.level] if state.open else None,
        "milestone": state.milestone,
        "running": len(search.live_assignments()),
        "levels_closed": len(state.history),
        "verified_programs": len(search.candidates),
        "found": {
            str(study.milestones[index]): state.space.caps[level]
            for index, level in state.found.items()
            if level is not None
        },
        "failures": search.failures,
        "search_flops": search.spent,
        "last_event": entries[-1]["time"],
    }


def report(folder: str | Path) -> Path:
    """Write the study's page anew from its JSON, and return it; of a comparison, its table too."""
    from sp_search.report.page import write_report

    if holds_arms(Path(folder)):
        _compare(recorded_arms(Path(folder)), Path(folder))
        return Path(folder) / "report.html"
    return write_report(Path(folder))


def export(folder: str | Path, format: str = "safetensors", output: str | Path | None = None) -> Path:
    """Copy the selected program to `output` in the trusted form: safetensors, config, card and loader.

    Raises:
        StudyError: an unknown format.
        StorageError: the study has no program (yet), or `output` exists.
    """
    if format != "safetensors":
        raise StudyError([f"--format: got '{format}'. Known: safetensors."])
    _refuse_arms(Path(folder))
    source = Path(folder) / "program"
    if not (source / "config.json").exists():
        raise StorageError(f"{folder} holds no program: the study has not met a milestone (yet)")
    target = Path(output) if output is not None else Path(folder) / "export"
    if target.exists():
        raise StorageError(f"{target} exists: choose another --output")
    shutil.copytree(source, target)
    return target


def load(folder: str | Path) -> Program:
    """Return the selected program of a study's folder (or of its `program` folder). Runs no code from the folder."""
    from sp_search.train.export import load_program

    path = Path(folder)
    _refuse_arms(path)
    return load_program(path / "program" if (path / "program").is_dir() else path)


def _refuse_arms(folder: Path) -> None:
    if holds_arms(folder):
        arms = ", ".join(str(folder / "arms" / name) for name in manifest(folder)["arms"])
        raise StorageError(f"{folder} holds a comparison, with a program for each arm: take one of {arms}")


def _begin_arms(asked: Arms, output: str | Path | None, driver: Driver, where: Cluster) -> Comparison:
    """Write down what is compared, then run every arm."""
    for arm in asked.arms:
        plan_study(arm.study)
    folder = new_folder(asked.name, output)
    (folder / "study.yaml").write_text(asked.dump_yaml(), encoding="utf-8")
    write_json(folder / "manifest.json", begun_arms(asked, driver, _absolute_store(asked.arms[0].study)))
    return _drive_arms(asked, folder, driver, where)


def _drive_arms(asked: Arms, folder: Path, driver: Driver, where: Cluster) -> Comparison:
    """Begin, go on with, or read every arm, one after another; then write the table and the page."""
    results = {}
    for arm in asked.arms:
        own = arm_folder(folder, arm)
        sys.stderr.write(f"arm {arm.name}\n")
        try:
            if (own / "result.json").exists():
                results[arm.name] = Result(own, json.loads((own / "result.json").read_text(encoding="utf-8")))
            elif (own / LEDGER_NAME).exists():
                results[arm.name] = _resume(own, driver, where)
            else:
                own.mkdir(parents=True, exist_ok=True)
                results[arm.name] = _begin(arm.study, plan_study(arm.study), own, driver, where)
        except Interrupted as interrupted:
            raise Interrupted(folder, interrupted.signal_number) from None
    return Comparison(folder, _compare(asked, folder), results)


def _compare(asked: Arms, folder: Path) -> dict[str, Any]:
    """Write `comparison.json` and the page from what the arms left so far."""
    from sp_search.report.comparison import write_comparison_page

    payload = build_comparison(asked, folder)
    write_json(folder / COMPARISON_NAME, payload)
    write_comparison_page(folder)
    return payload


def _arms_status(folder: Path) -> dict[str, Any]:
    asked = recorded_arms(folder)
    begun = {arm.name: arm_folder(folder, arm) for arm in asked.arms}
    arms = {name: status(own) if (own / LEDGER_NAME).exists() else None for name, own in begun.items()}
    last = [one["last_event"] for one in arms.values() if one is not None]
    return {"name": asked.name, "arms": arms, "last_event": max(last, default=None)}


def _as_asked(study: Study | str | Path | dict[str, Any], overrides: Sequence[str], seed: int | None) -> Study | Arms:
    if isinstance(study, str | Path):
        return load_asked(study, overrides=overrides, seed=seed)
    content = study.resolved() if isinstance(study, Study) else study
    if overrides:
        raise StudyError(["overrides: they apply to a study file; change the Study or the dict itself"])
    content = content if seed is None else {**content, "seed": seed}
    return arms_of(content) if "arms" in content else study_of(content)


def _as_cluster(address: str | None, cluster: str | Path | None) -> Cluster:
    settings = Cluster() if cluster is None else load_cluster(cluster)
    return settings if address is None else Cluster(address=address)


def _search(study: Study, plan: Plan, ledger: Ledger | None) -> Search:
    append = None if ledger is None else ledger.append
    return Search(study.scheduler, plan.space, plan.population, plan.terms, study.selection.confidence, append)


def _drive(study: Study, plan: Plan, ledger: Ledger, search: Search, driver: Driver, cluster: Cluster) -> Result:
    """Drive a new or replayed search to its end, then measure, write and track the answer."""
    folder = ledger.folder
    if driver == "ray" and search.state.finished is None:
        import sp_search.tune.launch  # noqa: F401 - importing ray sets signal handlers of its own: before ours
    with tracked(study, folder), interruptible(folder):
        if search.state.finished is None:
            line = LiveLine()
            try:
                _run_driver(study, search, folder, driver, cluster, limit_of(study, ledger.entries), line.update)
            finally:
                line.close()
        return _answer(study, plan, search, ledger)


def _answer(study: Study, plan: Plan, search: Search, ledger: Ledger) -> Result:
    """Measure the chosen programs anew, and write the answer into the study's folder."""
    folder = ledger.folder
    chosen = _choose(study, search, folder, ledger)
    repeated = repeated_flops(study, plan, ledger.entries)
    payload = build_result(
        study, plan, search, {milestone: found for milestone, (found, _) in chosen.items()}, repeated
    )
    if chosen:
        _, (_, program) = max(chosen.items())
        write_program(folder, program, payload)
    write_json(folder / "result.json", payload)
    report(folder)
    return Result(folder, payload)


def _run_driver(
    study: Study,
    search: Search,
    folder: Path,
    driver: Driver,
    cluster: Cluster,
    limit: Callable[[Search], str | None],
    progress: Callable[[Search], None],
) -> None:
    if driver == "inprocess":
        import torch

        from sp_search.drive.inprocess import run_inprocess

        torch.set_num_threads(max(1, int(study.resources.cpu)))
        run_inprocess(search, build_runner(study), FolderStore(folder / "checkpoints"), limit=limit, progress=progress)
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
        progress=progress,
    )


def _choose(study: Study, search: Search, folder: Path, ledger: Ledger) -> dict[float, tuple[Remeasured, Program]]:
    """Return the answer of every milestone that was met."""
    if not search.candidates:
        return {}
    runner, store = build_runner(study), FolderStore(folder / "checkpoints")
    assignments = _assignments(ledger)
    answers = {m: remeasure(study, search, runner, store, assignments, m) for m in study.milestones}  # type: ignore[arg-type]
    return {milestone: answer for milestone, answer in answers.items() if answer is not None}


def _assignments(ledger: Ledger) -> list[Assignment]:
    """Return every assignment that the ledger holds, oldest first."""
    actions = [action for entry in ledger.entries for action in entry.get("actions", [])]
    return [Assignment.model_validate(action["assignment"]) for action in actions if "assignment" in action]


def _absolute_store(study: Study) -> str | None:
    from sp_search.tracking.mlflow import absolute_uri

    return None if study.tracking.uri is None else absolute_uri(study.tracking.uri)
