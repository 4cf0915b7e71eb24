"""What surrounds a search while it runs: its ledger goes to MLflow, and in the end its folder to its object store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sp_search.bucket import Bucket, upload
from sp_search.folder import header_of, store_of, tracking_uri
from sp_search.store import BucketStore
from sp_search.study import Study

PATIENCE_S, INTERRUPTED_PATIENCE_S = 60.0, 1.5
"""How long the end of a study waits for MLflow; `resume` and `mlflow-sync` ship what is left."""


@contextmanager
def tracked(study: Study, folder: Path) -> Iterator[None]:
    """Ship the ledger to MLflow meanwhile; at the end say what could not be shipped. Tracking never stops a study."""
    uri = tracking_uri(folder)
    if uri is None:
        yield
        return
    from sp_search.tracking.detail import chosen_detail
    from sp_search.tracking.mlflow import Shipper

    lowered = chosen_detail(header_of(folder)).message
    if lowered:
        sys.stderr.write(lowered + "\n")
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
