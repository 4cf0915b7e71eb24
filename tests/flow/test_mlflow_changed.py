"""What MLflow holds of a study that somebody extended, stopped or killed: no run twice, none that looks alive."""

import fcntl
import json
import shutil
from pathlib import Path

from invented_study import drive, result_of, write_study
from mlflow_store import MARKS, PATIENCE_S, keys, of, runs_of, ship

from sp_search.events import Extended, SetBudget, Start
from sp_search.ledger import Ledger
from sp_search.tracking.mlflow import Shipper

pytestmark = MARKS


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
        again = client.get_run(study.info.run_id)
        assert again.info.status == "RUNNING"
        assert (again.data.tags["met"], again.data.tags["ended"]) == ("false", "not yet")
        assert "The search has not ended." in again.data.tags["mlflow.note.content"]
        assert drive(search, 7.0, None, frozenset(), queue=begun)
    result = result_of(search, "invented")
    (folder / "result.json").write_text(json.dumps(result))
    ship(uri, folder)
    _, runs = runs_of(uri)
    [study] = of(runs, "study")
    assert len(runs) > known
    assert study.info.status == "FINISHED"
    assert (study.data.tags["met"], study.data.tags["ended"]) == ("true", "resolved")
    assert study.data.metrics["answer/budget_cap"] == result["budget"]["cap"] >= first
    selected = [run.data.tags["sp_search.run"] for run in runs if run.data.tags.get("selected") == "true"]
    chosen = result["program"]
    assert sorted(selected) == [f"member{chosen['member']}", f"member{chosen['member']}/visit{chosen['visit']}"]


def test_what_a_later_answer_does_not_choose_is_no_longer_selected(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    ship(uri, folder)
    result = json.loads((folder / "result.json").read_text())
    before, after = result["milestones"][0]["program"], {"member": 1, "visit": 0}
    assert before["member"] == 0
    result["milestones"][0]["program"] = after
    (folder / "result.json").write_text(json.dumps(result))
    ship(uri, folder)
    runs = runs_of(uri)[1]
    assert keys([run for run in runs if run.data.tags.get("selected") == "true"]) == ["member1", "member1/visit0"]
    assert keys([run for run in runs if "selected_for" in run.data.tags]) == ["member1", "member1/visit0"]


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


def test_a_run_of_somebody_who_copied_our_tags_is_neither_deleted_nor_written_to(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder)
    ship(uri, folder)
    client, ours = runs_of(uri)
    experiment, study = ours[0].info.experiment_id, of(ours, "study")[0]
    copy = client.create_run(experiment, tags=study.data.tags).info.run_id
    marked = {name: study.data.tags[name] for name in ("sp_search.study", "sp_search.run")}
    own = client.create_run(experiment, start_time=1, tags=marked).info.run_id
    client.log_metric(own, "hers", 1.0)
    beside = client.create_run(experiment, tags={"sp_search.study": marked["sp_search.study"]}).info.run_id
    (folder / "mlflow.json").unlink()
    ship(uri, folder)
    assert {run.info.run_id for run in runs_of(uri)[1]} == {*(run.info.run_id for run in ours), copy, own, beside}
    assert client.get_run(own).data.metrics == {"hers": 1.0}
    assert "hers" not in client.get_run(study.info.run_id).data.metrics
    assert not client.get_run(copy).data.metrics


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
