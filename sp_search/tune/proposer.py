"""Optuna chooses what is tried next: ask and tell over a journal in the study's folder.

The ledger is the truth and the journal its copy in Optuna's words, so every chart and dashboard of Optuna's opens it. A
proposal depends on what both hold and on a seed of its own, never on a generator that lived through the session: a
killed driver goes on with the same proposals. A lost journal is written anew with the same programs and values, at
other points of the space that stand for them. One Optuna study stands for one milestone. Optuna is imported here and
in `proposer_sampling` alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import NSGAIISampler, RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from sp_search.errors import StorageError
from sp_search.events import Propose, Proposed
from sp_search.plan import proposal_space
from sp_search.proposals import Came, Proposal, ProposalSpace, came_of
from sp_search.records import LevelReport, derive_seed
from sp_search.sections import SearchSettings
from sp_search.study import Study
from sp_search.tune.proposer_sampling import AtMost, distributions_of, sampler_of
from sp_search.warm_start import Tried

JOURNAL_NAME = "optuna.log"
OWN_ASKS = 8
"""Asks for one proposal after which it is drawn at random: the sampler has settled on programs that failed already."""

MOST_ASKS = 64
"""Asks for one proposal that fits and is new, before the fields of the cheapest program are taken, new or not."""
CUT = "cut"


class OptunaProposer:
    """A `Proposer`: asks Optuna for points of the space, and tells it what came of them."""

    def __init__(self, study: Study, entries: Sequence[dict[str, Any]], folder: Path) -> None:
        """Open the journal of a begun study.

        Args:
            study: as the ledger holds it.
            entries: of its ledger, the header first.
            folder: where the journal lies or is to lie.

        Raises:
            StorageError: the journal belongs to another study, or cannot be read.
        """
        assert study.search is not None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.name = _name(study, entries[0])
        self.settings: SearchSettings = study.search
        self.space: ProposalSpace = proposal_space(study, study.search)
        self.seed = study.seed
        self.distributions = distributions_of(self.space)
        self._tried = [Tried.model_validate(one) for one in entries[0]["header"].get("earlier", [])]
        asked = [Propose.model_validate(a) for e in entries for a in e.get("actions", []) if a["action"] == "propose"]
        self._requests = {request.member: request for request in asked}
        self._enough = study.verdict.lineages_to_fail
        self._failures: dict[str, list[tuple[float, int]]] = {}
        self._accepted: dict[int, Proposal] = {}
        self._live: dict[int, Trial] = {}
        self._told: set[int] = set()
        self._studies: dict[float, optuna.Study] = {}
        self._storage = _open(folder / JOURNAL_NAME, self.name)

    def propose(self, request: Propose) -> Proposed:
        """Ask for a point under the request's cap; what Optuna puts above the cap is taken at the cap.

        What does not fit, or failed already, costs nothing: its trial fails, and another is asked for. A repeat is not
        told with the value that is known: samplers would learn from it, and a driver that was killed before the ledger
        held the proposal, and asks once more, would be answered differently.
        """
        self._requests[request.member] = request
        study = self._study(request.milestone)
        for stale in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if stale.user_attrs.get("member") == request.member:  # asked before a crash, and the ledger never knew
                study.tell(stale.number, state=TrialState.FAIL)
        if request.cap < self.space.cheapest.flops:
            return Proposed(member=request.member, visit=request.visit)
        for attempt in range(MOST_ASKS):
            trial = self._ask(study, request, attempt)
            proposal = self.space.realise(trial.params, request.cap)
            if proposal is not None and not self._failed_already(proposal, request.milestone):
                break
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.enqueue_trial(trial.params | self.space.cheapest.fields)
            trial = self._ask(study, request, MOST_ASKS)
            proposal = self.space.realise(trial.params, request.cap)
            assert proposal is not None
        self._live[request.member] = trial
        for name, value in _attributes(request, proposal).items():
            trial.set_user_attr(name, value)
        return Proposed(member=request.member, visit=request.visit, config=proposal.config, budget=proposal.budget)

    def accepted(self, proposed: Proposed) -> None:
        """Keep a proposal; one of the ledger that the journal lacks is added to it as running."""
        if proposed.budget is None or proposed.member in self._accepted:
            return
        proposal = self.space.at(proposed.config, proposed.budget.axis, proposed.budget.cap)
        assert proposal is not None
        self._accepted[proposed.member] = proposal
        request = self._requests[proposed.member]
        study = self._study(request.milestone)
        if proposed.member not in self._live and self._recorded(study, proposed.member) is None:
            study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params=self.space.point_of(proposal),
                    distributions=self.distributions,
                    user_attrs=_attributes(request, proposal),
                )
            )

    def judged(self, report: LevelReport) -> None:
        """Tell what came of a proposal; where no lineage of it could be judged, the trial failed."""
        proposal, request = self._accepted[report.member], self._requests[report.member]
        came = came_of(report, proposal.budget, request.milestone)
        if came is None or not all(map(isfinite, came)):
            self._end(report.member, "no lineage could be judged" if came is None else f"not finite: {tuple(came)}")
            return
        if came.shortfall > 0:
            failed = sum(lineage.tried for lineage in report.lineages)
            self._failures.setdefault(_program(proposal), []).append((request.milestone, failed))
        attributes = {"search_flops": report.training_flops}
        self._tell(report.member, self._values(came), self._constraints(came.shortfall), attributes)
        self._tried.append(_tried(proposal, came, request.milestone))

    def ended(self, member: int, reason: str) -> None:
        """Tell that a proposal was cut (infeasible, so that it never looks like a cheap success), lost or failed."""
        if reason != CUT:
            self._end(member, reason)
            return
        milestone = self._requests[member].milestone
        values = self._values(Came(self._accepted[member].flops, milestone))
        self._tell(member, values, self._constraints(milestone) | {CUT: 1.0}, {"ended": reason})

    def _ask(self, study: optuna.Study, request: Propose, attempt: int) -> Trial:
        seed = derive_seed(self.seed, "optuna", request.member, attempt) % 2**32
        inner = sampler_of(self.settings, seed) if attempt < OWN_ASKS else RandomSampler(seed=seed)
        study.sampler = AtMost(inner, self.space.share_of(request.cap))
        trial = study.ask(self.distributions)
        trial.set_user_attr("member", request.member)
        return trial

    def _failed_already(self, proposal: Proposal, milestone: float) -> bool:
        """Whether a program has failed in as many lineages as make a failure, at this milestone or an easier one."""
        failed = sum(count for easier, count in self._failures.get(_program(proposal), []) if easier <= milestone)
        return failed >= self._enough

    def _values(self, came: Came) -> list[float]:
        """Return the objectives' values; accuracy above the milestone counts for nothing."""
        return [came.compute, max(0.0, came.shortfall)][: len(self.settings.objectives)]

    def _constraints(self, shortfall: float) -> dict[str, float]:
        return {} if "accuracy" in self.settings.objectives else {"accuracy": shortfall}

    def _end(self, member: int, reason: str) -> None:
        self._tell(member, [], {}, {"ended": reason})

    def _tell(
        self, member: int, values: list[float], constraints: Mapping[str, float], attributes: Mapping[str, Any]
    ) -> None:
        """Finish a trial, once. Without values it failed.

        A trial that an earlier session asked for can be told no constraint: it is ended, and a finished copy is added.
        """
        study = self._study(self._requests[member].milestone)
        recorded = self._recorded(study, member)
        if member in self._told or recorded is None or recorded.state.is_finished():
            self._told.add(member)
            return
        self._told.add(member)
        trial = self._live.pop(member, None)
        if trial is None:
            study.tell(recorded.number, state=TrialState.FAIL)
            if values:
                study.add_trial(
                    create_trial(
                        values=values,
                        constraints=dict(constraints),
                        params=recorded.params,
                        distributions=recorded.distributions,
                        user_attrs=recorded.user_attrs | dict(attributes),
                        system_attrs=recorded.system_attrs,
                    )
                )
            return
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        for name, value in constraints.items():
            trial.set_constraint(name, value)
        study.tell(trial, values or None, state=TrialState.COMPLETE if values else TrialState.FAIL)

    def _recorded(self, study: optuna.Study, member: int) -> FrozenTrial | None:
        """Return the newest trial of a member that is more than a point that did not fit."""
        own = [t for t in study.get_trials(deepcopy=False) if t.user_attrs.get("member") == member]
        return next((trial for trial in reversed(own) if "price" in trial.user_attrs), None)

    def _study(self, milestone: float) -> optuna.Study:
        """Return the Optuna study of a milestone; a new one begins with all that was tried before it."""
        if milestone not in self._studies:
            name = f"{self.name} at {milestone:g}"
            if name in [known.study_name for known in self._storage.get_all_studies()]:
                study = optuna.load_study(storage=self._storage, study_name=name)
            else:
                directions = [StudyDirection.MINIMIZE] * len(self.settings.objectives)
                study = optuna.create_study(storage=self._storage, study_name=name, directions=directions)
            held = sum("source" in trial.user_attrs for trial in study.get_trials(deepcopy=False))
            for tried in self._tried[held:]:  # a kill may have come in between
                study.add_trial(self._seed_trial(tried, milestone))
            self._studies[milestone] = study
        return self._studies[milestone]

    def _seed_trial(self, tried: Tried, milestone: float) -> FrozenTrial:
        """Return what was tried before as a finished trial of another milestone's study."""
        came = Came(tried.compute, tried.misses(milestone))
        return create_trial(
            values=self._values(came),
            constraints=self._constraints(came.shortfall),
            params=self.space.point_of(tried.proposal()),
            distributions=self.distributions,
            user_attrs={"source": tried.source, "price": tried.flops, **tried.budget.axis},
            system_attrs={NSGAIISampler._get_generation_key(): 0} if self.settings.sampler == "nsga2" else {},
        )


class _Copy(JournalFileBackend):
    """A journal file without a lock, as the study's own keeps other writers out, and without waiting for the disk.

    What a power cut takes of it is in the ledger, which did wait.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with self.path.open("ab") as file:
            file.write("".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode())


def _open(path: Path, name: str) -> JournalStorage:
    """Open a journal, or begin one."""
    try:
        if path.exists():
            whole = path.read_bytes()
            path.write_bytes(whole[: whole.rfind(b"\n") + 1])  # a kill may have torn the last line
        storage = JournalStorage(_Copy(path))
        found = [study.study_name for study in storage.get_all_studies()]
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(f"{path} cannot be read: {error}. Remove it: it is written anew from the ledger") from error
    others = [other for other in found if not other.startswith(f"{name} at ")]
    if others:
        raise StorageError(
            f"{path} holds trials of another study, '{others[0]}', and this one is '{name}': move it away, and the "
            "journal is written anew from the ledger"
        )
    return storage


def _name(study: Study, header: dict[str, Any]) -> str:
    """Return a name that no other run has: a run of the same study file has another beginning in its ledger."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:12]
    return f"{study.name}-{digest}"


def _program(proposal: Proposal) -> str:
    """Return what tells programs apart; under a mean budget its cap belongs to it."""
    cap = proposal.budget.cap if proposal.budget.kind == "mean" else None
    return json.dumps([proposal.config, proposal.budget.axis, cap], sort_keys=True)


def _attributes(request: Propose, proposal: Proposal) -> dict[str, Any]:
    return {
        "member": request.member,
        "visit": request.visit,
        "level": request.level,
        "cap": request.cap,
        "price": proposal.flops,
        **proposal.budget.axis,
    }


def _tried(proposal: Proposal, came: Came, milestone: float) -> Tried:
    return Tried(
        config=proposal.config,
        budget=proposal.budget,
        flops=proposal.flops,
        milestone=milestone,
        compute=came.compute,
        shortfall=came.shortfall,
        source=f"milestone {milestone:g}",
    )
