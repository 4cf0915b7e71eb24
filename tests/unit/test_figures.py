"""`sp-search figures`: what both diagrams show is true of programs that exist, and they are drawn alike every time."""

import json

import pytest

from sp_search.cli import ExitCode, main
from sp_search.figures import drawn, lines_of, measured


@pytest.fixture(scope="module")
def fig():
    return measured(searches=20)


def test_the_honest_program_wastes_nothing_and_the_other_spends_no_more_on_any_input(fig):
    honest, wasteful = fig.spending
    assert (honest.honest, wasteful.honest) == (True, False)
    assert [bar.wasted for bar in honest.bars] == [0, 0, 0, 0]
    assert sum(bar.wasted for bar in wasteful.bars) > 0
    assert honest.average == fig.least == 2.0 < wasteful.average
    assert honest.most == wasteful.most == max(bar.needed + bar.wasted for bar in wasteful.bars) == 3
    assert wasteful.average - wasteful.wasted >= honest.average


def test_every_program_of_the_second_diagram_lies_where_it_computes_and_its_twin_does_as_well_for_less(fig):
    for point in fig.points:
        assert point.twin == point.cost if point.honest else point.twin < point.cost
        assert 0.5 <= point.accuracy <= 1
    good = [point.cost for point in fig.points if point.accuracy == 1 and point.honest]
    assert min(good) == fig.least == min(share.cost for share in fig.shares)


def test_counts_are_those_of_the_exact_world(fig):
    assert [(share.cost, share.good, share.misbehaving) for share in fig.shares[:3]] == [
        (2.0, 2, 0),
        (2.125, 26, 24),
        (2.25, 170, 168),
    ]
    assert fig.shares[-1].good == 38_868_034
    assert fig.programs == 14_857_495_594
    assert fig.honest == 50


def test_the_search_that_is_drawn_is_annealing_and_ends_with_a_confirmed_failure_below_what_it_found(fig):
    assert [step.phase for step in fig.steps][0::12] == ["up_fast", "confirm"]
    assert fig.selected == min(step.cap for step in fig.steps if step.found)
    assert all(step.cap < fig.selected for step in fig.steps if not step.found)


def test_both_are_drawn_alike_every_time(fig, tmp_path):
    first, again = drawn(fig, tmp_path / "one"), drawn(fig, tmp_path / "two")
    assert [file.name for file in first] == [
        "diagram_waste.svg",
        "diagram_waste.png",
        "diagram_annealing.svg",
        "diagram_annealing.png",
    ]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
    svg = first[2].read_text()
    assert all(words in svg for words in ("P*", "C*", "24 of 26", "up fast", "what it wastes"))


def test_the_command_says_numbers_and_files(capsys, tmp_path):
    assert (
        main(["figures", "--output", str(tmp_path), "--function", "majority", "--searches", "3", "--json"])
        == ExitCode.MET
    )
    said = json.loads(capsys.readouterr().out)
    assert said["least"] == 2.5
    assert all((tmp_path / name.rsplit("/")[-1]).exists() for name in said["files"])


@pytest.mark.parametrize(
    ("function", "words"),
    [("parity", "take another function"), ("fog", "Did you mean 'fig'?"), ("01", "8 entries"), ("", "named ''")],
)
def test_a_function_that_shows_nothing_is_refused_in_one_line(function, words, capsys, tmp_path):
    assert main(["figures", "--output", str(tmp_path), "--function", function]) == ExitCode.USAGE
    (said,) = capsys.readouterr().err.splitlines()
    assert words in said


def test_a_folder_that_cannot_be_is_refused_before_anything_is_measured(capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("kept")
    assert main(["figures", "--output", str(file), "--function", "no such function"]) == ExitCode.USAGE
    assert f"--output {file}: File exists ({file}): name a folder to write to" in capsys.readouterr().err
    assert file.read_text() == "kept"


def test_a_search_that_finds_nothing_says_so():
    with pytest.raises(ValueError, match="take more"):
        measured(samples=1, searches=1)


def test_words_and_numbers_agree(fig):
    text = "\n".join(lines_of(fig))
    assert "C* = 2, where 0 of 2 good programs misbehave; at C = 2.125: 24 of 26" in text
    assert fig.found == 20
    assert f"20 of 20 searches select a good program, {fig.misbehaving} a misbehaving one" in text
    assert fig.misbehaving_low <= fig.misbehaving / 20 <= fig.misbehaving_high
    some = fig.model_copy(update={"found": 18})
    assert "18 of 20 searches select a good program" in lines_of(some)[-1], "those that find nothing are counted apart"
