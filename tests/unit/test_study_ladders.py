"""The ladder that a scheduler climbs: what ends it, what it does not read, what it cannot reach."""

import pytest
from small_study import GOOD

from sp_search.plan import plan_study


def test_an_axis_that_the_model_lacks_is_refused(problems):
    assert problems(GOOD.replace("axis: rollouts", "axis: depth"))[0].startswith(
        "study.yaml:4: scheduler.axis: model recall_conv has no axis 'depth'."
    )


@pytest.mark.parametrize(
    ("ladder", "expected"),
    [
        ("start: 8, stop: 4", "scheduler.start: got 8, above stop (4)"),
        ("stop: 1e9", "scheduler.stop: got 1e+09: a program has 1,000 rollouts at most"),
        ("stop: 1000, resolution: 0.05", "scheduler.resolution: got 0.05: from 1 to 1000 are more than 10,000 levels"),
        ("start: 0.2, stop: 0.9", "scheduler.start: got 0.2: a program takes at least one rollout"),
        ("factor: 2", "scheduler.factor: got 2.0: nothing reads it on a ladder along rollouts: leave it out"),
        ("up: 1", "scheduler.up: got 1: it should be greater than 1"),
    ],
)
def test_a_ladder_that_cannot_be_climbed_is_refused(problems, ladder, expected):
    assert problems(GOOD.replace("budget: max", f"budget: max, {ladder}"))[0].startswith(f"study.yaml:4: {expected}")


EXITS = """\
name: exits
task: {kind: graded_depth, positions: 9, hard: 0.15}
model: {kind: exit_conv, width: 8, depth: 4}
prior: {kind: exit_penalty}
scheduler: {SCHEDULER}
"""


def test_a_mean_budget_along_depth_has_caps_between_two_exits(study):
    ladder = "kind: annealing, axis: depth, budget: mean"
    exits = plan_study(study(EXITS.replace("SCHEDULER", ladder))).space.caps
    finer = plan_study(study(EXITS.replace("SCHEDULER", f"{ladder}, resolution: 0.25"))).space.caps
    assert (len(exits), len(finer)) == (4, 13)
    assert finer[::4] == exits
    assert finer[1] - finer[0] == pytest.approx((exits[1] - exits[0]) / 4)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("annealing, axis: depth, start: 2", "start: got 2.0: nothing reads it on a ladder along depth: leave it out"),
        ("annealing, axis: width, resolution: 2", "resolution: got 2.0: nothing reads it on a ladder along width"),
        ("annealing, axis: depth, resolution: 0.5", "resolution: got 0.5: nothing reads it on a ladder along depth"),
        ("annealing, axis: depth, budget: mean, resolution: 2", "resolution: got 2: along depth it is a share of an"),
        ("annealing, axis: width, start: 4.2, stop: 4.8", "start: got 4.2: no whole width lies between it and stop"),
        ("penalty_annealing, axis: depth, stop: 3", "stop: got 3.0: nothing reads it on a ladder that moves a control"),
        ("penalty_annealing, axis: width", 'axis: got "width": a control acts on the exits of a program, which exit_'),
        ("penalty_annealing, axis: depth, ratio: 1.00001", "ratio: got 1.00001: from 1 to 0.001 are more than 10,000"),
        ("penalty_annealing, axis: depth, loosest: 2", "loosest: got 2, above strictest (1)"),
    ],
)
def test_what_a_ladder_of_another_axis_would_not_read_is_refused(problems, scheduler, expected):
    text = EXITS.replace("SCHEDULER", f"kind: {scheduler}")
    assert problems(text)[0].startswith(f"study.yaml:5: scheduler.{expected}")


def test_under_a_control_a_program_has_as_many_exits_as_the_scheduler_says(study):
    plan = plan_study(study(EXITS.replace("SCHEDULER", "kind: penalty_annealing, axis: depth, exits: 2")))
    assert {row.axis_value for row in plan.rows} == {2}


def test_a_mean_budget_above_the_exits_of_its_programs_is_refused(problems):
    text = GOOD.replace("budget: max", "budget: mean, start: 5, exits: 4") + "prior: {kind: ponder_net}\n"
    assert problems(text) == ["study.yaml:4: scheduler.start: got 5, above exits (4): no program has more rollouts"]


def test_clones_of_a_member_of_one_lineage_are_refused(problems):
    text = GOOD.replace("budget: max", "budget: max, inherit: clones") + "population: {replicas: 1}\n"
    assert problems(text)[0].startswith("study.yaml:5: population.replicas: got 1: scheduler.inherit: clones copies")


def test_a_mean_budget_needs_a_program_that_halts(problems):
    found = problems(GOOD.replace("budget: max", "budget: mean"))
    assert found[0].startswith("study.yaml:4: scheduler.budget: a mean budget needs a program that halts")
