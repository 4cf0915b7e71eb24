"""Whose folder it is: places outside it are used where its user began it, named them, or vouches for it."""

import json
import stat

import pytest

from sp_search.errors import StudyError
from sp_search.folder import refuse_foreign_places
from sp_search.seal import foreign_places, sealed

MANIFEST = {"driver": "inprocess", "tracking_uri": "http://them:5000", "checkpoints": "s3://theirs/a/checkpoints"}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path, home):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "manifest.json").write_text(json.dumps(MANIFEST))
    return tmp_path / "study"


def test_what_i_began_is_mine_and_the_key_is_for_me_alone(home):
    mine = sealed(MANIFEST)
    assert foreign_places(mine) == []
    assert stat.S_IMODE((home / "sp_search" / "seal.key").stat().st_mode) == 0o600
    assert sealed(MANIFEST) == mine


@pytest.mark.parametrize(
    "change", [{"checkpoints": "s3://other/x"}, {"tracking_uri": None}, {"seal": 3}, {"seal": "é"}]
)
def test_a_place_that_changed_breaks_the_seal(change, home):
    assert foreign_places({**sealed(MANIFEST), **change})


def test_another_user_or_machine_has_another_key(home, tmp_path, monkeypatch):
    mine = sealed(MANIFEST)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert foreign_places(mine) == ["http://them:5000", "s3://theirs/a/checkpoints"]


def test_a_home_that_cannot_be_written_leaves_a_study_unsealed(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert sealed(MANIFEST) == MANIFEST


def test_a_folder_that_names_nothing_outside_is_anybodys():
    assert foreign_places({"driver": "ray", "tracking_uri": None}) == []


def test_a_strangers_places_are_refused_until_they_are_said_or_vouched_for(folder):
    with pytest.raises(StudyError, match=r'names "http://them:5000" and "s3://theirs/a/checkpoints".*--trust'):
        refuse_foreign_places(folder)
    with pytest.raises(StudyError, match=r'names "http://them:5000", outside'):
        refuse_foreign_places(folder, ["s3://theirs/a/"])
    with pytest.raises(StudyError, match="s3://theirs"):
        refuse_foreign_places(folder, ["http://them:5000", "s3://their"])
    refuse_foreign_places(folder, ["http://them:5000", "s3://theirs"])
    refuse_foreign_places(folder, trust=True)
    refuse_foreign_places(folder)  # it was written down


def test_the_arms_of_a_comparison_are_asked_too(folder):
    (folder / "arms" / "one").mkdir(parents=True)
    (folder / "arms" / "one" / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "manifest.json").write_text(json.dumps({"driver": "ray", "tracking_uri": None, "arms": ["one"]}))
    with pytest.raises(StudyError, match="them:5000"):
        refuse_foreign_places(folder)
