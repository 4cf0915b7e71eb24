"""The checks of how it feels to use this, a test each; `MADE_ELSEWHERE` names the tests of those that stand apart."""

import importlib
import json
import subprocess
import sys

import pytest

from sp_search.cli import ExitCode, main

STUDY = """\
name: tiny
task: {kind: prefix_sums, bits: 5}
model: {kind: recall_conv, width: 8}
scheduler: {kind: annealing, stop: 3}
population: {members: [{width: 8}], replicas: 2}
verdict: {false_negative: 0.3}
train: {steps: 300}
milestones: [0.9]
tracking: {uri: null}
"""
MADE_ELSEWHERE = {
    "extension: a part in a package of its own": ("tests.flow.test_extending", ""),
    "after Ctrl-C the exact line to go on, and a second one ends at once": (
        "tests.unit.test_second_signal",
        "test_the_first_signal_says_how_to_go_on_and_leaves_a_study_that_does",
    ),
    "leaving: the program answers with torch and safetensors alone": ("tests.unit.test_train_export", ""),
    "editor: the schema is current": ("tests.unit.test_study", "test_the_committed_schema_is_current"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a study as a stranger would, with its output through pipes; return what came back and its folder."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "study.yaml").write_text(STUDY)
    command = ["run", str(folder / "study.yaml"), "--in-process", "--output", str(folder / "out")]
    done = subprocess.run([sys.executable, "-m", "sp_search", *command], capture_output=True, text=True, check=False)
    return done, folder / "out"


def test_one_command_leads_to_a_first_result(run):
    done, folder = run
    assert done.returncode in (ExitCode.MET, ExitCode.NOT_MET), done.stderr
    assert (folder / "result.json").exists()


def test_the_first_error_says_file_line_path_what_was_got_what_is_allowed_and_the_nearest_name(tmp_path, capsys):
    (tmp_path / "study.yaml").write_text(STUDY.replace("bits: 5", "bitz: 5").replace("replicas: 2", "replicas: x"))
    assert main(["run", str(tmp_path / "study.yaml")]) == ExitCode.USAGE
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"{tmp_path}/study.yaml:2: task.bitz: unknown key. Did you mean 'bits'? Known:")
    assert lines[1].startswith(f'{tmp_path}/study.yaml:5: population.replicas: got "x", a text: it should be')
    assert "Traceback" not in "".join(lines)


def test_a_dry_run_says_trials_cost_and_disk_and_starts_nothing(tmp_path, capsys):
    (tmp_path / "study.yaml").write_text(STUDY)
    assert main(["plan", str(tmp_path / "study.yaml"), "--no-calibrate"]) == ExitCode.MET
    out = capsys.readouterr().out
    for words in ("trials", "training", "verification", "disk"):
        assert words in out
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_progress_through_a_pipe_is_plain_lines_with_phase_budget_best_and_trials(run):
    lines = run[0].stderr.splitlines()
    assert lines[0].startswith("up fast: 1 rollout · best none yet · 0 trials done, 0 failed · ")
    assert all(line.isprintable() for line in lines)


def test_the_end_says_the_answer_where_the_report_is_and_how_to_look_at_it(run):
    out = run[0].stdout
    for words in ("milestone 0.9:", "minimum", "search compute", "failures", str(run[1] / "report.html")):
        assert words in out


def test_the_page_is_one_small_file_that_needs_no_network(run):
    page = (run[1] / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 2_000_000
    assert 'src="http' not in page
    assert "<script" not in page


def test_every_answer_is_also_for_machines(run, capsys):
    assert main(["status", str(run[1]), "--json"]) == ExitCode.MET
    assert json.loads(capsys.readouterr().out)["name"] == "tiny"


@pytest.mark.parametrize("check", MADE_ELSEWHERE)
def test_what_is_checked_elsewhere_is_there(check):
    module, name = MADE_ELSEWHERE[check]
    found = importlib.import_module(module)
    names = [one for one in vars(found) if one.startswith("test_")]
    assert name in names if name else names


def test_the_schema_that_editors_complete_by_is_printed(capsys):
    assert main(["schema"]) == ExitCode.MET
    assert "$defs" in json.loads(capsys.readouterr().out)
