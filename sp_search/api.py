"""The library's front door: run, resume, plan, status, report, export, load. It composes; the deciding is elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from sp_search.arms import Arms, arms_of, load_asked
from sp_search.bucket import is_bucket
from sp_search.comparing import Comparison, begin_arms, compare_arms, drive_arms, read_written
from sp_search.comparison import COMPARISON_NAME, arm_folder
from sp_search.control import driver_of, pending
from sp_search.courier import brought_here, copy_at, driver_at, reaching, requests_at
from sp_search.errors import StorageError, StudyError
from sp_search.folder import (
    holds_arms,
    manifest,
    new_folder,
    recorded_arms,
    recorded_study,
    refuse_foreign_places,
)
from sp_search.ledger import LEDGER_NAME, is_over, read_ledger, was_begun
from sp_search.minimum import found_cap
from sp_search.plain_files import plain_folder, read_json, understood
from sp_search.plan import Plan, plan_study
from sp_search.records import derive_seed
from sp_search.room import refuse_without_room
from sp_search.running import RESULT_NAME, Driver, Result, absolute_store, begin, go_on, replayed
from sp_search.study import Cluster, Study, load_cluster, study_of

if TYPE_CHECKING:
    from sp_search.program import Program

__all__ = [
    "Comparison",
    "Driver",
    "Result",
    "compare",
    "export",
    "load",
    "open",
    "plan",
    "report",
    "resume",
    "run",
    "status",
]

EXPORT_EXAMPLES = 1_024
"""Fresh inputs on which an export has to answer as the program does."""


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
        return begin_arms(asked, output, driver, where)
    plan = plan_study(asked)
    refuse_without_room(asked, plan.population.members, where, in_process=driver == "inprocess")
    return begin(asked, plan, new_folder(asked.name, output), driver, where)


def resume(
    folder: str | Path,
    *,
    address: str | None = None,
    cluster: str | Path | None = None,
    driver: Driver | None = None,
    trust: bool = False,
) -> Result:
    """Go on with a study that stopped half-way; a finished one only writes its result and tracks it again.

    Args:
        folder: the study's folder.
        address: of a running Ray cluster; None starts a local one.
        cluster: a cluster file, which says the same and more; `address` comes first.
        driver: None takes the one that the study was begun with.
        trust: go to the places outside the folder that it names (checkpoints, tracking), though somebody else began it.

    Raises:
        StorageError: the folder is no study, is damaged, or another driver holds it.
        StudyError: it names places outside it that are not known to be yours.
    """
    path, where = plain_folder(Path(folder)), _as_cluster(address, cluster)
    if holds_arms(path):
        asked = recorded_arms(path)
        begins = [absolute_store(arm.study) for arm in asked.arms if not was_begun(arm_folder(path, arm))]
        refuse_foreign_places(path, [where.storage], trust=trust, begins=begins)
        return drive_arms(asked, path, driver or manifest(path)["driver"], where)
    if not (path / LEDGER_NAME).exists():
        raise StorageError(f"{path} holds no {LEDGER_NAME}: it is no study folder; name one that run wrote")
    refuse_foreign_places(path, [where.storage], trust=trust)
    result = go_on(path, driver, where)
    comparison = path.resolve().parent.parent
    if path.resolve().parent.name == "arms" and holds_arms(comparison):  # an arm has another answer than it told
        compare_arms(recorded_arms(comparison), comparison)
        sys.stderr.write(f"compared anew: {comparison / 'report.html'}\n")
    return result


def plan(study: Study | str | Path | dict[str, Any]) -> Plan:
    """Return what a study (or one arm's) would run and what it could cost, without starting anything."""
    asked = _as_asked(study, (), None)
    if isinstance(asked, Arms):
        raise StudyError([f"{asked.name} has arms, each with a plan of its own: sp_search.arms.load_asked gives them"])
    return plan_study(asked)


def status(folder: str | Path) -> dict[str, Any]:
    """Return where a study stands, from its ledger alone; it may be running. Of a comparison, where every arm does.

    Args:
        folder: the study's, or the address of its copy, s3://BUCKET/.../study.
    """
    if is_bucket(str(folder)):
        copy = copy_at(str(folder))
        with brought_here(copy) as here:
            with reaching(copy):
                driver, asked = driver_at(copy), requests_at(copy)
            return _status(here, driver, asked)
    path = plain_folder(Path(folder))
    if holds_arms(path):
        return _arms_status(path)
    return _status(path, driver_of(path), [request.name for request in pending(path)])


def _status(folder: Path, driver: str | None, asked: list[str]) -> dict[str, Any]:
    entries = read_ledger(folder)
    study, _, search = replayed(entries, folder)
    state = search.state
    return {
        "name": study.name,
        "finished": state.finished,
        "phase": state.open.phase if state.open else "measuring the answer" if state.finished and driver else None,
        "cap": state.space.caps[state.open.level] if state.open else None,
        "milestone": state.milestone,
        "driver": driver,
        "asked": asked,
        "running": len(search.live_assignments()),
        "levels_closed": len(state.history),
        "verified_programs": search.verified,
        "found": {
            str(study.milestones[index]): found_cap(search, study.milestones[index])
            for index, level in state.found.items()
            if level is not None
        },
        "failures": search.failures,
        "search_flops": search.spent,
        "last_event": entries[-1]["time"],
    }


def open(folder: str | Path) -> Result:
    """Return what a study's folder holds, as `run` would have: of one that is not over, what is known so far.

    Its payload is `result.json`, or what `status` says, with `ended` "running" or "interrupted" and `met` false. A
    study that was extended since its result was written is not over.

    Raises:
        StorageError: the folder is no study, or is damaged.
    """
    path = plain_folder(Path(folder))
    if (path / COMPARISON_NAME).exists():
        asked = recorded_arms(path)
        arms = {arm.name: open(arm_folder(path, arm)) for arm in asked.arms if was_begun(arm_folder(path, arm))}
        return Comparison(path, read_written(path / COMPARISON_NAME), arms)
    if (path / RESULT_NAME).exists() and is_over(read_ledger(path)):
        return Result(path, read_written(path / RESULT_NAME))
    known = status(path)
    return Result(path, {**known, "met": False, "ended": "interrupted" if known["driver"] is None else "running"})


def report(folder: str | Path) -> Path:
    """Write the study's page anew from its JSON, and return it; of a comparison, its table too."""
    from sp_search.report.page import write_report

    path = plain_folder(Path(folder))
    with understood(path):
        if holds_arms(path):
            compare_arms(recorded_arms(path), path)
            return path / "report.html"
        return write_report(path)


def compare(folders: Sequence[str | Path], *, output: str | Path | None = None) -> dict[str, Any]:
    """Return what studies that were run separately found, what they differ in and by how much, as JSON.

    Args:
        folders: of two studies or more; of a comparison, every arm is one.
        output: a file that gets the page.
    """
    from sp_search.across import across
    from sp_search.report.across import write_across_page

    found = across([Path(folder) for folder in folders])
    if output is not None:
        write_across_page(Path(output), found)
    return found


def export(
    folder: str | Path,
    format: str = "safetensors",
    output: str | Path | None = None,
    *,
    exit: int | None = None,
    masked: bool = False,
) -> Path:
    """Write the selected program to `output` with card, costs and example, checked on fresh inputs; return the folder.

    Args:
        folder: a study's folder; weights and JSON are read, and no code of it is run or copied.
        format: `safetensors` (the program itself, which stops early), `pt2` or `onnx` (a graph, which cannot).
        output: a folder that does not exist; DIR/export if not given.
        exit: pt2 and onnx: the exit that answers every input; by default the largest that the program uses.
        masked: pt2 and onnx: compute all exits, and answer at the one where the program halts.

    Raises:
        StudyError: an unknown format or form, or one that does not answer as the program does.
        StorageError: the study has no program (yet), or `output` exists.
    """
    from sp_search.export.folder import Form, write_export
    from sp_search.tasks.base import Shape
    from sp_search.train.evaluate import draw_batch
    from sp_search.train.export import load_program, read_config

    form = Form(format, exit, masked)
    form.check()
    _refuse_arms(Path(folder))
    source = Path(folder) / "program"
    if not (source / "config.json").exists():
        raise StorageError(
            f"{folder} holds no program: the study has not met a milestone (yet); see sp-search status {folder}"
        )
    study, program = recorded_study(read_ledger(Path(folder)), Path(folder)), load_program(source)
    if Shape(**program.model.origin["shape"]) != study.task.shape():
        raise StorageError(
            f"{source} was built for another task than the study's {study.task.kind_name()}: remove it, and resume"
        )
    seed, distribution = derive_seed(study.seed, "export"), study.task.distributions()[0]
    batch, _ = draw_batch(study.task, distribution, "sealed", EXPORT_EXAMPLES, seed, 0)
    facts, path = read_config(source).get("facts", {}), Path(folder) / RESULT_NAME
    spent = read_json(path).get("search_flops", {}) if path.exists() else {}
    target = Path(output) if output is not None else Path(folder) / "export"
    write_export(target, program, batch.x_BTC, form, facts, spent)
    return target


def load(folder: str | Path) -> Program:
    """Return the selected program of a study's folder (or of its `program` folder). Runs no code from the folder."""
    from sp_search.train.export import load_program

    path = Path(folder)
    _refuse_arms(path)
    return load_program(path / "program" if (path / "program").is_dir() else path)


def _refuse_arms(folder: Path) -> None:
    if holds_arms(plain_folder(folder)):
        arms = ", ".join(str(folder / "arms" / name) for name in manifest(folder)["arms"])
        raise StorageError(f"{folder} holds a comparison, with a program for each arm: take one of {arms}")


def _arms_status(folder: Path) -> dict[str, Any]:
    asked = recorded_arms(folder)
    begun = {arm.name: arm_folder(folder, arm) for arm in asked.arms}
    arms = {name: status(own) if was_begun(own) else None for name, own in begun.items()}
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
