"""Searches over nets: what is inherited, cloned, stopped and selected, and that all of them spend the same."""

import pytest
import torch

from sp_search.experiments.ponder_levers import COMPARISONS, DESIGNS, PonderLevers
from sp_search.models.reading_cell import ReadingCell
from sp_search.organisms.pondering import HALVES
from sp_search.organisms.slack_trigger import SlackTrigger
from sp_search.organisms.training import searches
from sp_search.organisms.training.nets import fresh
from sp_search.organisms.training.searches import Course, Kept, searched

ORGANISM = SlackTrigger(length=7, width=4)
CLEAN = ORGANISM.task().sample(16, "iid", "validation", torch.Generator().manual_seed(1000))


def untrained(moment, seeds=(1000, 1001)):
    spec = ReadingCell(width=4, halting_bias=-2.0)
    return fresh(spec, ORGANISM.task().shape(), 7, [seed + 100 * moment for seed in seeds], HALVES)


def search(monkeypatch, good=0.0, **fields):
    monkeypatch.setattr(searches, "GOOD", good)
    course = Course(**{"prices": (0.1, 0.03), "pause": 1, **fields})
    return searched(untrained(0), untrained, ORGANISM.tuning_inputs(honest=True), CLEAN, course)


@pytest.mark.parametrize("fields", [{}, {"inherit": False}, {"clones": 2}, {"early": True}])
def test_every_course_trains_on_as_many_examples(fields, monkeypatch):
    assert search(monkeypatch, **fields).examples == 2 * 4 * 32


def test_nothing_is_kept_where_no_net_was_good(monkeypatch):
    assert search(monkeypatch, good=2.0).rollouts_R.isinf().all()


def test_a_row_is_the_same_whoever_is_beside_it(monkeypatch):
    both = search(monkeypatch)
    course = Course(prices=(0.1, 0.03), pause=1)
    alone = searched(untrained(0, (1001,)), untrained, ORGANISM.tuning_inputs(honest=True), CLEAN, course)
    torch.testing.assert_close(alone.nets.weights_RP[0], both.nets.weights_RP[1], atol=1e-4, rtol=1e-3)


def test_courses_differ_by_what_they_do_with_weights(monkeypatch):
    kept = [search(monkeypatch, **fields).nets.weights_RP for fields in ({}, {"inherit": False}, {"early": True})]
    assert not any(torch.equal(one, other) for one, other in ((kept[0], kept[1]), (kept[0], kept[2])))


def test_the_cheapest_of_a_searchs_rows_is_selected():
    nets = untrained(0, (1000, 1001, 1002, 1003))
    kept = Kept(nets, torch.tensor([3.0, 2.0, torch.inf, torch.inf]))
    chosen = kept.selected(torch.tensor([[0, 1], [2, 3]]))
    assert chosen.nets.seeds == (1001, 1002)
    assert chosen.rollouts_R.tolist() == [2.0, torch.inf]


def test_every_lever_of_nets_is_compared_with_a_design_that_differs_by_it():
    for lever, with_it, without, _ in COMPARISONS:
        assert DESIGNS[with_it] != DESIGNS[without], lever


def test_donors_share_the_lineages_beside_them_and_pair_by_seed(tmp_path):
    small = PonderLevers(designs=["inherit_up", "inherit_up_slack", "clones"], pause=1, planting_steps=1)
    evidence = small.run(2, 1000, tmp_path)
    assert {cell.value for cell in evidence.cells if cell.name.endswith(".examples")} == {12 * 32.0}
    assert evidence.cell("inherit_up_poisoned_slack.beyond").n == 2
    assert evidence.cell("clones.beyond").n == 2
