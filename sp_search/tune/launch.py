"""The life of one Ray session: join or start a cluster, run a search on it through Tune, and leave it as it was.

Tune is an engine here and its state is scratch: a study goes on by replaying its ledger into a fresh search, which this
module drives with a fresh Tuner on whatever cluster there is now.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import ray
from ray.tune import RunConfig, TuneConfig, Tuner
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback

from sp_search.errors import Interrupted, StudyError
from sp_search.own_parts import runtime_environment
from sp_search.search import Search
from sp_search.signals import Signals, bounded
from sp_search.store import store_at
from sp_search.study import Cluster
from sp_search.tune.actor import STORE_S, LevelTrainable, RunnerRecipe
from sp_search.tune.head import patience_s, watched
from sp_search.tune.lost_actors import survived
from sp_search.tune.machines import Machines
from sp_search.tune.nodes import alive, require_alike, wait_for
from sp_search.tune.scheduler import Asked, Limit, Progress, StopRequested, TuneBudgetScheduler
from sp_search.tune.search import AssignmentSearcher
from sp_search.tune.slots import Slots

LOCAL = Cluster()
OBJECT_STORE_BYTES = 128 * 1024 * 1024  # assignments and reports are small; weights go through the checkpoints
DEADLINE_S = 60.0

TUNE_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",  # `Slots` hands out no more trials than fit
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


def run_tune(
    search: Search,
    recipe: RunnerRecipe,
    folder: Path,
    *,
    cluster: Cluster = LOCAL,
    cpu: float = 1.0,
    gpu: float = 0.0,
    concurrent: int | None = None,
    limit: Limit = lambda search: None,
    room: Callable[[Search], int | None] = lambda search: None,
    progress: Progress = lambda search: None,
    asked: Asked = lambda search: [],
    deadline_s: float = DEADLINE_S,
    checkpoints: str | None = None,
    driver: int = 0,
    store_s: float = STORE_S,
) -> None:
    """Run `search` to its end on Ray, or until `limit` names a limit; a replayed search takes up where it was.

    Args:
        search: feeds its own ledger; events arrive on this thread alone.
        recipe: how an actor builds its runner.
        folder: of the study.
        cluster: a running cluster's address, or what a local one may use; a connection of this process comes first.
        cpu: CPU cores of a trial.
        gpu: GPUs of a trial; fractions are shared.
        concurrent: most trials side by side; None for as many as fit.
        limit: names a limit that the search has reached, if any.
        room: says how many trials may run or begin beside those that are over; None for any number.
        progress: told after every slice; it must return at once.
        asked: says what people ask of the search between slices; it must return at once.
        deadline_s: a trial without a slice for this long, and for ten typical slices, is killed and counts as lost.
        checkpoints: an object store's address, or a folder that all machines see; None for the study's.
        driver: the number of this driver among those that took the study up, where one is counted.
        store_s: least seconds between two stored slices of a level, whose last always is; 0 stores every one.

    Raises:
        StudyError: no cluster answers at the address, its machines are not alike, or none has what a trial asks for.
        StorageError: the ledger or the checkpoints cannot be written, or not all machines share the folder of these.
        Interrupted: SIGINT or SIGTERM; the study can be resumed.
    """
    folder = folder.resolve()
    store = store_at(checkpoints or str(folder / "checkpoints"))
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what matters of it becomes an event or an exception
    machines = Machines(store.location, cpu=cpu, gpu=gpu, concurrent=concurrent)
    ours = cluster.address == "local" and not ray.is_initialized()
    with Signals(folder) as signals, connected(cluster), machines:
        signals.arm()
        wait_for(cluster.nodes, signals.interrupted)
        machines.begin(require_alike(store.location), watch=not ours)
        _require_room(machines.fit.slots, cpu, gpu)
        slots = Slots(machines.fit.slots, lambda: room(search))
        scheduler = TuneBudgetScheduler(
            search,
            slots,
            store,
            limit=limit,
            progress=progress,
            asked=asked,
            interrupted=signals.interrupted,
            deadline_s=deadline_s,
            machines=machines,
        )
        scheduler.begin()
        with _environment(TUNE_SETTINGS):
            tuner = Tuner(
                LevelTrainable,
                param_space={
                    "recipe": recipe.model_dump_json(),
                    "checkpoints": store.location,
                    "store_s": store_s,
                    "driver": driver,
                    "cpu": cpu,
                    "gpu": gpu,
                },
                tune_config=TuneConfig(
                    search_alg=AssignmentSearcher(scheduler.next_start, scheduler.finished, scheduler.place),
                    scheduler=scheduler,
                    num_samples=-1,
                    reuse_actors=True,
                    trial_name_creator=_trial_name,
                    trial_dirname_creator=_trial_name,
                ),
                run_config=RunConfig(
                    name=time.strftime("%Y%m%d-%H%M%S"),
                    storage_path=str(folder / "tune"),
                    verbose=0,
                    callbacks=[_Silent()],
                ),
            )
            try:
                with survived():
                    tuner.fit()
            except StopRequested:
                pass
            except RuntimeError:  # of Tune's table of results, which nobody needs: it fails where a trial never began
                if not scheduler.finished():
                    raise
        stopped = signals.interrupted()
    if search.state.finished is None or stopped is not None:
        raise stopped or Interrupted(folder, signal.SIGTERM)


class _Silent(TrialProgressCallback):
    """Prints nothing of Tune's: stdout is for the answer."""

    def _print(self, msg: str) -> None:
        pass


def _trial_name(trial: Trial) -> str:
    return f"member{trial.config['member']}-attempt{trial.config['attempt']}"


def _require_room(slots: int, cpu: float, gpu: float) -> None:
    """Refuse a cluster in which not even one trial fits.

    Raises:
        StudyError: says what is asked, and what the largest machine has.
    """
    if slots:
        return
    machines = [node["Resources"] for node in alive()]
    most = {name: max(machine.get(name, 0.0) for machine in machines) for name in ("CPU", "GPU")}
    raise StudyError(
        [
            f"resources: a trial asks for {cpu:g} CPU and {gpu:g} GPU, "
            f"the largest machine of the cluster has {most['CPU']:g} CPU and {most['GPU']:g} GPU: "
            "ask for less (--set resources.gpu=0), or give a cluster that has it (--address, --cluster)"
        ]
    )


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Be connected to a cluster: by this process's own connection, to the one at its address, or to one of our own.

    What was started here ends here, on whatever way out, and soon after SIGTERM (`signals.bounded`).
    """
    if ray.is_initialized():
        yield
        return
    with bounded(), _session(cluster), watched(ray.get_runtime_context().gcs_address, patience_s()):
        yield


@contextmanager
def _session(cluster: Cluster) -> Iterator[None]:
    local = cluster.address == "local"
    if local and not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # known to our own processes alone, in no file
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(
            cluster.address,
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus,
            object_store_memory=OBJECT_STORE_BYTES if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
            runtime_env=runtime_environment() or None,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = (
            "a Ray cluster of our own does not start"
            if local
            else f"--address {cluster.address}: no Ray cluster answers"
        )
        mode = os.environ.get("RAY_AUTH_MODE", "not set")
        raise StudyError(
            [f"{where} (RAY_AUTH_MODE is {mode}; the cluster's mode and token must be ours): {error}"]
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and put back what was there."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
