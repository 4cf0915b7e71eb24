"""What `run` prints of a study that ended, and with which exit code."""

import json
from pathlib import Path

import pytest

from sp_search import api
from sp_search.cli import ExitCode, main

ROOT = Path(__file__).parents[2]

QUICKSTART = str(ROOT / "studies" / "quickstart.yaml")

INTERVAL = {"value": 120.0, "low": 110.0, "high": 130.0, "n": 8192, "exact": False}

MET = {
    "milestone": 0.99,
    "met": True,
    "program": {
        "model": "recall_conv",
        "width": 12,
        "member": 0,
        "lineage": 3,
        "seed": 77,
        "halting": {"kind": "last"},
    },
    "budget": {"kind": "max", "measure": "rollouts", "cap": 5.0, "axis": {"rollouts": 5}},
    "minimum": {"low": 5.0, "high": 5.0, "basis": "proven", "text": "no program of this family passes below 5"},
    "accuracy": {"value": 1.0, "low": 1.0, "high": 1.0, "n": 2048, "exact": True, "distribution": "iid"},
    "mean_flops_per_example": INTERVAL,
    "max_flops_per_example": 140.0,
    "max_available_flops": 140.0,
    "reports": {"shifted": {**INTERVAL, "value": 0.97, "low": 0.96, "high": 0.98, "rule": "as selected"}},
}

UNMET = {
    "milestone": 0.999,
    "met": False,
    "program": None,
    "budget": None,
    "minimum": {"low": None, "high": None, "basis": "none", "text": "no smaller budget was tried to a verdict"},
}

SEARCH = {
    "seed": 0,
    "confidence": 0.99,
    "ended": "resolved",
    "looks": 12,
    "search_flops": {"training": 1e12, "verification": 1e9, "repeated": 0.0},
    "failures": {"member_lost": 1},
    "undecided": 0,
    "unsearched": [6.0, 7.0],
}


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Make `run` answer with these milestones."""

    def answer(*milestones, **search):
        folder = tmp_path / "a study"
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps({"tracking_uri": "sqlite:///mlflow.db"}))
        met = all(one["met"] for one in milestones)
        payload = {**SEARCH, **search, "met": met, "milestones": list(milestones)}
        monkeypatch.setattr(api, "run", lambda study, **options: api.Result(folder, payload))
        return folder

    return answer


def test_run_prints_the_whole_answer_on_stdout(finished, capsys):
    folder = finished(MET)
    assert main(["run", QUICKSTART]) == ExitCode.MET
    out, err = capsys.readouterr()
    assert err == ""
    for words in (
        "milestone 0.99: met",
        "model=recall_conv width=12 member=0 lineage=3 seed=77",
        "5 rollouts (a cap on any input",
        "100 % (exact: every possible input was checked)",
        "5 rollouts is the minimum: no program",
        "120 FLOPs (between 110 FLOPs and 130 FLOPs, 99 % confidence)",
        "97 % (between 96 and 98 %, 8,192 inputs; as selected)",
        "training 1 TFLOPs",
        "1 member_lost",
        "0 lineages",
        str(folder),
        str(folder / "report.html"),
        "mlflow ui --backend-store-uri sqlite:///",
    ):
        assert words in out


def test_an_unmet_milestone_says_what_is_excluded_and_what_was_left(finished, capsys):
    finished(MET, UNMET, ended="seconds")
    assert main(["run", QUICKSTART]) == ExitCode.NOT_MET
    out = capsys.readouterr().out
    assert "milestone 0.999: not met" in out
    assert "its time limit was reached" in out
    assert "6, 7" in out


FLAGGED = [{"audit": "noise", "verdict": "flagged"}]

PRECEDENCE = [
    ([MET], {}, ExitCode.MET),
    ([MET], {"ended": "failures"}, ExitCode.MET),
    ([MET], {"audits": FLAGGED}, ExitCode.FLAGGED),
    ([MET, UNMET], {}, ExitCode.NOT_MET),
    ([MET, UNMET], {"ended": "failures"}, ExitCode.FAILURES),
    ([MET, UNMET], {"audits": FLAGGED}, ExitCode.FLAGGED),
    ([MET, UNMET], {"audits": FLAGGED, "ended": "no_members"}, ExitCode.FLAGGED),
]


@pytest.mark.parametrize(("milestones", "search", "expected"), PRECEDENCE)
def test_of_the_exit_codes_that_apply_the_highest_is_given_to_a_study_as_to_a_comparison(
    finished, milestones, search, expected
):
    finished(*milestones, **search)
    arm = api.run(QUICKSTART)
    assert api.Comparison(arm.folder, {}, {"arm": arm}).exit_code == arm.exit_code == expected
    met = api.Result(arm.folder, {**arm.payload, "met": True, "audits": []})
    assert api.Comparison(arm.folder, {}, {"met": met, "arm": arm}).exit_code == expected


def test_too_many_failures_has_its_own_exit_code(finished):
    finished(UNMET, ended="failures")
    assert main(["run", QUICKSTART]) == ExitCode.FAILURES


def test_a_run_says_which_audits_flag_or_that_none_does(finished, capsys):
    said = [{"audit": "memory", "verdict": "passed"}, {"audit": "noise", "verdict": "flagged"}]
    finished(MET, audits=said)
    assert main(["run", QUICKSTART]) == ExitCode.FLAGGED
    assert "flagged: noise\n" in capsys.readouterr().out


def test_json_is_the_payload_alone(finished, capsys):
    folder = finished(MET)
    assert main(["run", QUICKSTART, "--json"]) == ExitCode.MET
    payload = json.loads(capsys.readouterr().out)
    assert payload["folder"] == str(folder)
    assert payload["milestones"] == [MET]
