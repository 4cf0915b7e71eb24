"""A comparison's arms: every arm is a study of its own, and what they found stands side by side afterwards."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sp_search.arms import Arm, Arms
from sp_search.comparison import COMPARISON_NAME, arm_folder, build_comparison
from sp_search.control import pending
from sp_search.errors import StorageError, StudyError
from sp_search.folder import begun_arms, new_folder, write_json
from sp_search.ledger import is_over, read_ledger, was_begun
from sp_search.plain_files import read_json
from sp_search.plan import plan_study
from sp_search.room import refuse_without_room
from sp_search.running import RESULT_NAME, Driver, Result, absolute_store, begin, go_on
from sp_search.signals import interruptible
from sp_search.study import Cluster

if TYPE_CHECKING:
    from sp_search.program import Program


@dataclass(frozen=True)
class Comparison(Result):
    """What a study with arms leaves: the content of `comparison.json`, and the result of every arm that has ended."""

    arms: dict[str, Result]

    @property
    def exit_code(self) -> int:
        """The highest of its arms', as a study gives the highest that applies to it; 3 where no arm has ended."""
        return max((arm.exit_code for arm in self.arms.values()), default=3)

    def program(self) -> Program:
        """Refuse: every arm has a program of its own."""
        raise StudyError([f"a comparison has a program for each arm: take one of arms, {', '.join(self.arms)}"])


def begin_arms(asked: Arms, output: str | Path | None, driver: Driver, where: Cluster) -> Comparison:
    """Write down what is compared, then run every arm."""
    for arm in asked.arms:
        members = plan_study(arm.study).population.members
        refuse_without_room(arm.study, members, where, in_process=driver == "inprocess")
    folder = new_folder(asked.name, output)
    (folder / "study.yaml").write_text(asked.dump_yaml(), encoding="utf-8")
    write_json(folder / "manifest.json", begun_arms(asked, driver, absolute_store(asked.arms[0].study)))
    return drive_arms(asked, folder, driver, where)


def drive_arms(asked: Arms, folder: Path, driver: Driver, where: Cluster) -> Comparison:
    """Bring every arm to its end, one after another; then write the table and the page."""
    results = {}
    with interruptible(folder):
        for arm in asked.arms:
            sys.stderr.write(f"arm {arm.name}\n")
            results[arm.name] = _drive_arm(arm, arm_folder(folder, arm), driver, where)
    return Comparison(folder, compare_arms(asked, folder), results)


def _drive_arm(arm: Arm, own: Path, driver: Driver, where: Cluster) -> Result:
    """Begin, go on with, or read one arm."""
    if (own / RESULT_NAME).exists() and is_over(read_ledger(own)) and not pending(own):
        return Result(own, read_written(own / RESULT_NAME))
    if was_begun(own):
        return go_on(own, driver, where)
    own.mkdir(parents=True, exist_ok=True)
    return begin(arm.study, plan_study(arm.study), own, driver, where)


def compare_arms(asked: Arms, folder: Path) -> dict[str, Any]:
    """Write `comparison.json` and the page from what the arms left so far."""
    from sp_search.report.comparison import write_comparison_page

    payload = build_comparison(asked, folder)
    write_json(folder / COMPARISON_NAME, payload)
    write_comparison_page(folder)
    return payload


def read_written(path: Path) -> dict[str, Any]:
    """Return a JSON file that a driver writes at its end; an error says how to have it written anew."""
    try:
        return read_json(path)
    except (FileNotFoundError, StorageError) as error:
        raise StorageError(f"{error}, or have it written anew: sp-search resume {path.parent}") from None
