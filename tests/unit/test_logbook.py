"""The ledger in words for people: every event has its line, and nothing in it steers a terminal."""

import json
from pathlib import Path
from typing import get_args

import pytest

from sp_search.errors import StorageError
from sp_search.events import Control, Happening
from sp_search.ledger import read_ledger
from sp_search.logbook import errors_of, follow, ledgers, lines_of, printable
from sp_search.records import Member
from tests.invented_study import write_study


def test_a_study_is_told_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    write_study(tmp_path)
    told = [line.text for line in follow(ledgers(tmp_path))]
    assert told[0] == "study invented begun, seed 3"
    assert told[-1] == "the search is over: resolved"
    assert any("lost: " in text for text in told)


@pytest.mark.parametrize("trial", ["member0", "member1", "member0-attempt1"])
def test_a_trial_has_its_own_lines(tmp_path: Path, trial: str) -> None:
    write_study(tmp_path)
    lines = list(follow(ledgers(tmp_path), trial))
    assert lines
    assert all(trial in line.text for line in lines)


@pytest.mark.parametrize(
    "event",
    [
        {"event": "member_stopped", "member": 1, "by": "ada"},
        {"event": "member_added", "added": {"member": 2, "config": {"width": 8}, "budgets": []}, "by": "ada"},
        {"event": "retried", "members": [1], "by": "ada"},
        {"event": "extended", "settings": {"limits.seconds": 9}, "milestones": [0.9], "replicas": 1, "by": "ada"},
        {"event": "pause_asked", "by": "ada"},
        {"event": "limit_reached", "limit": "stopped", "training_flops": 0.0, "by": "ada"},
    ],
)
def test_who_asked_is_told(event: dict[str, object]) -> None:
    entry = {"time": 0.0, "event": event, "judged": [], "levels": [], "actions": []}
    (line,) = lines_of(entry)
    assert "ada" in line.words


def test_every_event_has_words_of_its_own() -> None:
    source = Path(lines_of.__code__.co_filename).read_text()
    kinds = {kind.model_fields["event"].default for kind in (*get_args(Happening), *get_args(Control))}
    assert {kind for kind in kinds if f'"{kind}"' not in source} == {"level_report"}, "which the judged reports tell"
    assert Member in {field.annotation for kind in get_args(Control) for field in kind.model_fields.values()}


def test_nothing_that_a_study_chose_steers_a_terminal(tmp_path: Path) -> None:
    trial = tmp_path / "tune" / "1" / "member0-attempt1"
    trial.mkdir(parents=True)
    (trial / "error.txt").write_bytes(b"\x1b[2J gone\n\xff")
    (text,) = errors_of(tmp_path).values()
    assert text.isprintable() or "\x1b" not in text
    assert printable("a\x1b[31m\u202eb\n") == "a\\x1b[31m\\u202eb\\n"
    write_study(tmp_path, name=json.loads('"x\\u001b]0;y"'))
    assert all(line.words.isprintable() for line in follow(ledgers(tmp_path)))


@pytest.mark.parametrize(
    "spoilt",
    [{"time": "now"}, {"time": 1e308}, {"judged": 1}, {"judged": [{}]}, {"event": {}}, {"levels": [{"cap": "x"}]}],
)
def test_an_entry_that_tells_nothing_is_named(tmp_path: Path, spoilt: dict[str, object]) -> None:
    write_study(tmp_path)
    entry = next(entry for entry in read_ledger(tmp_path) if entry.get("levels"))
    with pytest.raises(StorageError, match=rf"ledger line {entry['seq']} is of another version, or damaged"):
        lines_of({**entry, **spoilt})
