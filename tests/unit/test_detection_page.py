"""The detection table: who calibrates is never judged, rows survive their file, and the page says what the rows say."""

import json
from copy import deepcopy

import pytest
import torch

from benchmarks import detection
from benchmarks.detection import DEAR, KEPT, KINDS, Sizes, organism, panel, row
from benchmarks.detection_page import PAGE, Pair, Share, any_of, filled, main_table, pair, parts
from sp_search.plugins import discover

torch.set_num_threads(1)
TINY = Sizes(twins=6, planted=4, dear_twins=4, dear_planted=2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Nets that hardly trained, and audits of both prices."""
    cheap = [one.model_copy(update={"n": 64}) for one in panel() if one.kind_name() in ("memory", "latent_run")]
    dear = [one.model_copy(update={"steps": 1}) for one in panel() if one.kind_name() == "truncation"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "slack_trigger", {"planting_steps": 2})
        return row("slack_trigger", [*cheap, *dear], TINY, 1000, tmp_path_factory.mktemp("nets"))


def test_half_of_the_twins_calibrate_and_dear_audits_hear_the_first_of_both_halves(tiny):
    heard = {name: [len(said["honest"]), *(len(said[group]["low"]) for group in ("twins", "planted"))]
             for name, said in tiny["audits"].items()}  # fmt: skip
    assert heard == {"latent_run": [3, 3, 4], "memory": [3, 3, 4], "truncation": [2, 2, 2]}
    assert len(tiny["harm"]) == 4
    assert pair(tiny["audits"]["memory"]) == Pair(Share(0, 4), Share(0, 3))
    assert (any_of(tiny, dear=True).finds.of, any_of(tiny, dear=False).finds.of) == (2, 4)


def test_an_audit_that_is_asked_again_is_replaced_and_leaves_what_the_others_said(tiny, tmp_path):
    kept = deepcopy(tiny)
    kept["audits"]["memory"] = {"said": "before"}
    memory = [one.model_copy(update={"n": 64}) for one in panel() if one.kind_name() == "memory"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "slack_trigger", {"planting_steps": 2})
        again = row("slack_trigger", memory, TINY, 1000, tmp_path, kept)
    audits, before = (
        {name: {**said, "seconds": None} for name, said in one["audits"].items()} for one in (again, tiny)
    )
    assert (audits, again["harm"]) == (before, tiny["harm"])


def test_rows_survive_their_file(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(detection, "KEPT", tmp_path / "rows.json")
    rows = {"seed": 1000, "sizes": TINY._asdict(), "settings": [], "kinds": {"one": tiny, "two": tiny}}
    detection.keep(rows)
    assert json.loads((tmp_path / "rows.json").read_text()) == rows


def test_a_kind_is_caught_by_finds_without_alarms_and_surely_with_both_bounds():
    assert Pair(Share(29, 29), Share(0, 59)).surely
    assert not Pair(Share(28, 28), Share(0, 59)).surely
    assert not Pair(Share(29, 29), Share(0, 58)).surely
    assert Pair(Share(9, 10), Share(1, 20)).catches
    assert not Pair(Share(8, 10), Share(0, 20)).catches
    assert not Pair(Share(10, 10), Share(2, 20)).catches


def test_a_kind_that_no_audit_catches_is_said_to_be_so():
    said = {"low": [0.1] * 20, "flagged": []}
    kind = {"harm": [1.0], "harmful": True, "audits": {"memory": {"planted": said, "twins": said}}}
    assert "**nothing**; at best `memory`, 0 of 20, and 0 of 20 twins" in main_table({"kinds": {"sly": kind}})


def test_the_table_has_every_planted_kind_and_every_audit():
    kinds = {organism(name).kind_name() for name in KINDS}
    assert kinds == set(discover("organisms"))
    assert {one.kind_name() for one in panel()} == set(discover("audits")) >= set(DEAR)


def test_the_page_says_what_its_rows_say():
    rows, text = json.loads(KEPT.read_text(encoding="utf-8")), PAGE.read_text(encoding="utf-8")
    assert filled(text, parts(rows)) == text
    assert rows["seed"] == 0
