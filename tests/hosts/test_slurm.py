"""`clusters/slurm.sh` on a real Slurm of three machines: a study runs across them, is preempted, and goes on."""

import json

import pytest

from tests.hosts.slurm_hosts import ROOT, Slurm, missing, until

SCRIPT = ROOT / "clusters" / "slurm.sh"
STUDY = """\
name: slurm
task: {kind: prefix_sums, bits: 5}
model: {kind: recall_conv}
prior: {kind: none}
scheduler: {kind: annealing, axis: rollouts, budget: max}
population: {members: [{width: 12}, {width: 16}], replicas: 3}
milestones: [0.99]
train: {steps: 300}
"""
pytestmark = [pytest.mark.hosts, pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def slurm():
    if lack := missing():
        pytest.skip(lack)
    with Slurm() as slurm:
        yield slurm


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def test_a_study_runs_on_every_machine_and_goes_on_after_preemptions_to_the_same_answer(slurm, study, tmp_path):
    calm, cut = tmp_path / "calm", tmp_path / "cut"
    job = slurm.submitted(SCRIPT, study, calm)
    assert slurm.ended(job) == "0:0", slurm.output(job)
    assert not slurm.processes("raylet"), "the job is over, and Ray with it"

    job = slurm.submitted(SCRIPT, study, cut)
    until(lambda: measured(cut) >= 2, "no trial ends", 600)
    slurm.said("scancel", "--signal=TERM", "--batch", str(job))  # as `--signal=B:TERM@120` does before the time is up
    assert slurm.ended(job) == "143:0", slurm.output(job)
    assert "sp-search resume" in slurm.output(job)
    before = measured(cut)

    job = slurm.submitted(SCRIPT, study, cut)
    until(lambda: measured(cut) > before, "the study does not go on", 600)
    slurm.said("scontrol", "requeue", str(job))
    assert slurm.ended(job) == "0:0", slurm.output(job)
    assert answer(cut) == answer(calm)


def measured(folder):
    """Return how many trials have been measured."""
    ledger = folder / "ledger.jsonl"
    return ledger.read_text().count('"event":"measured"') if ledger.exists() else 0


def answer(folder):
    """Return what was found, without times, names of machines, and what was trained twice."""
    result = json.loads((folder / "result.json").read_text())
    return {
        name: result[name] for name in ("ended", "program", "budget", "minimum", "accuracy", "max_flops_per_example")
    }
