"""The command line: what goes where, which failure has which exit code, and that its options are frozen."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sp_search import api
from sp_search.cli import ExitCode, main
from sp_search.errors import Interrupted, StorageError, StudyError

ROOT = Path(__file__).parents[2]

QUICKSTART = str(ROOT / "studies" / "quickstart.yaml")


@pytest.fixture
def failing(monkeypatch):
    """Make `run` raise."""

    def fail(error):
        def run(study, **options):
            raise error

        monkeypatch.setattr(api, "run", run)

    return fail


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
        "stop", "pause", "add", "extend", "retry", "logs", "doctor", "submit", "fetch", "pack", "ask",
    }  # fmt: skip
