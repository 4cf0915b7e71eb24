"""The one loop that trains: a `LevelRunner` for neural programs. All that it carries lies in `RunnerState`.

A slice is `evaluate_every` optimiser steps for the live lineages, then a look at validation. Seeds come from what they are
for (study, member, visit, level, lineage, purpose, slice), so a slice that is run again repeats bit for bit, and no
lineage's course depends on its siblings. Training FLOPs are analytic: forward and backward cost 3 forward passes of
everything that the loss reads, burn-in and validation 1, an optimiser step `OPTIMISER_FLOPS_PER_PARAMETER` a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor
from torch.nn import functional

from sp_search.compute.serial import program_serial_depth
from sp_search.plugins import find
from sp_search.pricing import HaltingRule, Prices
from sp_search.program import Program, ProgramModel, unroll
from sp_search.records import Assignment, LineageMeasurement, Measured, RunnerState, derive_seed
from sp_search.tasks.base import Batch
from sp_search.train.evaluate import ENUMERATE_IN_VERIFICATION, diagnose, draw_batch, try_program
from sp_search.train.population import OPTIMISER_FLOPS_PER_PARAMETER, Layout, Population, flatten, train_step
from sp_search.train.validation import validate

if TYPE_CHECKING:
    from sp_search.models.base import ModelSpec
    from sp_search.priors.base import SpeedPrior
    from sp_search.tasks.base import Task
    from sp_search.train.settings import TrainSettings

LOSS_FLOPS_PER_LOGIT = 6.0  # a softmax and a logarithm


@dataclass(frozen=True)
class Job:
    """What stays the same through one level of one member."""

    assignment: Assignment
    spec: ModelSpec
    model: ProgramModel
    settings: TrainSettings
    exits: int
    layout: Layout
    prices: Prices

    def seed(self, study_seed: int, *purpose: object) -> int:
        """Return a seed for a purpose within this member's visit of this level."""
        at = self.assignment
        return derive_seed(study_seed, at.member, at.visit, at.level, *purpose)


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
        confidence: float,
        study_seed: int,
        device: str = "cpu",
    ) -> None:
        """Take the parts of a study.

        Args:
            task: what is learnt; its first distribution is trained on.
            model: base of all members; an assignment's `config` overrides its fields (or names another kind).
            prior: the speed prior of the loss.
            settings: what the study sets; the rest comes from the recipes of the model and the prior.
            gates: distributions on which a program must be good enough.
            verification_n: examples of a verification draw where the support is too large to enumerate.
            confidence: of the study; training stops on a bound ten times as strict, as later looks spend less error.
            study_seed: root of every seed but those of the initial weights, which the assignment gives.
            device: of training and execution; states are stored on the CPU.
        """
        self.task, self.model, self.prior, self.settings = task, model, prior, settings
        self.gates, self.verification_n, self.study_seed, self.device = gates, verification_n, study_seed, device
        self.stop_alpha = (1.0 - confidence) / 10
        self.distribution = task.distributions()[0]

    def begin(self, assignment: Assignment, inherited: RunnerState | None) -> RunnerState:
        """Return the state before the first slice. Lineages inherit weights and Adam moments by number and by name."""
        job = self._job(assignment)
        weights_RP = torch.stack([flatten(self._build(job.spec, job.exits, seed)) for seed in assignment.seeds])
        population = Population.fresh(weights_RP)
        if inherited is not None:
            population = _inherit(job.layout, population, assignment.lineages, inherited)
        count = len(assignment.lineages)
        meta = {
            "lineages": assignment.lineages,
            "parameters": [
                [name, list(shape)] for name, shape in zip(job.layout.names, job.layout.shapes, strict=True)
            ],
            "step": 0,
            "fresh": inherited is None,
            "ended": [None] * count,
            "train_steps": [0] * count,
            "threshold": [self.prior.rule().threshold] * count,
            "validation_accuracy": [None] * count,
            "training_flops": 0.0,
        }
        return RunnerState(arrays=population.arrays(), meta=meta)

    def step(self, assignment: Assignment, state: RunnerState) -> tuple[RunnerState, Measured | None]:
        """Train one slice and look at it; once no lineage is live, verify and measure instead."""
        job = self._job(assignment)
        live = [row for row, ended in enumerate(state.meta["ended"]) if ended is None]
        if not live:
            return state, self._measure(job, state)
        population, flops, finite = self._train_slice(job, state, live)
        meta = {k: list(v) if isinstance(v, list) else v for k, v in state.meta.items()}
        meta["step"] = min(meta["step"] + job.settings.evaluate_every, job.settings.steps)
        for row, is_finite in zip(live, finite, strict=True):
            meta["train_steps"][row] = meta["step"]
            meta["ended"][row] = None if is_finite else "diverged"
        healthy = [index for index, is_finite in enumerate(finite) if is_finite]
        stored = Population(**state.arrays).with_rows([live[index] for index in healthy], population.rows(healthy))
        flops += self._look(job, meta, stored)
        if meta["step"] >= job.settings.steps:
            meta["ended"] = [ended or "exhausted" for ended in meta["ended"]]
        meta["training_flops"] += flops
        return RunnerState(arrays=stored.arrays(), meta=meta), None

    def program(self, assignment: Assignment, state: RunnerState, lineage: int) -> Program:
        """Return a lineage's program with its weights and its calibrated halting rule, on the runner's device."""
        job = self._job(assignment)
        row = state.meta["lineages"].index(lineage)
        weights = job.layout.split(state.arrays["weights_RP"][row : row + 1])
        job.model.load_state_dict({name: part[0] for name, part in weights.items()})
        rule = HaltingRule(self.prior.rule().kind, state.meta["threshold"][row])
        return Program(job.model.to(self.device).eval(), rule, job.exits)

    def spec_of(self, assignment: Assignment) -> ModelSpec:
        """Return the model part of an assignment: the base with the member's fields over it."""
        config = assignment.config
        if config.get("kind", self.model.kind_name()) != self.model.kind_name():
            return find("models", config["kind"])(**config)  # type: ignore[return-value]
        return type(self.model)(**{**self.model.model_dump(), **config})

    def _job(self, assignment: Assignment) -> Job:
        spec = self.spec_of(assignment)
        (exits,) = assignment.budget.axis.values()
        model = self._build(spec, exits, 0)
        settings = self.settings.over(spec.train_defaults(), self.prior.train_defaults())
        prices = spec.prices(self.task.shape(), exits, halting=self.prior.uses_halting())
        return Job(assignment, spec, model.to(self.device), settings, exits, Layout.of(model), prices)

    def _build(self, spec: ModelSpec, exits: int, seed: int) -> ProgramModel:
        generator = Generator().manual_seed(seed)
        return spec.build(self.task.shape(), exits, halting=self.prior.uses_halting(), generator=generator)

    def _progress(self, job: Job, step: int, *, fresh: bool) -> float:
        """Return the share of the recipe that is done; inherited lineages begin after its warm-up."""
        begun = 0.0 if fresh else self.prior.warmup_share()
        return begun + (1.0 - begun) * step / job.settings.steps

    def _train_slice(self, job: Job, state: RunnerState, live: list[int]) -> tuple[Population, float, list[bool]]:
        """Return the live replicas after one slice, the FLOPs that it took, and which of them are finite."""
        settings, first, fresh = job.settings, state.meta["step"], state.meta["fresh"]
        steps = min(settings.evaluate_every, settings.steps - first)
        x_SRBTC, y_SRBT = self._slice_data(job, [state.meta["lineages"][row] for row in live], first, steps)
        burn_ins = self._burn_ins(job, first, steps, fresh=fresh)
        population = Population(**state.arrays).rows(live).to(self.device)
        finite_R = torch.ones(len(live), dtype=torch.bool, device=self.device)
        flops = 0.0
        for index in range(steps):
            progress = self._progress(job, first + index, fresh=fresh)
            rate = settings.learning_rate * _schedule(settings, first + index, progress, fresh=fresh)
            loss = self._replica_loss(job, progress, burn_ins[index])
            population, loss_R = train_step(
                job.model, population, loss, (x_SRBTC[index], y_SRBT[index]), rate, settings.gradient_norm
            )
            finite_R &= loss_R.isfinite()
            flops += len(live) * self._step_flops(job, progress, burn_ins[index])
        finite_R &= population.weights_RP.isfinite().all(1)
        return population, flops, finite_R.tolist()

    def _slice_data(self, job: Job, lineages: list[int], first: int, steps: int) -> tuple[Tensor, Tensor]:
        """Return x_SRBTC and y_SRBT: each lineage draws its own examples for the S steps of a slice."""
        batches = []
        for lineage in lineages:
            generator = Generator().manual_seed(job.seed(self.study_seed, lineage, "train", first))
            drawn = self.task.sample(steps * job.settings.batch, self.distribution, "train", generator)
            batches.append(Batch(*(part.unflatten(0, (steps, job.settings.batch)) for part in drawn)))
        x_SRBTC, y_SRBT = (torch.stack(parts, dim=1).to(self.device) for parts in zip(*batches, strict=True))
        return x_SRBTC, y_SRBT

    def _burn_ins(self, job: Job, first: int, steps: int, *, fresh: bool) -> list[int]:
        """Return for each step how many rollouts, 1..2N-1 or none, run first without gradient, common to all replicas.

        With halting it belongs to the warm-up alone: a halting distribution counts rollouts from the start.
        """
        generator = Generator().manual_seed(job.seed(self.study_seed, "burn_in", first))
        chance_S = torch.rand(steps, generator=generator)
        lengths = torch.randint(1, max(2 * job.exits, 2), (steps,), generator=generator).tolist()
        if job.exits == 1 or not job.model.shares_weights:
            return [0] * steps
        halting = [self._halts(self._progress(job, first + index, fresh=fresh)) for index in range(steps)]
        drawn = (chance_S < job.settings.burn_in).tolist()
        return [n if on and not halts else 0 for n, on, halts in zip(lengths, drawn, halting, strict=True)]

    def _halts(self, progress: float) -> bool:
        return self.prior.uses_halting() and progress >= self.prior.warmup_share()

    def _replica_loss(self, job: Job, progress: float, burn_in: int) -> Any:
        def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
            def batch_loss(logits_BTV: Tensor) -> Tensor:
                return functional.cross_entropy(logits_BTV.movedim(-1, 1), y_BT, reduction="none").flatten(1).mean(1)

            halting, last_only = self._halts(progress), not self.prior.needs_every_exit()
            exits = unroll(model, x_BTC, exits=job.exits, halting=halting, burn_in=burn_in, last_only=last_only)
            return self.prior.loss(exits, batch_loss, {"progress": progress})[0]

        return loss

    def _step_flops(self, job: Job, progress: float, burn_in: int) -> float:
        shape = self.task.shape()
        answers = job.prices.answer_N if self.prior.needs_every_exit() else job.prices.answer_N[-1:]
        forward = job.prices.start + sum(job.prices.step_N) + sum(answers)
        forward += sum(job.prices.halt_N) if self._halts(progress) else 0.0
        forward += LOSS_FLOPS_PER_LOGIT * shape.answers * shape.classes * len(answers)
        parameters = sum(job.layout.sizes)
        return (
            job.settings.batch * (3 * forward + burn_in * job.prices.step_N[0])
            + OPTIMISER_FLOPS_PER_PARAMETER * parameters
        )

    def _look(self, job: Job, meta: dict[str, Any], stored: Population) -> float:
        """Look at the live lineages, mark in `meta` those that reached the bound, and return the FLOPs of looking.

        A recipe that trains halting under a max budget runs to its end: nothing but the loss asks it to spend less. Under
        a mean budget it may stop once halting trains, as the cap is part of what must be met.
        """
        live = [row for row, ended in enumerate(meta["ended"]) if ended is None]
        settled = (
            self.prior.warmup_share() if job.assignment.budget.kind == "mean" else float(self.prior.uses_halting())
        )
        if not live or self._progress(job, meta["step"], fresh=meta["fresh"]) < settled:
            return 0.0
        looked = validate(
            job.model,
            job.layout.split(stored.rows(live).to(self.device).weights_RP),
            self.prior.rule(),
            job.assignment,
            self.task,
            job.settings,
            alpha=self.stop_alpha,
            seed=job.seed(self.study_seed, "validation", meta["step"]),
            device=self.device,
        )
        for row, seen in zip(live, looked.lineages, strict=True):
            meta["validation_accuracy"][row] = seen.accuracy
            meta["threshold"][row] = seen.threshold
            meta["ended"][row] = "reached" if seen.reached else None
        return looked.flops

    def _measure(self, job: Job, state: RunnerState) -> Measured:
        measured = [self._measure_lineage(job, state, row) for row in range(len(state.meta["lineages"]))]
        at = job.assignment
        return Measured(
            member=at.member,
            visit=at.visit,
            level=at.level,
            attempt=at.attempt,
            lineages=[lineage for lineage, _ in measured],
            training_flops=state.meta["training_flops"],
            verification_flops=sum(flops for _, flops in measured),
        )

    def _measure_lineage(self, job: Job, state: RunnerState, row: int) -> tuple[LineageMeasurement, float]:
        """Execute one lineage's program on fresh verification draws; return what was seen and the FLOPs it took."""
        at, ended, lineage = job.assignment, state.meta["ended"][row], state.meta["lineages"][row]
        program = self.program(at, state, lineage)
        positions = self.task.shape().positions
        found = LineageMeasurement(
            lineage=lineage,
            seed=at.seeds[row],
            ended=ended,
            train_steps=state.meta["train_steps"][row],
            max_available_flops=program.max_available_flops(positions),
            parameters=sum(job.layout.sizes),
            serial_depth=program_serial_depth(program, self.task.shape()),
            diagnostics={"validation_accuracy": state.meta["validation_accuracy"][row]},
        )
        if ended == "diverged":
            return found, 0.0
        gates, flops = {}, 0.0
        for distribution in dict.fromkeys([self.distribution, *(self.gates if ended == "reached" else [])]):
            seed = job.seed(self.study_seed, lineage, "verification", distribution)
            batch, exact = draw_batch(
                self.task, distribution, "verification", self.verification_n, seed, ENUMERATE_IN_VERIFICATION
            )
            batch = Batch(*(part.to(self.device) for part in batch))
            trial = try_program(program, self.task, batch, exact=exact)
            flops += float(trial.flops_B.sum())
            if distribution == self.distribution:
                diagnostics = found.diagnostics | diagnose(program, self.task, batch, trial)
                found = found.model_copy(
                    update={"compute": trial.compute(program, positions), "diagnostics": diagnostics}
                )
            if ended == "reached" and distribution in self.gates:
                gates[distribution] = trial.count
        return found.model_copy(update={"gates": gates}), flops


def _schedule(settings: TrainSettings, step: int, progress: float, *, fresh: bool) -> float:
    """Return the factor on the step size: a linear rise for fresh lineages, a linear fall after `decay_from`."""
    rise = min(1.0, (step + 1) / settings.warmup_steps) if fresh and settings.warmup_steps else 1.0
    if progress <= settings.decay_from or settings.decay_from == 1.0:
        return rise
    fallen = (progress - settings.decay_from) / (1.0 - settings.decay_from)
    return rise * (1.0 - fallen * (1.0 - settings.decay_to))


def _inherit(layout: Layout, fresh: Population, lineages: list[int], inherited: RunnerState) -> Population:
    """Return `fresh` with weights, moments and counts of `inherited` wherever lineage, name and shape agree."""
    before = inherited.meta["lineages"]
    old = Layout(*zip(*((name, tuple(shape)) for name, shape in inherited.meta["parameters"]), strict=True))
    source = {key: old.split(array) for key, array in inherited.arrays.items()}
    arrays = {key: array.clone() for key, array in fresh.arrays().items()}
    for key, array in arrays.items():
        for name, part in layout.split(array).items():
            if name in source[key] and source[key][name].shape[1:] == part.shape[1:]:
                for row, lineage in enumerate(lineages):
                    if lineage in before:
                        part[row] = source[key][name][before.index(lineage)]
    return replace(fresh, **arrays)
