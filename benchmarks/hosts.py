"""Three hosts, four things that happen to them, and whether the answer is that of an undisturbed run.

    python -m benchmarks.hosts [RUNS]        # root, on Linux with iproute2

A host is a network namespace of this machine with an address of its own and Ray's processes in it; all see one file
system. The trials answer from a table (tests/flow/table_runner.py): their state is a chain of hashes over every slice,
so one that is lost, repeated or inherited from the wrong visit changes the answer. What is not shown: machines that
stop as a whole, clocks that differ, a shared folder that goes away with the network.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.seeds import keep
from sp_search.drive.inprocess import run_inprocess
from sp_search.ledger import read_ledger
from sp_search.store import MemoryStore
from tests.flow.table_driver import RUNNER, STUDIES, answer
from tests.flow.table_runner import TableRunner

ROOT = Path(__file__).parents[1]
HEAD, WORKERS = 1, (2, 3)
CORES = 2
CUT_S = 60.0
STUDY = "growing"
PATIENCE_S = 300.0


def missing() -> str:
    """Return what this machine lacks for namespaces of its own, or nothing."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "needs root and iproute2's ip"
    tried = subprocess.run(["ip", "netns", "add", "sp0"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", "sp0"], capture_output=True)
    return "" if tried.returncode == 0 else f"no network namespace can be made: {tried.stderr.strip()}"


class Hosts:
    """A Ray cluster of three hosts behind one bridge: a head without cores, and two workers. All gone at the end."""

    def __init__(self) -> None:
        """Name it; nothing is made before it is entered."""
        self.folder = Path(tempfile.mkdtemp(prefix="sp"))
        self.address = f"{self._ip(HEAD)}:6391"
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
        }

    def __enter__(self) -> Hosts:
        """Make the network, and start Ray on every host."""
        try:
            _ip("link add spbr0 type bridge")
            _ip("link set spbr0 up")
            for host in (HEAD, *WORKERS):
                _ip(f"netns add sp{host}")
                _ip(f"link add spv{host} type veth peer name eth0 netns sp{host}")
                _ip(f"link set spv{host} master spbr0 up")
                _ip(f"-n sp{host} addr add {self._ip(host)}/24 dev eth0")
                _ip(f"-n sp{host} link set eth0 up")
                _ip(f"-n sp{host} link set lo up")
            start = f"--head --port=6391 --num-cpus=0 --temp-dir={self.folder} --include-dashboard=false"
            self._start(HEAD, start.split())
            for host in WORKERS:
                self.start(host)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        """End every process of the hosts, and take the network down."""
        for host in (HEAD, *WORKERS):
            self.kill(host)
            subprocess.run(["ip", "netns", "del", f"sp{host}"], capture_output=True)
        subprocess.run(["ip", "link", "del", "spbr0"], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, host: int) -> None:
        """Start Ray on a worker, and wait until the cluster has its cores."""
        before = self.workers()
        self._start(host, [f"--address={self.address}", f"--num-cpus={CORES}", "--num-gpus=0"])
        _until(lambda: self.workers() > before, f"host {host} does not join")

    def kill(self, host: int) -> None:
        """Kill all that runs on a host at once, as a machine that loses its power."""
        found = subprocess.run(["ip", "netns", "pids", f"sp{host}"], capture_output=True, text=True).stdout.split()
        for pid in map(int, found):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def link(self, host: int, state: str) -> None:
        """Pull a host's cable, or plug it in: down or up."""
        _ip(f"link set spv{host} {state}")

    def workers(self) -> int:
        """Return how many workers the head believes alive."""
        code = "import ray; ray.init(log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()) - 1)"
        asked = subprocess.run(
            self.on(HEAD, sys.executable, "-c", code),
            env={**self.environment, "RAY_ADDRESS": self.address},
            capture_output=True,
            text=True,
        )
        if asked.returncode:
            raise RuntimeError(asked.stderr)
        return int(asked.stdout)

    def on(self, host: int, *command: str) -> list[str]:
        """Return the command that runs `command` on a host."""
        return ["ip", "netns", "exec", f"sp{host}", *command]

    def host_of(self, pid: int) -> int | None:
        """Return the host that a living process runs on."""
        asked = subprocess.run(["ip", "netns", "identify", str(pid)], capture_output=True, text=True)
        return int(asked.stdout.strip().removeprefix("sp")) if asked.stdout.strip() else None

    def _start(self, host: int, words: list[str]) -> None:
        common = ["--disable-usage-stats", f"--node-ip-address={self._ip(host)}", "--object-store-memory=100000000"]
        command = self.on(host, sys.executable, "-m", "ray.scripts.scripts", "start", *words, *common)
        started = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if started.returncode:
            raise RuntimeError(f"Ray does not start on host {host}: {started.stdout}{started.stderr}")

    @staticmethod
    def _ip(host: int) -> str:
        return f"10.77.0.1{host}"


class Run:
    """One study on the hosts, whose driver can be killed and begun again."""

    def __init__(self, hosts: Hosts, folder: Path, slice_s: float) -> None:
        """Use `folder` for the study."""
        self.hosts, self.folder, self.slice_s = hosts, folder, slice_s
        self.began = time.monotonic()
        folder.mkdir(parents=True)

    def drive(self) -> None:
        """Start a driver on the head; it begins the study, or goes on with it."""
        words = [str(self.folder), STUDY, self.hosts.address, str(self.slice_s)]
        command = self.hosts.on(HEAD, sys.executable, "-m", "tests.flow.table_driver", *words)
        said = (self.folder / "driver.log").open("a")
        self.driver = subprocess.Popen(command, cwd=ROOT, env=self.hosts.environment, stdout=said, stderr=said)

    def slices(self) -> list[dict[str, Any]]:
        """Return every slice that was begun."""
        path = self.folder / "slices.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def reach(self, slices: int) -> int:
        """Wait until so many slices were begun, and return the worker that began the last."""
        _until(lambda: self._alive() and len(self.slices()) >= slices, f"{self.folder} makes no progress")
        return self.hosts.host_of(self.slices()[-1]["pid"]) or WORKERS[-1]

    def answered(self) -> dict[str, Any]:
        """Wait for the end, and return the answer without what it cost."""
        if self.driver.wait(PATIENCE_S):
            raise RuntimeError(f"{self.folder}: the driver ended with {self.driver.returncode}")
        told: dict[str, Any] = json.loads((self.folder / "answer.json").read_text())
        told.pop("spent")
        return told

    def report(self, name: str, expected: dict[str, Any]) -> dict[str, Any]:
        """Return a row of the table."""
        same = self.answered() == expected
        events = [line["event"] for line in read_ledger(self.folder) if "event" in line]
        lost = [one for one in events if one["event"] == "member_lost"]
        begun = [(row["member"], row["visit"], tuple(row["lineages"]), row["slice"]) for row in self.slices()]
        return {
            "run": name,
            "slice_s": self.slice_s,
            "seconds": round(time.monotonic() - self.began, 1),
            "slices": len(set(begun)),
            "run_twice": len(begun) - len(set(begun)),
            "lost": len(lost),
            "verdicts_of_lost": len({one["attempt"] for one in lost} & _measured(events)),
            "failed": sum(one["event"] == "member_failed" for one in events),
            "same_answer": same,
        }

    def _alive(self) -> bool:
        if self.driver.poll() is not None:
            raise RuntimeError(f"{self.folder}: the driver ended with {self.driver.returncode}")
        return True


def undisturbed(run: Run) -> None:
    """Let it run."""
    run.drive()


def node_killed(run: Run) -> None:
    """Kill the worker that began the last slice; it comes back once the study is over."""
    run.drive()
    host = run.reach(8)
    run.hosts.kill(host)
    run.driver.wait(PATIENCE_S)
    _until(lambda: run.hosts.workers() == 1, "the head does not notice")
    run.hosts.start(host)


def link_cut(run: Run) -> None:
    """Cut the worker that began the last slice off for a minute, while the study goes on."""
    run.drive()
    host = run.reach(8)
    run.hosts.link(host, "down")
    time.sleep(CUT_S)
    run.hosts.link(host, "up")
    assert run.driver.poll() is None, "the study was over before the link was healed"
    run.driver.wait(PATIENCE_S)
    run.hosts.kill(host)  # Ray has given the host up: whoever watches over a machine starts it again
    _until(lambda: run.hosts.workers() == 1, "the head does not notice")
    run.hosts.start(host)


def driver_killed(run: Run) -> None:
    """Kill the driver twice: it goes on with one worker instead of two, then with two again."""
    run.drive()
    host = run.reach(8)
    run.driver.kill()
    run.driver.wait()
    run.hosts.kill(host)
    _until(lambda: run.hosts.workers() == 1, "the head does not notice")
    run.drive()
    run.reach(len(run.slices()) + 8)
    run.driver.kill()
    run.driver.wait()
    run.hosts.start(host)
    run.drive()


class Fault(NamedTuple):
    """What happens, and how long a slice of a trial takes meanwhile."""

    happens: Callable[[Run], None]
    slice_s: float = 1.0


FAULTS = {
    "undisturbed": Fault(undisturbed),
    "link cut for 60 s": Fault(link_cut, slice_s=2.0),  # it goes on when the link is healed
    "node killed": Fault(node_killed),
    "driver killed, other hosts": Fault(driver_killed),
}


def expected() -> dict[str, Any]:
    """Return the answer of one process without Ray."""
    search = STUDIES[STUDY](None)
    run_inprocess(search, TableRunner(**RUNNER), MemoryStore())
    return json.loads(json.dumps(answer(search)))  # type: ignore[no-any-return]


def main(runs: int) -> None:
    """Run every fault `runs` times, and print and keep a table."""
    if lack := missing():
        sys.exit(f"benchmarks.hosts {lack}")
    rows, wanted = [], expected()
    print("| run | slice s | seconds | slices | run twice | lost | verdicts of lost | failed | same answer |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="sp") as place, Hosts() as hosts:
        for number in range(runs):
            for name, fault in FAULTS.items():
                run = Run(hosts, Path(place) / f"{name.replace(' ', '_')}{number}", fault.slice_s)
                fault.happens(run)
                rows.append(run.report(name, wanted))
                print("| " + " | ".join(str(cell) for cell in rows[-1].values()) + " |", flush=True)
                keep("hosts", {"study": STUDY, "answer": wanted["found"], "rows": rows})
    if not all(row["same_answer"] and not row["verdicts_of_lost"] for row in rows):
        sys.exit("an answer differs")


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {words}: {done.stderr.strip()}")


def _until(reached: Callable[[], bool], trouble: str) -> None:
    """Wait until `reached`."""
    until = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > until:
            raise RuntimeError(trouble)
        time.sleep(0.2)


def _measured(events: list[dict[str, Any]]) -> set[int]:
    return {one["attempt"] for one in events if one["event"] == "measured"}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
