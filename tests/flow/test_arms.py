"""A comparison in this process: its folder, its table, and going on with the arms that had not ended."""

import io
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import sp_search
from sp_search import api
from sp_search.asking import ask
from sp_search.control import pending, send
from sp_search.errors import Interrupted, StorageError, StudyError
from sp_search.ledger import Ledger, read_ledger
from sp_search.requested import Request

DUEL: dict[str, Any] = {
    "name": "duel",
    "task": {"kind": "binary_addition", "bits": 4},
    "model": {"kind": "recall_conv", "width": 8},
    "scheduler": {"kind": "rollout_growth", "start": 2.0, "stop": 2.0},
    "population": {"replicas": 2},
    "train": {"steps": 100},
    "milestones": [0.5],
    "selection": {"n": 512, "stable_after_halt": 0.9, "gates": ["iid", "uniform"]},
    "tracking": {"uri": None},
    "arms": [{"name": "static"}, {"name": "ponder", "prior": {"kind": "ponder_net"}}],
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> api.Comparison:
    result = sp_search.run(DUEL, output=tmp_path_factory.mktemp("runs") / "duel", driver="inprocess")
    assert isinstance(result, api.Comparison)
    return result


def test_every_arm_is_a_complete_study_and_the_table_repeats_it(compared: api.Comparison) -> None:
    assert list(compared.arms) == ["static", "ponder"]
    for row in compared.payload["arms"]:
        arm = json.loads((compared.folder / "arms" / row["arm"] / "result.json").read_text())
        assert row["met"] == arm["met"]
        assert row["over_spend"] == arm.get("over_spend")
        assert row["training_flops"] == arm["search_flops"]["training"]
        assert (compared.folder / "arms" / row["arm"] / "report.html").exists()
    assert compared.exit_code == (0 if all(arm.met for arm in compared.arms.values()) else 3)
    assert "static frontier" in (compared.folder / "report.html").read_text()


def test_a_selected_program_says_how_it_generalises_and_that_its_answers_hold(compared: api.Comparison) -> None:
    arm = compared.arms["ponder"].payload
    assert arm["met"], "the milestone is low on purpose"
    assert {name: gate["exact"] for name, gate in arm["gates"].items()} == {"iid": False, "uniform": True}
    assert all(gate["low"] >= 0.5 for gate in arm["gates"].values())
    check = arm["checks"]["stable_after_halt"]
    assert check["low"] >= check["at_least"] == pytest.approx(0.1)
    assert [len(curve["accuracy_N"]) for curve in arm["generalisation"]["overthinking"]] == [8, 8]
    rows = arm["generalisation"]["steps_by_need"]
    assert sum(row["n"] for row in rows) == arm["mean_rollouts"]["n"]
    used = sum(row["mean_exit"] / row["need"] * row["n"] for row in rows) / sum(row["n"] for row in rows)
    assert arm["over_spend"]["value"] == pytest.approx(used)


@pytest.mark.parametrize("torn", [None, "", '{"seq": 0, "hea'])
def test_resume_goes_on_with_the_arms_that_have_not_ended(
    compared: api.Comparison, tmp_path: Path, torn: str | None
) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(compared.folder, folder)
    shutil.rmtree(folder / "arms" / "ponder")
    if torn is not None:  # a kill before the ledger's first line was whole
        (folder / "arms" / "ponder").mkdir()
        (folder / "arms" / "ponder" / "ledger.jsonl").write_text(torn)
    (folder / "comparison.json").unlink()
    assert api.status(folder)["arms"]["ponder"] is None
    api.report(folder)
    assert json.loads((folder / "comparison.json").read_text())["ended"] == "interrupted"
    before = read_ledger(folder / "arms" / "static")
    again = sp_search.resume(folder)
    assert read_ledger(folder / "arms" / "static") == before
    assert again.payload == compared.payload


def test_a_comparison_is_written_anew_when_an_arm_was_extended(compared: api.Comparison, tmp_path: Path) -> None:
    folder = shutil.copytree(compared.folder, tmp_path / "duel")
    before = json.loads((folder / "comparison.json").read_text())
    send(folder / "arms" / "static", Request(ask="extend", settings=["milestones=[0.5, 0.6]"]))
    extended = api.resume(folder / "arms" / "static").payload
    after = json.loads((folder / "comparison.json").read_text())
    rows = [{row["arm"]: row for row in one["arms"]} for one in (before, after)]
    assert rows[1]["ponder"] == rows[0]["ponder"]
    assert rows[1]["static"]["training_flops"] == extended["search_flops"]["training"]
    assert rows[1]["static"]["training_flops"] >= rows[0]["static"]["training_flops"]
    assert after["milestone"] == before["milestone"]
    told = "unequal milestones, so the programs answer different questions: static 0.6, ponder 0.5"
    assert told in after["warnings"]
    assert told not in before["warnings"]
    assert told in (folder / "report.html").read_text()


def test_a_pause_of_a_comparison_is_for_the_arm_that_runs(compared: api.Comparison, tmp_path: Path) -> None:
    folder = shutil.copytree(compared.folder, tmp_path / "duel")
    with pytest.raises(StudyError, match="ask one of its arms"):
        ask(folder, Request(ask="pause"))
    with Ledger(folder / "arms" / "ponder"):
        heard = ask(folder, Request(ask="pause"), wait_s=0.0)
        assert not heard.taken
        assert heard.text.startswith("not heard yet by pid ")
        with pytest.raises(StudyError, match="ask one of its arms"):
            ask(folder, Request(ask="stop"))
    assert len(pending(folder / "arms" / "ponder")) == 1


def test_a_signal_between_two_arms_names_the_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stderr(io.StringIO):
        def write(self, text: str) -> int:
            if text == "arm ponder\n":
                signal.raise_signal(signal.SIGTERM)
            return super().write(text)

    static = {"name": "static", "train": {"steps": 1}}
    monkeypatch.setattr("sys.stderr", Stderr())
    with pytest.raises(Interrupted) as caught:
        sp_search.run({**DUEL, "arms": [static, DUEL["arms"][1]]}, output=tmp_path / "duel", driver="inprocess")
    assert (caught.value.folder, caught.value.signal_number) == (tmp_path / "duel", signal.SIGTERM)


def test_a_comparison_has_no_single_program_and_is_never_written_over(compared: api.Comparison) -> None:
    with pytest.raises(StudyError, match="take one of arms, static, ponder"):
        compared.program()
    for refused in (sp_search.load, api.export):
        with pytest.raises(StorageError, match="a program for each arm"):
            refused(compared.folder)
    with pytest.raises(StorageError, match="holds a study"):
        sp_search.run(DUEL, output=compared.folder, driver="inprocess")
