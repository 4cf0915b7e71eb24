"""A real Slurm on three hosts with names and addresses of their own (network and UTS namespaces); needs root and Slurm.

The hosts share this machine's files, as those of a cluster share a file system. Everything is gone at the end.
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

ROOT = Path(__file__).parents[2]
HOSTS = (1, 2, 3)
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
ENDS = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
CONFIGURATION = """\
ClusterName=sp
SlurmctldHost=spn1(10.78.0.11)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=30
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
NodeName=spn1 NodeAddr=10.78.0.11 CPUs={cpus} State=UNKNOWN
NodeName=spn2 NodeAddr=10.78.0.12 CPUs={cpus} State=UNKNOWN
NodeName=spn3 NodeAddr=10.78.0.13 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=spn[1-3] Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Return what this machine lacks for a Slurm of its own, or nothing."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "needs root and iproute2's ip"
    absent = [name for name in DAEMONS if shutil.which(name) is None]
    return f"needs Slurm and munge (slurmctld, slurmd, slurm-client): no {', '.join(absent)}" if absent else ""


class Slurm:
    """One controller and three machines, each the first's own neighbour behind a bridge."""

    def __init__(self) -> None:
        """Name it; nothing is made before it is entered."""
        self.folder = Path(tempfile.mkdtemp(prefix="spslurm"))
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder / "home"),
            "RAY_worker_niceness": "0",
            "PYTHONWARNINGS": "ignore",
        }
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Slurm:
        """Make the network, and start Slurm on it."""
        try:
            for name in ("state", "home", "bin"):
                (self.folder / name).mkdir()
            command = self.folder / "bin" / "sp-search"  # of this checkout, installed or not
            command.write_text(f'#!/bin/sh\nexec {sys.executable} -m sp_search "$@"\n')
            command.chmod(0o755)
            (self.folder / "slurm.conf").write_text(CONFIGURATION.format(folder=self.folder, cpus=os.cpu_count()))
            (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # else slurmd looks for mounted ones
            self._network()
            key = self.folder / "munge.key"
            key.touch(mode=0o600)
            key.write_bytes(secrets.token_bytes(128))
            places = {"key-file": key, "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log"}
            places["seed-file"] = "munge.seed"
            words = [f"--{name}={self.folder / place}" for name, place in places.items()]
            self._daemons.append(subprocess.Popen(["munged", "--foreground", "--force", *words]))
            until((self.folder / "munge.socket").exists, "munged does not start")
            self._on(1, "slurmctld", "-D")
            for host in HOSTS:
                self._on(host, "slurmd", "-D", "-N", f"spn{host}")
            until(lambda: self.said("sinfo", "--noheader", "--format=%D %t") == "3 idle", "the machines do not come up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        """End every process of the hosts, and take the network down."""
        for host in HOSTS:
            for pid in _pids(host):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for daemon in self._daemons:
            daemon.kill()
            daemon.wait()
        for host in HOSTS:
            subprocess.run(
                ["ip", "link", "del", f"spw{host}"], capture_output=True
            )  # a dying process may hold the other end
            subprocess.run(["ip", "netns", "del", f"spn{host}"], capture_output=True)
            shutil.rmtree(Path("/etc/netns") / f"spn{host}", ignore_errors=True)
        subprocess.run(["ip", "link", "del", "spbr1"], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def said(self, *command: str) -> str:
        """Return what a command of Slurm's says."""
        inside = ["ip", "netns", "exec", "spn1", *command]
        asked = subprocess.run(inside, env=self.environment, capture_output=True, text=True)
        return asked.stdout.strip()

    def submitted(self, script: Path, *words: object) -> int:
        """Return the job that runs a script on all three machines; what it writes is in `output`."""
        asked = ["--parsable", "--nodes=3", "--cpus-per-task=1", f"--output={self.folder}/job-%j.log"]
        return int(self.said("sbatch", *asked, "--export=ALL", str(script), *map(str, words)))

    def output(self, job: int) -> str:
        """Return what a job has written."""
        log = self.folder / f"job-{job}.log"
        return log.read_text() if log.exists() else ""

    def ended(self, job: int, seconds: float = 900.0) -> str:
        """Wait until a job has ended; return its exit code and signal, as Slurm writes them (`0:0`)."""
        until(lambda: self._state(job)["JobState"] in ENDS, "the job does not end", seconds)
        return self._state(job)["ExitCode"]

    def processes(self, word: str) -> list[str]:
        """Return the command lines on the machines in which a word stands."""
        found = []
        for host in HOSTS:
            for pid in _pids(host):
                with suppress(FileNotFoundError, ProcessLookupError):
                    found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
        return [line for line in found if word in line]

    def _state(self, job: int) -> dict[str, str]:
        words = self.said("scontrol", "--oneliner", "show", "job", str(job)).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def _network(self) -> None:
        names = "".join(f"10.78.0.1{host} spn{host}\n" for host in HOSTS)
        _ip("link add spbr1 type bridge")
        _ip("link set spbr1 up")
        for host in HOSTS:
            own = Path("/etc/netns") / f"spn{host}"
            own.mkdir(parents=True)
            (own / "hosts").write_text(f"127.0.0.1 localhost\n{names}")  # `ip netns exec` shows it as /etc/hosts
            _ip(f"netns add spn{host}")
            _ip(f"link add spw{host} type veth peer name eth0 netns spn{host}")
            _ip(f"link set spw{host} master spbr1 up")
            _ip(f"-n spn{host} addr add 10.78.0.1{host}/24 dev eth0")
            _ip(f"-n spn{host} link set eth0 up")
            _ip(f"-n spn{host} link set lo up")

    def _on(self, host: int, *command: str) -> None:
        named = f'hostname spn{host} && exec "$@"'
        words = ["ip", "netns", "exec", f"spn{host}", "unshare", "--uts", "sh", "-c", named, "sh", *command]
        with (self.folder / f"{command[0]}-{host}.out").open("wb") as log:
            self._daemons.append(subprocess.Popen(words, env=self.environment, stdout=log, stderr=log))


def _pids(host: int) -> list[int]:
    asked = subprocess.run(["ip", "netns", "pids", f"spn{host}"], capture_output=True, text=True)
    return [int(pid) for pid in asked.stdout.split()]


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {words}: {done.stderr.strip()}")


def until(reached: Callable[[], bool], trouble: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            raise RuntimeError(f"{trouble} within {seconds:g} s")
        time.sleep(0.2)
