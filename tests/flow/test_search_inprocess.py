"""A whole study that searches by proposals: from its content to an answer, a page, a journal and a warm start."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

import sp_search.api
from sp_search.tune.proposer import JOURNAL_NAME

TINY: dict[str, Any] = {
    "name": "proposed",
    "task": {"kind": "prefix_sums", "bits": 3},
    "model": {"kind": "recall_conv"},
    "search": {"members": 4, "space": {"width": {"low": 4, "high": 8}, "rollouts": {"low": 1, "high": 3}}},
    "scheduler": {"kind": "fixed"},
    "population": {"replicas": 2},
    "train": {"steps": 100, "burn_in": 0.0},
    "milestones": [0.6],
    "tracking": {"uri": None},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> sp_search.api.Result:
    return sp_search.api.run(TINY, output=tmp_path_factory.mktemp("runs") / "proposed", driver="inprocess")


def test_the_answer_is_the_cheapest_proposal_that_passed(finished: sp_search.api.Result) -> None:
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(finished.folder.resolve() / JOURNAL_NAME))
    )
    (name,) = optuna.get_all_study_names(storage)
    best = optuna.load_study(study_name=name, storage=storage).best_trial
    budget = finished.payload["budget"]
    assert finished.met
    assert (budget["measure"], budget["cap"]) == ("flops", best.values[0])
    assert budget["axis"] == {axis: best.user_attrs[axis] for axis in ("width", "rollouts")}
    assert finished.payload["max_flops_per_example"] == budget["cap"]
    program = finished.program()
    assert program.exits == budget["axis"]["rollouts"]


def test_status_page_and_a_second_resume_read_it(finished: sp_search.api.Result) -> None:
    before = (finished.folder / "result.json").read_text()
    assert sp_search.api.status(finished.folder)["finished"] == "resolved"
    assert "4 programs were proposed and judged" in sp_search.api.report(finished.folder).read_text()
    sp_search.api.resume(finished.folder)
    assert json.loads((finished.folder / "result.json").read_text()) == json.loads(before)


def test_another_study_begins_with_it(finished: sp_search.api.Result, tmp_path: Path) -> None:
    search = {**TINY["search"], "members": 1, "warm_start": [str(finished.folder)]}
    warm = sp_search.api.run({**TINY, "search": search}, output=tmp_path / "warm", driver="inprocess")
    header = json.loads((warm.folder / "ledger.jsonl").read_text().splitlines()[0])["header"]
    assert [tried["source"] for tried in header["earlier"]] == ["proposed"] * 4
