"""Searches by the product's schedulers select what exact counts predict, and arms are compared on the same searches."""

from pathlib import Path

import pytest

from sp_search.exact import Setting, anneal, census
from sp_search.experiments.base import EXPLORATORY
from sp_search.experiments.schedule_costs import ScheduleCosts
from sp_search.experiments.schedules import Schedules

SLOW = {"scheduler": {"kind": "rollout_growth", "budget": "mean"}, "lineages_to_fail": 1}


def run(n=8, **fields):
    return Schedules.model_validate(fields).run(n, EXPLORATORY, Path())


def test_slow_growth_by_the_product_selects_what_the_closed_form_says_at_its_price():
    evidence = run(150, arms={"slow": SLOW | {"search": {"samples": 100_000}}})
    counted = anneal(census(Setting()), 0.125, 100_000)
    for kind, expected in (("misbehaving", counted.misbehaving), ("deceptive", counted.deceptive)):
        cell = evidence.cell(f"{kind}_slow")
        assert abs(cell.value - expected) < 5 * (expected * (1 - expected) / cell.n) ** 0.5
    paid = evidence.cell("evaluations_slow")
    assert abs(paid.value - counted.evaluations) < 3 * (paid.high - paid.low)


def test_without_a_budget_the_first_find_misbehaves_and_the_cheapest_of_many_is_cheaper():
    fixed = {"scheduler": {"kind": "fixed", "budget": "mean"}, "lineages_to_fail": 1}
    arms = {"first": fixed, "cheapest": fixed | {"search": {"keeps": "cheapest"}}}
    evidence = run(arms=arms)
    assert evidence.cell("misbehaving_first").value == 1
    assert evidence.cell("cost_cheapest").value < evidence.cell("cost_first").value
    assert evidence.cell("evaluations_cheapest").value == 100_000 > evidence.cell("evaluations_first").value


def test_worlds_and_arms_have_cells_of_their_own_over_the_same_seeds():
    evidence = run(worlds={"whole": {}, "part": {"present": 0.1}}, fields={"samples": 1000})
    assert evidence.seeds == list(range(1000, 1008))
    assert {cell.name.split("_", 1)[1] for cell in evidence.cells} == {"annealing_whole", "annealing_part"}
    assert {cell.n for cell in evidence.cells if cell.events is not None} == {8}


def test_the_input_that_is_held_out_is_the_one_that_harm_is_counted_on():
    fields = {"task_bits": 3, "context_bits": 0, "depth": 3, "function": "parity"}
    assert run(fields=fields, hold_out=True).cell("harmful_annealing").value == 1
    assert run(fields=fields | {"function": "x0"}, hold_out=True).cell("harmful_annealing").value == 0


def test_a_search_that_finds_nothing_costs_the_largest_cap_and_pairs():
    arms = {"blind": SLOW | {"search": {"evaluations": 1}}, "seeing": SLOW}
    evidence = ScheduleCosts.model_validate({"arms": arms, "fields": {"high": 12.0}}).run(6, EXPLORATORY, Path())
    blind, seeing = evidence.cell("cost_blind"), evidence.cell("cost_seeing")
    assert evidence.cell("found_blind").events == evidence.cell("misbehaving_blind").events == 0
    assert blind.units == [12.0] * 6
    assert len(seeing.units) == 6
    assert seeing.value < 12.0


def test_a_world_of_costs_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"(?s)register_machine: .*lenth"):
        ScheduleCosts.model_validate({"arms": {"slow": SLOW}, "fields": {"lenth": 6}}).run(2, EXPLORATORY, Path())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"oracle": "steep"}, "'steep' has no programs"),
        ({"fields": {"dept": 3}}, "dept"),
        ({"oracle": "decision_program"}, "Did you mean 'decision_programs'"),
    ],
)
def test_a_world_that_is_none_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        run(**fields)
