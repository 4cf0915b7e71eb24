"""What MLflow holds after a study, after a kill and a resume, and what a dead server costs (nothing)."""

import math
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
from invented_study import write_study

from sp_search.ledger import LEDGER_NAME, read_ledger
from sp_search.tracking.mlflow import Shipper, absolute_uri, ui_command
from sp_search.tracking.updates import STUDY, Update, Updates, metric_name

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, about SQLAlchemy and about Pydantic

LOADER = """
def load():
    return lambda x: 2 * x
"""


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables made, which takes seconds; tests copy it."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def uri(fresh_store: Path, tmp_path: Path) -> str:
    shutil.copy(fresh_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def runs_of(uri: str, name: str = "invented"):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    return client, client.search_runs([experiment.experiment_id], max_results=1000)


def test_a_study_is_a_parent_run_and_every_member_at_every_visit_a_child(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")  # another tool left it behind
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "study"
    search = write_study(folder)
    (folder / "report.html").write_text("page")
    assert Shipper(uri, "invented", folder).finish() == (0, "")
    client, runs = runs_of(uri)
    parent = next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == len(runs) - 1 == 2 * len(search.state.history)
    cut = [child for child in children if child.info.status == "KILLED"]
    assert [child.data.tags["verdict"] for child in cut] == ["passed"]
    assert {run.info.status for run in runs} == {"FINISHED", "KILLED"}
    for child in [child for child in children if child not in cut]:
        outcome = search.state.history[int(child.data.tags["visit"])]
        assert child.data.tags["verdict"] == outcome.verdict
        assert child.data.tags["phase"] == outcome.phase
        assert child.data.tags["level"] == str(outcome.level)
        assert {"budget_cap", "mean_flops", "max_flops", "pass_rate", "parameters"} <= child.data.metrics.keys()
        assert child.data.params["config.width"] in ("12", "16")
        assert all(math.isfinite(value) for value in child.data.metrics.values())
    passed = [child for child in children if child.data.metrics.get("pass_rate", 0) > 0]
    assert passed
    assert all(child.data.metrics["accuracy_low"] <= child.data.metrics["accuracy"] for child in passed)
    selected = [child for child in children if child.data.tags["selected"] == "true"]
    assert [child.data.metrics["budget_cap"] for child in selected] == [5.0]
    curve = client.get_metric_history(parent.info.run_id, "budget_cap")
    assert [point.value for point in curve] == [outcome.level + 1 for outcome in search.state.history]
    assert parent.data.metrics["answer_cap"] == 5
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} >= {
        "result.json",
        "report.html",
        "study.yaml",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlartifacts", "mlflow.db", "study"]


def test_the_selected_program_is_a_model_that_loads_without_sp_search(uri: str, tmp_path: Path) -> None:
    import mlflow

    folder = tmp_path / "study"
    write_study(folder)
    (folder / "program").mkdir()
    (folder / "program" / "load.py").write_text(LOADER)
    (folder / "program" / "config.json").write_text('{"shape": {"channels": 1, "classes": 1}}')
    for _ in range(2):
        assert Shipper(uri, "invented", folder).finish() == (0, "")
    client, runs = runs_of(uri)
    models = client.search_logged_models([runs[0].info.experiment_id])
    assert len(models) == 1
    model = mlflow.pyfunc.load_model(models[0].artifact_location)
    x = numpy.ones((2, 3, 1), dtype=numpy.float32)
    assert (model.predict(x) == 2 * x).all()
    requirements = Path(models[0].artifact_location.removeprefix("file://"), "requirements.txt").read_text()
    assert [line.partition("==")[0] for line in requirements.split()] == ["torch", "safetensors", "numpy", "mlflow"]


@pytest.mark.parametrize("forgetful", [False, True], ids=["remembers", "forgets"])
def test_every_event_is_there_once_after_kills_and_resumes(uri: str, tmp_path: Path, forgetful: bool) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "study"
    write_study(whole)
    folder.mkdir()
    lines = (whole / LEDGER_NAME).read_bytes().splitlines(keepends=True)
    for count in (1, 3, 4, 9, len(lines)):
        (folder / LEDGER_NAME).write_bytes(
            b"".join(lines[:count]) + lines[min(count, len(lines) - 1)][:20] * (count < 9)
        )
        if count == len(lines):
            shutil.copy(whole / "result.json", folder)
        assert Shipper(uri, "invented", folder).finish() == (0, "")
        if forgetful:
            (folder / "mlflow.json").unlink()
    client, runs = runs_of(uri)
    keys = [run.data.tags["sp_search.run"] for run in runs]
    assert len(keys) == len(set(keys)) > 5
    assert {run.info.status for run in runs} == {"FINISHED", "KILLED"}  # killed: cut when the verdict was known
    reference = Updates()
    for entry in read_ledger(whole):
        reference.read(entry)
    for run in runs:
        for name in ("budget_cap", "pass_rate", "looks"):
            wanted = [p for p in reference.pending[run.data.tags["sp_search.run"]].points if p.name == name]
            stored = client.get_metric_history(run.info.run_id, name)
            assert sorted((p.step, p.value) for p in stored) == sorted((p.step, p.value) for p in wanted)


def test_a_killed_study_leaves_no_run_that_looks_alive(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder, until=6)
    with Shipper(uri, "invented", folder):
        pass
    _, runs = runs_of(uri)
    assert {run.info.status for run in runs} == {"FINISHED", "KILLED"}


def test_runs_that_somebody_deleted_with_their_store_are_shipped_anew(
    uri: str, fresh_store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    Shipper(uri, "invented", folder).finish()
    before = len(runs_of(uri)[1])
    other = tmp_path / "other.db"
    shutil.copy(fresh_store, other)
    assert Shipper(f"sqlite:///{other}", "invented", folder).finish() == (0, "")
    assert len(runs_of(f"sqlite:///{other}")[1]) == before


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
def test_a_dead_server_costs_the_study_nothing_and_is_named_at_the_end(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    started = time.monotonic()
    shipper = Shipper(request.getfixturevalue(kind), "invented", folder)
    assert time.monotonic() - started < 0.5
    lag = shipper.finish(timeout_s=1.0)
    assert time.monotonic() - started < 3.0
    lines = len(read_ledger(folder))
    assert lag.events == lines
    assert lag.message.startswith(f"MLflow lags by {lines} of {lines} events")
    assert "resume" in lag.message


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
    assert Shipper(uri, "invented", folder).finish() == (0, "")
    assert len(runs_of(uri)[1]) > 5


def test_updates_are_a_function_of_the_ledger_and_hold_no_infinity(tmp_path: Path) -> None:
    write_study(tmp_path, config={"rate": 0.5, "nested": {"a": 1}})

    def fold() -> dict[str, Update]:
        updates = Updates()
        for entry in read_ledger(tmp_path):
            updates.read(entry)
        return updates.pending

    assert fold() == fold()
    assert all(math.isfinite(point.value) for update in fold().values() for point in update.points)
    child = fold()["member0/visit0"]
    assert child.params["config.rate"] == "0.5"
    assert "config.nested" not in child.params
    assert child.config == {"width": 12, "rate": 0.5, "nested": {"a": 1}}
    assert fold()[STUDY].status == "RUNNING"


def test_names_are_made_such_that_mlflow_takes_them() -> None:
    assert metric_name("gates/../é<x>") == "gates/__/__x_"


def test_the_command_for_the_browser_works_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spaced = tmp_path / "my studies"
    spaced.mkdir()
    monkeypatch.chdir(spaced)
    assert absolute_uri("sqlite:///mlflow.db") == f"sqlite:///{spaced}/mlflow.db"
    assert ui_command("sqlite:///mlflow.db").endswith(
        f"ui --backend-store-uri 'sqlite:///{spaced}/mlflow.db' --port 5000"
    )
    assert ui_command("http://tracker:5000") == "http://tracker:5000"
