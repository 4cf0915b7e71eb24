"""Three hosts of this machine: network namespaces with an address each, Ray's processes in them, one file system.

Needs root, Linux and iproute2. What it cannot show: machines that stop as a whole, clocks that differ, a shared folder
that goes away with the network.
"""

from __future__ import annotations

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

ROOT = Path(__file__).parents[1]
HEAD, WORKERS = 1, (2, 3)
CORES = 2
SUBNETS = 250
"""Of 10.77.0.0/16, of which each cluster of hosts takes one for itself."""
PATIENCE_S = 600.0
"""How long anything may take that is sure to come; on a machine with more to do a trial's process takes a minute."""


def missing() -> str:
    """Return what this machine lacks for namespaces of its own, or nothing."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "needs root and iproute2's ip"
    if not _done(f"netns add {(name := f'sp{os.getpid()}')}"):
        return "may make no network namespace"
    return "" if _done(f"netns del {name}") else f"cannot delete its network namespace {name}"


class Hosts:
    """A Ray cluster of three hosts behind one bridge: a head without cores, and two workers. All gone at the end."""

    def __init__(self) -> None:
        """Name it; nothing is made before it is entered."""
        self.number = -1
        self.folder = Path(tempfile.mkdtemp(prefix="sp"))
        self.port = 6390
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

    @property
    def address(self) -> str:
        """Where the newest head is."""
        return f"{self.ip(HEAD)}:{self.port}"

    def __enter__(self) -> Hosts:
        """Make the network, and start Ray on every host."""
        self.number = next(number for number in range(1, SUBNETS) if _done(f"link add spb{number} type bridge"))
        try:
            _ip(f"link set spb{self.number} up")
            for host in (HEAD, *WORKERS):
                name, cable = self.name(host), self.cable(host)
                _ip(f"netns add {name}")
                _ip(f"link add {cable} type veth peer name eth0 netns {name}")
                _ip(f"link set {cable} master spb{self.number} up")
                _ip(f"-n {name} addr add {self.ip(host)}/24 dev eth0")
                _ip(f"-n {name} link set eth0 up")
                _ip(f"-n {name} link set lo up")
            self.start_head()
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
            _done(f"netns del {self.name(host)}")
        _done(f"link del spb{self.number}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_head(self) -> None:
        """Start a head that knows of nothing, at a new port: Ray sees raylets of the dead one among our processes."""
        self.port += 1
        words = f"--head --port={self.port} --num-cpus=0 --temp-dir={self.folder} --include-dashboard=false"
        self._start(HEAD, words.split())

    def start(self, host: int) -> None:
        """Start Ray on a worker, and wait until the cluster has its cores."""
        self._start(host, [f"--address={self.address}", f"--num-cpus={CORES}", "--num-gpus=0"])
        until(lambda: self.ip(host) in self.workers(), f"host {host} does not join")

    def kill(self, host: int) -> None:
        """Kill all that runs on a host at once, as a machine that loses its power."""
        for pid in self._pids(host):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def lose(self, host: int) -> None:
        """Kill all that runs on a worker, and wait until the head has given it up."""
        self.kill(host)
        until(lambda: self.ip(host) not in self.workers(), "the head does not notice")

    def link(self, host: int, state: str) -> None:
        """Pull a host's cable, or plug it in: down or up."""
        _ip(f"link set {self.cable(host)} {state}")

    def workers(self) -> list[str]:
        """Return the addresses of the workers that the head believes alive."""
        alive = "[node['NodeManagerAddress'] for node in ray.nodes() if node['Alive']]"
        asked = subprocess.run(
            self.on(HEAD, sys.executable, "-c", f"import ray; ray.init(log_to_driver=False); print(*{alive})"),
            env={**self.environment, "RAY_ADDRESS": self.address},
            capture_output=True,
            text=True,
        )
        if asked.returncode:
            raise RuntimeError(asked.stderr)
        return [address for address in asked.stdout.split() if address != self.ip(HEAD)]

    def on(self, host: int, *command: str) -> list[str]:
        """Return the command that runs `command` on a host."""
        return ["ip", "netns", "exec", self.name(host), *command]

    def host_of(self, pid: int) -> int | None:
        """Return the host that a living process runs on."""
        asked = subprocess.run(["ip", "netns", "identify", str(pid)], capture_output=True, text=True)
        return int(asked.stdout.strip().rpartition("h")[2]) if asked.stdout.strip() else None

    def running(self, host: int, name: str) -> list[int]:
        """Return the processes of a host whose command begins with a name."""
        found = []
        for pid in self._pids(host):
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
                found += [pid] if Path(command).name.startswith(name) else []
        return found

    def _pids(self, host: int) -> list[int]:
        told = subprocess.run(["ip", "netns", "pids", self.name(host)], capture_output=True, text=True)
        return [int(pid) for pid in told.stdout.split()]

    def _start(self, host: int, words: list[str]) -> None:
        common = ["--disable-usage-stats", f"--node-ip-address={self.ip(host)}", "--object-store-memory=100000000"]
        command = self.on(host, sys.executable, "-m", "ray.scripts.scripts", "start", *words, *common)
        started = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if started.returncode:
            raise RuntimeError(f"Ray does not start on host {host}: {started.stdout}{started.stderr}")

    def name(self, host: int) -> str:
        """Return the name of a host's namespace."""
        return f"sp{self.number}h{host}"

    def cable(self, host: int) -> str:
        """Return the name of our end of a host's cable."""
        return f"spc{self.number}h{host}"

    def ip(self, host: int) -> str:
        """Return a host's address."""
        return f"10.77.{self.number}.1{host}"


def until(reached: Callable[[], bool], trouble: str) -> None:
    """Wait until `reached`.

    Raises:
        RuntimeError: it is not, for as long as anything may take: `trouble`.
    """
    end = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > end:
            raise RuntimeError(trouble)
        time.sleep(0.2)


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {words}: {done.stderr.strip()}")


def _done(words: str) -> bool:
    return subprocess.run(["ip", *words.split()], capture_output=True).returncode == 0
