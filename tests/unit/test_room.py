"""What a machine has to have for a study is asked before anything is made or written."""

import sys
from types import SimpleNamespace

import pytest

from sp_search import room
from sp_search.cli import ExitCode, main
from sp_search.errors import StudyError
from sp_search.plan import plan_study
from sp_search.study import Cluster, study_of
from sp_search.yaml_strict import dump

BASE = {
    "name": "tiny",
    "task": {"kind": "prefix_sums", "bits": 5},
    "model": {"kind": "recall_conv", "width": 8},
    "scheduler": {"kind": "annealing", "stop": 4},
    "population": {"replicas": 2},
    "train": {"steps": 10, "batch": 3, "evaluate_every": 4},
    "tracking": {"uri": None},
}
LOCAL, ELSEWHERE = Cluster(), Cluster(address="head:6379")


@pytest.fixture(autouse=True)
def _no_session_of_ray(monkeypatch):
    """Other tests of this process may have left one."""
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))


def refused(content, cluster=LOCAL, **options):
    study = study_of({**BASE, **content})
    room.refuse_without_room(study, plan_study(study).population.members, cluster, **options)


def test_a_trial_holds_four_copies_of_its_weights_a_slice_of_data_and_a_draw():
    study = study_of(BASE)
    own = study.member_parts()[0]
    parameters, example = own.model.parameters(study.task.shape(), 4, halting=False), 4 * 5 + 8 * 5
    assert room.trial_bytes(study, own, {"rollouts": 4}) == 2 * (16 * parameters + 4 * 3 * example) + 32 * example


@pytest.mark.parametrize("gpu", [0.5, 1.0, 8.0])
def test_a_gpu_that_this_machine_lacks_is_refused_and_a_clusters_is_its_own_business(gpu, monkeypatch):
    monkeypatch.setattr(room, "_gpus", lambda: 0)
    content = {"resources": {"gpu": gpu}}
    with pytest.raises(StudyError, match=rf"resources.gpu: got {gpu:g}, and torch sees no GPU on this machine: "):
        refused(content)
    with pytest.raises(StudyError, match="--in-process trains on the processor alone"):
        refused(content, ELSEWHERE, in_process=True)
    refused(content, ELSEWHERE)


def test_a_cluster_file_cannot_promise_gpus_of_this_machine(monkeypatch):
    monkeypatch.setattr(room, "_gpus", lambda: 1)
    with pytest.raises(StudyError, match="gpus: the cluster file promises 2, and torch sees 1 GPU"):
        refused({}, Cluster(gpus=2))
    refused({"resources": {"gpu": 1.0}}, Cluster(gpus=1))


@pytest.mark.parametrize("name", ["width", "batch", "evaluate_every", "replicas"])
def test_a_trial_that_this_machine_cannot_hold_is_refused_by_its_price(name, monkeypatch):
    monkeypatch.setattr(room, "_memory", lambda: 1 << 30)
    content = {
        "width": {"population": {"members": [{"width": 4096}], "replicas": 2}},
        "batch": {"train": {"batch": 10**6}},
        "evaluate_every": {"train": {"steps": 10**6, "evaluate_every": 10**6}},
        "replicas": {"population": {"members": [{"width": 64}], "replicas": 10_000}},
    }[name]
    with pytest.raises(StudyError, match=r"population.members.0: a trial of it at rollouts 4 holds .* machine has"):
        refused(content)
    refused(content, ELSEWHERE)


def test_only_proposals_within_the_cap_have_to_find_room(monkeypatch):
    monkeypatch.setattr(room, "_memory", lambda: 1 << 30)
    space = {"width": {"low": 1, "high": 100_000}, "rollouts": {"low": 1, "high": 8}}
    search = {"search": {"kind": "optuna", "members": 2, "space": space}, "scheduler": {"kind": "fixed"}}
    with pytest.raises(StudyError, match=r"search.space: a trial of it at rollouts 8, width 100000 holds"):
        refused(search)
    refused({**search, "search": {**search["search"], "cap": 1e6}})
    with pytest.raises(StudyError, match=r"search.space: a trial of it at width \d+, rollouts 1 holds"):
        refused({**search, "search": {**search["search"], "cap": 1e10}})


def test_a_cluster_that_this_process_is_connected_to_is_asked_and_not_this_machine(monkeypatch):
    monkeypatch.setattr(room, "_gpus", lambda: 0)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
    refused({"resources": {"gpu": 1.0}})
    with pytest.raises(StudyError, match="--in-process trains on the processor alone"):
        refused({"resources": {"gpu": 1.0}}, in_process=True)


def test_what_no_machine_holds_is_no_plan():
    with pytest.raises(StudyError, match=r"no machine has more than 70.4 TB"):
        plan_study(study_of({**BASE, "population": {"members": [{"width": 10**7}]}}))


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_study_for_a_gpu_is_refused_before_anything_is_written(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(room, "_gpus", lambda: 0)
    (tmp_path / "study.yaml").write_text(dump({**BASE, "resources": {"gpu": 1}}))
    assert main([command, "study.yaml"]) == ExitCode.USAGE
    assert "resources.gpu: got 1" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]
