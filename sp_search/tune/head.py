"""A cluster that has lost its head: the driver ends as at SIGTERM, and says how the study goes on.

Ray gives a head 60 s to come back, then ends its driver from its own threads with exit code 1, wherever Python is, and
no line of ours is printed. Here a thread looks as well, and sends the signal some seconds before that.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

RAYS_PATIENCE = ("RAY_gcs_rpc_server_reconnect_timeout_s", 60.0)
EARLIER_S = 10.0
LOOK_S = 2.0


def patience_s() -> float:
    """Return how long a head may be away: a little less than Ray itself would wait."""
    name, usual_s = RAYS_PATIENCE
    return max(LOOK_S, float(os.environ.get(name, usual_s)) - EARLIER_S)


@contextmanager
def watched(address: str, patience_s: float, look_s: float = LOOK_S) -> Iterator[None]:
    """Send SIGTERM to this process once nothing at `address` (HOST:PORT) has taken a connection for `patience_s`.

    Time in which this process stood still itself, with nobody looking, is not the head's.
    """
    left = threading.Event()
    watch = threading.Thread(target=_look, args=(address, patience_s, look_s, left), name="head", daemon=True)
    watch.start()
    try:
        yield
    finally:
        left.set()
        watch.join()


def _look(address: str, patience_s: float, look_s: float, left: threading.Event) -> None:
    away, looked = 0.0, time.monotonic()
    while not left.wait(look_s):
        answers, before, looked = _answers(address, look_s), looked, time.monotonic()
        away = 0.0 if answers else away + min(looked - before, 3 * look_s)
        if away > patience_s and not left.is_set():
            sys.stderr.write(f"\nthe cluster's head at {address} has not answered for {away:.0f} s: start a new one\n")
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _answers(address: str, wait_s: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), wait_s).close()
    except OSError:
        return False
    return True
