"""What MLflow says a study has found: marked runs, a description, a table, registered programs."""

import json
from pathlib import Path

import numpy
from invented_study import write_program, write_study
from mlflow_store import MARKS, of, runs_of, ship

from sp_search.tracking.registry import program_hash

pytestmark = MARKS


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
