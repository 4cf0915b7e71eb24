"""Optuna's proposals: what may be asked, within which cap, at which price."""

from pathlib import Path

import pytest
from optuna.trial import TrialState
from proposing import CONTENT, LEAST, asked, events, proposer_of, request, requests, run, trials

from sp_search.proposals import flops_of


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_every_proposal_is_priced_within_its_cap_and_below_what_passed_before(tmp_path: Path, sampler: str) -> None:
    study = asked(search={"sampler": sampler})
    search = run(study, tmp_path / "s")
    space, found = requests(tmp_path / "s"), events(tmp_path / "s", "proposed")
    assert len(found) == 12
    for proposed in found:
        own = study.member_parts()[0]
        price = max(flops_of(own, study.task.shape(), proposed["budget"]["axis"]))
        assert proposed["budget"]["cap"] == price <= space[proposed["member"]]["cap"]
    selected = search.selection(0.99)
    assert selected is not None
    assert all(selected[0].budget.axis[name] >= least for name, least in LEAST.items())
    judged = trials(tmp_path / "s", TrialState.COMPLETE)
    passing = [trial for trial in judged if trial.constraints["accuracy"] <= 0]
    prices = [trial.values[0] for trial in passing]
    assert prices == sorted(prices, reverse=True)
    assert prices[-1] == selected[0].budget.cap


def test_a_program_that_failed_as_often_as_a_failure_needs_is_not_tried_again(tmp_path: Path) -> None:
    narrow = {"width": {"low": 1, "high": 3}, "rollouts": {"low": 1, "high": 3}}
    run(asked(search={"space": narrow, "members": 8, "sampler": "random"}), tmp_path / "s")
    axes = [tuple(proposed["budget"]["axis"].items()) for proposed in events(tmp_path / "s", "proposed")]
    assert len(set(axes)) == 8
    few = asked(search={"space": narrow, "members": 8, "sampler": "random"}, population={"replicas": 1})
    run(few, tmp_path / "few")
    assert len({tuple(one["budget"]["axis"].items()) for one in events(tmp_path / "few", "proposed")}) < 8


def test_a_cap_that_nothing_fits_is_answered_with_nothing(tmp_path: Path) -> None:
    study = asked()
    proposer = proposer_of(study, tmp_path)
    assert proposer.propose(request(study, cap=10.0)).budget is None
    assert trials(tmp_path) == []


def test_annealing_moves_an_outer_cap_over_proposals(tmp_path: Path) -> None:
    study = asked(search={"members": 8}, scheduler={"kind": "annealing", "factor": 2.0})
    search = run(study, tmp_path)
    caps = {action["visit"]: action["cap"] for action in requests(tmp_path).values()}
    assert len(caps) > 3
    assert search.state.finished == "resolved"
    for trial in trials(tmp_path, TrialState.COMPLETE):
        assert trial.user_attrs["price"] <= trial.user_attrs["cap"] <= caps[trial.user_attrs["visit"]] * (1 + 1e-9)


def test_fields_of_the_model_and_the_prior_are_proposed_beside_the_axes(tmp_path: Path) -> None:
    space = {
        **CONTENT["search"]["space"],
        "layers": {"low": 1, "high": 3},
        "kernel": {"choices": [2, 3]},
        "prior.threshold": {"low": 0.5, "high": 0.99},
    }
    study = asked(search={"space": space, "members": 16}, prior={"kind": "early_exit"})
    run(study, tmp_path)
    configs = [proposed["config"] for proposed in events(tmp_path, "proposed")]
    assert {config["kernel"] for config in configs} == {2, 3}
    assert {config["layers"] for config in configs} >= {1, 2}
    assert all(0.5 <= config["prior"]["threshold"] <= 0.99 for config in configs)
    for trial, proposed in zip(trials(tmp_path, TrialState.COMPLETE), events(tmp_path, "proposed"), strict=True):
        assert trial.params["kernel"] == proposed["config"]["kernel"]


def test_where_the_fields_of_most_points_do_not_fit_the_cheapest_are_taken(tmp_path: Path) -> None:
    space = {**CONTENT["search"]["space"], "layers": {"low": 1, "high": 1000}}
    study = asked(search={"space": space})
    proposer = proposer_of(study, tmp_path)
    proposed = proposer.propose(request(study, cap=proposer.space.cheapest.flops))
    assert proposed.config == {"layers": 1}
    assert proposed.budget is not None
    assert proposed.budget.axis == {"width": 1, "rollouts": 1}
    states = {trial.state for trial in trials(tmp_path)}
    assert states == {TrialState.FAIL, TrialState.RUNNING}


def test_a_mean_budget_shares_its_cap_with_the_exits_it_may_use(tmp_path: Path) -> None:
    study = asked(scheduler={"kind": "fixed", "budget": "mean"}, prior={"kind": "ponder_net"})
    proposer = proposer_of(study, tmp_path)
    for member in range(20):
        proposed = proposer.propose(request(study, member))
        assert proposed.budget is not None
        assert (proposed.budget.kind, proposed.budget.axis["rollouts"]) == ("mean", 8)
        first = flops_of(study.member_parts()[0], study.task.shape(), proposed.budget.axis)[0]
        assert first <= proposed.budget.cap <= request(study).cap
