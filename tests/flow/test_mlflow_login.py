"""A server that asks for a login (`--app-name basic-auth`): who has one ships, who has not is told, nothing leaks."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from invented_study import write_program, write_study
from mlflow_store import MARKS, PATIENCE_S, keys, runs_of, serving, ship, stored_points, wanted_points

from sp_search.report.page import write_report
from sp_search.tracking.mlflow import Shipper

pytest.importorskip("flask_wtf", reason="MLflow's login is not installed (extra: login)")
pytestmark = [pytest.mark.timeout(900), *MARKS, pytest.mark.slow]  # a real server, slow over every password
Login = tuple[str, str]
ROOT, ADA, BOB = ("root", "a-first-password"), ("ada", "correct-horse-12"), ("bob", "battery-staple-34")
WRONG = (ADA[0], "wrong-horse-1234")


@pytest.fixture(scope="module")
def place(fresh_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("guarded")
    shutil.copy(fresh_store, place / "mlflow.db")
    return place


@pytest.fixture(scope="module")
def guarded(place: Path) -> Iterator[str]:
    """The address of a server that knows an administrator, bob, and ada, whose the experiment is."""
    from mlflow import MlflowClient
    from mlflow.server import get_app_client

    admin = {"MLFLOW_AUTH_ADMIN_USERNAME": ROOT[0], "MLFLOW_AUTH_ADMIN_PASSWORD": ROOT[1]}
    with serving(place, "--app-name", "basic-auth", MLFLOW_FLASK_SERVER_SECRET_KEY=ROOT[1], **admin) as address:
        with as_user(ROOT):
            for name, password in (ADA, BOB):
                get_app_client("basic-auth", address).create_user(name, password)
        with as_user(ADA):
            MlflowClient(address).create_experiment("invented")
        yield address


@contextmanager
def as_user(login: Login) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", login[0])
        patch.setenv("MLFLOW_TRACKING_PASSWORD", login[1])
        yield


def test_a_study_and_its_program_ship_with_the_login_of_the_environment_and_no_password_is_written_anywhere(
    guarded: str, place: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    write_study(folder, name="of-ada", study={"tracking": {"detail": "study"}})
    write_program(folder / "program")
    with as_user(WRONG):
        assert Shipper(guarded, "of-ada", folder).finish(PATIENCE_S).events > 5
    with as_user(ADA):
        ship(guarded, folder, "of-ada")
        client, runs = runs_of(guarded, "of-ada")
        assert {run.info.user_id for run in runs} == {"ada"}
        assert sorted(stored_points(client, runs)) == sorted(wanted_points(folder))
        assert client.get_model_version_by_alias("of-ada", "milestone-0_95").version == "1"
        write_report(folder)
    files = [file for root in (folder, place) for file in root.rglob("*") if file.is_file()]
    assert {"ledger.jsonl", "mlflow.json", "report.html", "mlflow.db", "server.log"} <= {file.name for file in files}
    for file in files:
        content = file.read_bytes()
        assert not [one for _, one in (ROOT, ADA, WRONG) if one.encode() in content], file


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (WRONG, "(the server refuses the login (401): MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "),
        (BOB, "(the login may not write there (403): whoever made experiment and model has to permit it)"),
    ],
    ids=["wrong password", "experiment of another"],
)
def test_a_login_that_is_refused_is_named_and_the_right_one_ships_it_later(
    guarded: str, tmp_path: Path, login: Login, said: str
) -> None:
    folder = tmp_path / "study"
    search = write_study(folder, study={"tracking": {"detail": "study"}})
    with as_user(login):
        lag = Shipper(guarded, "invented", folder).finish(PATIENCE_S)
    assert said in lag.message
    assert lag.events > len(search.state.history)
    with as_user(ADA):
        before = keys(runs_of(guarded)[1])
        ship(guarded, folder)
        client, runs = runs_of(guarded)
        assert keys(runs) == [*before, "study"]
        assert len(client.get_metric_history(runs[0].info.run_id, "level/budget_cap")) == len(search.state.history)
