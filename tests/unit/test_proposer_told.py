"""What Optuna is told of every proposal: compute, what is missing, and what became of it."""

from itertools import pairwise
from math import inf, nan
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from proposing import asked, journal, proposer_of, request, requests, run, trials

from sp_search.records import LevelReport, LineageReport


def test_optuna_is_told_compute_what_is_missing_and_where_it_was(tmp_path: Path) -> None:
    run(asked(), tmp_path / "s")
    for trial in trials(tmp_path / "s", TrialState.COMPLETE):
        axis = {name: trial.user_attrs[name] for name in ("width", "rollouts")}
        right = int(1000 * min(1.0, axis["width"] / 6) * min(1.0, axis["rollouts"] / 3)) / 1000
        assert trial.values == [trial.user_attrs["price"]]
        assert trial.constraints["accuracy"] == pytest.approx(0.99 - right if right < 1 else -0.01)
        assert trial.user_attrs["search_flops"] == 1e6
        assert (trial.user_attrs["visit"], trial.user_attrs["level"]) == (0, requests(tmp_path / "s")[0]["level"])


def test_two_objectives_leave_a_front_of_compute_and_what_is_missing(tmp_path: Path) -> None:
    run(asked(search={"objectives": ["compute", "accuracy"]}, scheduler={"kind": "fixed", "cheaper": False}), tmp_path)
    (study,) = journal(tmp_path).values()
    front = sorted({tuple(trial.values) for trial in study.best_trials})
    assert len(front) > 1
    assert all(less[0] < more[0] and less[1] > more[1] for less, more in pairwise(front))
    assert min(missing for _, missing in front) >= 0


def report(member: int = 0, **changes: Any) -> LevelReport:
    lineage = LineageReport(lineage=0, seed=0, tried=True, passed=True, shortfall=-0.01, **changes.pop("lineage", {}))
    judged = LevelReport(member=member, visit=0, level=0, attempt=1, lineages=[lineage], cheapest_pass=700.0)
    return judged.model_copy(update=changes)  # unchecked, so that it can hold what is not finite


@pytest.mark.parametrize("value", [nan, inf])
def test_what_is_not_finite_is_a_failed_trial(tmp_path: Path, value: float) -> None:
    proposer, study = proposer_of(asked(), tmp_path), asked()
    proposer.accepted(proposer.propose(request(study)))
    proposer.judged(report(cheapest_pass=value))
    (trial,) = trials(tmp_path)
    assert (trial.state, trial.constraints) == (TrialState.FAIL, {})
    assert trial.user_attrs["ended"].startswith("not finite")


def test_a_trial_of_which_nothing_could_be_judged_failed(tmp_path: Path) -> None:
    proposer, study = proposer_of(asked(), tmp_path), asked()
    proposer.accepted(proposer.propose(request(study)))
    untried = LineageReport(lineage=0, seed=0, tried=False, passed=False)
    proposer.judged(report(lineages=[untried], cheapest_pass=None))
    assert trials(tmp_path)[0].state == TrialState.FAIL


@pytest.mark.parametrize("objectives", [["compute"], ["compute", "accuracy"]])
def test_what_was_cut_is_infeasible_and_what_was_lost_failed(tmp_path: Path, objectives: list[str]) -> None:
    study = asked(search={"objectives": objectives})
    proposer = proposer_of(study, tmp_path)
    for member in (0, 1):
        proposer.accepted(proposer.propose(request(study, member)))
    proposer.ended(0, "cut")
    proposer.ended(1, "lost 6 times: a node went away")
    proposer.ended(0, "cut")
    cut, lost = trials(tmp_path)
    assert cut.state == TrialState.COMPLETE
    assert cut.constraints["cut"] > 0
    assert (lost.state, lost.user_attrs["ended"]) == (TrialState.FAIL, "lost 6 times: a node went away")
    (study_of_optuna,) = journal(tmp_path).values()
    if len(objectives) == 2:
        assert study_of_optuna.best_trials == []
    else:
        with pytest.raises(ValueError, match="feasible"):
            _ = study_of_optuna.best_trial


def test_a_harder_milestone_begins_with_what_the_easier_one_tried(tmp_path: Path) -> None:
    run(asked(search={"members": 6}, milestones=[0.6, 0.99]), tmp_path)
    easier, harder = journal(tmp_path).values()
    inherited = [trial for trial in harder.trials if "source" in trial.user_attrs]
    own = [trial for trial in easier.trials if trial.state == TrialState.COMPLETE]
    assert [trial.values for trial in inherited] == [trial.values for trial in own]
    for before, after in zip(own, inherited, strict=True):
        assert after.constraints["accuracy"] == pytest.approx(before.constraints["accuracy"] + 0.39)
    assert len(harder.trials) > len(inherited)


def test_optunas_own_tools_read_the_journal(tmp_path: Path) -> None:
    run(asked(), tmp_path)
    (study,) = journal(tmp_path).values()
    assert study.best_trial.values[0] == min(t.values[0] for t in study.trials if t.constraints["accuracy"] <= 0)
    importances = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
    )
    assert importances.keys() == {"cap", "share.width"}


@pytest.mark.skipif(not optuna.visualization.is_available(), reason="plotly is not installed")
def test_optunas_charts_can_be_drawn(tmp_path: Path) -> None:
    run(asked(), tmp_path)
    (study,) = journal(tmp_path).values()
    for draw in ("plot_optimization_history", "plot_parallel_coordinate", "plot_slice", "plot_contour"):
        assert getattr(optuna.visualization, draw)(study).data
