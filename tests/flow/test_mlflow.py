"""What MLflow holds after a study, after a kill and a resume, and what a dead server costs (nothing)."""

import fcntl
import itertools
import json
import math
import shutil
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
from invented_study import drive, result_of, write_study

from sp_search.cli import main
from sp_search.cli.app import ExitCode
from sp_search.events import Extended, SetBudget, Start
from sp_search.ledger import LEDGER_NAME, Ledger, read_ledger
from sp_search.records import Assignment, Budget, Count, LineageMeasurement, LineageReport, Usage
from sp_search.rows import LineageRow
from sp_search.tracking.detail import chosen_detail
from sp_search.tracking.figures import frontier_table, metric_name
from sp_search.tracking.mlflow import Shipper, absolute_uri, study_page, ui_command
from sp_search.tracking.registry import program_hash
from sp_search.tracking.updates import STUDY, Update, Updates

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, about SQLAlchemy and about Pydantic
    pytest.mark.timeout(300),  # a store on a busy disk takes its time
]
PATIENCE_S = 250.0

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


def of(runs, kind: str):
    return [run for run in runs if run.data.tags["run_of"] == kind]


def parent(run) -> str | None:
    return run.data.tags.get("mlflow.parentRunId")


def ship(uri: str, folder: Path, name: str = "invented") -> None:
    assert Shipper(uri, name, folder).finish(PATIENCE_S) == (0, "")


def test_a_study_its_members_and_their_levels_are_runs_inside_each_other(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")  # another tool left it behind
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "study"
    search = write_study(folder)
    ship(uri, folder)
    client, runs = runs_of(uri)
    [study], members, levels = of(runs, "study"), of(runs, "member"), of(runs, "level")
    assert study.info.run_name == "invented / seed 3"
    assert sorted(run.info.run_name for run in members) == ["member 0", "member 1"]
    assert len(levels) == 2 * len(search.state.history)
    assert {parent(run) for run in members} == {study.info.run_id}
    assert {parent(run) for run in levels} == {run.info.run_id for run in members}
    first = next(run for run in levels if run.data.tags["sp_search.run"] == "member0/visit0")
    assert first.info.run_name == f"member 0 / rollouts {search.state.history[0].cap:g} / visit 0"
    assert {run.info.status for run in [study, *members]} == {"FINISHED"}
    curve = client.get_metric_history(study.info.run_id, "level/budget_cap")
    assert [point.value for point in curve] == [outcome.level + 1 for outcome in search.state.history]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlartifacts", "mlflow.db", "study"]


def test_a_level_says_its_phase_and_verdict_and_whether_the_member_has_a_verified_program(
    uri: str, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    search = write_study(folder)
    ship(uri, folder)
    levels = of(runs_of(uri)[1], "level")
    cut = [run for run in levels if run.info.status == "KILLED"]
    assert [run.data.tags["verdict"] for run in cut] == ["passed"]
    for run in [run for run in levels if run not in cut]:
        outcome = search.state.history[int(run.data.tags["visit"])]
        assert run.data.tags["verdict"] == outcome.verdict
        assert run.data.tags["phase"] == outcome.phase
        assert run.data.tags["level"] == str(outcome.level)
        assert run.data.tags["verified"] == str(run.data.metrics["level/passed"] > 0).lower()
        assert {"level/budget_cap", "cost/mean_flops", "cost/max_flops", "cost/parameters"} <= run.data.metrics.keys()
        assert all(math.isfinite(value) for value in run.data.metrics.values())
    passed = [run for run in levels if run.data.tags["verified"] == "true"]
    assert passed
    assert all(run.data.metrics["quality/accuracy_low"] <= run.data.metrics["quality/accuracy"] for run in passed)


def test_members_have_numbers_on_the_same_axes_and_show_their_cheapest_verified_program(
    uri: str, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    ship(uri, folder)
    _, runs = runs_of(uri)
    members, levels = of(runs, "member"), of(runs, "level")
    assert sorted(float(run.data.params["config.width"]) for run in members) == [12.0, 16.0]
    for run in members:
        mine = [one for one in levels if parent(one) == run.info.run_id and one.data.tags["verified"] == "true"]
        assert run.data.tags["verified"] == str(bool(mine)).lower()
        costs = [one.data.metrics["cost/mean_flops"] for one in mine]
        assert not costs or run.data.metrics["cost/mean_flops"] == min(costs)
    assert "true" in [run.data.tags["verified"] for run in members]


def test_the_answer_is_marked_described_and_drawn(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    (folder / "report.html").write_text("page")
    (folder / "frontier.png").write_bytes(b"png")
    ship(uri, folder)
    client, runs = runs_of(uri)
    [study] = of(runs, "study")
    selected = [run for run in runs if run.data.tags.get("selected") == "true"]
    assert {run.data.tags["run_of"] for run in selected} == {"member", "level"}
    [level] = of(selected, "level")
    assert level.data.metrics["level/budget_cap"] == 5.0
    assert study.data.metrics["answer/budget_cap"] == 5
    note = study.data.tags["mlflow.note.content"]
    assert f"runs/{level.info.run_id}?workflowType=machine_learning)" in note
    assert "the cheapest verified program is [member" in note
    assert f"runs/{level.info.run_id}?" in client.get_experiment(study.info.experiment_id).tags["mlflow.note.content"]
    stored = {file.path for file in client.list_artifacts(study.info.run_id)}
    assert stored >= {"result.json", "report.html", "study.yaml", "frontier.png", "frontier.json"}
    assert json.loads(study.data.tags["mlflow.loggedArtifacts"]) == [{"path": "frontier.json", "type": "table"}]
    table = json.loads(Path(client.download_artifacts(study.info.run_id, "frontier.json")).read_text())
    costs = [row[table["columns"].index("mean_flops")] for row in table["data"]]
    assert costs == sorted(set(costs))


def test_a_frontier_holds_what_no_other_program_beats_in_both() -> None:
    def row(lineage: int, flops: float, correct: int, passed: bool = False) -> LineageRow:
        at = Assignment(
            member=0, visit=1, level=2, attempt=0, milestone=0.9, config={}, lineages=[lineage], seeds=[0],
            budget=Budget(kind="max", measure="rollouts", cap=3.0),
        )  # fmt: skip
        measured = LineageMeasurement(
            lineage=lineage, seed=0, ended="reached", train_steps=1, gates={"iid": Count(correct=correct, n=10)},
            max_available_flops=flops, parameters=1, serial_depth=1,
        )  # fmt: skip
        return LineageRow(at, measured, LineageReport(lineage=lineage, seed=0, tried=True, passed=passed), 0.01)

    table = frontier_table([row(0, 9.0, 9, True), row(1, 5.0, 7), row(2, 5.0, 8), row(3, 9.5, 9), row(4, 7.0, 8)])
    frontier = [dict(zip(table["columns"], one, strict=True)) for one in table["data"]]
    assert [(one["lineage"], one["accuracy"], one["verified"]) for one in frontier] == [(2, 0.8, False), (0, 0.9, True)]


def test_the_data_of_a_study_are_data_sets_with_digests(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder, study={"selection": {"gates": ["iid", "longer"], "n": 100}})
    for _ in range(2):
        ship(uri, folder)
        (folder / "mlflow.json").unlink()
    [study] = of(runs_of(uri)[1], "study")
    inputs = {one.dataset.name: one for one in study.inputs.dataset_inputs}
    assert sorted(inputs) == [
        "parity / iid / verification",
        "parity / longer / verification",
        "parity / training distribution / train",
        "parity / training distribution / validation",
    ]
    assert len({one.dataset.digest for one in inputs.values()}) == 4
    assert len(study.inputs.dataset_inputs) == 4


def test_owner_and_notes_are_shown_as_they_are_and_never_as_markup(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder, study={"tracking": {"owner": "ada", "notes": "<img src=x> [click](http://evil)"}})
    ship(uri, folder)
    [study] = of(runs_of(uri)[1], "study")
    assert study.data.tags["owner"] == study.info.user_id == "ada"
    note = study.data.tags["mlflow.note.content"]
    assert "&lt;img src=x&gt;" in note
    assert "\\[click\\]\\(http://evil\\)" in note


@pytest.mark.parametrize(
    ("asked", "kinds"), [("study", {"study"}), ("member", {"study", "member"}), ("level", {"study", "member", "level"})]
)
def test_a_study_is_tracked_in_the_detail_that_was_asked_for(
    uri: str, tmp_path: Path, asked: str, kinds: set[str]
) -> None:
    folder = tmp_path / "study"
    write_study(folder, study={"tracking": {"detail": asked}})
    ship(uri, folder)
    _, runs = runs_of(uri)
    assert {run.data.tags["run_of"] for run in runs} == kinds
    assert of(runs, "study")[0].data.tags["met"] == "true"


def header(members: int, levels: int, proposals: int = 0, asked: str = "level"):
    listed = [{"budgets": [{}] * levels}] * (0 if proposals else members)
    return {
        "study": {"tracking": {"detail": asked}},
        "population": {"members": listed, "proposals": proposals},
        "space": {"caps": [1.0] * levels},
        "terms": {"milestones": [0.9]},
    }


@pytest.mark.parametrize(
    ("begun", "detail", "said"),
    [
        (header(4, 10), "level", ""),
        (header(1000, 10), "member", "level would make MLflow 11,001 runs or more"),
        (header(5000, 1), "study", "by study"),
        (header(5000, 1, asked="study"), "study", ""),
        (header(0, 10, proposals=16), "member", ""),
        (header(0, 10, proposals=500), "study", "by study"),
    ],
)  # fmt: skip
def test_a_study_too_large_for_so_many_runs_is_tracked_in_less_detail_and_says_so(begun, detail, said) -> None:
    chosen = chosen_detail(begun)
    assert chosen.detail == detail
    assert said in chosen.message
    assert bool(chosen.message) == bool(said)


def test_what_a_trial_used_is_a_system_metric_of_its_member_and_level(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    usage = Usage(wall_seconds=4.0, cpu_seconds=3.0, peak_memory_bytes=2e8)
    write_study(folder, usage=usage)
    ship(uri, folder)
    _, runs = runs_of(uri)
    for run in of(runs, "member"):
        assert run.data.metrics["system/cpu_utilization_percentage"] == 75.0
        assert run.data.metrics["system/peak_memory_megabytes"] == 200.0
        assert "system/peak_gpu_memory_megabytes" not in run.data.metrics
    measured = [run for run in of(runs, "level") if run.info.status == "FINISHED"]
    assert {run.data.metrics["system/wall_seconds"] for run in measured} == {4.0}


def write_program(folder: Path, weights: bytes = b"weights", **facts: str) -> None:
    folder.mkdir(parents=True)
    (folder / "load.py").write_text(LOADER)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text(json.dumps({"shape": {"channels": 1, "classes": 1}, "facts": facts}))


def test_the_selected_program_is_registered_and_loads_without_sp_search(uri: str, tmp_path: Path) -> None:
    import mlflow

    folder = tmp_path / "study"
    write_study(folder)
    write_program(folder / "program")
    for _ in range(2):
        ship(uri, folder)
        (folder / "mlflow.json").unlink()
    client, runs = runs_of(uri)
    models = client.search_logged_models([runs[0].info.experiment_id])
    assert len(models) == 1
    [version] = client.search_model_versions("name = 'invented'")
    assert str(client.get_model_version_by_alias("invented", "milestone-0_95").version) == str(version.version)
    assert version.tags["sp_search.sha256"] == program_hash(folder / "program")
    assert of(runs, "study")[0].data.tags["version.of.milestone.0.95"] == str(version.version)
    model = mlflow.pyfunc.load_model(models[0].artifact_location)
    x = numpy.ones((2, 3, 1), dtype=numpy.float32)
    assert (model.predict(x) == 2 * x).all()
    requirements = Path(models[0].artifact_location.removeprefix("file://"), "requirements.txt").read_text()
    assert [line.partition("==")[0] for line in requirements.split()] == ["torch", "safetensors", "numpy", "mlflow"]


def test_every_milestone_has_an_alias_and_programs_that_compute_alike_are_one_version(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    result = json.loads((folder / "result.json").read_text())
    [met] = result["milestones"]
    result["milestones"] = [{**met, "milestone": 0.5}, {**met, "milestone": 0.9}, met]
    (folder / "result.json").write_text(json.dumps(result))
    write_program(folder / "programs" / "0.5", b"small")
    write_program(folder / "programs" / "0.9", accuracy="0.91")
    write_program(folder / "program", accuracy="0.96")
    ship(uri, folder)
    client, _ = runs_of(uri)
    aliases = {
        name: client.get_model_version_by_alias("invented", f"milestone-{name}").version
        for name in ("0_5", "0_9", "0_95")
    }
    assert len(client.search_model_versions("name = 'invented'")) == 2
    assert aliases["0_5"] != aliases["0_9"] == aliases["0_95"]


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


def test_a_killed_study_leaves_no_run_that_looks_alive(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder, until=6)
    with Shipper(uri, "invented", folder):
        pass
    _, runs = runs_of(uri)
    assert {run.info.status for run in runs} == {"FINISHED", "KILLED"}


def test_what_another_process_drives_is_left_running(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder, until=6)
    assert Shipper(uri, "invented", folder, alive=True).finish(PATIENCE_S) == (0, "")
    assert of(runs_of(uri)[1], "study")[0].info.status == "RUNNING"


def test_two_processes_never_ship_one_study_to_one_store(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    with (folder / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another process ships this study" in Shipper(uri, "invented", folder).finish(timeout_s=10).message
    ship(uri, folder)


def test_an_extended_study_runs_again_and_the_answer_moves(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    search = write_study(folder)
    ship(uri, folder)
    client, runs = runs_of(uri)
    [study] = of(runs, "study")
    first, known = study.data.metrics["answer/budget_cap"], len(runs)
    with Ledger(folder) as ledger:
        search.append = ledger.append
        asked = Extended(settings={}, milestones=[0.95, 0.999], replicas=3, by="ada")
        begun = [one.assignment for one in search.feed(asked) if isinstance(one, Start | SetBudget)]
        assert begun
        assert Shipper(uri, "invented", folder, alive=True).finish(PATIENCE_S) == (0, "")
        assert client.get_run(study.info.run_id).info.status == "RUNNING"
        assert drive(search, 7.0, None, frozenset(), queue=begun)
    result = result_of(search, "invented")
    (folder / "result.json").write_text(json.dumps(result))
    ship(uri, folder)
    _, runs = runs_of(uri)
    [study] = of(runs, "study")
    assert len(runs) > known
    assert study.info.status == "FINISHED"
    assert study.data.metrics["answer/budget_cap"] == result["budget"]["cap"] >= first
    selected = [run.data.tags["sp_search.run"] for run in runs if run.data.tags.get("selected") == "true"]
    chosen = result["program"]
    assert sorted(selected) == [f"member{chosen['member']}", f"member{chosen['member']}/visit{chosen['visit']}"]


def test_runs_that_somebody_deleted_with_their_store_are_shipped_anew(
    uri: str, fresh_store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    ship(uri, folder)
    before = len(runs_of(uri)[1])
    shutil.copy(fresh_store, tmp_path / "mlflow.db")
    ship(uri, folder)
    assert len(runs_of(uri)[1]) == before


def write_manifest(folder: Path, tracking_uri: str | None) -> None:
    (folder / "manifest.json").write_text(json.dumps({"tracking_uri": tracking_uri}))


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


def test_updates_are_a_function_of_the_ledger_and_hold_no_infinity(tmp_path: Path) -> None:
    write_study(tmp_path, config={"rate": 0.5, "nested": {"a": 1}})

    def fold() -> dict[str, Update]:
        updates = Updates()
        for entry in read_ledger(tmp_path):
            updates.read(entry)
        return updates.pending

    assert fold() == fold()
    assert all(math.isfinite(point.value) for update in fold().values() for point in update.points)
    assert fold()["member0/visit0"].params["config.rate"] == "0.5"
    member = fold()["member0"]
    assert member.params["config.rate"] == "0.5"
    assert "config.nested" not in member.params
    assert member.config == {"width": 12, "rate": 0.5, "nested": {"a": 1}}
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


def test_the_page_of_a_study_is_known_once_something_of_it_was_shipped(tmp_path: Path) -> None:
    assert study_page(tmp_path, "sqlite:///mlflow.db") is None
    (tmp_path / "mlflow.json").write_text('{"experiment": "1", "run": "abc"}')
    assert (
        study_page(tmp_path, "sqlite:///mlflow.db", 5001)
        == "http://127.0.0.1:5001/#/experiments/1/runs/abc?workflowType=machine_learning"
    )
    assert (
        study_page(tmp_path, "https://tracker/ml/")
        == "https://tracker/ml/#/experiments/1/runs/abc?workflowType=machine_learning"
    )
    (tmp_path / "mlflow.json").write_text('{"experiment": "1\\u001b[2J", "run": "abc"}')
    assert study_page(tmp_path, "sqlite:///mlflow.db") is None
