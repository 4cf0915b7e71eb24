"""A store of MLflow's with its tables made, which takes seconds; tests copy it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_store import serving


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def uri(fresh_store: Path, tmp_path: Path) -> str:
    shutil.copy(fresh_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture(scope="session")
def server(fresh_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server on loopback."""
    place = tmp_path_factory.mktemp("server")
    shutil.copy(fresh_store, place / "mlflow.db")
    with serving(place) as address:
        yield address
