"""`sp-search figures --study`: what both diagrams show is what the programs of a finished study execute."""

import json
import pickle
import shutil

import pytest
import torch

from sp_search import api
from sp_search.cli import ExitCode, main
from sp_search.errors import StorageError, StudyError
from sp_search.report.reading import read_story
from sp_search.study_figures.drawn import drawn_study, lines_of_study
from sp_search.study_figures.measured import measured_study
from sp_search.study_figures.spending import grouped

TAX = """
name: moment
task: {kind: flagged_bits, length: 5, trigger: 1}
model: {kind: reading_cell, width: 4}
prior: {kind: early_exit}
scheduler: {kind: annealing, axis: rollouts, budget: mean, start: 4, stop: 5, exits: 5}
population: {replicas: 1}
verdict: {false_negative: 0.5}
train: {steps: 6, batch: 16, evaluate_every: 2, validation: 256, screening: 64}
selection: {n: 256, confidence: 0.6}
milestones: [0.3]
tracking: {uri: null}
tax:
  trigger: {kind: distribution, name: slack}
  efforts: [{share: 0.5}]
  repeats: 2
"""
EXITS = {
    "name": "exits",
    "task": {"kind": "graded_depth", "positions": 7, "hard": 0.6},
    "model": {"kind": "exit_conv", "width": 4, "depth": 3, "kernel": 3},
    "prior": {"kind": "early_exit"},
    "scheduler": {"kind": "annealing", "axis": "depth", "budget": "mean"},
    "population": {"replicas": 2},
    "verdict": {"false_negative": 0.5},
    "train": {"steps": 6, "batch": 16, "evaluate_every": 2, "validation": 256, "screening": 64},
    "selection": {"n": 256, "confidence": 0.6},
    "milestones": [0.3],
    "tracking": {"uri": None},
}


@pytest.fixture(scope="module")
def taxed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("taxed")
    (folder / "moment.yaml").write_text(TAX, encoding="utf-8")
    assert main(["tax", str(folder / "moment.yaml"), "--in-process", "--output", str(folder / "out")]) == ExitCode.MET
    return folder / "out"


@pytest.fixture(scope="module")
def exits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exits") / "out"
    assert api.run(EXITS, output=folder, driver="inprocess").exit_code == 0
    return folder


@pytest.mark.parametrize("folder", ["taxed", "exits"])
def test_needed_and_wasted_of_the_clean_kinds_add_up_to_what_a_program_spends(folder, request):
    found = measured_study(request.getfixturevalue(folder), examples=512)
    for one in found.spending:
        clean = [kind for kind in one.kinds if "trigger" not in kind.kind]
        n = sum(kind.n for kind in clean)
        assert n == 512
        spent = sum(kind.n * (kind.needed + kind.wasted - kind.lacking) for kind in clean) / n
        assert spent == pytest.approx(one.average)
        assert one.average <= one.most
        assert len(one.kinds) <= 4


def test_the_need_is_proven_or_that_of_the_selected_program_and_is_called_so(taxed, exits):
    unproven, proven = measured_study(taxed, examples=256), measured_study(exits, examples=256)
    assert "upper bound" in unproven.needed
    assert [kind.wasted for kind in unproven.spending[0].kinds] == [0, 0, 0]
    assert "lower bound that the task proves" in proven.needed
    assert [kind.kind for kind in proven.spending[0].kinds] == [f"exits needed\n{n}" for n in (1, 2, 3)]
    needs = [kind.needed for kind in proven.spending[0].kinds]
    assert needs == pytest.approx(api.load(exits).flops_N(7))


def test_a_deceiver_is_the_program_of_the_paired_search_and_its_harm_is_counted_by_the_tasks_own_key(taxed):
    found = measured_study(taxed, examples=256)
    selected, deceiver = found.spending
    assert (selected.title, deceiver.title) == ("selected", "deceiver")
    (pairs,) = [row["pairs"] for row in json.loads((taxed / "tax.json").read_text())["efforts"]]
    drawn = min(pairs, key=lambda pair: pair["honest"]["cost"])
    assert found.least == drawn["honest"]["cost"]
    harm = deceiver.kinds[-1]
    assert harm.kind == "trigger\n(harm)"
    assert harm.wrong == pytest.approx(drawn["deceiver"]["harm"], abs=0.15)
    assert harm.wrong >= 0.3, "its search verified that much"


def test_every_lineage_of_the_ledgers_is_drawn_and_crosses_are_those_whose_harm_was_counted(taxed):
    found = measured_study(taxed, examples=64)
    rows = {
        name: [row for seed in (0, 1) for row in read_story(taxed / f"seed{seed}" / name).ledger.rows]
        for name in ("honest-x1", "deceiver-0.5x1")
    }
    harmful = [row for row in rows["deceiver-0.5x1"] if "harm" in row.measured.gates]
    assert len(found.points) == len(rows["honest-x1"]) + len(harmful)
    assert found.unknown == len(rows["deceiver-0.5x1"]) - len(harmful)
    bad = [row for row in harmful if row.measured.gates["harm"].correct > row.measured.gates["harm"].n / 2]
    crosses = [point.cost for point in found.points if point.misbehaving]
    assert crosses == [row.mean_flops for row in bad]


def test_without_a_misbehaving_program_the_selected_one_idles(exits):
    selected, idle = measured_study(exits, examples=256).spending
    assert idle.title == "the same, idling"
    assert idle.average == idle.most >= selected.average
    assert "always its last exit" in idle.program


def test_another_folders_program_can_be_the_misbehaving_one_if_it_takes_the_same_inputs(taxed, exits):
    given = measured_study(taxed / "seed0/honest-x1", taxed / "seed0/deceiver-0.5x1", examples=64)
    assert given.spending[1].title == "given as misbehaving"
    assert [point.misbehaving for point in given.points].count(True) == 1
    with pytest.raises(StudyError, match="another shape"):
        measured_study(taxed, exits, examples=64)


def test_both_are_drawn_alike_every_time_and_say_what_they_rest_on(taxed, tmp_path):
    found = measured_study(taxed, examples=64)
    first, again = drawn_study(found, tmp_path / "one"), drawn_study(found, tmp_path / "two")
    assert [file.name for file in first] == [
        "study_waste.svg",
        "study_waste.png",
        "study_levels.svg",
        "study_levels.png",
    ]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
    assert all(words in first[0].read_text() for words in ("upper bound", "selected by the paired search", "needed"))
    assert all(words in first[2].read_text() for words in ("P*", "C*", "mean FLOPs per input", "passed its level"))
    assert f"C* = {found.least:,.0f}" in "\n".join(lines_of_study(found))


def test_nothing_of_a_strangers_folder_runs_or_is_unpickled(exits, tmp_path):
    folder = tmp_path / "stranger"
    shutil.copytree(exits, folder)
    (folder / "program" / "load.py").write_text("raise SystemExit('ran')")
    for file in (folder / "checkpoints").rglob("*"):
        if file.is_file():
            file.write_bytes(b"no checkpoint")
    assert measured_study(folder, examples=64) == measured_study(exits, examples=64)
    (folder / "program" / "model.safetensors").write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(StorageError, match="cannot be read"):
        measured_study(folder, examples=64)


@pytest.mark.parametrize(
    ("scores", "sizes", "first"),
    [
        ([2.0, 6.0, 2.0], [2, 1], "needs 2"),
        ([float(n) for n in range(100)], [25, 25, 25, 25], "needs 0 to 24"),
        ([0.0] * 90 + [1.0, 2.0, 3.0, 4.0, 5.0], [90, 2, 1, 2], "needs 0"),
        ([0.0, 1.0, 2.0, 3.0] + [9.0] * 60, [4, 60], "needs 0 to 3"),
    ],
)
def test_kinds_are_about_equal_in_size_equal_needs_stay_together_and_no_input_is_lost(scores, sizes, first):
    groups = grouped("needs {}", torch.tensor(scores), 4)
    assert [int(rows_B.sum()) for rows_B in groups.values()] == sizes
    assert next(iter(groups)) == first
    assert torch.stack(list(groups.values())).sum(0).eq(1).all()


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["--misbehaving", "."], "--misbehaving: it goes with --study", ExitCode.USAGE),
        (["--study", ".", "--function", "fig"], "--function: of the exact world alone", ExitCode.USAGE),
        (["--study", "."], "is no study folder", ExitCode.STORAGE),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(words, said, code, workplace, capsys):
    assert main(["figures", *words]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize("content", ["{}", "no json", '{"efforts": [{"pairs": []}]}'])
def test_a_tax_file_that_says_nothing_is_refused(content, tmp_path):
    (tmp_path / "tax.json").write_text(content)
    with pytest.raises(StorageError, match=r"tax\.json cannot be read"):
        measured_study(tmp_path)


def test_the_command_says_numbers_and_files(exits, tmp_path, capsys):
    assert main(["figures", "--study", str(exits), "--output", str(tmp_path), "--json"]) == ExitCode.MET
    said = json.loads(capsys.readouterr().out)
    assert said["milestone"] == 0.3
    assert all((tmp_path / name.rsplit("/")[-1]).exists() for name in said["files"])
