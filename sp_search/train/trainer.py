"""The one loop that trains: a `LevelRunner` for neural programs. All that it carries lies in `RunnerState`.

A slice is `evaluate_every` optimiser steps for the live lineages, then a look at validation. Seeds come from what they
are for (study, member, visit, level, lineage, purpose, slice), so a slice that is run again repeats bit for bit, and a
lineage's data never depend on its siblings.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Generator

from sp_search import assembly
from sp_search.pricing import HaltingRule
from sp_search.program import Program, ProgramModel
from sp_search.records import Assignment, Measured, RunnerState
from sp_search.train.gating import cut, settled
from sp_search.train.growth import inherit
from sp_search.train.job import Job
from sp_search.train.measure import measure_lineage
from sp_search.train.population import Layout, Population, flatten, train_step
from sp_search.train.validation import validate

if TYPE_CHECKING:
    from sp_search.models.base import ModelSpec
    from sp_search.priors.base import SpeedPrior
    from sp_search.tasks.base import Task
    from sp_search.train.settings import TrainSettings


class NeuralRunner:
    """Trains the lineages of a member at a level, side by side, and measures what they became."""

    def __init__(
        self,
        task: Task,
        model: ModelSpec,
        prior: SpeedPrior,
        settings: TrainSettings,
        *,
        gates: list[str],
        verification_n: int,
        stable_after_halt: float | None = None,
        confidence: float,
        study_seed: int,
        device: str = "cpu",
    ) -> None:
        """Take the parts of a study.

        Args:
            task: what is learnt; its first distribution is trained on.
            model: base of all members; an assignment's `config` overrides its fields (or names another kind).
            prior: the speed prior of the loss; fields of it stand under `prior` in an assignment's `config`.
            settings: what the study sets; the rest comes from the recipes of the model and the prior.
            gates: distributions on which a program must be good enough.
            verification_n: examples of a verification draw where the support is too large to enumerate.
            stable_after_halt: most right answers that may turn wrong after the halt; None does not ask.
            confidence: of the study. Training stops early on a bound with a tenth of its error, as verification tests
                spend ever less; at the last step a bound with its whole error is enough.
            study_seed: root of every seed but those of the initial weights, which the assignment gives.
            device: of training and execution; states are stored on the CPU.
        """
        self.task, self.model, self.prior, self.settings = task, model, prior, settings
        self.gates, self.verification_n, self.study_seed, self.device = gates, verification_n, study_seed, device
        self.alpha, self.stable_after_halt = 1.0 - confidence, stable_after_halt

    def begin(self, assignment: Assignment, inherited: RunnerState | None) -> RunnerState:
        """Return the state before the first slice; lineages inherit weights and Adam moments by number and by name."""
        job = self._job(assignment, fresh=inherited is None)
        weights_RP = torch.stack(
            [flatten(self._build(job.spec, job.prior, job.exits, seed)) for seed in assignment.seeds]
        )
        population = Population.fresh(weights_RP)
        if inherited is not None:
            population = self._inherit(job, population, inherited)
        count = len(assignment.lineages)
        parameters = [[name, list(shape)] for name, shape in zip(job.layout.names, job.layout.shapes, strict=True)]
        meta = {
            "lineages": assignment.lineages,
            "parameters": parameters,
            "step": 0,
            "fresh": inherited is None,
            "ended": [None] * count,
            "train_steps": [0] * count,
            "share": [job.settings.curriculum if inherited is None else 1.0] * count,
            "remembered": self._remembered(assignment, inherited),
            "threshold": [job.prior.rule().threshold] * count,
            "validation_accuracy": [None] * count,
            "least_loss": [None] * count,
            "slices_since": [0] * count,
            "training_flops": 0.0,
        }
        return RunnerState(arrays=population.arrays(), meta=meta)

    def step(self, assignment: Assignment, state: RunnerState) -> tuple[RunnerState, Measured | None]:
        """Train one slice and look at it; once no lineage is live, verify and measure instead."""
        job = self._job(assignment, fresh=state.meta["fresh"])
        live = _live(state.meta)
        if not live:
            return state, self._measure(job, state)
        population, flops, loss, remembered = _train_slice(job, state, live)
        finite = [isfinite(own) for own in loss]
        meta: dict[str, Any] = {key: list(v) if isinstance(v, list) else v for key, v in state.meta.items()}
        meta["step"] = min(meta["step"] + job.settings.evaluate_every, job.settings.steps)
        meta["remembered"] = {name: list(values) for name, values in meta["remembered"].items()}
        for name, values in remembered.items():
            for row, value in zip(live, values, strict=True):
                meta["remembered"][name][row] = value
        for row, own in zip(live, loss, strict=True):
            meta["train_steps"][row] = meta["step"]
            meta["ended"][row] = None if isfinite(own) else "diverged"
            if own < job.settings.curriculum_loss:
                meta["share"][row] = min(1.0, job.settings.curriculum_growth * meta["share"][row])
        healthy = [index for index, is_finite in enumerate(finite) if is_finite]
        stored = Population(**state.arrays).with_rows([live[index] for index in healthy], population.rows(healthy))
        flops += self._look(job, meta, stored)
        _end(job, meta, dict(zip(live, loss, strict=True)))
        meta["training_flops"] += flops
        return RunnerState(arrays=stored.arrays(), meta=meta), None

    def program(self, assignment: Assignment, state: RunnerState, lineage: int) -> Program:
        """Return a lineage's program with its weights and its calibrated halting rule, on the runner's device."""
        job = self._job(assignment, fresh=state.meta["fresh"])
        row = state.meta["lineages"].index(lineage)
        weights = job.layout.split(state.arrays["weights_RP"][row : row + 1])
        job.model.load_state_dict({name: part[0] for name, part in weights.items()})
        model = job.model
        if job.prior.gates_units():
            model = cut(job.spec, model, self.task.shape(), job.exits, halting=job.prior.uses_halting())
        rule = HaltingRule(job.prior.rule().kind, state.meta["threshold"][row])
        return Program(model.to(self.device).eval(), rule, job.exits)

    def spec_of(self, assignment: Assignment) -> ModelSpec:
        """Return the model part of an assignment: the base with the member's fields, then the budget's, over it."""
        own = assembly.parts_of(self.model, self.prior, assignment.config)
        return own.model.at(assignment.budget.axis)

    def prior_of(self, assignment: Assignment) -> SpeedPrior:
        """Return the prior part of an assignment: the study's with the member's fields over it."""
        return assembly.parts_of(self.model, self.prior, assignment.config).prior

    def _job(self, assignment: Assignment, *, fresh: bool) -> Job:
        spec, prior = self.spec_of(assignment), self.prior_of(assignment)
        exits = assignment.budget.axis[spec.exits_axis()]
        model = self._build(spec, prior, exits, seed=0)
        return Job(
            assignment=assignment,
            study_seed=self.study_seed,
            task=self.task,
            spec=spec,
            prior=prior,
            settings=self.settings.over(spec.train_defaults(), prior.train_defaults()),
            model=model.to(self.device),
            layout=Layout.of(model),
            exits=exits,
            fresh=fresh,
            device=self.device,
        )

    def _build(self, spec: ModelSpec, prior: SpeedPrior, exits: int, seed: int) -> ProgramModel:
        return assembly.build(spec, prior, self.task.shape(), exits, Generator().manual_seed(seed))

    def _inherit(self, job: Job, fresh: Population, inherited: RunnerState) -> Population:
        """Return `fresh` with what its lineages had at their level before, which may be of another width or depth."""

        def generator_of(lineage: int) -> Generator:
            return Generator().manual_seed(job.seed(lineage, "growth"))

        units = job.spec.unit_layout(self.task.shape(), job.exits, halting=job.prior.uses_halting())
        lineages, sources = job.assignment.lineages, _sources(job.assignment)
        return inherit(job.layout, fresh, lineages, sources, inherited, units, job.settings, generator_of)

    def _remembered(self, assignment: Assignment, inherited: RunnerState | None) -> dict[str, list[float]]:
        """Return what the prior remembers of each lineage; an inherited lineage goes on from what it had."""
        found = {
            name: [start] * len(assignment.lineages) for name, start in self.prior_of(assignment).remembers().items()
        }
        for name, values in found.items():
            before = {} if inherited is None else inherited.meta.get("remembered", {})
            for row, source in enumerate(_sources(assignment)):
                if inherited is not None and name in before and source in inherited.meta["lineages"]:
                    values[row] = before[name][inherited.meta["lineages"].index(source)]
        return found

    def _look(self, job: Job, meta: dict[str, Any], stored: Population) -> float:
        """Look at the live lineages, mark in `meta` those that reached the bound, and return the FLOPs of looking."""
        live = _live(meta)
        if not live or not job.may_stop(meta["step"]):
            return 0.0
        weights = job.layout.split(stored.rows(live).weights_RP.to(self.device))
        weights = settled(job.model, weights) if job.prior.gates_units() else weights
        alpha = self.alpha if meta["step"] >= job.settings.steps else self.alpha / 10
        looked = validate(job, weights, alpha=alpha, seed=job.seed("validation", meta["step"]))
        for row, seen in zip(live, looked.lineages, strict=True):
            meta["validation_accuracy"][row] = seen.accuracy
            meta["threshold"][row] = seen.threshold
            meta["ended"][row] = "reached" if seen.reached else None
        return looked.flops

    def _measure(self, job: Job, state: RunnerState) -> Measured:
        at, lineages, spent = job.assignment, [], 0.0
        for lineage in state.meta["lineages"]:
            program = self.program(at, state, lineage)
            found, flops = measure_lineage(
                job, program, state.meta, lineage, self.gates, self.verification_n, self.stable_after_halt
            )
            lineages.append(found)
            spent += flops
        return Measured(
            member=at.member,
            visit=at.visit,
            level=at.level,
            attempt=at.attempt,
            lineages=lineages,
            training_flops=state.meta["training_flops"],
            verification_flops=spent,
        )


def _sources(assignment: Assignment) -> list[int]:
    """Return whose weights each lineage takes: another's where it is a clone."""
    return assignment.lineages if assignment.init_from is None else assignment.init_from.sources


def _live(meta: dict[str, Any]) -> list[int]:
    return [row for row, ended in enumerate(meta["ended"]) if ended is None]


def _end(job: Job, meta: dict[str, Any], loss: dict[int, float]) -> None:
    """Mark in `meta` the lineages that have used up their steps, or whose loss on all examples stays on a plateau."""
    settings = job.settings
    for row in _live(meta):
        least, whole = meta["least_loss"][row], meta["share"][row] == 1.0 and job.may_stop(meta["step"])
        if not whole or least is None or loss[row] < least * (1.0 - settings.plateau_gain):
            meta["least_loss"][row] = loss[row] if whole else None
            meta["slices_since"][row] = 0
        else:
            meta["slices_since"][row] += 1
        waited = settings.plateau is not None and meta["slices_since"][row] >= settings.plateau
        if waited or meta["step"] >= settings.steps:
            meta["ended"][row] = "exhausted"


class _Slice(NamedTuple):
    """The live replicas after a slice: FLOPs that it took, each one's mean loss (nan: not finite), prior's memory."""

    population: Population
    flops: float
    loss: list[float]
    remembered: dict[str, list[float]]


def _train_slice(job: Job, state: RunnerState, live: list[int]) -> _Slice:
    first = state.meta["step"]
    steps = min(job.settings.evaluate_every, job.settings.steps - first)
    lineages, shares = ([state.meta[key][row] for row in live] for key in ("lineages", "share"))
    x_SRBTC, y_SRBT = job.slice_data(lineages, shares, first, steps)
    population = Population(**state.arrays).rows(live).to(job.device)
    total_R = torch.zeros(len(live), device=job.device)
    remembered = {
        name: torch.tensor([values[row] for row in live], device=job.device)
        for name, values in state.meta["remembered"].items()
    }
    flops, noise_SRU = 0.0, job.gate_noise(lineages, first, steps)
    for index, burn_in in enumerate(job.burn_ins(first, steps)):
        step, batch = first + index, (x_SRBTC[index], y_SRBT[index])
        loss, rate = job.loss(step, burn_in), job.learning_rate(step)
        noise_RU = None if noise_SRU is None else noise_SRU[index]
        stepped = train_step(job.model, population, loss, batch, rate, job.settings.gradient_norm, remembered, noise_RU)
        population, remembered = stepped.population, stepped.remembered
        total_R += stepped.loss_R
        flops += len(live) * job.step_flops(step, burn_in)
    finite_R = population.weights_RP.isfinite().all(1)
    mean_loss = torch.where(finite_R, total_R / steps, torch.nan).tolist()
    return _Slice(population, flops, mean_loss, {name: value_R.tolist() for name, value_R in remembered.items()})
