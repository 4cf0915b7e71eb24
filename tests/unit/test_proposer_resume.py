"""The ledger alone decides what is proposed next, wherever the driver died and whatever became of the journal."""

from math import inf
from pathlib import Path

import pytest
from optuna.trial import TrialState
from proposing import Killed, asked, begun, drive, events, run, trials

from sp_search.errors import StorageError
from sp_search.ledger import Ledger, read_ledger
from sp_search.plan import proposal_space
from sp_search.tune.proposer import JOURNAL_NAME


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_driver_killed_at_any_line_goes_on_with_the_same_proposals(tmp_path: Path, sampler: str) -> None:
    study = asked(search={"members": 4, "sampler": sampler})
    run(study, tmp_path / "whole")
    expected, lines = events(tmp_path / "whole", "proposed"), len(read_ledger(tmp_path / "whole"))
    for kill in range(1, lines):
        folder = tmp_path / f"killed{kill}"
        with begun(study, folder) as ledger, pytest.raises(Killed):
            drive(study, ledger, lines=kill)
        with Ledger(folder) as ledger:
            drive(study, ledger)
        assert events(folder, "proposed") == expected
        assert not trials(folder, TrialState.RUNNING, TrialState.WAITING)
        told = sorted(trial.user_attrs["member"] for trial in trials(folder, TrialState.COMPLETE))
        assert told == list(range(4)), "everything once"


def test_a_journal_that_was_lost_is_written_anew_from_the_ledger(tmp_path: Path) -> None:
    study = asked(search={"members": 6})
    run(study, tmp_path / "s")
    before = {trial.user_attrs["member"]: trial for trial in trials(tmp_path / "s")}
    (tmp_path / "s" / JOURNAL_NAME).unlink()
    with Ledger(tmp_path / "s") as ledger:
        drive(study, ledger)
    space = proposal_space(study, study.search)  # type: ignore[arg-type]
    after = {trial.user_attrs["member"]: trial for trial in trials(tmp_path / "s", TrialState.COMPLETE)}
    assert after.keys() == before.keys()
    for member, trial in after.items():
        assert (trial.values, trial.constraints) == (before[member].values, before[member].constraints)
        assert trial.user_attrs == before[member].user_attrs
        again = space.realise(trial.params, inf)
        assert again is not None
        assert again.flops == trial.values[0]


def test_a_driver_killed_after_points_were_repeated_is_answered_with_the_same_proposals(tmp_path: Path) -> None:
    """The points asked for in vain have to leave no trace, as the driver that goes on asks for them once more."""
    narrow = {"width": {"low": 1, "high": 4}, "rollouts": {"low": 1, "high": 3}}
    study = asked(search={"space": narrow, "members": 8})
    run(study, tmp_path / "whole")
    repeated = [one.user_attrs["member"] for one in trials(tmp_path / "whole") if "price" not in one.user_attrs]
    entries = read_ledger(tmp_path / "whole")
    lines = [n for n, entry in enumerate(entries) if entry.get("event", {}).get("member") in repeated]
    assert repeated, "points that had failed already were asked for again"
    for kill in lines:
        folder = tmp_path / f"killed{kill}"
        with begun(study, folder) as ledger, pytest.raises(Killed):
            drive(study, ledger, lines=kill)
        with Ledger(folder) as ledger:
            drive(study, ledger)
        assert events(folder, "proposed") == events(tmp_path / "whole", "proposed")


def test_hearing_twice_changes_nothing_and_a_torn_line_is_dropped(tmp_path: Path) -> None:
    study = asked(search={"members": 6})
    run(study, tmp_path / "s")
    path = tmp_path / "s" / JOURNAL_NAME
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "tri')
    with Ledger(tmp_path / "s") as ledger:
        drive(study, ledger)
    assert path.read_bytes() == whole


def test_the_storage_of_another_study_is_refused_and_both_are_named(tmp_path: Path) -> None:
    run(asked(name="theirs", search={"members": 2}), tmp_path / "theirs")
    study = asked(name="ours")
    with begun(study, tmp_path / "ours") as ledger:
        (tmp_path / "ours" / JOURNAL_NAME).write_bytes((tmp_path / "theirs" / JOURNAL_NAME).read_bytes())
        with pytest.raises(StorageError, match=r"another study, 'theirs-\w+ at 0.99', and this one is 'ours-\w+'"):
            drive(study, ledger)
        (tmp_path / "ours" / JOURNAL_NAME).write_text("no journal\nat all\n")
        with pytest.raises(StorageError, match="Remove it: it is written anew from the ledger"):
            drive(study, ledger)
