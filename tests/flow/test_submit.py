"""A study sent to a real Ray with a token: it runs with its parts, comes back, and is refused where it must be."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

PART = '''
from typing import Literal

from sp_search.tasks.prefix_sums import PrefixSums


class Mine(PrefixSums):
    """Sums over prefixes, under a name of one's own."""

    kind: Literal["mine"] = "mine"
'''
STUDY = """
name: tiny
task: {kind: mine, bits: 4}
model: {kind: recall_conv, width: 4}
scheduler: {kind: annealing, axis: rollouts, budget: max}
population: {replicas: 2}
train: {steps: 60}
milestones: [0.5]
"""
PORT, DASHBOARD, AGENTS = 26402, 28272, 28300


class Head:
    """A Ray head on loopback with a token, in processes of its own."""

    def __init__(self, folder, token):
        self.temporary = Path(tempfile.mkdtemp(prefix="sp"))
        self.address = f"http://127.0.0.1:{DASHBOARD}"
        removed = {"RAY_AUTH_TOKEN", "RAY_ADDRESS", "SP_SEARCH_PLUGINS"}
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in removed},
            "HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
        }
        self.started = []

    def lead(self):
        """Start the head."""
        self.join(
            *("--head", f"--port={PORT}", f"--temp-dir={self.temporary}", "--node-ip-address=127.0.0.1"),
            *("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={DASHBOARD}"),
            machines=1,
        )

    def start(self, *words, **environment):
        """Start Ray's processes of one machine."""
        agent = f"--dashboard-agent-listen-port={AGENTS + len(self.started)}"  # another Ray here may have Ray's own
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", agent, *words]
        process = subprocess.Popen(
            command, env={**self.environment, **environment}, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self.started.append(process)
        return process

    def join(self, *words, machines, **environment):
        """Start a machine; Ray gives one up that is not there within half a minute, which a busy one is not."""
        status = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", f"127.0.0.1:{PORT}"]
        for _ in range(5):
            process = self.start("--num-cpus=2", *words, **environment)
            while process.poll() is None:
                said = subprocess.run(status, env=self.environment, capture_output=True, text=True, timeout=100).stdout
                if f"/{2 * machines}.0 CPU" in said:
                    return
        raise AssertionError("the machine did not come up")

    def stop(self):
        for process in self.started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def begin(self, *words, **environment):
        """Begin a command of sp-search."""
        return subprocess.Popen(
            [sys.executable, "-m", "sp_search", *words],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def say(self, *words, **environment):
        """Run a command of sp-search; return its exit code, output and log."""
        process = self.begin(*words, **environment)
        out, log = process.communicate(timeout=400)
        return process.returncode, out, log


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    pytest.importorskip("aiohttp_cors", reason="ray[default] is missing: pip install 'sp_search[cluster]'")
    folder = tmp_path_factory.mktemp("head")
    (folder / "token").write_text(secrets.token_hex(24))
    (folder / "token").chmod(0o600)
    cluster = Head(folder, folder / "token")
    try:
        cluster.lead()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def study(workplace):
    (workplace / "parts_of_mine").mkdir()
    (workplace / "parts_of_mine" / "__init__.py").touch()
    (workplace / "parts_of_mine" / "tasks.py").write_text(PART)
    (workplace / "study.yaml").write_text(STUDY)
    return ["submit", "study.yaml", "--plugins", "parts_of_mine"]


def test_a_study_with_a_part_of_ones_own_runs_as_a_job_and_comes_back(head, study, workplace):
    code, out, log = head.say(*study, "--address", head.address, "--fetch", "back", "--json")
    assert code == 0, log
    said = json.loads(out)
    assert said["exit_code"] == 0
    assert "milestone 0.5: met" in log, "the job's log is followed on stderr"
    assert (workplace / "back" / "report.html").exists()
    assert json.loads((workplace / "back" / "result.json").read_text())["met"] is True
    assert not (workplace / "back" / "checkpoints").exists()
    there = Path(head.environment["HOME"]) / "sp_search_runs"
    assert (there / "mlflow.db").exists(), "what a study writes beside its folder stays"
    assert head.say("fetch", said["folder"], "again", "--address", head.address)[0] == 0
    assert (workplace / "again" / "ledger.jsonl").read_bytes() == (workplace / "back" / "ledger.jsonl").read_bytes()
    assert Path(head.environment["RAY_AUTH_TOKEN_PATH"]).read_text() not in out + log
    there = Path(said["folder"].replace("~", head.environment["HOME"], 1))
    (there / "checkpoints" / "noise").write_bytes(os.urandom(80 * 2**20))  # nothing of it packs
    code, out, log = head.say("fetch", said["folder"], "all", "--address", head.address, "--checkpoints")
    assert code == 0, log
    assert (workplace / "all" / "checkpoints" / "noise").read_bytes() == (there / "checkpoints" / "noise").read_bytes()


def test_a_cluster_is_looked_at_from_outside_by_a_job_of_it(head, tmp_path):
    code, out, log = head.say("doctor", "--address", head.address, "--storage", str(tmp_path / "shared"), "--json")
    found = json.loads(out)
    verdicts = {one["check"]: one["verdict"] for one in found}
    assert {"versions", "storage", "clock", "auth", "torch", "disk"} <= set(verdicts), log
    assert (verdicts["versions"], verdicts["storage"], verdicts["auth"]) == ("ok", "ok", "ok"), found
    code, out, log = head.say("doctor", "--address", head.address, "--storage", "/proc/nowhere")
    assert (code, "on the cluster: --storage /proc/nowhere" in log) == (5, True), log


def test_a_wrong_token_is_said_to_be_one_and_not_repeated(head, study):
    code, _, log = head.say(*study, "--address", head.address, RAY_AUTH_TOKEN="wrong-token")  # noqa: S106 - it is wrong
    assert code == 2
    assert "refuses us (RAY_AUTH_MODE is token)" in log
    assert "wrong-token" not in log


def test_where_nobody_answers_it_says_what_may_be_missing(head, study):
    code, _, log = head.say(*study, "--address", "http://127.0.0.1:9")
    assert (code, "no Ray cluster answers" in log) == (2, True)


def test_leaving_a_job_says_how_to_follow_and_to_stop_it_and_a_stopped_study_can_be_resumed(head, study):
    process = head.begin(*study, "--address", head.address, "--set", "train.steps=200000", "--set", "milestones=[1.0]")
    seen = []
    while "0 trials done" not in "".join(seen):
        seen.append(process.stderr.readline())
        assert seen[-1], "".join(seen)
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the job goes on; to follow: ray job logs sp-search-tiny-" in log
    (job,) = {word for word in log.split() if word.startswith("sp-search-tiny-")}
    ray_job = [sys.executable, "-m", "ray.scripts.scripts", "job"]
    stop = [*ray_job, "stop", job, "--address", head.address]
    subprocess.run(stop, env=head.environment, check=True, capture_output=True, timeout=100)
    logs = [*ray_job, "logs", job, "--address", head.address]
    said = subprocess.run(logs, env=head.environment, check=True, capture_output=True, text=True, timeout=100).stdout
    assert "interrupted by signal 15; to go on: sp-search resume" in said
    ledger = Path(head.environment["HOME"]) / "sp_search_runs" / job.removeprefix("sp-search-") / "ledger.jsonl"
    assert ledger.stat().st_size > 0


def test_a_machine_with_other_sources_is_named_before_the_first_trial(head, study, tmp_path):
    shutil.copytree(ROOT / "sp_search", tmp_path / "other" / "sp_search")
    with (tmp_path / "other" / "sp_search" / "units.py").open("a") as file:
        file.write("# another version\n")
    head.join(f"--address=127.0.0.1:{PORT}", machines=2, PYTHONPATH=str(tmp_path / "other"))
    code, _, log = head.say(*study, "--address", head.address, "--nodes", "2")
    assert code == 2, log
    assert "sp_search: got sources" in log
    assert "every machine needs what the driver has" in log
    code, out, log = head.say("doctor", "--address", f"127.0.0.1:{PORT}", "--storage", str(tmp_path), "--json")
    assert code == 2, log
    failed = {one["check"] for one in json.loads(out) if one["verdict"] == "fail"}
    assert failed == {"versions"}
