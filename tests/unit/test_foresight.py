"""What a search could take: imagined searches hold the schedule, the proofs and the evidence of the real one."""

import pytest
import torch
from small_study import TINY

import sp_search
from sp_search.foresight import Prices, foresee, imagine
from sp_search.ledger import read_ledger
from sp_search.plan import build_runner, plan_study, trial_bill
from sp_search.records import Assignment
from sp_search.study import study_of


def foreseen(**changes):
    study = study_of({**TINY, **changes})
    searches = imagine(study, plan_study(study))
    return searches, foresee(study, searches, Prices(study))


def test_where_the_answer_lies_decides_how_many_trials_there_are():
    searches, told = foreseen()
    assert told.searches == len(searches) > 4
    assert 0 < told.trials.least < told.trials.most
    assert told.training_flops.least < told.training_middle < told.training_flops.most


def test_of_one_level_that_cannot_stop_early_the_training_is_known_but_for_its_burn_in():
    scheduler = {"kind": "annealing", "start": 4, "stop": 4}
    told = foreseen(scheduler=scheduler, prior={"kind": "ponder_net"}, population={"replicas": 2})[1]
    assert told.trials == (1, 1)
    assert told.training_flops.most / told.training_flops.least < 1.6
    assert told.training_flops.most > told.training_flops.least, "a look may be cut short by screening"


def test_no_imagined_search_passes_below_what_the_task_proves():
    searches, _ = foreseen(task={"kind": "prefix_sums", "bits": 9}, scheduler={"kind": "annealing", "stop": 8})
    passed = [trial.assignment.budget.cap for one in searches for trial in one.trials if any(trial.passed or ())]
    assert min(passed) == 4, "a reach of two positions a rollout"


def test_limits_on_trials_and_flops_bound_what_is_foreseen():
    _, free = foreseen()
    _, bound = foreseen(limits={"trials": 2})
    assert bound.trials.most <= 5 < free.trials.most
    _, cheap = foreseen(limits={"search_flops": free.training_flops.least})
    assert cheap.training_flops.least <= free.training_flops.least <= cheap.training_flops.most
    assert cheap.training_flops.most < free.training_flops.most


def test_proposals_are_imagined_within_their_cap():
    space = {"width": {"low": 2, "high": 6}, "rollouts": {"low": 1, "high": 4}}
    changes = {
        "search": {"members": 3, "space": space},
        "scheduler": {"kind": "annealing"},
        "population": {"replicas": 1},
    }
    searches, told = foreseen(**changes)
    study = study_of({**TINY, **changes})
    caps = plan_study(study).space.caps
    budgets = [(one.assignment.budget.cap, caps[one.assignment.level]) for each in searches for one in each.trials]
    assert budgets
    assert all(own <= cap * (1 + 1e-9) for own, cap in budgets)
    assert told.training_flops.least > 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prior": {"kind": "ponder_net"}, "milestones": [0.5]},
        {"prior": {"kind": "early_exit"}, "scheduler": {"kind": "annealing", "budget": "mean", "stop": 4, "exits": 4}},
        {"train": {"steps": 40, "evaluate_every": 4, "plateau": 2}},
    ],
    ids=["annealing", "pondering", "mean budget", "plateaus"],
)
def test_a_real_search_takes_what_is_foreseen(changes, tmp_path):
    torch.set_num_threads(1)
    study = study_of({**TINY, **changes})
    told = foresee(study, imagine(study, plan_study(study)), Prices(study))
    result = sp_search.run(study, output=tmp_path / "study", driver="inprocess")
    spent = result.payload["search_flops"]
    trials = sum(entry.get("event", {}).get("event") == "measured" for entry in read_ledger(result.folder))
    for span, real in (
        (told.trials, trials),
        (told.training_flops, spent["training"]),
        (told.verification_flops, spent["verification"]),
    ):
        assert span.least <= real <= span.most


@pytest.mark.parametrize("prior", ["none", "early_exit", "halting_predictor"])
def test_a_lineage_that_fails_is_priced_exactly_but_for_burn_in_and_looks(prior):
    study = study_of({**TINY, "prior": {"kind": prior}, "train": {"steps": 8, "evaluate_every": 4, "burn_in": 0.0}})
    plan, runner = plan_study(study), build_runner(study)
    member = plan.population.members[0]
    assignment = Assignment(
        member=0, visit=0, level=3, attempt=1, milestone=1.0, budget=member.budgets[3], config=member.config,
        lineages=[0], seeds=[0],
    )  # fmt: skip
    state, measured = runner.begin(assignment, None), None
    while measured is None:
        state, measured = runner.step(assignment, state)
    bill = trial_bill(study, study.member_parts()[0], assignment.budget.axis, fresh=True)
    passed = measured.lineages[0].ended == "reached"
    told = bill.training(passed=passed)
    assert told.least <= measured.training_flops <= told.most
    assert told.most == pytest.approx(told.least), "32 inputs are looked at whole"
    verified = bill.verification(passed=passed)
    assert verified.least <= measured.verification_flops <= verified.most
