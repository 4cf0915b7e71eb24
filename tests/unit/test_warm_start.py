"""A search that begins with what earlier studies tried."""

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from proposing import CONTENT, Killed, asked, begun, drive, run, trials

from sp_search.errors import StudyError
from sp_search.ledger import Ledger
from sp_search.plan import plan_study, proposal_space
from sp_search.study import study_of
from sp_search.warm_start import tried_before

LISTED = {
    "name": "listed",
    "task": CONTENT["task"],
    "model": CONTENT["model"],
    "scheduler": {"kind": "annealing", "stop": 6.0},
    "population": {"members": [{"width": 8}, {"width": 40}], "replicas": 5},
    "tracking": {"uri": None},
}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_search_begins_with_what_earlier_studies_tried(tmp_path: Path, sampler: str) -> None:
    run(study_of(LISTED), tmp_path / "listed", model_width=8)
    run(asked(search={"members": 4}), tmp_path / "searched")
    study = asked(search={"warm_start": [str(tmp_path / "listed"), str(tmp_path / "searched")], "sampler": sampler})
    run(study, tmp_path / "warm")
    found = trials(tmp_path / "warm")
    earlier = [trial for trial in found if "source" in trial.user_attrs]
    own = [trial for trial in found if trial.state == TrialState.COMPLETE and trial not in earlier]
    assert {trial.user_attrs["source"] for trial in earlier} == {"listed", "small"}
    listed = [trial for trial in earlier if trial.user_attrs["source"] == "listed"]
    assert {trial.user_attrs["width"] for trial in listed} == {8}, "a width of 40 lies outside the space"
    for trial in listed:
        passed = trial.user_attrs["rollouts"] >= 3
        assert (trial.constraints["accuracy"] <= 0) == passed
    assert len(own) == 12
    if sampler == "nsga2":
        generations = {value for trial in found for key, value in trial.system_attrs.items() if "generation" in key}
        assert max(generations) > 0, "what is given is its first generation"


def test_a_resumed_search_does_not_ask_for_the_folders_that_it_began_with(tmp_path: Path) -> None:
    run(asked(search={"members": 4}), tmp_path / "before")
    study = asked(search={"warm_start": [str(tmp_path / "before")], "members": 4})
    with begun(study, tmp_path / "s") as ledger, pytest.raises(Killed):
        drive(study, ledger, lines=6)
    (tmp_path / "before").rename(tmp_path / "gone")
    with Ledger(tmp_path / "s") as ledger:
        assert drive(study, ledger).state.finished is not None
    assert sum("source" in trial.user_attrs for trial in trials(tmp_path / "s")) == 4


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"task": {"kind": "prefix_sums", "bits": 6}}, 'is of another task, with another bits: 5 there, 6 here'),
        ({"model": {"kind": "recall_conv", "kernel": 3}}, "differs in kernel, which the space does not choose: 2"),
        ({"prior": {"kind": "ponder_net"}}, 'differs in prior.kind, which the space does not choose: "none" there'),
        ({"model": {"kind": "looped_transformer"}}, "differs in kind"),
        ({"selection": {"gates": ["iid"], "confidence": 0.9}, "scheduler": {"kind": "fixed", "budget": "mean"},
          "prior": {"kind": "ponder_net"}}, "is of another kind of budget: max budgets there, mean here"),
        ({"search": {"space": {"width": {"low": 30, "high": 40}, "rollouts": {"low": 1, "high": 8}}}},
         "tried nothing of this space: width"),
    ],
)  # fmt: skip
def test_an_earlier_study_of_something_else_is_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    run(asked(search={"members": 3}), tmp_path / "before")
    if changes.get("model", {}).get("kind") == "looped_transformer":
        changes["search"] = {"space": {"rollouts": {"low": 1, "high": 4}}}
    study = asked(**changes)
    with pytest.raises(StudyError) as caught:
        tried_before([str(tmp_path / "before")], study, proposal_space(study, study.search))  # type: ignore[arg-type]
    assert caught.value.problems[0].startswith(f"search.warm_start.0: {tmp_path / 'before'} {expected}")


def test_a_folder_that_holds_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"search.warm_start.0: \S+ cannot be read: .* is no study folder"):
        plan_study(asked(search={"warm_start": [str(tmp_path)]}))
