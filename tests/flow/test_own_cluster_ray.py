"""Studies on a cluster of a driver's own, in a process of its own: shares of a GPU, and too little memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_resume_ray import unbroken

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
RUN = """
import json, sys
from pathlib import Path
from sp_search.errors import StudyError
from sp_search.study import Cluster
from sp_search.tune.launch import run_tune
from tests.flow.table_driver import RUNNER, STUDIES, answer
from tests.flow.table_runner import recipe
folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
lines = []
search = STUDIES["proposals"](lines.append)
cluster, most = Cluster(**options.pop("cluster")), options.pop("most", None)
limit = lambda search: "failures" if most is not None and search.broken > most else None
try:
    runner = recipe(log=str(folder / "slices.jsonl"), **RUNNER)
    run_tune(search, runner, folder, cluster=cluster, limit=limit, **options)
except StudyError as error:
    sys.exit(str(error))
events = [line["event"] for line in lines]
print(json.dumps({"events": events, "ended": search.state.finished, "answer": answer(search)}))
"""


def run(folder, environment=None, **options):
    """Run the study of proposals."""
    return subprocess.run(
        [sys.executable, "-c", RUN, str(folder), json.dumps(options)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'flow'}", **(environment or {})},
        capture_output=True,
        text=True,
    )


def test_four_trials_share_one_gpu(tmp_path):
    done = run(tmp_path, cluster={"cpus": 4, "gpus": 1}, gpu=0.25)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["events"][0] == {"event": "capacity", "slots": 4, "gone": 0}
    assert told["ended"] == "resolved"
    rows = [json.loads(line) for line in (tmp_path / "slices.jsonl").read_text().splitlines()]
    assert {row["gpus"] for row in rows} == {"0"}
    assert len({row["pid"] for row in rows}) == 4, "one actor a slot"


def test_more_gpus_than_there_are_is_refused_and_says_what_to_do(tmp_path):
    done = run(tmp_path, cluster={"cpus": 1, "gpus": 1}, gpu=2)
    assert done.returncode == 1
    assert (
        "asks for 1 CPU and 2 GPU, the largest machine of the cluster has 1 CPU and 1 GPU: ask for less" in done.stderr
    )
    assert not list(tmp_path.iterdir())


def test_workers_that_ray_ends_for_want_of_memory_are_lost_and_no_verdict(tmp_path):
    """Every worker is, soon: Ray calls the machine full from the first byte on."""
    full = {"RAY_memory_usage_threshold": "0", "RAY_memory_monitor_refresh_ms": "100"}
    done = run(tmp_path, full, cluster={"cpus": 1}, most=2)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    lost = [event for event in told["events"] if event["event"] == "member_lost"]
    assert {event["reason"] for event in lost} == {"its worker was ended: its machine ran low on memory"}
    assert (told["ended"], len(lost)) == ("failures", 3)
    for visit, reference in zip(told["answer"]["history"], unbroken("proposals")["history"], strict=False):
        assert visit["verdict"] == "undecided" or visit == reference
