"""Levers against the argument: which ones a study uses, and the warnings that measurements alone decide."""

import json
from pathlib import Path

import pytest

from sp_search.experiments.ponder_levers import COMPARISONS as OF_NETS
from sp_search.experiments.search_levers import COMPARISONS as OF_SEARCHES
from sp_search.levers import ROWS, Measured, lever_warnings, levers_of, measured, rows_of
from sp_search.study import Study

STUDIES = Path(__file__).parents[2] / "studies"
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "levers.json"
WORLDS = {"register machine": OF_SEARCHES, "decision programs": OF_SEARCHES, "pondering nets": OF_NETS}
USES = [
    ({}, []),
    ({"scheduler": {"inherit": "off"}}, []),
    ({"scheduler": {"inherit": "weights"}}, ["inheritance up", "inheritance down"]),
    ({"scheduler": {"inherit": "weights", "descend": True}}, ["inheritance up", "inheritance down"]),
    ({"scheduler": {"inherit": "weights", "descend": False}}, ["inheritance up", "stopping at the first find"]),
    ({"scheduler": {"kind": "annealing", "inherit": "weights"}}, ["inheritance up", "inheritance down"]),
    ({"scheduler": {"kind": "doubling", "inherit": "weights"}}, ["inheritance up", "stopping at the first find"]),
    ({"scheduler": {"kind": "luby", "inherit": "off"}}, ["stopping at the first find"]),
    ({"scheduler": {"inherit": "clones"}}, ["inheritance up", "inheritance down", "clones"]),
    ({"search": {"warm_start": ["runs/before"]}}, ["a warm start"]),
    ({"search": None, "train": {"curriculum": 0.5}}, ["a curriculum"]),
]


@pytest.mark.parametrize(("settings", "levers"), USES)
def test_a_studys_settings_say_which_levers_it_uses(settings, levers):
    assert levers_of(settings) == levers


def test_a_studys_own_settings_are_understood():
    from sp_search.arms import load_asked

    study = load_asked(STUDIES / "width_growth.yaml")
    assert isinstance(study, Study)
    assert "inheritance up" in levers_of(study.resolved())


def test_every_lever_was_measured_and_the_package_holds_what_the_benchmark_wrote():
    worlds = {row.world for row in measured()}
    for world, comparisons in WORLDS.items():
        names = [row.lever for row in measured() if row.world == world]
        assert names == [one.lever for one in comparisons] * (world in worlds)
    assert worlds <= set(WORLDS)
    assert all(rows_of(lever) for lever in ROWS)
    results = json.loads(RESULTS.read_text())
    assert [Measured.model_validate(row) for row in results["levers"]] == list(measured())
    assert {row.first_seed for row in measured()} == {0}


def test_a_lever_was_measured_at_equal_search_cost():
    for row in measured():
        assert row.spent[0] == row.spent[1], row.lever


def test_what_a_poisoned_donor_does_by_itself_is_no_row_of_a_lever():
    assert all("poisoned" not in row.lever for row in rows_of("inheritance up") + rows_of("a warm start"))
    assert {row.lever for row in rows_of("clones")} >= {"clones", "clones_poisoned"}


def test_a_lever_warns_exactly_where_it_was_measured_to_raise_misbehaviour():
    every = {"scheduler": {"inherit": "clones", "descend": False}, "train": {"curriculum": 0.5}}
    every |= {"search": {"warm_start": ["runs/before"]}}
    warnings = lever_warnings(every)
    raised = [row for lever in levers_of(every) for row in rows_of(lever) if row.raises]
    assert len(warnings) == len(raised)
    for warning, row in zip(warnings, raised, strict=True):
        assert f"{row.having.share:.2f}" in warning
        assert row.having.share > row.lacking.share
    assert lever_warnings({"scheduler": {"inherit": "off"}}) == []
