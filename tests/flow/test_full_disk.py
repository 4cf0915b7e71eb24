"""A disk that is full: said in one line, nothing lost; with room the answer is that of an undisturbed run."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import sp_search
from sp_search.cli import main
from sp_search.errors import StorageError
from sp_search.ledger import read_ledger, was_begun

ROOT = Path(__file__).parents[2]
STUDY = {
    "name": "small",
    "task": {"kind": "prefix_sums", "bits": 4},
    "model": {"kind": "recall_conv"},
    "scheduler": {"kind": "rollout_growth"},
    "population": {"members": [{"width": 8}, {"width": 12}], "replicas": 2},
    "train": {"steps": 120, "evaluate_every": 30},
    "milestones": [0.9],
    "verdict": {"quorum": False, "false_negative": 0.3},
    "tracking": {"uri": None},
}
pytestmark = pytest.mark.timeout(400)
mounts = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux" or shutil.which("mount") is None, reason="needs root to mount a disk"
)


class Disk:
    """A file system of its own with little room."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    @contextmanager
    def of(self, kilobytes):
        """Mount it."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", self.folder], check=True)
        try:
            yield self
        finally:
            subprocess.run(["umount", "--lazy", self.folder], check=True)

    def grow(self):
        """Make room."""
        subprocess.run(["mount", "-o", "remount,size=64m", self.folder], check=True)

    def used(self):
        """Return the kilobytes in use."""
        room = os.statvfs(self.folder)
        return (room.f_blocks - room.f_bfree) * room.f_frsize // 1024


def answer(folder):
    """Return what was decided, and the weights of the selected program."""
    result = json.loads((folder / "result.json").read_text())
    decided = {key: result[key] for key in ("milestones", "levels", "visits", "looks", "undecided", "failures")}
    return decided, (folder / "program" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return answer(sp_search.run(STUDY, driver="inprocess", output=tmp_path_factory.mktemp("calm") / "run").folder)


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path / "disk")


@pytest.fixture(scope="module")
def needed(tmp_path_factory):
    """How many kilobytes the study's folder takes."""
    disk = Disk(tmp_path_factory.mktemp("needed") / "disk")
    with disk.of(65536):
        sp_search.run(STUDY, driver="inprocess", output=disk.folder / "run")
        return disk.used()


@mounts
@pytest.mark.parametrize("share", [0.005, 0.03, 0.1, 0.4, 0.75, 0.9, 0.97])
def test_a_folder_that_fills_up_anywhere_goes_on_once_there_is_room(share, needed, disk, undisturbed):
    with disk.of(max(4, 4 * int(share * needed / 4))):
        folder = disk.folder / "run"
        with pytest.raises(
            StorageError, match=rf"^cannot .*{folder}.*No space left on device.*\. Make room( or mend it)?, then "
        ):
            sp_search.run(STUDY, driver="inprocess", output=folder)
        disk.grow()
        if was_begun(folder):
            sp_search.resume(folder)
        else:
            sp_search.run(STUDY, driver="inprocess", output=folder)
        assert answer(folder) == undisturbed
        assert list(folder.rglob("*.partial")) == []


@mounts
@pytest.mark.ray
@pytest.mark.slow
def test_checkpoints_of_trials_on_ray_that_find_no_room_end_the_study_with_words_and_no_verdict(
    disk, undisturbed, tmp_path
):
    """The checkpoints lie on a disk of their own, as a cluster's shared storage does."""
    study, cluster, folder = tmp_path / "study.yaml", tmp_path / "cluster.yaml", tmp_path / "run"
    study.write_text(json.dumps(STUDY))
    cluster.write_text(f"storage: {disk.folder}\n")

    def sp(*words):
        command = [sys.executable, "-m", "sp_search", *words, "--cluster", cluster]
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)

    with disk.of(100):
        stopped = sp("run", study, "--output", folder)
        assert stopped.returncode == 5, stopped.stderr
        said = stopped.stderr.splitlines()[-1]
        assert re.match(rf"cannot write {disk.folder}.*No space left on device.*Make room, then resume", said)
        events = [line["event"]["event"] for line in read_ledger(folder) if "event" in line]
        assert {"member_failed", "member_lost"} & set(events) == set()
        disk.grow()
        went_on = sp("resume", folder)
        assert went_on.returncode == 0, went_on.stderr
        assert answer(folder) == undisturbed


@contextmanager
def files_of_at_most(size):
    """Let this process write no larger files, as root of a full disk may do to anybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [512, 8192, 30_000])
def test_a_file_that_may_not_be_written_stops_a_study_that_goes_on_later(size, tmp_path, undisturbed):
    folder = tmp_path / "run"
    with files_of_at_most(size), pytest.raises(StorageError, match=rf"^cannot .*{folder}.*File too large.*, then "):
        sp_search.run(STUDY, driver="inprocess", output=folder)
    if was_begun(folder):
        sp_search.resume(folder)
    else:
        sp_search.run(STUDY, driver="inprocess", output=folder)
    assert answer(folder) == undisturbed


def test_a_study_that_could_not_begin_leaves_nothing_and_the_command_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(json.dumps(STUDY))
    with files_of_at_most(512):
        assert main(["run", "study.yaml", "--in-process", "--output", "run"]) == 5
    assert capsys.readouterr().err.startswith("cannot begin a study in run: [Errno 27] File too large")
    assert [path.name for path in Path("run").iterdir()] == ["driver.lock"]
