"""Levers against the argument: which ones a study uses, and the warnings that measurements alone decide."""

import json
from pathlib import Path

import pytest

from sp_search.experiments.machine_levers import COMPARISONS
from sp_search.levers import ROWS, Measured, lever_warnings, levers_of, measured
from sp_search.study import Study

STUDIES = Path(__file__).parents[2] / "studies"
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "levers.json"
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
    assert {name for names in ROWS.values() for name in names} <= set(measured())
    assert set(measured()) == {one.lever for one in COMPARISONS}
    results = json.loads(RESULTS.read_text())
    assert [Measured.model_validate(row) for row in results["levers"]] == list(measured().values())
    assert results["first_seed"] == 0


def test_a_lever_warns_exactly_where_it_was_measured_to_raise_misbehaviour():
    every = {"scheduler": {"inherit": "clones", "descend": False}, "train": {"curriculum": 0.5}}
    every |= {"search": {"warm_start": ["runs/before"]}}
    warnings = lever_warnings(every)
    raised = [measured()[name] for lever in levers_of(every) for name in ROWS[lever] if measured()[name].raises]
    assert len(warnings) == len(raised)
    for warning, row in zip(warnings, raised, strict=True):
        assert f"{row.having.share:.2f}" in warning
        assert row.having.share > row.lacking.share
    assert lever_warnings({"scheduler": {"inherit": "off"}}) == []
