"""What surrounds a search while it runs: the shipping of its ledger to MLflow, and signals that end it resumably."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sp_search.bucket import Bucket, upload
from sp_search.errors import Interrupted
from sp_search.folder import store_of, tracking_uri
from sp_search.store import BucketStore
from sp_search.study import Study

PATIENCE_S, INTERRUPTED_PATIENCE_S = 60.0, 3.0
"""How long the end of a study waits for MLflow."""


@contextmanager
def tracked(study: Study, folder: Path) -> Iterator[None]:
    """Ship the ledger to MLflow meanwhile; at the end say what could not be shipped. Tracking never stops a study."""
    uri = tracking_uri(folder)
    if uri is None:
        yield
        return
    from sp_search.tracking.mlflow import Shipper

    shipper, patience_s = Shipper(uri, study.name, folder), INTERRUPTED_PATIENCE_S
    try:
        yield
        patience_s = PATIENCE_S
    finally:
        lag = shipper.finish(patience_s)
        if lag.message:
            sys.stderr.write(lag.message + "\n")


@contextmanager
def copied(folder: Path) -> Iterator[None]:
    """At the end, however it comes, copy the study's folder beside its checkpoints if these lie in an object store."""
    try:
        yield
    finally:
        store = store_of(folder)
        if isinstance(store, BucketStore):
            target = f"{store.location.rpartition('/')[0]}/study"
            try:
                count = upload(folder, Bucket(target), leave_out=("checkpoints", "tune", "control", "driver.lock"))
                sys.stderr.write(f"copied {count} files to {target}: sp-search fetch {target} DIR\n")
            except OSError as error:
                sys.stderr.write(f"{folder} could not be copied to {target}: {error}\n")


@contextmanager
def interruptible(folder: Path) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into `Interrupted`, so that whoever called can print how to resume."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(folder, number)

    watched = (signal.SIGTERM, signal.SIGINT)
    try:
        previous = [signal.signal(number, interrupt) for number in watched]
    except ValueError:  # not in the main thread: signals are the caller's business
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(watched, previous, strict=True):
            signal.signal(number, handler)
