"""The two studies that run on three hosts, each in a driver that can be killed and begun again, and their answers.

*table*: its trials answer from a table (tests/flow/table_runner.py); their state is a chain of hashes over every slice,
so one that is lost, repeated or inherited from the wrong visit changes the answer.
*trained*: networks of torch, by the commands of a user; the answer is compared to the last bit of the last weight.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import sp_search
from benchmarks.network import HEAD, PATIENCE_S, ROOT, WORKERS, Hosts, until
from sp_search.drive.inprocess import run_inprocess
from sp_search.ledger import read_ledger, was_begun
from sp_search.store import MemoryStore
from tests.flow.table_driver import RUNNER, STUDIES, answer
from tests.flow.table_runner import TableRunner

TABLE = "growing"
TRAINED = {
    "name": "trained",
    "task": {"kind": "prefix_sums", "bits": 5},
    "model": {"kind": "recall_conv"},
    "scheduler": {"kind": "rollout_growth"},
    "population": {"members": [{"width": 8}, {"width": 12}], "replicas": 5},
    "train": {"steps": 160, "batch": 512, "evaluate_every": 20},
    "verdict": {"quorum": False},  # every trial that was begun is heard, so there is one set of weights to compare
    "tracking": {"uri": None},
}
DECIDED = ("ended", "milestones", "levels", "visits", "looks", "undecided", "dropped_members")


class Run(ABC):
    """One study on the hosts."""

    stride: ClassVar[int]
    """Slices after which something happens to it."""

    def __init__(self, hosts: Hosts, folder: Path, slice_s: float) -> None:
        """Use `folder` for the study; where trials only sleep, a slice takes `slice_s`."""
        self.hosts, self.folder, self.slice_s = hosts, folder, slice_s
        self.began = time.monotonic()
        folder.mkdir(parents=True)

    def drive(self, host: int = HEAD) -> None:
        """Start a driver on a host; it begins the study, or goes on with it."""
        command = self.hosts.on(host, sys.executable, "-m", *self._command())
        with (self.folder / "driver.log").open("a") as said:
            self.driver = subprocess.Popen(command, cwd=ROOT, env=self.hosts.environment, stdout=said, stderr=said)

    def end(self) -> None:
        """Kill the driver."""
        self.driver.kill()
        self.driver.wait()

    def said(self) -> str:
        """Return what the drivers said."""
        return (self.folder / "driver.log").read_text()

    def reach(self) -> int:
        """Wait for a stride more of slices, and return a worker that runs one."""
        before = self.slices()
        until(lambda: self._alive() and self.slices() >= before + self.stride, f"{self.folder} makes no progress")
        return self._busy()

    def report(self, name: str, expected: dict[str, Any]) -> dict[str, Any]:
        """Wait for the end, and return a row of the table."""
        if self.driver.wait(PATIENCE_S):
            raise RuntimeError(f"{self.folder}: the driver ended with {self.driver.returncode}\n{self.said()}")
        events = [line["event"] for line in read_ledger(self.study) if "event" in line]
        lost = [one for one in events if one["event"] == "member_lost"]
        measured = {one["attempt"] for one in events if one["event"] == "measured"}
        return {
            "run": name,
            "seconds": round(time.monotonic() - self.began, 1),
            "slices": self.slices(),
            "run_twice": self.repeated(),
            "lost": len(lost),
            "verdicts_of_lost": len({one["attempt"] for one in lost} & measured),
            "failed": sum(one["event"] == "member_failed" for one in events),
            "same_answer": self.answer() == expected,
        }

    @property
    @abstractmethod
    def study(self) -> Path:
        """The study's folder."""

    @abstractmethod
    def slices(self) -> int:
        """Return how many slices there are so far, each counted once."""

    @abstractmethod
    def repeated(self) -> int | None:
        """Return how many slices were begun more than once, if that is known."""

    @abstractmethod
    def answer(self) -> dict[str, Any]:
        """Return the finished study's answer, without what it cost."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _busy(self) -> int: ...

    def _alive(self) -> bool:
        if self.driver.poll() is not None:
            raise RuntimeError(f"{self.folder}: the driver ended with {self.driver.returncode}\n{self.said()}")
        return True


class TableRun(Run):
    """A study whose trials sleep, and answer from a table."""

    stride = 8

    @property
    def study(self) -> Path:
        """The study's folder."""
        return self.folder

    def slices(self) -> int:
        """Return how many slices were begun."""
        return len({_slice(row) for row in self._rows()})

    def repeated(self) -> int | None:
        """Return how many slices were begun more than once."""
        return len(self._rows()) - self.slices()

    def answer(self) -> dict[str, Any]:
        """Return what was decided at every visit."""
        told: dict[str, Any] = json.loads((self.folder / "answer.json").read_text())
        told.pop("spent")
        return told

    def _command(self) -> list[str]:
        return ["tests.flow.table_driver", str(self.folder), TABLE, self.hosts.address, str(self.slice_s)]

    def _busy(self) -> int:
        return self.hosts.host_of(self._rows()[-1]["pid"]) or WORKERS[-1]

    def _rows(self) -> list[dict[str, Any]]:
        path = self.folder / "slices.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class TrainedRun(Run):
    """A study whose trials train networks; a user's commands, in a folder that all hosts see."""

    stride = 3

    @property
    def study(self) -> Path:
        """The study's folder."""
        return self.folder / "study"

    def slices(self) -> int:
        """Return how many slices were stored: each lineages' newest state is numbered."""
        folders = self.study.glob("checkpoints/member*/visit*/lineages*")
        return sum(1 + max((_number(mark) for mark in one.glob("state-*.json")), default=-1) for one in folders)

    def repeated(self) -> int | None:
        """Say nothing: a slice that was begun and not stored leaves no trace."""
        return None

    def answer(self) -> dict[str, Any]:
        """Return what was decided, and the hash of every network that was judged or selected."""
        return trained_answer(self.study)

    def _command(self) -> list[str]:
        cluster, study = self.folder / "cluster.yaml", self.folder / "study.yaml"
        cluster.write_text(f"address: {self.hosts.address}\n")
        study.write_text(json.dumps(TRAINED))
        if was_begun(self.study):
            words = ["resume", str(self.study)]
        else:
            words = ["run", str(study), "--output", str(self.study)]
        return ["sp_search", *words, "--cluster", str(cluster)]

    def _busy(self) -> int:
        at_work: list[int] = []

        def found() -> bool:
            at_work[:] = [host for host in WORKERS if self.hosts.running(host, "ray::LevelTrainable.train")]
            return self._alive() and bool(at_work)

        until(found, f"{self.folder}: no worker has a trial")
        return at_work[0]


def table_answer() -> dict[str, Any]:
    """Return the table study's answer of one process without Ray."""
    search = STUDIES[TABLE](None)
    run_inprocess(search, TableRunner(**RUNNER), MemoryStore())
    return json.loads(json.dumps(answer(search)))  # type: ignore[no-any-return]


def trained_answer(folder: Path | None = None) -> dict[str, Any]:
    """Return the trained study's answer of its folder, or of one process without Ray."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="sp") as place:
            return trained_answer(sp_search.run(TRAINED, driver="inprocess", output=Path(place) / "study").folder)
    result = json.loads((folder / "result.json").read_text())
    marks = {path: json.loads(path.read_text()) for path in folder.glob("checkpoints/*/*/*/state-*.json")}
    ended = {path: mark for path, mark in marks.items() if mark["meta"]["finished"]}
    return {
        "decided": {name: result[name] for name in DECIDED},
        "program": hashlib.sha256((folder / "program" / "model.safetensors").read_bytes()).hexdigest(),
        "weights": {str(path.parent.relative_to(folder)): mark["tensors_sha256"] for path, mark in ended.items()},
    }


def _slice(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["member"], row["visit"], tuple(row["lineages"]), row["slice"]


def _number(mark: Path) -> int:
    return int(mark.stem.removeprefix("state-"))
