"""Optuna's proposals: what may be asked, what Optuna is told, and that the ledger alone decides what comes next."""

from itertools import pairwise
from math import inf, nan
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sp_search.drive.inprocess import run_inprocess
from sp_search.errors import StorageError, StudyError
from sp_search.events import Propose
from sp_search.ledger import Ledger, read_ledger
from sp_search.plan import plan_study, proposal_space
from sp_search.proposals import flops_of
from sp_search.records import Assignment, Count, LevelReport, LineageMeasurement, LineageReport, Measured, RunnerState
from sp_search.running import search_of
from sp_search.search import Search
from sp_search.store import MemoryStore
from sp_search.study import Study, study_of
from sp_search.tune.proposer import JOURNAL_NAME, OptunaProposer
from sp_search.warm_start import tried_before

CONTENT: dict[str, Any] = {
    "name": "small",
    "task": {"kind": "prefix_sums", "bits": 5},
    "model": {"kind": "recall_conv"},
    "search": {"members": 12, "space": {"width": {"low": 1, "high": 16}, "rollouts": {"low": 1, "high": 8}}},
    "scheduler": {"kind": "fixed"},
    "population": {"replicas": 5},
    "tracking": {"uri": None},
}
LEAST = {"width": 6, "rollouts": 3}


def asked(**changes: Any) -> Study:
    search = {**CONTENT["search"], **changes.pop("search", {})}
    return study_of({**CONTENT, "search": search, **changes})


class Threshold:
    """A runner whose lineages pass from 6 units and 3 rollouts up, and come closer the nearer they are to it."""

    def __init__(self, model_width: int | None = None) -> None:
        self.model_width = model_width

    def begin(self, assignment: Assignment, inherited: RunnerState | None) -> RunnerState:
        return RunnerState()

    def step(self, assignment: Assignment, state: RunnerState) -> tuple[RunnerState, Measured]:
        axis = {"width": self.model_width, **assignment.config, **assignment.budget.axis}
        right = int(1000 * min(1.0, axis["width"] / 6) * min(1.0, axis["rollouts"] / 3))
        lineages = [
            LineageMeasurement(
                lineage=lineage,
                seed=seed,
                ended="reached" if right == 1000 else "exhausted",
                train_steps=1,
                gates={"iid": Count(correct=right, n=1000, exact=True)},
                max_available_flops=assignment.budget.cap,
                parameters=0,
                serial_depth=0,
            )
            for lineage, seed in zip(assignment.lineages, assignment.seeds, strict=True)
        ]
        measured = Measured(
            member=assignment.member,
            visit=assignment.visit,
            level=assignment.level,
            attempt=assignment.attempt,
            lineages=lineages,
            training_flops=1e6,
            verification_flops=0.0,
        )
        return state, measured


class Killed(Exception):
    """The driver dies."""


def begun(study: Study, folder: Path) -> Ledger:
    """Return the ledger of a study that was begun in `folder`."""
    folder.mkdir(exist_ok=True)
    ledger, plan = Ledger(folder, create=True), plan_study(study)
    earlier = [tried.model_dump(mode="json") for tried in plan.earlier]
    ledger.append({"header": {"name": study.name, "study": study.resolved(), "earlier": earlier}})
    return ledger


def drive(study: Study, ledger: Ledger, *, lines: float = inf, model_width: int | None = None) -> Search:
    """Take the study up where its ledger stands, and die when that has `lines` lines."""
    search = search_of(study, plan_study(study, begun=True), ledger)
    search.replay(ledger.entries)

    def append(entry: dict[str, Any]) -> None:
        if len(ledger.entries) >= lines:
            raise Killed
        ledger.append(entry)

    search.append = append
    if search.state.finished is None:
        run_inprocess(search, Threshold(model_width), MemoryStore())
    return search


def run(study: Study, folder: Path, *, model_width: int | None = None) -> Search:
    with begun(study, folder) as ledger:
        return drive(study, ledger, model_width=model_width)


def journal(folder: Path) -> dict[str, optuna.Study]:
    storage = JournalStorage(JournalFileBackend(str((folder / JOURNAL_NAME).resolve())))
    names = sorted(optuna.get_all_study_names(storage))
    return {name: optuna.load_study(study_name=name, storage=storage) for name in names}


def trials(folder: Path, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
    (study,) = journal(folder).values()
    return study.get_trials(states=states or None)


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [entry["event"] for entry in read_ledger(folder) if entry.get("event", {}).get("event") == kind]


def requests(folder: Path) -> dict[int, dict[str, Any]]:
    actions = [action for entry in read_ledger(folder) for action in entry.get("actions", [])]
    return {action["member"]: action for action in actions if action["action"] == "propose"}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_every_proposal_is_priced_within_its_cap_and_below_what_passed_before(tmp_path: Path, sampler: str) -> None:
    study = asked(search={"sampler": sampler})
    search = run(study, tmp_path / "s")
    space, found = requests(tmp_path / "s"), events(tmp_path / "s", "proposed")
    assert len(found) == 12
    for proposed in found:
        own = study.member_parts()[0]
        price = max(flops_of(own, study.task.shape(), proposed["budget"]["axis"]))
        assert proposed["budget"]["cap"] == price <= space[proposed["member"]]["cap"]
    selected = search.selection(0.99)
    assert selected is not None
    assert all(selected[0].budget.axis[name] >= least for name, least in LEAST.items())
    judged = trials(tmp_path / "s", TrialState.COMPLETE)
    passing = [trial for trial in judged if trial.constraints["accuracy"] <= 0]
    prices = [trial.values[0] for trial in passing]
    assert prices == sorted(prices, reverse=True)
    assert prices[-1] == selected[0].budget.cap


def test_a_program_that_failed_as_often_as_a_failure_needs_is_not_tried_again(tmp_path: Path) -> None:
    narrow = {"width": {"low": 1, "high": 3}, "rollouts": {"low": 1, "high": 3}}
    run(asked(search={"space": narrow, "members": 8, "sampler": "random"}), tmp_path / "s")
    axes = [tuple(proposed["budget"]["axis"].items()) for proposed in events(tmp_path / "s", "proposed")]
    assert len(set(axes)) == 8
    few = asked(search={"space": narrow, "members": 8, "sampler": "random"}, population={"replicas": 1})
    run(few, tmp_path / "few")
    assert len({tuple(one["budget"]["axis"].items()) for one in events(tmp_path / "few", "proposed")}) < 8


def test_optuna_is_told_compute_what_is_missing_and_where_it_was(tmp_path: Path) -> None:
    run(asked(), tmp_path / "s")
    for trial in trials(tmp_path / "s", TrialState.COMPLETE):
        axis = {name: trial.user_attrs[name] for name in ("width", "rollouts")}
        right = int(1000 * min(1.0, axis["width"] / 6) * min(1.0, axis["rollouts"] / 3)) / 1000
        assert trial.values == [trial.user_attrs["price"]]
        assert trial.constraints["accuracy"] == pytest.approx(0.99 - right if right < 1 else -0.01)
        assert trial.user_attrs["search_flops"] == 1e6
        assert (trial.user_attrs["visit"], trial.user_attrs["level"]) == (0, requests(tmp_path / "s")[0]["level"])


def test_two_objectives_leave_a_front_of_compute_and_what_is_missing(tmp_path: Path) -> None:
    run(asked(search={"objectives": ["compute", "accuracy"]}, scheduler={"kind": "fixed", "cheaper": False}), tmp_path)
    (study,) = journal(tmp_path).values()
    front = sorted({tuple(trial.values) for trial in study.best_trials})
    assert len(front) > 1
    assert all(less[0] < more[0] and less[1] > more[1] for less, more in pairwise(front))
    assert min(missing for _, missing in front) >= 0


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


def proposer_of(study: Study, folder: Path) -> OptunaProposer:
    with begun(study, folder) as ledger:
        return OptunaProposer(study, ledger.entries, folder)


def request(study: Study, member: int = 0, cap: float | None = None) -> Propose:
    top = plan_study(study).space.caps[-1]
    return Propose(member=member, visit=0, level=0, cap=cap or top, milestone=0.99)


def report(member: int = 0, **changes: Any) -> LevelReport:
    lineage = LineageReport(lineage=0, seed=0, tried=True, passed=True, shortfall=-0.01, **changes.pop("lineage", {}))
    judged = LevelReport(member=member, visit=0, level=0, attempt=1, lineages=[lineage], cheapest_pass=700.0)
    return judged.model_copy(update=changes)  # unchecked, so that it can hold what is not finite


@pytest.mark.parametrize("value", [nan, inf])
def test_what_is_not_finite_is_a_failed_trial(tmp_path: Path, value: float) -> None:
    proposer, study = proposer_of(asked(), tmp_path), asked()
    proposer.accepted(proposer.propose(request(study)))
    proposer.judged(report(cheapest_pass=value))
    (trial,) = trials(tmp_path)
    assert (trial.state, trial.constraints) == (TrialState.FAIL, {})
    assert trial.user_attrs["ended"].startswith("not finite")


def test_a_trial_of_which_nothing_could_be_judged_failed(tmp_path: Path) -> None:
    proposer, study = proposer_of(asked(), tmp_path), asked()
    proposer.accepted(proposer.propose(request(study)))
    untried = LineageReport(lineage=0, seed=0, tried=False, passed=False)
    proposer.judged(report(lineages=[untried], cheapest_pass=None))
    assert trials(tmp_path)[0].state == TrialState.FAIL


@pytest.mark.parametrize("objectives", [["compute"], ["compute", "accuracy"]])
def test_what_was_cut_is_infeasible_and_what_was_lost_failed(tmp_path: Path, objectives: list[str]) -> None:
    study = asked(search={"objectives": objectives})
    proposer = proposer_of(study, tmp_path)
    for member in (0, 1):
        proposer.accepted(proposer.propose(request(study, member)))
    proposer.ended(0, "cut")
    proposer.ended(1, "lost 6 times: a node went away")
    proposer.ended(0, "cut")
    cut, lost = trials(tmp_path)
    assert cut.state == TrialState.COMPLETE
    assert cut.constraints["cut"] > 0
    assert (lost.state, lost.user_attrs["ended"]) == (TrialState.FAIL, "lost 6 times: a node went away")
    (study_of_optuna,) = journal(tmp_path).values()
    if len(objectives) == 2:
        assert study_of_optuna.best_trials == []
    else:
        with pytest.raises(ValueError, match="feasible"):
            _ = study_of_optuna.best_trial


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


def test_a_cap_that_nothing_fits_is_answered_with_nothing(tmp_path: Path) -> None:
    study = asked()
    proposer = proposer_of(study, tmp_path)
    assert proposer.propose(request(study, cap=10.0)).budget is None
    assert trials(tmp_path) == []


def test_annealing_moves_an_outer_cap_over_proposals(tmp_path: Path) -> None:
    study = asked(search={"members": 8}, scheduler={"kind": "annealing", "factor": 2.0})
    search = run(study, tmp_path)
    caps = {action["visit"]: action["cap"] for action in requests(tmp_path).values()}
    assert len(caps) > 3
    assert search.state.finished == "resolved"
    for trial in trials(tmp_path, TrialState.COMPLETE):
        assert trial.user_attrs["price"] <= trial.user_attrs["cap"] <= caps[trial.user_attrs["visit"]] * (1 + 1e-9)


def test_a_harder_milestone_begins_with_what_the_easier_one_tried(tmp_path: Path) -> None:
    run(asked(search={"members": 6}, milestones=[0.6, 0.99]), tmp_path)
    easier, harder = journal(tmp_path).values()
    inherited = [trial for trial in harder.trials if "source" in trial.user_attrs]
    own = [trial for trial in easier.trials if trial.state == TrialState.COMPLETE]
    assert [trial.values for trial in inherited] == [trial.values for trial in own]
    for before, after in zip(own, inherited, strict=True):
        assert after.constraints["accuracy"] == pytest.approx(before.constraints["accuracy"] + 0.39)
    assert len(harder.trials) > len(inherited)


def test_fields_of_the_model_and_the_prior_are_proposed_beside_the_axes(tmp_path: Path) -> None:
    space = {
        **CONTENT["search"]["space"],
        "layers": {"low": 1, "high": 3},
        "kernel": {"choices": [2, 3]},
        "prior.threshold": {"low": 0.5, "high": 0.99},
    }
    study = asked(search={"space": space, "members": 16}, prior={"kind": "early_exit"})
    run(study, tmp_path)
    configs = [proposed["config"] for proposed in events(tmp_path, "proposed")]
    assert {config["kernel"] for config in configs} == {2, 3}
    assert {config["layers"] for config in configs} >= {1, 2}
    assert all(0.5 <= config["prior"]["threshold"] <= 0.99 for config in configs)
    for trial, proposed in zip(trials(tmp_path, TrialState.COMPLETE), events(tmp_path, "proposed"), strict=True):
        assert trial.params["kernel"] == proposed["config"]["kernel"]


def test_where_the_fields_of_most_points_do_not_fit_the_cheapest_are_taken(tmp_path: Path) -> None:
    space = {**CONTENT["search"]["space"], "layers": {"low": 1, "high": 5000}}
    study = asked(search={"space": space})
    proposer = proposer_of(study, tmp_path)
    proposed = proposer.propose(request(study, cap=proposer.space.cheapest.flops))
    assert proposed.config == {"layers": 1}
    assert proposed.budget is not None
    assert proposed.budget.axis == {"width": 1, "rollouts": 1}
    states = {trial.state for trial in trials(tmp_path)}
    assert states == {TrialState.FAIL, TrialState.RUNNING}


def test_a_mean_budget_shares_its_cap_with_the_exits_it_may_use(tmp_path: Path) -> None:
    study = asked(scheduler={"kind": "fixed", "budget": "mean"}, prior={"kind": "ponder_net"})
    proposer = proposer_of(study, tmp_path)
    for member in range(20):
        proposed = proposer.propose(request(study, member))
        assert proposed.budget is not None
        assert (proposed.budget.kind, proposed.budget.axis["rollouts"]) == ("mean", 8)
        first = flops_of(study.member_parts()[0], study.task.shape(), proposed.budget.axis)[0]
        assert first <= proposed.budget.cap <= request(study).cap


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


def test_optunas_own_tools_read_the_journal(tmp_path: Path) -> None:
    run(asked(), tmp_path)
    (study,) = journal(tmp_path).values()
    assert study.best_trial.values[0] == min(t.values[0] for t in study.trials if t.constraints["accuracy"] <= 0)
    importances = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
    )
    assert importances.keys() == {"cap", "share.width"}


@pytest.mark.skipif(not optuna.visualization.is_available(), reason="plotly is not installed")
def test_optunas_charts_can_be_drawn(tmp_path: Path) -> None:
    run(asked(), tmp_path)
    (study,) = journal(tmp_path).values()
    for draw in ("plot_optimization_history", "plot_parallel_coordinate", "plot_slice", "plot_contour"):
        assert getattr(optuna.visualization, draw)(study).data
