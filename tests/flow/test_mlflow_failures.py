"""Shipping that is killed, or whose server dies, hangs or comes back: everything arrives, and once."""

import itertools
import json
import shutil
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from invented_study import write_study
from mlflow_store import MARKS, PATIENCE_S, runs_of, ship, stored_points, wanted_points

from sp_search.cli import main
from sp_search.cli.app import ExitCode
from sp_search.ledger import LEDGER_NAME, read_ledger
from sp_search.seal import sealed
from sp_search.tracking.mlflow import Shipper

pytestmark = MARKS


@pytest.mark.parametrize("forgetful", [False, True], ids=["remembers", "forgets"])
def test_every_event_is_there_once_after_kills_and_resumes(uri: str, tmp_path: Path, forgetful: bool) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "study"
    write_study(whole)
    folder.mkdir()
    lines = (whole / LEDGER_NAME).read_bytes().splitlines(keepends=True)
    for count in (1, 3, 9, len(lines)):
        (folder / LEDGER_NAME).write_bytes(
            b"".join(lines[:count]) + lines[min(count, len(lines) - 1)][:20] * (count < 9)
        )
        if count == len(lines):
            shutil.copy(whole / "result.json", folder)
        ship(uri, folder)
        if forgetful:
            (folder / "mlflow.json").unlink()
    client, runs = runs_of(uri)
    keys = [run.data.tags["sp_search.run"] for run in runs]
    assert len(keys) == len(set(keys)) > 5
    assert {run.info.status for run in runs} == {"FINISHED", "KILLED"}  # killed: cut when the verdict was known
    assert sorted(stored_points(client, runs)) == sorted(wanted_points(whole))


@pytest.mark.parametrize("call", [1, 2, 5, 9, 14])
@pytest.mark.parametrize("answered", [False, True], ids=["before the call", "after the call"])
def test_a_shipping_that_is_killed_at_any_call_and_repeated_adds_nothing_twice(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, answered: bool
) -> None:
    from mlflow import MlflowClient

    folder = tmp_path / "study"
    write_study(folder, until=8)
    calls = itertools.count(1)

    class Killed(BaseException):
        """Ends the shipping's thread as a kill would: nothing of ours catches it."""

    def dying(method):
        def run(*arguments, **named):
            if next(calls) != call:
                return method(*arguments, **named)
            if answered:
                method(*arguments, **named)
            raise Killed

        return run

    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", pytest.PytestUnhandledThreadExceptionWarning)
        for name in ("create_run", "log_batch", "log_inputs", "set_terminated", "log_dict"):
            patch.setattr(MlflowClient, name, dying(getattr(MlflowClient, name)))
        patch.setattr("threading.excepthook", lambda said: None)
        patch.setattr("sp_search.tracking.mlflow.BATCH_LINES", 2)
        assert Shipper(uri, "invented", folder).finish(PATIENCE_S).message
    ship(uri, folder)
    client, runs = runs_of(uri)
    assert len({run.data.tags["sp_search.run"] for run in runs}) == len(runs) > 3
    assert sorted(stored_points(client, runs)) == sorted(wanted_points(folder))


def test_a_server_that_dies_half_way_loses_nothing(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    folder = tmp_path / "study"
    write_study(folder)
    log_batch, failures = MlflowClient.log_batch, iter([False, False, True, False, True])

    def flaky(*arguments, **named):
        if next(failures, False):
            raise MlflowException("API request to /api/2.0/mlflow/runs/log-batch failed")
        return log_batch(*arguments, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", flaky)
    ship(uri, folder)
    client, runs = runs_of(uri)
    assert len({run.data.tags["sp_search.run"] for run in runs}) == len(runs) > 5
    assert sorted(stored_points(client, runs)) == sorted(wanted_points(folder))


def test_a_store_that_comes_back_gets_everything(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    opened = Shipper._open
    refusals = iter([OSError("no route to host"), OSError("no route to host")])

    def flaky(shipper: Shipper):
        error = next(refusals, None)
        if error is not None:
            raise error
        return opened(shipper)

    monkeypatch.setattr(Shipper, "_open", flaky)
    assert Shipper(uri, "invented", folder).finish(PATIENCE_S) == (0, "")
    assert len(runs_of(uri)[1]) > 5


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["silent_server", "closed_port"])
def test_a_dead_server_is_named_at_the_end_and_sync_ships_later(
    kind: str, uri: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    dead = request.getfixturevalue(kind)
    write_manifest(folder, dead)
    lag = Shipper(dead, "invented", folder).finish(timeout_s=30.0)
    lines = len(read_ledger(folder))
    assert lag.events == lines
    assert lag.message.startswith(f"MLflow lags by {lines} of {lines} events (ConnectionError: {dead}/health does not")
    assert f"`sp-search mlflow-sync {folder}` ships the rest" in lag.message
    assert main(["mlflow-sync", str(folder)]) == ExitCode.STORAGE
    assert lag.message in capsys.readouterr().out
    assert main(["mlflow-sync", str(folder), "--uri", uri]) == ExitCode.MET
    assert len(runs_of(uri)[1]) > 5


@pytest.mark.usefixtures("impatient")
def test_what_goes_wrong_is_said_once_while_the_study_runs_and_not_only_at_its_end(
    closed_port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    write_study(folder, until=4)
    shipper = Shipper(closed_port, "invented", folder)
    while shipper.error is None:
        shipper._thread.join(0.01)
    assert shipper.finish(timeout_s=30.0).message
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"MLflow: ConnectionError: {closed_port}/health does not answer")
    assert line.endswith("; the study goes on, and MLflow is asked again")


def write_manifest(folder: Path, tracking_uri: str | None) -> None:
    (folder / "manifest.json").write_text(json.dumps(sealed({"tracking_uri": tracking_uri})))


def test_sync_replays_a_ledger_into_any_store_once(
    uri: str, fresh_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    write_manifest(folder, uri)
    other = tmp_path / "other.db"
    shutil.copy(fresh_store, other)
    for _ in range(2):
        assert main(["mlflow-sync", str(folder)]) == ExitCode.MET
        assert main(["mlflow-sync", str(folder), "--uri", f"sqlite:///{other}"]) == ExitCode.MET
    assert "everything is there" in capsys.readouterr().out
    own, there = runs_of(uri)[1], runs_of(f"sqlite:///{other}")[1]
    assert len(own) == len(there) > 5
    assert sorted(stored_points(*runs_of(uri))) == sorted(stored_points(*runs_of(f"sqlite:///{other}")))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "was not tracked (tracking.uri: null): say where to with --uri"),
        (["--uri", "mlruns"], "it should begin with"),
    ],
)
def test_sync_says_what_is_wrong_before_it_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    write_manifest(folder, None)
    before = sorted(folder.iterdir())
    assert main(["mlflow-sync", str(folder), *arguments]) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before
