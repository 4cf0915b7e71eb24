"""What the search ledger charges for training is what the dispatcher counts: forward, backward, clip and Adam.

The price is an estimate: a backward pass counts as two forward passes, and the first layer of a small network needs
only one (nothing asks for the gradient of the input). So it has to be near, not equal.
"""

import pytest
import torch
from torch import Generator

from sp_search import assembly
from sp_search.compute import count_flops
from sp_search.plan import build_runner, plan_study
from sp_search.plugins import discover
from sp_search.records import Assignment, Budget
from sp_search.study import study_of
from sp_search.tasks.base import Shape, Task
from sp_search.train.job import Job
from sp_search.train.population import Layout, Population, flatten, train_step
from sp_search.train.settings import TrainSettings

torch.set_num_threads(1)
MODELS, PRIORS = discover("models"), discover("priors")
PAIRS = [(kind, prior) for kind in MODELS for prior in ("none", "ponder_net")]
PAIRS += [("recall_conv", prior) for prior in PRIORS if prior not in ("none", "ponder_net")]
REPLICAS, EXITS = 2, 4


class Table(Task):
    """Noise of the shape that a model takes."""

    kind: str = "table"
    answers: int = 6

    def shape(self):
        return Shape(6, 2, self.answers, 2)

    def sample(self, n, distribution, draw, generator):
        from sp_search.tasks.base import Batch

        x_BTC = torch.randn((n, 6, 2), generator=generator)
        return Batch(x_BTC, torch.randint(0, 2, (n, self.answers), generator=generator))


def job_of(model, prior):
    spec, part = MODELS[model](), PRIORS[prior]()
    task = next(task for task in (Table(), Table(answers=1)) if spec.refuses(task.shape()) is None)
    budget = Budget(kind="mean", measure="rollouts", cap=3.0, axis={spec.exits_axis(): EXITS})
    assignment = Assignment.model_construct(
        member=0, visit=0, level=0, attempt=0, budget=budget, lineages=[0, 1], seeds=[0, 1], milestone=0.9, config={}
    )
    networks = [assembly.build(spec, part, task.shape(), EXITS, Generator().manual_seed(seed)) for seed in (0, 1)]
    job = Job(
        assignment=assignment,
        study_seed=0,
        task=task,
        spec=spec,
        prior=part,
        settings=TrainSettings(batch=32),
        model=networks[0],
        layout=Layout.of(networks[0]),
        exits=EXITS,
        fresh=True,
        device="cpu",
    )
    return job, Population.fresh(torch.stack([flatten(network) for network in networks]))


@pytest.mark.parametrize(("model", "prior"), PAIRS)
def test_a_training_step_costs_what_is_charged_within_a_sixth(model, prior):
    job, population = job_of(model, prior)
    x_SRBTC, y_SRBT = job.slice_data([0, 1], [1.0, 1.0], 0, 1)
    remembered = {name: torch.full((REPLICAS,), start) for name, start in job.prior.remembers().items()}
    step = job.settings.steps - 1
    loss = job.loss(step, 0)
    noise_SRU = job.gate_noise([0, 1], 0, 1)
    noise = () if noise_SRU is None else (noise_SRU[0],)
    counted = count_flops(
        lambda: train_step(job.model, population, loss, (x_SRBTC[0], y_SRBT[0]), 0.01, 1.0, remembered, *noise)
    ).total
    assert counted == pytest.approx(REPLICAS * job.step_flops(step, 0), rel=1 / 6)


@pytest.mark.parametrize("exits", [1, 3])
@pytest.mark.parametrize("prior", [kind for kind in PRIORS if kind != "mean_budget"])
def test_what_is_planned_for_training_bounds_what_every_step_and_look_is_charged(prior, exits):
    train = {"steps": 200, "evaluate_every": 200, "batch": 2, "validation": 8192, "screening": 1, "burn_in": 1.0}
    study = study_of(
        {
            "name": "bound",
            "task": {"kind": "prefix_sums", "bits": 20},
            "model": {"kind": "recall_conv"},
            "prior": {"kind": prior},
            "scheduler": {"kind": "annealing", "start": float(exits), "stop": float(exits)},
            "population": {"replicas": 1},
            "train": train,
            "milestones": [1e-6],
        }
    )
    (row,), runner = plan_study(study).rows, build_runner(study)
    budget = Budget(kind="max", measure="rollouts", cap=float(exits), axis={"rollouts": exits})
    assignment = Assignment(
        member=0, visit=0, level=0, attempt=0, budget=budget, lineages=[0], seeds=[0], milestone=0.9, config={}
    )
    job = runner._job(assignment, fresh=True)
    steps = sum(job.step_flops(step, job.burn_ins(step, 1)[0]) for step in range(200))
    look = 8193 * job.bill.look_flops()
    assert steps + look <= row.training_flops <= 8 * (steps + look)
