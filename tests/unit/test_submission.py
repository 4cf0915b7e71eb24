"""What is asked of a cluster, and what its answers mean: all of it before and after any connection."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from sp_search.cli import main
from sp_search.errors import StorageError, StudyError
from sp_search.own_parts import runtime_environment
from sp_search.study import Cluster, load_cluster
from sp_search.submission import doctor_job, findings_of, require_address, stage, study_job

STUDY = Path(__file__).parents[2] / "studies" / "quickstart.yaml"


def words(job, tmp_path):
    """Return where the head node's shell would run a job's program, and the program's words."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / "bin" / "python").write_text("#!/bin/sh\npwd\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    (tmp_path / "job").mkdir(exist_ok=True)
    environment = {"HOME": str(tmp_path / "own"), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", job.command], env=environment, cwd=tmp_path / "job", capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_a_job_runs_the_study_with_its_overrides_into_a_folder_of_its_own(tmp_path):
    job = study_job("tiny", tmp_path, {}, overrides=["train.steps=3", "population.members=[{width: 8}]"], seed=4)
    where, *said = words(job, tmp_path)
    own = job.name.removeprefix("sp-search-")
    assert said == [
        *("-m", "sp_search", "run", f"{tmp_path}/job/study.yaml", "--cluster", f"{tmp_path}/job/cluster.yaml"),
        *("--set", "train.steps=3", "--set", "population.members=[{width: 8}]", "--seed", "4", "--output", own),
    ]
    assert (where, job.folder) == (f"{tmp_path}/own/sp_search_runs", f"~/sp_search_runs/{own}")
    assert job.name != study_job("tiny", tmp_path, {}).name


@pytest.mark.parametrize("evil", ["$(touch x)", "a; touch x", "`touch x`", "'; touch x; '", "a b/$(touch x)"])
def test_nothing_of_a_path_or_an_override_is_run_by_a_shell(evil, tmp_path):
    job = study_job("tiny", tmp_path, {}, output=f"{tmp_path}/{evil}", overrides=[evil])
    where, *said = words(job, tmp_path)
    assert f"{where}/{said[-1]}" == f"{tmp_path}/{evil}"
    assert evil in said
    assert not list(tmp_path.rglob("x"))


@pytest.mark.parametrize("output", ["run", "./run", "~", "/", "~ray/run"])
def test_a_folder_that_would_go_with_the_job_is_refused(output):
    with pytest.raises(StudyError, match="on a cluster it should be a path from the root"):
        study_job("tiny", Path("staged"), {}, output=output)


def test_the_environment_of_a_job_holds_its_files_and_parts_and_nothing_of_ours(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a secret")
    monkeypatch.setenv("SP_SEARCH_PLUGINS", str(tmp_path / "mine"))
    environment = study_job("tiny", tmp_path, runtime_environment()).environment
    assert environment == {
        "working_dir": str(tmp_path),
        "py_modules": [str(tmp_path / "mine")],
        "env_vars": {"SP_SEARCH_PLUGINS": "mine", "RAY_JOB_STOP_WAIT_TIME_S": "30"},
    }


def test_a_staged_study_is_the_file_as_it_is_and_a_cluster_seen_from_its_head(tmp_path):
    cluster = Cluster(address="local", cpus=3, nodes=2, storage="s3://studies/ours")
    stage(STUDY, cluster, tmp_path)
    assert (tmp_path / "study.yaml").read_bytes() == STUDY.read_bytes()
    assert load_cluster(tmp_path / "cluster.yaml") == Cluster(address="auto", nodes=2, storage="s3://studies/ours")


@pytest.mark.parametrize(
    "address", ["10.0.0.1:8265", "ray://head:10001", "http://", "head", "http://me:secret@head:8265"]
)
def test_an_address_that_is_no_dashboard_is_refused_and_a_password_is_not_repeated(address):
    with pytest.raises(StudyError, match="--address") as refused:
        require_address(address)
    assert "secret" not in str(refused.value)
    assert require_address("http://head:8265/") == "http://head:8265"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--address", "head:8265"], "it should be the cluster's dashboard"),
        (["--address", "http://head:8265", "--set", "milestones=[2]"], "milestones"),
        (["--address", "http://head:8265", "--storage", "runs"], "storage: "),
        (["--address", "http://head:8265", "--fetch", "."], "exists: name a new folder"),
        (["--address", "http://head:8265", "--fetch", "new", "--no-wait"], "needs the job's end"),
    ],
)
def test_a_submission_is_refused_before_anything_is_sent(options, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["submit", str(STUDY), *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("s3://key:secret@bucket/x", "credentials and endpoint come from the environment"),
        ("s3://key:sec/ret@bucket/x", "credentials and endpoint come from the environment"),
        ("s3://", "credentials and endpoint"),
        ("s3://bucket/x?endpoint_override=http://here", "come from the environment"),
        ("relative/folder", "a path from the root"),
    ],
)
def test_a_storage_that_is_not_the_same_everywhere_or_holds_a_secret_is_refused(storage, said, tmp_path):
    (tmp_path / "cluster.yaml").write_text(f"storage: {storage}\n")
    with pytest.raises(StudyError, match=said) as refused:
        load_cluster(tmp_path / "cluster.yaml")
    assert "secret" not in str(refused.value)


def test_a_cluster_that_is_looked_at_by_a_job_says_what_it_found_and_what_kept_it_from_that():
    assert doctor_job("s3://a b/c").command == "python -m sp_search doctor --address auto --storage 's3://a b/c' --json"
    found = [{"check": "disk", "machine": "one", "verdict": "ok", "said": "[\n  {", "mend": ""}]
    log = f"Running entrypoint\na warning [of Ray's]\n{json.dumps(found, indent=2)}\nlate words\n"
    assert findings_of(log, "SUCCEEDED") == found
    refused = json.dumps({"exit_code": 2, "error": "StudyError", "messages": ["no [such] thing", "mend it"]}, indent=2)
    with pytest.raises(StorageError, match=r"on the cluster: no \[such\] thing"):
        findings_of(refused.replace('"exit_code": 2', '"exit_code": 5'), "FAILED")
    for log, said in (
        ("/usr/bin/python: No module named sp_search\n", "the cluster's Python has no sp_search: install it on every"),
        (f"a warning\n{refused}\nno such thing\n", r"on the cluster: no \[such\] thing\non the cluster: mend it"),
        ("one\ntwo\n\n", "could not look at itself: two"),
        ("", "could not look at itself: it was stopped"),
    ):
        with pytest.raises(StudyError, match=said):
            findings_of(log, "it was stopped")
