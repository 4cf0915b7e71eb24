"""One thread, a quiet Ray, and a working folder of its own where a test writes."""

import os
import tempfile

# Before anything imports torch, Ray or MLflow, and inherited by the processes that tests start.
os.environ.update(
    OMP_NUM_THREADS="1",
    MPLBACKEND="Agg",
    MLFLOW_DISABLE_TELEMETRY="true",
    RAY_AUTH_MODE="disabled",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AIR_NEW_OUTPUT="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    XDG_STATE_HOME=tempfile.mkdtemp(prefix="sp_search_state"),  # the key that seals what a user began
)

import pytest


@pytest.fixture(scope="session")
def ray_session():
    """One local Ray for the whole run; never one that is running already."""
    import ray

    with tempfile.TemporaryDirectory(prefix="sp", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=False,
            _temp_dir=folder,
        )
        yield ray
        ray.shutdown()


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
