"""The command line: what goes where, and with which exit code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sp_search import api
from sp_search.cli import ExitCode, main
from sp_search.cli.parts import allowed
from sp_search.errors import Interrupted, StorageError, StudyError

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


@pytest.fixture
def failing(monkeypatch):
    """Make `run` raise."""

    def fail(error):
        def run(study, **options):
            raise error

        monkeypatch.setattr(api, "run", run)

    return fail


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


def test_run_passes_its_options_on(monkeypatch):
    seen = {}

    def run(study, **options):
        seen.update(options, study=study)
        raise StudyError(["seen"])

    monkeypatch.setattr(api, "run", run)
    main(
        [
            "run",
            "s.yaml",
            "--output",
            "o",
            "--address",
            "h:1",
            "--cluster",
            "c.yaml",
            "--set",
            "a=1",
            "--set",
            "b.c=-2",
            "--seed",
            "7",
            "--in-process",
        ]
    )
    assert seen == {
        "study": Path("s.yaml"),
        "output": Path("o"),
        "address": "h:1",
        "cluster": Path("c.yaml"),
        "overrides": ("a=1", "b.c=-2"),
        "seed": 7,
        "driver": "inprocess",
    }


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (StudyError(["a.yaml:1: name: got", "a.yaml:2: x"]), 2, "a.yaml:2: x"),
        (StorageError("no room is left on the disk"), 5, "no room"),
        (Interrupted(Path("runs/a b"), 2), 130, "sp-search resume 'runs/a b'"),
        (Interrupted(Path("runs/x"), 15), 143, "sp-search resume runs/x"),
        (KeyError("inner"), 1, "internal error: KeyError: 'inner'"),
    ],
)
def test_every_failure_has_its_exit_code_and_its_words_on_stderr(failing, capsys, error, code, words):
    failing(error)
    assert main(["run", QUICKSTART]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(failing, capsys):
    failing(KeyError("inner"))
    assert main(["run", QUICKSTART, "--debug"]) == ExitCode.INTERNAL
    assert "Traceback" in capsys.readouterr().err


def test_json_failures_are_json_on_stdout(failing, capsys):
    failing(StudyError(["a", "b"]))
    assert main(["--json", "run", QUICKSTART]) == ExitCode.USAGE
    assert json.loads(capsys.readouterr().out) == {"exit_code": 2, "error": "StudyError", "messages": ["a", "b"]}


@pytest.mark.parametrize(
    "tokens",
    [["rn"], ["run"], ["run", "x", "--sed", "1"], ["run", "x", "--seed", "one"], ["validate"], ["list", "modls"]],
)
def test_bad_usage_is_2_and_speaks_on_stderr(capsys, tokens):
    assert main(tokens) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err


def test_a_bad_study_starts_and_writes_nothing(workplace, capsys):
    (workplace / "bad.yaml").write_text("name: x\nstepz: 1\n")
    before = sorted(workplace.rglob("*"))
    for command in ("validate", "plan", "run"):
        assert main([command, "bad.yaml"]) == ExitCode.USAGE
        assert "bad.yaml:2: stepz: unknown key" in capsys.readouterr().err
    assert sorted(workplace.rglob("*")) == before


def test_validate_says_every_problem_of_every_file(workplace, capsys):
    for name in ("a", "b"):
        (workplace / f"{name}.yaml").write_text("name: x y\n")
    assert main(["validate", "a.yaml", QUICKSTART, "b.yaml"]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert "a.yaml:1: name" in err
    assert "b.yaml:1: name" in err
    assert "quickstart" not in err


def test_plan_prices_every_level(capsys):
    assert main(["plan", QUICKSTART, "--no-calibrate", "--json"]) == ExitCode.MET
    payload = json.loads(capsys.readouterr().out)
    assert len(payload["rows"]) == 2 * len(payload["space"]["caps"])
    assert payload["training_flops_at_most"] == sum(row["training_flops"] for row in payload["rows"])
    assert main(["plan", QUICKSTART, "--no-calibrate"]) == ExitCode.MET
    assert "width=12" in capsys.readouterr().out


def test_plan_and_validate_go_through_every_arm(workplace, capsys):
    path = workplace / "duel.yaml"
    path.write_text(
        "name: duel\ntask: {kind: prefix_sums, bits: 5}\nmodel: {kind: recall_conv}\n"
        "scheduler: {kind: annealing, stop: 4}\narms:\n  - {name: static}\n"
        "  - {name: ponder, prior: {kind: ponder_net}, population: {members: [{width: 8, prior: {price: 0.3}}]}}\n"
    )
    assert main(["plan", "duel.yaml", "--no-calibrate", "--json"]) == ExitCode.MET
    assert set(json.loads(capsys.readouterr().out)["arms"]) == {"static", "ponder"}
    assert main(["plan", "duel.yaml", "--no-calibrate"]) == ExitCode.MET
    out = capsys.readouterr().out
    assert "width=8 prior.price=0.3" in out
    assert "unequal effort, train steps" in out
    assert main(["validate", "duel.yaml", "--set", "task.bits=0"]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("--set task.bits=0: task.bits: got 0")


def test_list_names_parts_and_settings(capsys):
    assert main(["list", "priors"]) == ExitCode.MET
    out = capsys.readouterr().out
    assert "ponder_net: " in out
    assert "models" not in out.split()
    assert main(["list", "--json"]) == ExitCode.MET
    assert "recall_conv" in json.loads(capsys.readouterr().out)["models"]


def test_list_says_all_of_one_part_and_the_nearest_of_one_that_is_not_there(capsys):
    assert main(["list", "models", "ponder_cell"]) == ExitCode.MET
    out = capsys.readouterr().out
    for words in ("sp_search.models.ponder_cell.PonderCell", "models/ponder_cell.py", "units of the state"):
        assert words in out
    assert re.search(r'cell +"mlp" +"mlp" or "gru" +how a rollout', out)
    assert re.search(r"width +48 +integer >= 1 +units", out)
    assert main(["list", "models", "ponder_cel"]) == ExitCode.USAGE
    assert "Did you mean 'ponder_cell'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 2, "exclusiveMaximum": 9}, "integer >= 2 and < 9"),
        ({"anyOf": [{"type": "number", "exclusiveMinimum": 0.5}, {"type": "null"}]}, "number > 0.5 or null"),
        ({"enum": ["mlp", "gru"]}, '"mlp" or "gru"'),
        ({"const": "mlp"}, '"mlp"'),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, "list of text (one or more)"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "mapping to integer"),
        ({"oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}, "mapping"),
        ({"type": "boolean"}, "true or false"),
        ({}, "anything"),
    ],
)
def test_what_a_setting_allows_is_said_in_a_few_words(schema, words):
    assert allowed(schema) == words


def test_ui_says_the_exact_command(workplace, capsys):
    (workplace / "manifest.json").write_text(json.dumps({"tracking_uri": "sqlite:///mlflow.db"}))
    assert main(["ui", str(workplace), "--dry-run", "--port", "5001"]) == ExitCode.MET
    said = capsys.readouterr().out
    assert said.endswith(f"mlflow ui --backend-store-uri sqlite:///{Path.cwd() / 'mlflow.db'} --port 5001\n")


@pytest.mark.parametrize("command", ["status", "resume"])
def test_a_folder_that_is_no_study_is_a_storage_error(workplace, command):
    assert main([command, str(workplace)]) == ExitCode.STORAGE


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "sp_search", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip()
    assert done.stderr == ""


def test_the_options_of_every_command_are_frozen():
    from sp_search.cli import app

    commands = {name for name in app if not name.startswith("-")}
    assert commands == {
        "run", "resume", "plan", "simulate", "validate", "status", "report", "export", "ui", "list", "schema",
        "compare",
        "mlflow-sync",
        "audit", "claims", "figures", "game", "tax", "init", "studies",
        "stop", "pause", "add", "extend", "retry", "logs", "doctor", "submit", "fetch", "pack",
    }  # fmt: skip
