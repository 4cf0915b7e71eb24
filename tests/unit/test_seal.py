"""Whose folder it is: places outside it are used where its user began it, named them, or vouches for it."""

import json
import stat

import pytest

import sp_search
from sp_search.errors import StorageError, StudyError
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
    "change", [{"checkpoints": "s3://other/x"}, {"tracking_uri": None}, {"seal": 3}, {"seal": "é"}, {"seal": "\ud800"}]
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


def test_a_place_that_leads_out_of_what_was_said_is_a_strangers(folder):
    (folder / "manifest.json").write_text(json.dumps({"driver": "ray", "checkpoints": "/shared/../home/me"}))
    with pytest.raises(StudyError, match=r"/shared/\.\./home/me"):
        refuse_foreign_places(folder, ["/shared"])


def test_an_arm_is_no_way_out_of_a_comparison(folder):
    (folder / "manifest.json").write_text(json.dumps({"driver": "ray", "arms": [".."]}))
    with pytest.raises(StorageError, match=r"manifest.json cannot be read: arms\.0"):
        refuse_foreign_places(folder)


@pytest.mark.parametrize("named", [["one"], []])
def test_the_arms_of_a_comparison_are_asked_too_whoever_names_them(named, folder):
    (folder / "arms" / "one").mkdir(parents=True)
    (folder / "arms" / "one" / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "manifest.json").write_text(json.dumps({"driver": "ray", "tracking_uri": None, "arms": named}))
    with pytest.raises(StudyError, match="them:5000"):
        refuse_foreign_places(folder)


ARMS = """\
name: both
task: {kind: prefix_sums, bits: 4}
scheduler: {kind: annealing, stop: 2}
tracking: {uri: "http://them:5000"}
arms:
  - {name: one, model: {kind: recall_conv, width: 4}}
  - {name: two, model: {kind: recall_conv, width: 8}}
"""


def test_an_arm_that_nobody_has_begun_is_not_begun_at_a_strangers_place(folder):
    (folder / "study.yaml").write_text(ARMS)
    begun = {"driver": "inprocess", "tracking_uri": None, "arms": ["one", "two"]}
    (folder / "manifest.json").write_text(json.dumps(begun))
    with pytest.raises(StudyError, match='names "http://them:5000", outside'):
        sp_search.resume(folder)
    assert foreign_places(sealed(begun), ["http://them:5000"]) == []
    assert not (folder / "arms").exists()
