"""What MLflow holds after a study: runs inside each other, on the same axes, in the detail that was asked for."""

import math
from pathlib import Path

import pytest
from invented_study import write_study
from mlflow_store import MARKS, of, parent, runs_of, ship

from sp_search.records import Usage

pytestmark = MARKS


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
