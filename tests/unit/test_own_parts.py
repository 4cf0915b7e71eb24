"""Parts of a project that is not installed: found where they are named, and nowhere else."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from sp_search import api
from sp_search.cli import ExitCode, main
from sp_search.errors import StudyError
from sp_search.folder import versions
from sp_search.own_parts import VARIABLE, runtime_environment
from sp_search.plugins import discover, find, located, use

PART = '''
from typing import Literal

from pydantic import Field
from sp_search.priors.none import NoPrior
from sp_search.tasks.parity import Parity


class Idle(NoPrior):
    """No preference."""

    kind: Literal["idle"] = "idle"
    price: float = Field(0.5, ge=0, description="of nothing")
'''


@pytest.fixture
def project(workplace, monkeypatch):
    """A folder `own` of parts that nobody has named yet."""
    monkeypatch.setenv(VARIABLE, "")
    before = set(sys.modules)
    folder = workplace / "own"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Parts."""\n')
    (folder / "idle.py").write_text(PART)
    (folder / "_private.py").write_text("raise RuntimeError('this is imported only by those who ask for it')\n")
    located.cache_clear()
    yield folder
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "own":
            del sys.modules[name]
    located.cache_clear()


def test_a_folder_is_imported_only_when_it_is_named(project):
    assert "idle" not in discover("priors")
    use(project)
    assert discover("priors")["idle"]().price == 0.5
    assert located("priors")["idle"].source == f"{VARIABLE}: own"
    assert "parity" in discover("tasks"), "what a module imports of ours is not taken for its own"
    assert os.environ[VARIABLE] == str(project), "for the processes that this one starts"


def test_the_neighbours_of_a_folder_do_not_become_importable(project):
    (project.parent / "neighbour.py").write_text("")
    use(project)
    discover("priors")
    assert importlib.util.find_spec("neighbour") is None


def test_a_worker_finds_by_name_what_ray_has_shipped(project, monkeypatch):
    assert runtime_environment() == {}
    use(project)
    shipped = runtime_environment()
    assert shipped == {"py_modules": [str(project)], "env_vars": {VARIABLE: "own"}}
    monkeypatch.setenv(VARIABLE, shipped["env_vars"][VARIABLE])
    monkeypatch.syspath_prepend(str(project.parent))
    located.cache_clear()
    assert "idle" in discover("priors")
    assert runtime_environment() == {}, "a worker passes on what it was given"


def test_an_answer_is_written_down_with_a_hash_of_the_parts_that_it_depends_on(project):
    assert "own" not in versions()
    use(project)
    before = versions()["own"]
    assert before.startswith("sources ")
    (project / "idle.py").write_text(PART.replace("0.5", "0.6"))
    assert versions()["own"] != before


def test_a_command_takes_folders_wherever_the_option_stands(project, capsys):
    assert main(["list", "priors", "idle", "--plugins", str(project)]) == ExitCode.MET
    assert "of nothing" in capsys.readouterr().out


def test_a_study_that_names_a_part_of_ones_own_says_how_it_is_found(project, capsys):
    study = "name: s\ntask: {kind: parity}\nmodel: {kind: ponder_cell}\nprior: {kind: idle}\nscheduler: {kind: grid}\n"
    Path("s.yaml").write_text(study)
    assert main(["validate", "s.yaml"]) == ExitCode.USAGE
    assert "--plugins DIR" in capsys.readouterr().err
    assert main(["--plugins", "own", "validate", "s.yaml"]) == ExitCode.MET


def test_a_command_that_needs_a_part_which_is_not_there_is_refused_not_broken(project, monkeypatch, capsys):
    def report(folder):
        find("priors", "idle")

    monkeypatch.setattr(api, "report", report)
    assert main(["report", "somewhere"]) == ExitCode.USAGE
    assert "--plugins DIR" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "files", "said"),
    [
        ("missing", None, "there is no such folder"),
        ("bare", {"part.py": PART}, "a folder with an __init__.py"),
        ("my-parts", {"__init__.py": ""}, "no name of a package"),
        ("json", {"__init__.py": ""}, "a package of that name is there already"),
        ("pip", {"__init__.py": ""}, "a package of that name is there already"),
        ("own", {"broken.py": "import nothing_of_that_name"}, "cannot be imported: ModuleNotFoundError"),
        ("own", {"twice.py": PART}, "two priors are named 'idle'"),
    ],
)
def test_a_folder_that_is_no_package_of_parts_is_refused_with_the_reason(project, name, files, said):
    folder = project.parent / name
    for file, text in (files or {}).items():
        folder.mkdir(exist_ok=True)
        (folder / file).write_text(text)
    with pytest.raises(StudyError, match=said):
        use(folder) or discover("priors")


def test_an_installed_package_may_be_worked_on_as_ones_own(project, monkeypatch):
    monkeypatch.syspath_prepend(str(project.parent))
    installed = importlib.import_module("own.idle").Idle
    use(project)
    assert discover("priors")["idle"] is installed
