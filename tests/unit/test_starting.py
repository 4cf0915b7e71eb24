"""What init writes and studies says: skeletons that run as they stand, and the studies of the wheel."""

import ast
import json
import sys
import tomllib
from pathlib import Path

import pytest

from sp_search.arms import load_asked
from sp_search.cli import ExitCode, main
from sp_search.own_parts import VARIABLE
from sp_search.plugins import located
from sp_search.shipped import shipped_studies
from sp_search.starting import SKELETONS, class_name, part_files

ROOT = Path(__file__).parents[2]
SKELETON_FILES = [ROOT / "sp_search" / "skeletons" / file for one in SKELETONS.values() for file in one.files]
MOST_LINES = 30


@pytest.fixture
def own(workplace, monkeypatch):
    """A working folder whose packages are forgotten again."""
    monkeypatch.setenv(VARIABLE, "")
    before = set(sys.modules)
    located.cache_clear()
    yield workplace
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("mine", "vote"):
            del sys.modules[name]
    located.cache_clear()


@pytest.mark.parametrize("file", SKELETON_FILES, ids=lambda file: file.name)
def test_a_part_takes_no_more_than_thirty_lines(file):
    assert len([line for line in file.read_text().splitlines() if line.strip()]) <= MOST_LINES


@pytest.mark.parametrize("what", [*SKELETONS, "parts"])
def test_what_is_written_is_found_and_its_study_is_valid(own, what, capsys):
    assert main(["init", what, "mine", "--json"]) == ExitCode.MET
    said = json.loads(capsys.readouterr().out)
    assert said["next"] == ["pip install --editable mine", "sp-search run mine/study.yaml"]
    assert all(Path(file).is_file() for file in said["written"])
    assert main(["validate", "mine/study.yaml"]) == ExitCode.USAGE, "nothing is imported that was not named"
    assert main(["validate", "mine/study.yaml", "--plugins", "mine/src/mine"]) == ExitCode.MET
    study = load_asked("mine/study.yaml")
    parts = {key: getattr(study, key) for key in ("task", "model", "prior", "scheduler")} | {"audit": study.audits[0]}
    for key, part in parts.items():
        own_part = what in (key, "parts")
        assert type(part).__module__.startswith("mine." if own_part else "sp_search.")
        assert type(part).__name__ == (
            "Mine" if what == key else class_name(part.kind_name()) if own_part else type(part).__name__
        )


@pytest.mark.parametrize("what", SKELETONS)
def test_the_entry_points_of_a_package_name_its_parts_and_no_other(what):
    texts = part_files("some_parts", {what: "some_part"})
    project = tomllib.loads(texts["pyproject.toml"])["project"]
    ((group, points),) = project["entry-points"].items()
    assert (project["name"], group) == ("some_parts", f"sp_search.{what}s")
    module, name = points["some_part"].split(":")
    source = texts[f"src/{module.replace('.', '/')}.py"]
    assert name in [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert not [text for text in texts.values() if "skeleton" in text or SKELETONS[what].class_name in text]


def test_the_walk_through_of_the_readme_says_what_init_says(own, capsys):
    section = (ROOT / "README.md").read_text().partition("## A part of your own")[2]
    commands = [
        line.partition("  ")[0].strip() for line in section.partition("```sh")[2].partition("```")[0].splitlines()
    ]
    begin, install, show, run, check = filter(None, commands)
    assert main(begin.split()[1:]) == ExitCode.MET
    said = capsys.readouterr().out
    assert all(one in said for one in (install, run, check))
    assert main([*show.split()[1:], "--plugins", "vote/src/vote"]) == ExitCode.MET
    assert "length of the input" in capsys.readouterr().out


def test_the_examples_are_what_init_writes():
    texts = part_files("sp_search_examples", {what: one.kind for what, one in SKELETONS.items()})
    files = {str(file.relative_to(ROOT / "examples")) for file in (ROOT / "examples").rglob("*.*") if file.is_file()}
    assert {file for file in files if ".egg-info" not in file and "__pycache__" not in file} == set(texts)
    for path, text in texts.items():
        assert (ROOT / "examples" / path).read_text() == text, "make examples"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["task", "parity"], "a task of that kind is there already"),
        (["task", "2bits"], "a name as Python has them"),
        (["task", "class"], "a name as Python has them"),
        (["task", "My_Task"], "in small letters"),
        (["task", "täsk"], "a name as Python has them"),
        (["task", "../escape"], "a name as Python has them"),
        (["prior", "_hidden"], "should not begin with an underscore"),
        (["model", "numpy"], "a package of that name is there already"),
        (["audit", "json"], "a package of that name is there already"),
        (["study", "quickstart"], "sp-search studies quickstart"),
        (["study", "a/b"], "letters, digits, underscores and hyphens"),
        (["task", "mine", "--output", "full"], "full is there already"),
        (["study", "there"], "there.yaml is there already"),
    ],
)
def test_a_name_that_is_none_or_taken_is_refused_and_nothing_is_written(own, arguments, said, capsys):
    Path("full").mkdir()
    Path("full/file").touch()
    Path("there.yaml").touch()
    before = sorted(own.rglob("*"))
    assert main(["init", *arguments]) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert sorted(own.rglob("*")) == before


def test_a_new_study_is_valid_and_its_choices_too(own, capsys):
    assert main(["init", "study"]) == ExitCode.MET
    assert "sp-search run my_study.yaml" in capsys.readouterr().out
    assert main(["plan", "my_study.yaml", "--no-calibrate"]) == ExitCode.MET
    text = Path("my_study.yaml").read_text()
    for key in ("population", "milestones", "selection", "train", "resources", "tracking"):
        chosen = next(line for line in text.splitlines() if line.startswith(f"# {key}: "))
        lines = [line for line in text.splitlines() if not line.startswith(f"{key}: ")]
        Path("chosen.yaml").write_text("\n".join([*lines, chosen.removeprefix("# ")]))
        assert main(["validate", "chosen.yaml"]) == ExitCode.MET, chosen


def test_studies_are_listed_shown_and_copied(workplace, capsys):
    assert main(["studies", "--json"]) == ExitCode.MET
    listed = json.loads(capsys.readouterr().out)
    assert set(listed) == {file.stem for file in (ROOT / "studies").glob("*.yaml")}
    assert listed["quickstart"]["ends_within"] == "10 min"
    assert listed["tax_ponder"]["command"] == "tax"
    assert all(one["shows"] for one in listed.values())
    assert main(["studies", "quickstart", "--output", "own.yaml"]) == ExitCode.MET
    assert Path("own.yaml").read_text() == (ROOT / "studies" / "quickstart.yaml").read_text()
    assert main(["studies", "quickstart", "--output", "own.yaml"]) == ExitCode.USAGE
    assert main(["studies", "quickstrat"]) == ExitCode.USAGE
    assert "Did you mean 'quickstart'?" in capsys.readouterr().err


def test_a_bare_name_is_a_shipped_study_unless_a_file_has_it(workplace, capsys):
    assert load_asked("quickstart").name == "quickstart"
    assert main(["validate", "quickstrat"]) == ExitCode.USAGE
    assert "Did you mean 'quickstart'?" in capsys.readouterr().err
    Path("quickstart").write_text(shipped_studies()["prefix_growth"].read_text())
    assert load_asked("quickstart").name == "prefix_growth"
