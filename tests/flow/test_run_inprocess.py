"""A whole study in this process: from YAML to result.json, a program that loads, and resumption after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import sp_search
import sp_search.api
from sp_search.errors import StorageError, StudyError
from sp_search.ledger import LEDGER_NAME, read_ledger

TINY: dict[str, Any] = {
    "name": "tiny",
    "task": {"kind": "prefix_sums", "bits": 5},
    "model": {"kind": "recall_conv", "width": 8},
    "scheduler": {"kind": "annealing", "stop": 4.0},
    "population": {"members": [{"width": 8}], "replicas": 5},
    "train": {"steps": 300},
    "milestones": [0.95],
    "tracking": {"uri": None},
}
EXPECTED = {
    "met", "milestone", "program", "budget", "minimum", "accuracy", "mean_flops_per_example", "p95_flops_per_example",
    "max_flops_per_example", "max_available_flops", "serial_depth", "parameters", "levels", "looks", "search_flops",
    "audits", "failures", "seed", "milestones",
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> sp_search.Result:
    return sp_search.run(TINY, output=tmp_path_factory.mktemp("runs") / "tiny", driver="inprocess")


def test_the_answer_is_the_proven_minimum_and_says_so(finished: sp_search.Result) -> None:
    result = json.loads((finished.folder / "result.json").read_text())
    assert result.keys() >= EXPECTED
    assert result["met"]
    assert result["budget"]["cap"] == 2
    assert (result["minimum"]["low"], result["minimum"]["high"], result["minimum"]["basis"]) == (2, 2, "proven")
    assert result["accuracy"]["exact"]
    assert result["accuracy"]["value"] >= 0.95
    assert result["accuracy"]["n"] == 32


def test_a_fixed_number_of_rollouts_costs_the_same_on_every_input(finished: sp_search.Result) -> None:
    result = finished.payload
    mean = result["mean_flops_per_example"]
    assert (
        mean["low"] == mean["value"] == mean["high"] == result["max_flops_per_example"] == result["max_available_flops"]
    )


def test_the_program_loads_and_answers(finished: sp_search.Result) -> None:
    from sp_search.compute import execute
    from sp_search.tasks.prefix_sums import PrefixSums

    batch = PrefixSums(bits=5).enumerate("iid")
    ran = execute(sp_search.load(finished.folder), batch.x_BTC)
    right = PrefixSums(bits=5).correct(ran.answer_BTV, batch)
    assert float(right.float().mean()) == pytest.approx(finished.payload["accuracy"]["value"])
    assert torch.all(ran.exit_B == 2)


def test_a_finished_study_resumes_to_the_same_result_without_training(finished: sp_search.Result) -> None:
    lines = len(read_ledger(finished.folder))
    again = sp_search.resume(finished.folder, driver="inprocess")
    assert again.payload == finished.payload
    assert len(read_ledger(finished.folder)) == lines


def test_a_study_is_never_written_over(finished: sp_search.Result) -> None:
    with pytest.raises(StorageError, match="holds a study"):
        sp_search.run(TINY, output=finished.folder, driver="inprocess")


def test_a_folder_without_a_ledger_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no study folder"):
        sp_search.resume(tmp_path)


def test_a_limit_ends_the_study_with_what_was_left_unsearched(tmp_path: Path) -> None:
    study = {**TINY, "limits": {"trials": 1}}
    result = sp_search.run(study, output=tmp_path / "limited", driver="inprocess").payload
    assert not result["met"]
    assert result["ended"] == "trials"
    assert result["minimum"]["basis"] in ("none", "proven", "statistical")
    assert result["unsearched"]


def test_unknown_export_formats_are_refused_with_the_known_ones(finished: sp_search.Result) -> None:
    from sp_search import api

    with pytest.raises(StudyError, match="Known: safetensors"):
        api.export(finished.folder, "pickle")


def test_export_copies_the_trusted_form_once(finished: sp_search.Result, tmp_path: Path) -> None:
    from sp_search import api

    target = api.export(finished.folder, output=tmp_path / "export")
    assert {"model.safetensors", "config.json", "card.md", "load.py"} <= {path.name for path in target.iterdir()}
    with pytest.raises(StorageError, match="exists"):
        api.export(finished.folder, output=target)


def test_a_graph_of_the_program_costs_what_the_study_says_of_it(finished: sp_search.Result, tmp_path: Path) -> None:
    from sp_search import api

    said = json.loads((api.export(finished.folder, "pt2", tmp_path / "graph") / "config.json").read_text())["export"]
    assert (said["form"], said["check"]["n"], said["check"]["equal_answers"]) == ("fixed", 1_024, 1.0)
    assert said["costs"]["flops_per_example"] == finished.payload["mean_flops_per_example"]["value"]
    assert said["as_the_stopping_program"] is None


def test_a_study_does_not_differ_from_its_copy(finished: sp_search.Result, tmp_path: Path) -> None:
    from sp_search import api

    copy = shutil.copytree(finished.folder, tmp_path / "copy")
    with pytest.raises(StudyError, match="another study of the same setting and seed"):
        api.compare([finished.folder, copy])
    with pytest.raises(StudyError, match="named twice"):
        api.compare([copy, tmp_path / "." / "copy"])


def check_resumed(finished: sp_search.Result, folder: Path) -> None:
    """Check that a study that was broken off goes on to the same answer, and trains no lineage again."""
    resumed = sp_search.resume(folder, driver="inprocess").payload
    same = {key: value for key, value in finished.payload.items() if key not in ("search_flops",)}
    assert {key: resumed[key] for key in same} == same
    measured = [e["event"] for e in read_ledger(folder) if e.get("event", {}).get("event") == "measured"]
    seeds = [(event["visit"], row["seed"]) for event in measured for row in event["lineages"]]
    assert len(set(seeds)) == len(seeds)


def test_a_driver_killed_in_the_middle_resumes_to_the_same_answer(finished: sp_search.Result, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    code = f"import sp_search; sp_search.run({TINY!r}, output={str(folder)!r}, driver='inprocess')"
    driver = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    ledger = folder / LEDGER_NAME
    while driver.poll() is None:
        if ledger.exists() and ledger.read_bytes().count(b"\n") >= 3:
            break
        time.sleep(0.002)
    assert driver.poll() is None, "it ended by itself"
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    check_resumed(finished, folder)


@pytest.mark.parametrize("line", [2, 4])
def test_a_study_whose_ledger_ends_at_a_line_resumes_to_the_same_answer(
    finished: sp_search.Result, tmp_path: Path, line: int
) -> None:
    """As a driver leaves it that dies there; checkpoints may be newer than the ledger."""
    folder = shutil.copytree(finished.folder, tmp_path / "cut")
    (folder / "result.json").unlink()
    lines = (folder / LEDGER_NAME).read_bytes().splitlines(keepends=True)
    (folder / LEDGER_NAME).write_bytes(b"".join(lines[:line]))
    check_resumed(finished, folder)


def test_a_study_that_is_given_as_a_dict_is_refused_in_the_same_words(tmp_path: Path) -> None:
    broken = {**TINY, "model": {"kind": "recal_conv"}, "milestones": [2.0]}
    with pytest.raises(StudyError) as refused:
        sp_search.run(broken, output=tmp_path / "never", driver="inprocess")
    assert len(refused.value.problems) == 2
    assert "Did you mean 'recall_conv'?" in str(refused.value)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("budget", ["max", "mean"])
def test_what_was_planned_for_training_bounds_what_was_spent(tmp_path: Path, budget: str) -> None:
    study = {
        **TINY,
        "task": {"kind": "binary_addition", "bits": 4},
        "prior": {"kind": "ponder_net"},
        "scheduler": {"kind": "rollout_growth", "budget": budget, "start": 4.0, "stop": 4.0, "exits": 4},
        "train": {"steps": 60},
        "milestones": [0.9],
    }
    planned = sp_search.api.plan(study).rows[0].training_flops
    result = sp_search.run(study, output=tmp_path / "study", driver="inprocess").payload
    assert planned is not None
    assert 0 < result["search_flops"]["training"] <= planned
