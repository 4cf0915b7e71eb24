"""What an MLflow store holds of a study, read back through MLflow's own client; and a real server."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from sp_search.ledger import read_ledger
from sp_search.tracking.mlflow import SERVER_SETTINGS, Shipper
from sp_search.tracking.updates import Updates

PATIENCE_S = 250.0
"""A store on a busy disk takes its time."""
MARKS = [
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, about SQLAlchemy and about Pydantic
    pytest.mark.timeout(300),
]


def ship(uri: str, folder: Path, name: str = "invented") -> None:
    assert Shipper(uri, name, folder).finish(PATIENCE_S) == (0, "")


def runs_of(uri: str, name: str = "invented"):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    return client, client.search_runs([experiment.experiment_id], max_results=1000)


def of(runs, kind: str):
    return [run for run in runs if run.data.tags["run_of"] == kind]


def keys(runs) -> list[str]:
    return sorted(run.data.tags["sp_search.run"] for run in runs)


def parent(run) -> str | None:
    return run.data.tags.get("mlflow.parentRunId")


Stored = tuple[str, str, int, int, float]


def wanted_points(folder: Path) -> set[Stored]:
    """What a store is to hold of a ledger: run, metric, step, time and value of every point."""
    updates = Updates()
    for entry in read_ledger(folder):
        updates.read(entry)
    return {
        (key, point.name, point.step, point.time_ms, point.value)
        for key, one in updates.pending.items()
        for point in one.points
    }


def stored_points(client, runs) -> list[Stored]:
    answer = ("answer/", "cost/", "quality/")  # a study's own are of its result, not of its ledger
    return [
        (run.data.tags["sp_search.run"], name, point.step, point.timestamp, point.value)
        for run in runs
        for name in run.data.metrics
        if not (run.data.tags["run_of"] == "study" and name.startswith(answer))
        for point in client.get_metric_history(run.info.run_id, name)
    ]


@contextmanager
def serving(place: Path, *options: str, **environment: str) -> Iterator[str]:
    """Yield the address of a real `mlflow server` on loopback, whose files and log lie in `place`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{place}/mlflow.db", "--artifacts-destination", str(place / "files")]
    known = {**os.environ, **SERVER_SETTINGS, **environment}
    with open(place / "server.log", "w") as log:
        server = subprocess.Popen(
            [*command, *options], cwd=place, stdout=log, stderr=log, env=known, start_new_session=True
        )
    try:
        _wait_for(f"{address}/health", server, place / "server.log")
        yield address
    finally:
        server.terminate()
        server.wait(60)


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    while server.poll() is None:
        try:
            urlopen(address, timeout=5).close()  # noqa: S310  # of our own server
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"the server ended with {server.returncode}: {log.read_text()[-2000:]}")
