"""The quickstart as a user runs it, on Ray with MLflow: how long it takes, and how much memory all its processes hold.

Memory is the sum of proportional set sizes (a page shared by n processes counts 1/n in each) over the driver and all of
its descendants, read twice a second; Linux only.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.seeds import STUDIES, keep

PERIOD_S = 0.5


def proportional_bytes(root: psutil.Process) -> int:
    """Return the proportional set size of a process and of everything below it."""
    total = 0
    for process in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended while we looked
            total += process.memory_full_info().pss
    return total


def main() -> None:
    """Print seconds, start-up and the peak."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "study"
        command = [sys.executable, "-m", "sp_search", "run", str(STUDIES / "quickstart.yaml"), "--output", str(output)]
        started = time.time()
        driver = psutil.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        peak = 0
        while driver.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                peak = max(peak, proportional_bytes(driver))
            time.sleep(PERIOD_S)
        seconds = time.time() - started
        result = json.loads((output / "result.json").read_text())
        events = [json.loads(line) for line in (output / "ledger.jsonl").read_text().splitlines()]
    first, last = (entry["time"] for entry in (events[1], events[-1]))
    row = {
        "exit_code": driver.returncode,
        "rollouts": result["budget"]["cap"],
        "seconds": round(seconds, 1),
        "start_up_s": round(first - started, 1),
        "search_s": round(last - first, 1),
        "peak_gigabytes": round(peak / 1e9, 2),
    }
    print(row)
    keep("footprint", row)


if __name__ == "__main__":
    main()
