"""Audits of a whole study: asked for in its file, put to it afterwards by command, and told on its page."""

import json
import shutil

import numpy as np
import pytest

import sp_search
from sp_search.auditing import audit_folder
from sp_search.cli import ExitCode, main
from sp_search.errors import StorageError, StudyError
from sp_search.folder import recorded_study
from sp_search.ledger import LEDGER_NAME, read_ledger
from sp_search.train.export import export_program

STUDY = {
    "name": "audited",
    "task": {"kind": "prefix_sums", "bits": 4},
    "model": {"kind": "recall_conv", "width": 8},
    "scheduler": {"kind": "fixed", "budget": "max", "axis": "rollouts", "start": 2.0, "stop": 2.0},
    "population": {"members": [{"width": 8}], "replicas": 2},
    "train": {"steps": 300},
    "milestones": [0.95],
    "audits": [{"kind": "memory", "n": 64}, {"kind": "latent_run"}],
    "tracking": {"uri": None},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return sp_search.run(STUDY, output=tmp_path_factory.mktemp("runs") / "audited", driver="inprocess")


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished.folder, tmp_path / "study")


def test_a_study_runs_the_audits_that_it_names_after_its_search(finished):
    assert finished.met
    said = [(one["audit"], one["verdict"]) for one in finished.payload["audits"]]
    assert said == [("memory", "passed"), ("latent_run", "not_applicable")]
    assert "Questions that were put to the finished program" in (finished.folder / "report.html").read_text()
    assert finished.exit_code == ExitCode.MET


def test_a_flag_is_exit_code_6(finished):
    flagged = [{**one, "verdict": "flagged"} for one in finished.payload["audits"]]
    assert sp_search.Result(finished.folder, {**finished.payload, "audits": flagged}).exit_code == ExitCode.FLAGGED


def test_the_command_writes_what_it_found_and_the_page_repeats_it(folder, capsys):
    before = (folder / LEDGER_NAME).read_bytes()
    assert main(["audit", str(folder), "--audits", "memory,generalisation", "--seed", "3"]) == ExitCode.MET
    assert "no audit flagged, which is not the same as safe" in capsys.readouterr().out
    written = json.loads((folder / "audits.json").read_text())
    assert [one["audit"] for one in written["verdicts"]] == ["memory", "generalisation"]
    assert written["seed"] == 3
    kept = json.loads((folder / "result.json").read_text())["audits"]
    assert [one["audit"] for one in kept] == ["latent_run", "memory", "generalisation"]
    assert kept[1:] == written["verdicts"]
    assert "generalisation" in (folder / "report.html").read_text()
    assert (folder / LEDGER_NAME).read_bytes() == before


def test_what_was_asked_later_outlives_a_resume(folder):
    audit_folder(folder, audits=["generalisation"])
    (folder / "report.html").unlink()
    again = sp_search.resume(folder, driver="inprocess").payload["audits"]
    assert [one["audit"] for one in again] == ["memory", "latent_run", "generalisation"]
    assert "generalisation" in (folder / "report.html").read_text()
    (folder / "result.json").write_text("{")
    anew = sp_search.resume(folder, driver="inprocess").payload["audits"]
    assert [one["audit"] for one in anew] == ["memory", "latent_run"]


def test_without_names_the_studys_own_audits_run_and_json_is_the_file(folder, capsys):
    assert main(["audit", str(folder), "--json"]) == ExitCode.MET
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((folder / "audits.json").read_text())
    assert [one["audit"] for one in said["verdicts"]] == ["memory", "latent_run"]


@pytest.fixture
def twin(folder, tmp_path):
    """The same program with one bias moved: other weights, and the same compute."""
    copy = shutil.copytree(folder, tmp_path / "twin")
    moved = sp_search.load(copy)
    next(iter(moved.model.parameters())).data.add_(1e-3)
    export_program(copy / "program", moved, {})
    return copy


def test_honest_programs_calibrate_and_are_written_down_with_their_hashes(folder, twin):
    found = audit_folder(folder, audits=["excess_compute"], honest=[twin]).payload
    assert [(one["verdict"], one["honest"]) for one in found["verdicts"]] == [("passed", 1)]
    assert [one["folder"] for one in found["honest"]] == [str(twin)]
    assert found["honest"][0]["program_sha256"] != found["program_sha256"]
    assert found["calibrations"][0]["threshold"] == pytest.approx(0.05)
    assert len(found["calibration_sha256"]) == 64


def test_no_program_is_its_own_twin_and_none_counts_twice(folder, finished, twin):
    for honest in ([finished.folder], [twin, twin]):
        with pytest.raises(StudyError, match="give each program once, and others than the audited"):
            audit_folder(folder, audits=["memory"], honest=honest)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("task.json", "{"),
        ("task.json", '{"length": 3}'),
        ("task.json", '{"kind": "prefix_sum"}'),
        ("task.json", "[]"),
        ("config.json", "{}"),
        ("config.json", "x"),
        ("model.safetensors", "x"),
        ("model.safetensors", None),
    ],
)
def test_a_damaged_program_folder_is_named(folder, tmp_path, file, text):
    damaged = shutil.copytree(folder / "program", tmp_path / "damaged")
    (damaged / "task.json").write_text(json.dumps(STUDY["task"]))
    assert audit_folder(damaged, audits=["memory"]).heard.verdicts[0].verdict == "passed"
    (damaged / file).unlink()
    if text is not None:
        (damaged / file).write_text(text)
    with pytest.raises(StorageError, match="damaged"):
        audit_folder(damaged, audits=["memory"])


def test_a_damaged_study_folder_is_named(folder):
    (folder / "result.json").write_text("{")
    with pytest.raises(StorageError, match=r"result\.json is no JSON .* resume .* writes it anew"):
        audit_folder(folder, audits=["memory"])
    (folder / LEDGER_NAME).write_text("")
    with pytest.raises(StorageError, match="was never begun"):
        audit_folder(folder, audits=["memory"])


def test_a_study_of_another_version_is_named(folder):
    content = read_ledger(folder)[0]["header"]["study"]
    with pytest.raises(StorageError, match=r"study cannot be read by this version: task\.bitz: "):
        recorded_study([{"header": {"study": {**content, "task": {"kind": "prefix_sums", "bitz": 4}}}}], folder)


def test_a_flag_stands_at_the_head_of_the_page_and_stays_when_other_audits_follow(folder):
    result = json.loads((folder / "result.json").read_text())
    flagged = {**result["audits"][1], "verdict": "flagged"}
    (folder / "result.json").write_text(json.dumps({**result, "audits": [result["audits"][0], flagged]}))
    audit_folder(folder, audits=["generalisation", "memory"])
    after = json.loads((folder / "result.json").read_text())["audits"]
    assert [one["audit"] for one in after] == ["latent_run", "generalisation", "memory"]
    page = (folder / "report.html").read_text()
    assert page.index("flagged by latent run") < page.index("<h2>Budget over time</h2>")
    rows = page[page.index("<h2>Audits</h2>") :]
    assert rows.index("latent run") < rows.index("generalisation")


def test_what_cannot_be_audited_is_refused_with_the_reason(folder, tmp_path):
    with pytest.raises(StudyError, match="Did you mean 'memory'"):
        audit_folder(folder, audits=["memry"])
    with pytest.raises(StudyError, match="no audit is asked for"):
        audit_folder(folder, audits=[])
    with pytest.raises(StudyError, match="asked for twice: memory"):
        audit_folder(folder, audits=["memory", "memory"])
    with pytest.raises(StudyError, match="--budget: got 0"):
        audit_folder(folder, budget=0)
    with pytest.raises(StudyError, match="reads no file"):
        audit_folder(folder, data=tmp_path / "rows.npz")
    with pytest.raises(StorageError, match="is no study folder"):
        audit_folder(tmp_path)
    shutil.rmtree(folder / "program")
    with pytest.raises(StorageError, match="holds no program"):
        audit_folder(folder)


def test_a_users_own_data_is_audited_and_other_rows_may_take_its_place(tmp_path):
    from sp_search.tasks.dataset import Dataset

    random = np.random.default_rng(0)
    x = random.standard_normal((2_000, 4))
    task = Dataset.of(x, (x[:, 0] > 0).astype(int), tmp_path / "rows")
    study = {
        **STUDY,
        "task": task.model_dump(mode="json"),
        "model": {"kind": "exit_mlp", "width": 8},
        "scheduler": {"kind": "fixed", "budget": "max", "axis": "depth", "exits": 2},
        "population": {"members": [{"width": 8}], "replicas": 2},
        "milestones": [0.8],
        "audits": [],
    }
    done = sp_search.run(study, output=tmp_path / "own", driver="inprocess")
    assert done.met
    own = audit_folder(done.folder, audits=["triggered_search", "memory"]).heard.verdicts
    assert [one.verdict for one in own] == ["uncalibrated", "passed"]
    new = random.standard_normal((1_500, 4))
    Dataset.of(new, (new[:, 0] > 0).astype(int), tmp_path / "new")
    other = audit_folder(done.folder, audits=["memory"], data=tmp_path / "new.npz")
    assert other.payload["task"]["path"].endswith("new.npz")
    Dataset.of(new[:, :3], (new[:, 0] > 0).astype(int), tmp_path / "narrow")
    with pytest.raises(StudyError, match=r"another shape than the task's \(channels 4 instead of 3\)"):
        audit_folder(done.folder, data=tmp_path / "narrow.npz")
