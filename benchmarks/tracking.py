"""What MLflow costs a study: training with a server that is dead or hangs against training untracked, and a large page.

A port where nothing listens, and one that accepts and never answers, each in pairs with an untracked run whose order
changes, one member in this process. The ratio is of the search's seconds by the wall, in which the other threads of the
process are paid too; what the end waits for is told apart. `--page DETAIL`
ships 10,000 judged lineages, and times on an `mlflow server`, in a headless Chromium, until a study's page shows its
description and until the list shows its runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

from benchmarks.seeds import keep

PAIRS = 6
STUDY: dict[str, Any] = {
    "name": "tracking",
    "task": {"kind": "prefix_sums", "bits": 7},
    "model": {"kind": "recall_conv", "width": 8},
    "scheduler": {"kind": "rollout_growth", "start": 3.0, "stop": 4.0},
    "population": {"members": [{}], "replicas": 5},
    "train": {"steps": 600},
    "milestones": [0.99],
}
MEMBERS, LEVELS, REPLICAS = 200, 10, 5
LOADS = 5


def timed(uri: str | None) -> dict[str, float]:
    """Run the study once in this process; return wall and CPU seconds of the search, and what the end took."""
    import sp_search
    from sp_search.ledger import read_ledger

    with tempfile.TemporaryDirectory() as folder:
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        result = sp_search.run({**STUDY, "tracking": {"uri": uri}}, driver="inprocess", output=Path(folder) / "study")
        ended, spent = time.time(), resource.getrusage(resource.RUSAGE_SELF)
        entries = read_ledger(result.folder)
    begun, last = entries[0]["time"], entries[-1]["time"]
    cpu_s = spent.ru_utime + spent.ru_stime - cpu.ru_utime - cpu.ru_stime
    return {"search_s": last - begun, "end_s": ended - last, "cpu_s": cpu_s}


def dead_servers() -> None:
    """Print the ratios of each kind of server to none, pair by pair."""
    timed(None)  # what the first run of a process pays: imports
    rows: dict[str, list[dict[str, dict[str, float]]]] = {"dead": [], "hanging": []}
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
        taken.close()
        uris = {"dead": f"http://127.0.0.1:{closed}", "hanging": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        for number in range(PAIRS):
            for kind, uri in uris.items():
                pair = [("none", None), (kind, uri)][:: -1 if number % 2 else 1]
                rows[kind].append({name: timed(one) for name, one in pair})
                print(kind, rows[kind][-1], flush=True)
    figures = {kind: summary(kind, pairs) for kind, pairs in rows.items()}
    print(figures)
    keep("tracking_dead", {"rows": rows, "figures": figures, "load": os.getloadavg()})


def summary(kind: str, pairs: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    """Return the ratios to untracked, of the search's wall time and of the CPU time, and what the end waited longer."""
    ratios = {name: [pair[kind][name] / pair["none"][name] for pair in pairs] for name in ("search_s", "cpu_s")}
    row = {f"{name}_{how.__name__}": how(those) for name, those in ratios.items() for how in (median, max)}
    row["end_s_max"] = max(pair[kind]["end_s"] - pair["none"]["end_s"] for pair in pairs)
    return {name: round(value, 3) for name, value in row.items()}


def write_large(folder: Path, detail: str) -> int:
    """Write a study's ledger in which every member is judged at every level; return its judged lineages."""
    from sp_search.events import Capacity, SetBudget, Start
    from sp_search.ledger import Ledger, read_ledger
    from sp_search.levels import Terms
    from sp_search.records import Budget, LevelSpace, Member, Population
    from sp_search.rows import LedgerReader
    from sp_search.schedulers.grid import Grid
    from sp_search.search import Search

    caps = [2.0**level for level in range(LEVELS)]
    space = LevelSpace(kind="max", measure="rollouts", axis="rollouts", caps=caps)
    budgets = [Budget(kind="max", measure="rollouts", cap=cap, axis={"rollouts": int(cap)}) for cap in caps]
    members = [Member(member=index, config={"width": 8 + index}, budgets=list(budgets)) for index in range(MEMBERS)]
    population, terms = Population(members=members, replicas=REPLICAS), Terms(seed=0, milestones=[0.9], quorum=False)
    study = {"task": {"kind": "parity"}, "model": {"kind": "recall_conv"}, "tracking": {"detail": detail}}
    parts = {"space": space, "population": population, "terms": terms}
    folder.mkdir(parents=True)
    with Ledger(folder, create=True) as ledger:
        header = {name: part.model_dump(mode="json") for name, part in parts.items()}
        ledger.append({"header": {"name": "large", "seed": 0, "study": study, "versions": {}, **header}})
        search = Search(Grid(points=LEVELS), space, population, terms, 0.99, ledger.append)
        actions = search.feed(Capacity(slots=MEMBERS))
        queue = [one.assignment for one in actions if isinstance(one, Start | SetBudget)]
        while queue:
            actions = search.feed(judged(queue.pop(0)))
            queue += [one.assignment for one in actions if isinstance(one, Start | SetBudget)]
    reader = LedgerReader()
    for entry in read_ledger(folder):
        reader.read(entry)
    return len(reader.rows)


def judged(at: Any) -> Any:
    """Return what an assignment measured, invented: only the widest pass, at the last level."""
    from sp_search.records import Count, LineageMeasurement, Measured, Sample, derive_seed

    lineages = []
    for lineage, seed in zip(at.lineages, at.seeds, strict=True):
        flops = at.budget.cap * 1000 * at.config["width"]
        correct = min(8192, 4096 + derive_seed(seed, at.level) % 2500 + 1600 * (at.level == LEVELS - 1))
        sample = Sample(
            mean=flops, variance=0, p95=flops, largest=flops, n=512, possible_low=0, possible_high=flops
        )  # fmt: skip
        lineages.append(
            LineageMeasurement(
                lineage=lineage, seed=seed, ended="reached", train_steps=100, compute={"flops": sample},
                gates={"iid": Count(correct=correct, n=8192)}, max_available_flops=flops,
                parameters=at.config["width"], serial_depth=9,
            )
        )  # fmt: skip
    place = {"member": at.member, "visit": at.visit, "level": at.level, "attempt": at.attempt}
    return Measured(**place, lineages=lineages, training_flops=1e9, verification_flops=1e6)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """Yield the address of an `mlflow server` on loopback."""
    from sp_search.tracking.mlflow import SERVER_SETTINGS

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/files"]
    environment = {**os.environ, **SERVER_SETTINGS}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = subprocess.Popen(command, cwd=folder, env=environment, **quiet)  # type: ignore[call-overload]  # noqa: S603
    address = f"http://127.0.0.1:{port}"
    try:
        while running.poll() is None:
            with contextlib.suppress(OSError):
                urlopen(f"{address}/health", timeout=5).close()  # noqa: S310  # of our own server
                break
            time.sleep(0.5)
        yield address
    finally:
        running.terminate()
        running.wait(60)


def page(detail: str) -> None:
    """Print how long a study's page and the list of runs take to show their figures."""
    from playwright.sync_api import sync_playwright

    from sp_search.tracking.mlflow import Shipper, study_page

    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        rows = write_large(study, detail)
        print(f"{rows} judged lineages")
        with server(Path(folder)) as address:
            began = time.monotonic()
            lag = Shipper(f"sqlite:///{folder}/mlflow.db", "large", study).finish(3600)
            shipped_s = time.monotonic() - began
            print(f"shipped in {shipped_s:.0f} s {lag.message}")
            where = study_page(study, address) or ""
            listed = where.partition("/runs/")[0] + "/runs?workflowType=machine_learning"
            path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
                shown = {"study": (where, "Member"), "list": (listed, "matching runs")}
                times = {name: [load(browser, *one) for _ in range(LOADS)] for name, one in shown.items()}
                browser.close()
    figures = {name: round(median(seconds), 2) for name, seconds in times.items()}
    print(figures, times)
    keep(
        "tracking_page",
        {"rows": rows, "detail": detail, "shipped_s": round(shipped_s, 1), "seconds": times, "median_s": figures},
    )


def load(browser: Any, address: str, text: str) -> float:
    """Return the seconds from asking a fresh tab for an address to its text being drawn."""
    tab = browser.new_page()
    tab.set_default_timeout(120_000)
    began = time.monotonic()
    tab.goto(address, wait_until="commit")
    tab.get_by_text(text).first.wait_for()
    seconds = time.monotonic() - began
    tab.close()
    return round(seconds, 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--page", choices=["member", "level"], help="time the pages of 10,000 judged lineages")
    detail = parser.parse_args().page
    dead_servers() if detail is None else page(detail)
