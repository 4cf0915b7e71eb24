"""Studies beside each other: what is one setting, what is paired, what luck allows to say, and what is never ranked."""

from itertools import pairwise, product
from math import exp, log
from statistics import mean, stdev

import pytest

from sp_search.across import Ran, compared
from sp_search.effects import effect as effect_of
from sp_search.effects import holm
from sp_search.errors import StudyError
from sp_search.report.across import EFFECT_HEADS, RUN_HEADS, effect_rows, ranking_words, render_across, run_rows

CONTENT = {
    "task": {"kind": "parity", "bits": 5},
    "model": {"kind": "recall_conv", "width": 8},
    "milestones": [0.9],
    "selection": {"gates": ["iid"], "confidence": 0.99},
    "verdict": {"min_pass_rate": 0.5},
    "resources": {"cpu": 1},
    "tracking": {"uri": None},
}


def ran(name, seed, cost, *, met=True, **changes):
    content = {**CONTENT, "name": name, "seed": seed, **changes}
    figure = {"value": cost, "low": 0.9 * cost, "high": 1.1 * cost} if met else None
    budget = {"kind": "max", "measure": "rollouts", "cap": 4.0} if met else None
    accuracy = {"value": 0.95, "low": 0.93, "high": 0.97} if met else None
    place = f"runs/{name}{seed}"
    return Ran(place, name, seed, content, met, "resolved", budget, figure, accuracy, 1e9 * cost, 9, f"{seed:064d}")


def two(costs, others, *, first_seed=0, **changes):
    """Studies of `small` at costs, and of `large` (another width) at others, from seed `first_seed` on."""
    wide = {"model": {"kind": "recall_conv", "width": 16}, **changes}
    small = [ran("small", seed, cost) for seed, cost in enumerate(costs)]
    return small + [ran("large", seed, cost, **wide) for seed, cost in enumerate(others, start=first_seed)]


def effect(found, figure="mean FLOPs"):
    (one,) = [one for one in found["effects"] if one["figure"] == figure]
    return one


def test_studies_that_differ_in_name_seed_and_place_are_of_one_setting():
    again = ran("renamed", 1, 12.0, resources={"cpu": 2}, tracking={"uri": "sqlite:///a.db"})
    found = compared([ran("small", 0, 10.0), again, *two([], [40.0])])
    assert [one["setting"] for one in found["studies"]] == ["small", "small", "large"]
    assert found["settings"]["small"]["seeds"] == [0, 1]
    assert found["settings"]["small"]["means"]["mean FLOPs"] == pytest.approx(120**0.5)
    assert found["differences"] == [{"path": "model.width", "values": {"small": 8, "large": 16}}]


def test_common_seeds_are_paired_and_luck_that_both_share_falls_out():
    costs = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0]
    one = effect(compared(two(costs, [2 * cost + 0.01 * seed for seed, cost in enumerate(costs)])))
    assert one["paired"]
    assert one["n"] == one["n_other"] == 8
    assert one["low"] < one["value"] < one["high"]
    assert one["value"] == pytest.approx(0.5, rel=1e-3)
    assert one["high"] - one["low"] < 0.001
    assert one["p"] == pytest.approx(2 / 2**8)


def test_other_seeds_are_not_paired_and_the_luck_stays():
    costs = [10.0, 20.0, 30.0, 40.0]
    one = effect(compared(two(costs, [2 * cost for cost in costs], first_seed=10)))
    assert not one["paired"]
    assert one["value"] == pytest.approx(0.5)
    assert one["low"] < 0.5 < 1.0 < one["high"]
    assert effect_rows(compared(two(costs, costs, first_seed=10)))[0][-1] == "4 and 4, unpaired"


def test_one_seed_has_a_difference_and_no_interval():
    found = compared(two([10.0], [40.0]))
    one = effect(found)
    assert (one["value"], one["low"], one["high"], one["p"]) == (pytest.approx(0.25), None, None, None)
    assert sum("nothing is known of the luck" in warning for warning in found["warnings"]) == 2


def test_a_difference_that_is_the_same_every_time_has_an_interval_without_width():
    one = effect(compared(two([10.0, 10.0, 10.0], [20.0, 20.0, 20.0])))
    assert one["low"] == one["value"] == one["high"] == pytest.approx(0.5)
    assert one["p"] == pytest.approx(0.25)


def test_p_is_corrected_over_the_pairs_of_settings():
    third = [ran("third", seed, 80.0 + seed, model={"kind": "exit_conv"}) for seed in range(5)]
    found = compared([*two([10.0, 11, 12, 13, 14], [40.0, 41, 43, 42, 44]), *third])
    own = [one for one in found["effects"] if one["figure"] == "mean FLOPs"]
    assert len(own) == 3
    assert all(one["p"] == pytest.approx(2 / 2**5) for one in own)
    assert all(one["p_holm"] == pytest.approx(3 * 2 / 2**5) for one in own)


REFUSED = {
    "task": {"task": {"kind": "parity", "bits": 6}},
    "milestones": {"milestones": [0.8]},
    "selection.gates": {"selection": {"gates": ["shifted"], "confidence": 0.99}},
}


@pytest.mark.parametrize("path", REFUSED)
def test_answers_to_different_questions_are_shown_and_never_ranked(path):
    found = compared(two([10.0, 11.0], [40.0, 41.0], **REFUSED[path]))
    assert found["refused"]
    assert (found["ranking"], found["effects"]) == ([], [])
    assert ranking_words(found).startswith(f"Not ranked: the studies differ in {path}")
    page = render_across(found)
    assert "<svg" not in page
    assert all(cell in page for row in run_rows(found) for cell in row)


def test_weaker_evidence_is_said_and_ranked():
    found = compared(two([10.0], [40.0], selection={"gates": ["iid"], "confidence": 0.9}))
    assert "the studies differ in selection, so one answer is surer than the other" in found["warnings"]
    assert found["ranking"] == ["small", "large"]


def test_a_setting_that_missed_a_milestone_with_one_seed_is_not_ranked():
    studies = [*two([10.0, 11.0], [40.0, 41.0]), ran("small", 2, 1.0, met=False)]
    found = compared(studies)
    assert found["ranking"] == ["large"]
    assert not found["met"]
    assert any(warning.startswith("small: seed 2 did not meet") for warning in found["warnings"])
    assert effect(found)["n"] == 2


def test_the_same_setting_and_seed_twice_is_refused():
    with pytest.raises(StudyError, match="another study of the same setting and seed 0"):
        compared([ran("small", 0, 10.0), ran("other", 0, 11.0)])


def test_the_page_has_every_figure_and_hash_nothing_outside_and_no_markup_of_the_studies():
    studies = two([10.0, 11.0, 12.0], [40.0, 41.0, 42.0], model={"kind": "<script>alert(1)</script>"})
    found = compared(studies)
    page = render_across(found)
    assert page.count("<svg") == 1
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert all(head in page for head in (*RUN_HEADS, *EFFECT_HEADS))
    assert all(one.ledger_sha256 in page for one in studies)
    places = [page.index(cell) for cell in ("Differences", "The studies", "What their files differ in")]
    assert all(before < after for before, after in pairwise(places))
    assert render_across(found) == page


def test_paired_interval_and_p_are_students_and_all_flips_of_signs_by_hand():
    one, other = {0: 10.0, 1: 21.0, 2: 33.0, 3: 38.0}, {0: 12.0, 1: 20.0, 2: 41.0, 3: 47.0}
    logs = [log(one[seed] / other[seed]) for seed in one]
    half = 3.182446305284263 * stdev(logs) / 2  # the .975 quantile of Student's t with 3 degrees of freedom
    flips = [abs(sum(sign * x for sign, x in zip(signs, logs, strict=True))) for signs in product((1, -1), repeat=4)]
    found = effect_of("mean FLOPs", "ratio", one, other)
    assert found.value == pytest.approx(exp(mean(logs)))
    assert (found.low, found.high) == (pytest.approx(exp(mean(logs) - half)), pytest.approx(exp(mean(logs) + half)))
    assert found.p == sum(flip >= abs(sum(logs)) - 1e-12 for flip in flips) / 16 == 0.25
    assert holm([0.01, 0.04, 0.03, None]) == [0.03, 0.06, 0.06, None]
