"""How long a driver on Ray takes to end when it is asked to by SIGTERM, at seven moments of the quickstart."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.seeds import keep

ROOT = Path(__file__).parents[1]
TIMES, EARLIEST_S, LATEST_S = 7, 12.0, 20.0


def asked(after_s: float) -> float:
    """Return the seconds from the signal to the end of a driver that is asked `after_s` seconds after its start."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sp_search", "run", str(ROOT / "studies/quickstart.yaml"), "--output", "run"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (Path(folder) / "log").open("w") as log:
            driver = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)  # noqa: S603 - our own
        time.sleep(after_s)
        began = time.monotonic()
        driver.send_signal(signal.SIGTERM)
        code = driver.wait()
        seconds = time.monotonic() - began
        said = (Path(folder) / "log").read_text()
        assert (code, "to go on: sp-search resume" in said) == (143, True), said
    return seconds


def main() -> None:
    """Ask at moments drawn from seed 0, and keep every time."""
    lots, load = random.Random(0), os.getloadavg()[0]  # noqa: S311 - moments, no secret
    seconds = [round(asked(lots.uniform(EARLIEST_S, LATEST_S)), 2) for _ in range(TIMES)]
    print(f"median {median(seconds)} s, worst {max(seconds)} s")
    keep("sigterm", {"seconds": seconds, "load": load, "seed": 0})


if __name__ == "__main__":
    main()
