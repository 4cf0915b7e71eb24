"""Milestones that no budget can pass, and that no data can certify, are refused before anything trains."""

import pytest
from small_study import GOOD

from sp_search.errors import StudyError
from sp_search.study import load_study


def test_a_milestone_that_no_budget_can_pass_is_refused(problems):
    long = GOOD.replace("bits: 5", "bits: 41") + "selection: {n: 4000}\n"
    (found,) = problems(long + "milestones: [0.4, 0.9]\n")
    expected = "study.yaml:6: milestones.1: got 0.9: 'iid' needs 20 rollouts (proven), and scheduler.stop allows 16"
    assert found == expected
    assert problems(long + "milestones: [0.9]\npopulation: {members: [{}, {kernel: 3}]}\n") == []
    assert problems(long + "prior: {kind: ponder_net}\nmilestones: [0.9]\n") == [], "halting can leak past the proof"


def test_a_milestone_beyond_the_data_is_refused_with_the_largest_it_can_certify(problems):
    digits = GOOD.replace("prefix_sums, bits: 5", "digits").replace("recall_conv", "exit_mlp")
    digits = digits.replace("axis: rollouts", "axis: depth")
    assert problems(digits + "milestones: [0.94]\n") == []
    (found,) = problems(digits + "milestones: [0.94, 0.999]\n")
    assert found.startswith("study.yaml:5: milestones.1: got 0.999: 360 held-out examples of 'iid' can certify 0.98")


def test_a_stability_that_the_draw_cannot_show_is_refused_with_the_least_it_can(problems):
    long = GOOD.replace("bits: 5", "bits: 20") + "milestones: [0.4]\n"
    assert problems(long + "selection: {stable_after_halt: 0.01}\n") == []
    (found,) = problems(long + "selection: {stable_after_halt: 0.0001, n: 1000}\n")
    assert found.startswith(
        "study.yaml:6: selection.stable_after_halt: got 0.0001: 1000 held-out examples can show 0.00"
    )
    assert problems(GOOD + "selection: {stable_after_halt: 0.0001}\n") == [], "every input is checked"


def test_an_enumerated_gate_can_certify_everything(problems):
    assert problems(GOOD + "milestones: [1.0]\n") == []


def test_a_milestone_that_validation_could_never_show_is_refused_with_the_setting_to_raise(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: x\ntask: {kind: prefix_sums, bits: 20}\nmodel: {kind: recall_conv}\n"
        "scheduler: {kind: annealing}\nmilestones: [0.999]\n"
    )
    with pytest.raises(StudyError, match=r"4096 validation examples can show 0.99887 at most: raise train.validation"):
        load_study(path)
    assert load_study(path, overrides=["train.validation=16384"]).milestones == [0.999]
