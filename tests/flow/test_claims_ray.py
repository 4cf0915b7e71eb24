"""The claims on a real Ray: the same numbers as in one process, and a failure that takes nothing down."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from sp_search.claims.running import ask, run_claims
from sp_search.errors import Interrupted
from sp_search.study import Cluster
from sp_search.tune.spread import spread

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(120)]

CLAIM = """\
claim: {name}
says: A thing is so.
parts:
  - name: pools
    definition: What is counted.
    experiment: {experiment}
    test: {{kind: below, cell: moved_by_accuracy, than: 0.2}}
    n: 30
    quick: 8
    supports: It lies there.
    refutes: It does not.
"""


def test_workers_find_what_one_process_finds(tmp_path):
    studies = tmp_path / "claims"
    studies.mkdir()
    cells = "cells: [{name: moved_by_accuracy, rows: a, value: b}]"
    experiments = {"C01": "{kind: selection_order}", "C02": f"{{kind: recorded, file: no.json, command: it, {cells}}}"}
    for name, experiment in experiments.items():
        (studies / f"{name}.yaml").write_text(CLAIM.format(name=name, experiment=experiment))
    here = run_claims(ask(studies, output=tmp_path / "here"), cluster=None, progress=lambda line: None)
    there = run_claims(ask(studies, output=tmp_path / "ray"), cluster=Cluster(cpus=2), progress=lambda line: None)
    assert there.claims[0].parts[0].cells == here.claims[0].parts[0].cells
    assert there.failed == here.failed == ["C02/pools"]
    assert there.claims[1].parts[0].error == here.claims[1].parts[0].error


def test_a_worker_that_dies_loses_its_own_call_alone(tmp_path):
    def answer(dies, gpu):
        if dies:
            os._exit(1)
        return f"a GPU: {gpu}"

    calls = {"dead": (True,), "live": (False,)}
    found = {one.key: one for one in spread(answer, calls, cluster=Cluster(cpus=2), folder=tmp_path)}
    assert found["live"].answer == "a GPU: False"
    assert found["dead"].lost.startswith("WorkerCrashedError")


SHARED = """
import json, os, ray
from pathlib import Path
from sp_search.study import Cluster
from sp_search.tune.spread import spread

def given(gpu):
    return [gpu, ray.get_runtime_context().get_assigned_resources().get("GPU"), os.environ.get("CUDA_VISIBLE_DEVICES")]

calls = {str(number): () for number in range(3)}
found = spread(given, calls, cluster=Cluster(cpus=2, gpus=1), folder=Path())
print(json.dumps([one.answer or one.lost for one in found]))
"""


def test_the_cores_of_a_machine_share_its_gpu():
    """The GPU is Ray's belief alone; it needs a Ray of its own, as one process has one."""
    ran = subprocess.run([sys.executable, "-c", SHARED], capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [[True, 0.5, "0"]] * 3


def test_a_signal_that_comes_while_workers_are_waited_for_is_heard(tmp_path):
    def rest(seconds, gpu):
        time.sleep(seconds)

    threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(Interrupted, match="signal 15"):
        list(spread(rest, {"long": (20,)}, cluster=Cluster(cpus=2), folder=tmp_path))


def test_a_signal_ends_a_run_on_ray_resumably(tmp_path):
    studies = tmp_path / "claims"
    studies.mkdir()
    for name, programs in (("C01", 3), ("C02", 4)):
        text = CLAIM.format(name=name, experiment=f"{{kind: selection_order, programs: {programs}}}")
        (studies / f"{name}.yaml").write_text(text)
    asked, before = ask(studies, output=tmp_path / "out"), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="signal 15"):
        run_claims(asked, cluster=Cluster(cpus=2), progress=lambda line: signal.raise_signal(signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) == before
    said = []
    assert not run_claims(asked, cluster=Cluster(cpus=2), progress=said.append).failed
    assert len(said) == 1
