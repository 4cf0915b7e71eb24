"""A stranger's package: built, installed and run; the same parts uninstalled, on Ray; the wheel without a checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sp_search.starting import SKELETONS

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SMALL = ["--set", "task.bits=3", "--set", "scheduler.stop=3", "--set", "train.steps=300"]
KINDS = {what: one.kind for what, one in SKELETONS.items()}
OFFLINE = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]


def python(*words, path, cwd=None, **environment):
    """Run Python with these words and folders to import from; return what it said."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **environment}
    done = subprocess.run([sys.executable, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def sp_search(*words, path=(ROOT,), cwd=None):
    return python("-m", "sp_search", *words, path=path, cwd=cwd)


def copy_of(project, target):
    """Copy a project without what was built in it, so that pip leaves nothing there."""
    left_out = shutil.ignore_patterns(".*", "*.egg-info", "build", "__pycache__", "sp_search_runs")
    return shutil.copytree(project, target, symlinks=True, ignore=left_out)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_examples_are_installed_and_run_and_what_they_find_runs_alone(workplace):
    site = workplace / "site"
    python("-m", "pip", "install", *OFFLINE, "--target", site, copy_of(EXAMPLES, workplace / "source"), path=[])
    listed = json.loads(sp_search("list", "--json", path=[site, ROOT]))
    assert {listed[f"{what}s"][kind]["source"] for what, kind in KINDS.items()} == {"sp_search_examples 0.1.0"}
    shutil.copy(EXAMPLES / "study.yaml", workplace)
    run = ["run", "study.yaml", "--in-process", "--json", *SMALL]
    answer = json.loads(sp_search(*run, path=[site, ROOT], cwd=workplace))
    assert answer["met"]
    assert answer["milestones"][0]["budget"]["cap"] == 3, "each of three bits may decide"
    assert answer["audits"][0]["audit"] == "hard_inputs"
    use = "import torch, load; print(load.load()(torch.ones(2, 3, 1)).argmax(-1).flatten().tolist())"
    assert python("-c", use, path=[workplace / answer["folder"] / "program"]).strip() == "[1, 1]"


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_rays_workers_get_parts_that_are_not_installed(workplace):
    copy_of(EXAMPLES, workplace / "mine")
    own = ["--plugins", "mine/src/sp_search_examples"]
    answer = json.loads(sp_search("run", "mine/study.yaml", *own, "--json", *SMALL, cwd=workplace))
    assert answer["met"]
    assert not any(answer["failures"].values())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_skeletons_keep_to_what_every_part_keeps_to():
    contracts = [f"sp_search.contracts.test_{what}s" for what in KINDS]
    words = ["-m", "pytest", "-v", "--pyargs", *contracts, "-k", " or ".join(KINDS.values())]
    said = python(*words, path=[ROOT], cwd=ROOT, SP_SEARCH_PLUGINS="sp_search.skeletons")
    assert all(f"[{kind}" in said or f"-{kind}]" in said for kind in KINDS.values())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_holds_every_study_and_needs_no_checkout(workplace):
    python("-m", "pip", "wheel", *OFFLINE, "--wheel-dir", "wheels", copy_of(ROOT, workplace / "source"), path=[])
    (wheel,) = (workplace / "wheels").glob("*.whl")
    site = workplace / "site"
    zipfile.ZipFile(wheel).extractall(site)
    studies, shipped = ROOT / "studies", site / "sp_search" / "studies"
    names = [sorted(str(file.relative_to(folder)) for file in folder.rglob("*.yaml")) for folder in (studies, shipped)]
    assert names[0] == names[1]
    where = "import sp_search; print(sp_search.__file__)"
    assert python("-c", where, path=[site], cwd=workplace).startswith(str(site))
    small = ["--set", "task.bits=3", "--set", "tracking.uri=null", "--set", "train.steps=200"]
    sp_search("run", "quickstart", "--in-process", *small, path=[site], cwd=workplace)
    sp_search("claims", "--quick", "--only", "C37", "--in-process", path=[site], cwd=workplace)
    contract = ["--pyargs", "sp_search.contracts.test_schedulers", "-k", "annealing"]
    assert " passed" in python("-m", "pytest", *contract, path=[site], cwd=workplace)
