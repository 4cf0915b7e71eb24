"""Studies that search a space for their members: what is refused, and what is priced beforehand."""

from itertools import pairwise

import pytest
from small_study import GOOD

from sp_search.errors import StudyError
from sp_search.plan import plan_study

SEARCH = GOOD.replace("annealing, axis: rollouts, budget: max", "fixed") + "search: {SEARCH}\n"

AXES = "width: {low: 2, high: 9}, rollouts: {low: 1, high: 4}"


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("space: {width: {low: 9, high: 2}, rollouts: {low: 1, high: 4}}", "space.width: got low 9 above high 2"),
        ("space: {width: {low: 0, high: 2}, rollouts: {low: 1, high: 4}}", "space.width: got 0: an axis counts"),
        ("space: {width: {low: 1.5, high: 2}, rollouts: {low: 1, high: 4}}", "space.width: got 1.5: an axis counts"),
        ("space: {width: {choices: [2, 4]}, rollouts: {low: 1, high: 4}}", "space.width: an axis of the model has"),
        ("space: {width: {low: 2}, rollouts: {low: 1, high: 4}}", "space.width: it should have low and high"),
        ("space: {width: {low: 2, high: 9}}", "space: without rollouts a program has no length"),
        ("space: {}", "space: got {}"),
        (f"space: {{{AXES}, widht: {{low: 1, high: 2}}}}", "space.widht: recall_conv with none has no such"),
        (f"space: {{{AXES}, depth: {{low: 1, high: 2}}}}", "space.depth: recall_conv with none has no such"),
        (f"space: {{{AXES}, prior.beta: {{low: 1, high: 2}}}}", "space.prior.beta: recall_conv with none has no such"),
        (f"space: {{{AXES}, kernel: {{choices: [1, 3]}}}}", "space.kernel: got 1: it should be greater than"),
        (f"space: {{{AXES}, kernel: {{choices: [3, 3]}}}}", "space.kernel: got choices [3, 3]: one comes twice"),
        (f"space: {{{AXES}, kernel: {{low: 0, high: 3, log: true}}}}", "space.kernel: got low 0 with log"),
        (f"space: {{{AXES}}}, objectives: [accuracy]", 'objectives: got ["accuracy"]: it should be [compute] or'),
        (f"space: {{{AXES}}}, objectives: [computes]", "objectives.0: got \"computes\": it should be 'compute'"),
        (f"space: {{{AXES}}}, sampler: gp", "sampler: got \"gp\": it should be 'tpe', 'nsga2' or 'random'"),
        (f"space: {{{AXES}}}, members: 0", "members: got 0"),
        (f"space: {{{AXES}}}, cap: -1", "cap: got -1"),
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_made_is_refused_where_it_was_written(problems, search, expected):
    found = problems(SEARCH.replace("SEARCH", search))
    assert found[0].startswith(f"study.yaml:5: search.{expected}")


def test_an_axis_beyond_the_model_is_refused_with_the_nearest_that_it_reaches(problems):
    text = SEARCH.replace("recall_conv, width: 8", "exit_conv, depth: 3").replace(
        "SEARCH", "space: {depth: {low: 1, high: 9}}"
    )
    assert problems(text) == ["study.yaml:5: search.space.depth: got 9: exit_conv as it is set reaches 3 at most"]


def test_members_are_listed_or_searched_and_the_ladder_is_one_or_the_other(problems):
    text = SEARCH.replace("SEARCH", f"space: {{{AXES}}}")
    assert problems(text) == []
    (found,) = problems(text + "population: {members: [{}, {width: 4}]}\n")
    assert found.startswith("study.yaml:6: population.members: a study lists members or searches for them")
    (found,) = problems(text.replace("kind: fixed", "kind: fixed, stop: 8"))
    assert found.startswith("study.yaml:4: scheduler.stop: got 8.0: a search has a ladder of its own, of FLOPs")
    (found,) = problems(text.replace("kind: fixed", "kind: annealing, inherit: clones"))
    assert found.startswith('study.yaml:4: scheduler.inherit: got "clones": every proposal of a search begins with')
    (found,) = problems(text.replace("kind: fixed", "kind: penalty_annealing") + "prior: {kind: exit_penalty}\n")
    assert found.startswith("study.yaml:4: scheduler.kind: a search moves a cap, and this scheduler a control")


def test_a_ladder_of_a_search_has_an_end(study):
    text = SEARCH.replace("SEARCH", f"space: {{{AXES}}}").replace("kind: fixed", "kind: annealing, factor: 1.0000001")
    with pytest.raises(StudyError, match=r"scheduler.factor: got 1.0000001: from .* are more than 10,000 levels"):
        plan_study(study(text))


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (f"space: {{{AXES}}}, cap: 20", "search.cap: got 20 FLOPs, and the cheapest program of the space costs 390"),
        (
            f"space: {{{AXES}, causal: {{choices: [false]}}}}",
            "search.space: no combination of its values can be built for the task",
        ),
    ],
)
def test_a_search_of_which_nothing_fits_is_refused_before_anything_starts(study, search, expected):
    with pytest.raises(StudyError) as caught:
        plan_study(study(SEARCH.replace("SEARCH", search)))
    assert caught.value.problems[0].startswith(expected)


def test_a_search_is_priced_before_anything_trains(study):
    got = plan_study(study(SEARCH.replace("SEARCH", f"space: {{{AXES}}}, cap: 5000, members: 3")))
    caps = got.space.caps
    assert (got.space.measure, caps[-1], got.population.proposals) == ("flops", 5000, 3)
    assert all(before < after <= before * 1.5 * (1 + 1e-9) for before, after in pairwise(caps))
    assert all(row.max_flops_per_example <= row.cap for row in got.rows)
    assert got.rows[0].max_flops_per_example == caps[0]
    training = [row.training_flops for row in got.rows]
    assert training == sorted(training)


def test_resolving_a_search_and_reading_it_again_changes_nothing(study):
    first = study(SEARCH.replace("SEARCH", f"space: {{{AXES}}}"))
    again = study(first.dump_yaml())
    assert again.resolved() == first.resolved()
    assert plan_study(again) == plan_study(first)
