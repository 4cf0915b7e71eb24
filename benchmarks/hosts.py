"""Three hosts, what happens to them, and whether a study's answer is that of an undisturbed run.

    python -m benchmarks.hosts [RUNS [FAULT...]]        # root, on Linux with iproute2

See `network.py` for what a host is, and `host_studies.py` for the two studies.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.host_studies import Run, TableRun, TrainedRun, table_answer, trained_answer
from benchmarks.network import HEAD, PATIENCE_S, WORKERS, Hosts, missing
from benchmarks.seeds import keep

CUT_S = 60.0


def undisturbed(run: Run) -> None:
    """Let it run."""
    run.drive()


def node_killed(run: Run) -> None:
    """Kill a worker with a trial; it comes back once the study is over."""
    run.drive()
    host = run.reach()
    run.hosts.kill(host)
    run.driver.wait(PATIENCE_S)
    run.hosts.lose(host)
    run.hosts.start(host)


def link_cut(run: Run) -> None:
    """Cut a worker with a trial off for a minute, while the study goes on."""
    run.drive()
    host = run.reach()
    run.hosts.link(host, "down")
    time.sleep(CUT_S)
    run.hosts.link(host, "up")
    assert run.driver.poll() is None, "the study was over before the link was healed"
    run.driver.wait(PATIENCE_S)
    run.hosts.lose(host)  # Ray has given the host up: whoever watches over a machine starts it again
    run.hosts.start(host)


def driver_killed(run: Run) -> None:
    """Kill the driver twice: it goes on with one worker instead of two, then with two again."""
    run.drive()
    host = run.reach()
    run.end()
    run.hosts.lose(host)
    run.drive()
    run.reach()
    run.end()
    run.hosts.start(host)
    run.drive()


def head_lost(run: Run) -> None:
    """Kill the head with the driver on it; go on with a fresh head, while a worker still belongs to the dead one."""
    run.drive()
    run.reach()
    run.hosts.kill(HEAD)
    run.driver.wait()
    run.hosts.start_head()
    for number, host in enumerate(WORKERS):
        run.hosts.kill(host)
        run.hosts.start(host)
        if number == 0:
            run.drive()
            run.reach()


class Fault(NamedTuple):
    """What happens, to which study, and how long a slice of a trial that only sleeps takes meanwhile."""

    happens: Callable[[Run], None]
    study: type[Run] = TableRun
    slice_s: float = 1.0
    lost: tuple[int, ...] = (0,)
    """How many trials may be lost by it."""

    def begin(self, hosts: Hosts, folder: Path) -> Run:
        """Return its study, to be run on `hosts`."""
        return self.study(hosts, folder, self.slice_s)


FAULTS = {
    "undisturbed": Fault(undisturbed),
    "link cut for 60 s": Fault(link_cut, slice_s=2.0, lost=(1,)),  # it goes on when the link is healed
    "node killed": Fault(node_killed, lost=(1,)),
    "driver killed, other hosts": Fault(driver_killed),
    "head and driver killed": Fault(head_lost),
    "trained: undisturbed": Fault(undisturbed, TrainedRun),
    "trained: node killed": Fault(node_killed, TrainedRun, lost=(0, 1)),  # none, if it has just been judged
    "trained: head and driver killed": Fault(head_lost, TrainedRun),
}


def expected(study: type[Run]) -> dict[str, Any]:
    """Return a study's answer of one process without Ray."""
    return trained_answer() if study is TrainedRun else table_answer()


def main(runs: int, names: list[str]) -> None:
    """Run every fault `runs` times, and print and keep a table."""
    if lack := missing():
        sys.exit(f"benchmarks.hosts {lack}")
    wanted = {study: expected(study) for study in {FAULTS[name].study for name in names}}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="sp") as place, Hosts() as hosts:
        for number in range(runs):
            for index, name in enumerate(names):
                run = FAULTS[name].begin(hosts, Path(place) / f"{number}-{index}")
                FAULTS[name].happens(run)
                row = run.report(name, wanted[FAULTS[name].study])
                rows.append({**row, "load_1min": round(os.getloadavg()[0], 1)})
                if len(rows) == 1:
                    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
                print("| " + " | ".join("-" if cell is None else str(cell) for cell in rows[-1].values()) + " |")
                keep("hosts", {"cores": os.cpu_count(), "rows": rows})
    if not all(row["same_answer"] and not row["verdicts_of_lost"] for row in rows):
        sys.exit("an answer differs")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2:] or list(FAULTS))
