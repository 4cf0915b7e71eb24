"""What surrounds a running search: its ledger goes to MLflow and to its object store, in the end its folder too."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sp_search.bucket import Bucket, files_of
from sp_search.courier import Courier
from sp_search.folder import header_of, store_of, tracking_uri
from sp_search.ledger import LEDGER_NAME
from sp_search.segments import LedgerCopy, OwnDisk
from sp_search.store import BucketStore
from sp_search.study import Study

PATIENCE_S, INTERRUPTED_PATIENCE_S = 60.0, 1.5
"""How long the end of a study waits for MLflow; `resume` and `mlflow-sync` ship what is left."""
STAYS = ("checkpoints", "tune", "control", "driver.lock", LEDGER_NAME)
"""What of a folder is not copied: it is there already, the ledger as segments, or its driver's own."""


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
def copied(folder: Path) -> Iterator[OwnDisk]:
    """Keep a copy of the study's ledger beside its checkpoints, if these lie in an object store; at the end, of all.

    Raises:
        StorageError: the store cannot be reached, or another driver has taken the study over, be it at the end.
    """
    store = store_of(folder)
    if not isinstance(store, BucketStore):
        yield OwnDisk()
        return
    bucket = Bucket(f"{store.location.rpartition('/')[0]}/study")
    ledger = LedgerCopy(folder, bucket)
    fetch = f"sp-search fetch {bucket.address} DIR"
    ended = False
    try:
        _send(folder, bucket, ("study.yaml", "manifest.json"))
        sys.stderr.write(f"should this machine be lost: {fetch}, then sp-search resume DIR\n")
        sys.stderr.write(f"it can be asked from anywhere: sp-search status, pause, ... {bucket.address}\n")
        with Courier(folder, bucket, lambda: bool(ledger.superseded), ledger.when_safe):
            yield ledger
        ended = True
    finally:
        whole = ledger.finish(patient=ended)
        if not ledger.superseded and (whole or ended):
            count = _send(folder, bucket, files_of(folder, leave_out=STAYS))
            sys.stderr.write(f"copied {count} files to {bucket.address}: {fetch}\n")
    ledger.check()  # an answer that somebody else goes on from is none


def _send(folder: Path, bucket: Bucket, names: Iterable[str]) -> int:
    """Copy files of a folder into a bucket, as far as it goes; return how many, and say why not all."""
    sent = 0
    try:
        for name in names:
            bucket.write(name, (folder / name).read_bytes())
            sent += 1
    except OSError as error:
        sys.stderr.write(f"{folder} could not be copied to {bucket.address}: {error}\n")
    return sent
