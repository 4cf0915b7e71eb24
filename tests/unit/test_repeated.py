"""What crashes may have made a study pay twice is never said to be less than it was."""

import pytest

from sp_search.limits import repeated_flops
from sp_search.plan import training_flops
from sp_search.records import Assignment, Budget
from sp_search.study import study_of

STUDY = study_of(
    {
        "name": "tiny",
        "task": {"kind": "prefix_sums", "bits": 5},
        "model": {"kind": "recall_conv", "width": 8},
        "scheduler": {"kind": "annealing", "stop": 4},
        "train": {"steps": 100, "evaluate_every": 1},
        "tracking": {"uri": None},
    }
)
BUDGET = Budget(kind="max", measure="rollouts", cap=4, axis={"rollouts": 4})


@pytest.mark.parametrize(("event", "times"), [("member_lost", 1), ("restored", 1), ("measured", 0)])
def test_slices_that_were_too_short_to_be_stored_are_all_run_again(event, times):
    at = Assignment(
        member=0, visit=0, level=3, attempt=2, milestone=0.9, budget=BUDGET, config={}, lineages=[0, 1], seeds=[0, 1]
    )
    entry = {"event": {"event": event}, "actions": [{"assignment": at.model_dump(mode="json")}, {"member": 1}]}
    [own] = STUDY.member_parts()
    assert repeated_flops(STUDY, [entry]) == times * 2 * training_flops(STUDY, own, BUDGET.axis)
