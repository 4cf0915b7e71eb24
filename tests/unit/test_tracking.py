"""What of tracking needs no store: how detailed it is, what it draws, what it names, where its pages are."""

import math
from pathlib import Path

import pytest
from invented_study import write_study

from sp_search.events import MemberStopped
from sp_search.ledger import Ledger, read_ledger
from sp_search.records import Assignment, Budget, Count, LineageMeasurement, LineageReport
from sp_search.rows import LineageRow
from sp_search.tracking.detail import chosen_detail
from sp_search.tracking.figures import frontier_table, metric_name
from sp_search.tracking.mlflow import absolute_uri, study_page, ui_command
from sp_search.tracking.probe import in_words
from sp_search.tracking.updates import STUDY, Update, Updates


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


def test_a_member_that_somebody_stopped_is_not_said_to_be_at_work(tmp_path: Path) -> None:
    search = write_study(tmp_path, until=1)
    with Ledger(tmp_path) as ledger:
        search.append = ledger.append
        search.feed(MemberStopped(member=1, by="ada"))
    updates = Updates()
    for entry in read_ledger(tmp_path):
        updates.read(entry)
    told = {key: (one.status, one.tags["phase"]) for key, one in updates.pending.items() if key != STUDY}
    assert told == {
        "member0": ("RUNNING", "open"),
        "member0/visit0": ("RUNNING", "open"),
        "member1": ("KILLED", "stopped"),
        "member1/visit0": ("KILLED", "stopped"),
    }


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "UNAUTHENTICATED",
            "the server refuses the login (401): MLFLOW_TRACKING_USERNAME and ",
        ),
        (
            "PERMISSION_DENIED",
            "the login may not write there (403): whoever made experiment and model has to ",
        ),
        ("INTERNAL_ERROR", "MlflowException: first line"),
    ],
)
def test_a_store_s_error_is_a_line_and_a_refused_login_says_what_to_do(code: str, said: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    words = in_words(MlflowException("first line\nsecond line", error_code=ErrorCode.Value(code)))
    assert words.startswith(said)
    assert "\n" not in words


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
