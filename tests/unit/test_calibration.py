"""What a plan foresees: trials, FLOPs, seconds and bytes."""

import json

import pytest
import torch
from small_study import TINY

from sp_search import calibration
from sp_search.cli import main
from sp_search.foresight import Prices, foresee, imagine
from sp_search.plan import plan_study
from sp_search.study import study_of


def planned(**changes):
    study = study_of({**TINY, **changes})
    return study, plan_study(study)


def rated(price, seconds):
    return calibration.Rate(price, seconds, 1 / seconds, seconds)


def test_rates_are_interpolated_between_the_cheapest_and_the_dearest_trial_and_stay_beyond():
    rates = [rated(1e6, 1e-3), rated(1e8, 1e-1)]
    for price, seconds in ((1e5, 1e-3), (1e6, 1e-3), (1e7, 1e-2), (1e8, 1e-1), (1e9, 1e-1)):
        found = calibration._rate(price, rates)
        assert found.begin_seconds == pytest.approx(seconds)
        assert found.training_flops_per_second == pytest.approx(1 / seconds)


def test_seconds_are_those_of_beginning_training_and_judging_and_end_at_the_limit():
    study, plan = planned()
    searches, prices = imagine(study, plan), Prices(study)
    slow = [calibration.Rate(1.0, 1.0, 1e6, 2.0)]
    span, told = calibration.foresee_seconds(study, searches, prices, slow), foresee(study, searches, prices)
    assert span.least > told.training_flops.least / 1e6 + told.trials.least
    assert span.most < told.training_flops.most / 1e6 + told.trials.most * (1 + 2.0 * study.population.replicas * 2)
    limited = study.model_copy(update={"limits": study.limits.model_copy(update={"seconds": 3.0})})
    assert calibration.foresee_seconds(limited, searches, prices, slow).most == 3.0


def test_the_disk_is_two_states_of_weights_and_two_moments_of_every_lineage():
    study, plan = planned(population={"members": [{}], "replicas": 3})
    parameters = study.model.parameters(study.task.shape(), 4, halting=False)
    assert calibration.disk(study, plan).each_level == parameters * 4 * 3 * 3 * 2


def test_calibrating_measures_the_cheapest_and_the_dearest_level():
    study, plan = planned()
    rates = calibration.calibrate(study, plan, seconds=0.01)
    prices = [row.training_flops for row in plan.rows]
    assert [rate.price for rate in rates] == [min(prices), max(prices)]
    assert all(value > 0 for rate in rates for value in rate)


@pytest.mark.parametrize("slice_steps", [1, 2])
def test_calibrating_ends_at_the_longest_slice_also_where_that_is_one_step(slice_steps):
    study, plan = planned(train={"steps": 4, "evaluate_every": slice_steps})
    assert len(calibration.calibrate(study, plan, seconds=float("inf"))) == 2


def test_a_plan_says_trials_flops_time_and_disk_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(json.dumps(TINY))
    assert main(["plan", "study.yaml"]) == 0
    said = capsys.readouterr().out
    for words in ("imagined searches", "of trials here, one at a time", "MB of checkpoints", "in the middle"):
        assert words in said
    assert main(["plan", "study.yaml", "--no-calibrate", "--json"]) == 0
    assert "seconds" not in json.loads(capsys.readouterr().out)["expected"]
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_a_network_that_no_machine_holds_is_priced_and_refused(tmp_path, capsys):
    wide = {**TINY, "population": {"members": [{"width": 10**7}], "replicas": 2}}
    (tmp_path / "study.yaml").write_text(json.dumps(wide))
    assert main(["plan", str(tmp_path / "study.yaml")]) == 2
    assert "population.members.0: " in capsys.readouterr().err


def test_training_is_timed_with_the_threads_of_a_trial(monkeypatch):
    study, plan = planned(resources={"cpu": 3})
    monkeypatch.setattr(calibration, "_measured", lambda *given: torch.get_num_threads())
    before = torch.get_num_threads()
    assert set(calibration.calibrate(study, plan)) == {3}
    assert torch.get_num_threads() == before
