"""What a plan foresees: trials, FLOPs, seconds and bytes."""

import json

import pytest

from sp_search import calibration
from sp_search.cli import main
from sp_search.plan import PlannedLevel, plan_study
from sp_search.study import study_of

TINY = {
    "name": "tiny",
    "task": {"kind": "prefix_sums", "bits": 5},
    "model": {"kind": "recall_conv", "width": 8},
    "scheduler": {"kind": "annealing", "stop": 4},
    "population": {"members": [{"width": 8}, {"width": 4}], "replicas": 2},
    "verdict": {"false_negative": 0.3},
    "train": {"steps": 40, "evaluate_every": 4},
    "milestones": [0.9],
    "tracking": {"uri": None},
}


def planned(**changes):
    study = study_of({**TINY, **changes})
    return study, plan_study(study)


def test_a_search_visits_some_levels_and_one_alone_exactly_once():
    counts = calibration.visits(*planned())
    assert len(counts) == 4
    assert 0 < sum(counts) <= 2 * 4
    assert calibration.visits(*planned(scheduler={"kind": "annealing", "start": 4, "stop": 4})) == pytest.approx([1.0])


def test_seconds_follow_the_rate_between_the_cheapest_and_the_dearest_level():
    plan = planned()[1]
    rates = [calibration.Rate(1e6, 1e6), calibration.Rate(1e8, 1e8)]
    rows = [PlannedLevel(0, level, 1.0, 1, 1.0, flops) for level, flops in enumerate((1e6, 1e7, 1e8))]
    assert calibration.training_seconds(plan._replace(rows=rows), rates) == pytest.approx(3.0)
    assert calibration.training_seconds(plan._replace(rows=rows), rates, [0, 2, 0]) == pytest.approx(2.0)
    assert calibration.training_seconds(plan._replace(rows=rows), rates[:1]) == pytest.approx(111.0)


def test_the_disk_is_two_states_of_weights_and_two_moments_of_every_lineage():
    study, plan = planned(population={"members": [{}], "replicas": 3})
    parameters = study.model.parameters(study.task.shape(), 4, halting=False)
    assert calibration.disk(study, plan).each_level == parameters * 4 * 3 * 3 * 2


def test_verification_counts_every_possible_input_once_where_they_can_be_enumerated():
    study, plan = planned()
    assert calibration.verification_flops(study, plan) == 32 * 2 * sum(row.max_flops_per_example for row in plan.rows)


def test_calibrating_measures_the_cheapest_and_the_dearest_level():
    study, plan = planned()
    rates = calibration.calibrate(study, plan, seconds=0.01)
    prices = [row.training_flops for row in plan.rows]
    assert [rate.price for rate in rates] == [min(prices), max(prices)]
    assert all(rate.planned_flops_per_second > 0 for rate in rates)


def test_a_plan_says_trials_flops_time_and_disk_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(json.dumps(TINY))
    assert main(["plan", "study.yaml"]) == 0
    said = capsys.readouterr().out
    for words in ("8 for every level once; about", "in a search here, one trial at a time", "MB of checkpoints"):
        assert words in said
    assert main(["plan", "study.yaml", "--no-calibrate", "--json"]) == 0
    assert "training_seconds" not in json.loads(capsys.readouterr().out)["expected"]
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_a_network_that_no_machine_holds_is_priced_and_not_built(tmp_path, capsys):
    wide = {**TINY, "population": {"members": [{"width": 10**7}], "replicas": 2}}
    (tmp_path / "study.yaml").write_text(json.dumps(wide))
    assert main(["plan", str(tmp_path / "study.yaml")]) == 0
    assert "in a search here" not in capsys.readouterr().out
