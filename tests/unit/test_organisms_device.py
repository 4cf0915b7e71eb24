"""Nets on another device: every loss trains there with nothing left behind, and what comes of it says where it was.

The device is `meta`, whose tensors have shapes and no numbers: an operation on two devices raises as on a GPU.
"""

import pytest
import torch
from torch import Generator

from sp_search import assembly
from sp_search.claims.jobs import Job, Ran, run_job
from sp_search.experiments.carried_state import CarriedState
from sp_search.models.exit_conv import ExitConv
from sp_search.models.reading_cell import ReadingCell
from sp_search.models.recall_conv import RecallConv
from sp_search.organisms.cache import stored
from sp_search.organisms.training import exit_losses, halting_losses, losses
from sp_search.organisms.training.device import device, gpu_allowed
from sp_search.organisms.training.nets import step, stopped
from sp_search.organisms.training.optimiser import Optimiser
from sp_search.pricing import HaltingRule
from sp_search.priors.halting_predictor import HaltingPredictorPrior
from sp_search.priors.mean_rollouts import MeanRollouts
from sp_search.tasks.base import Batch, Shape
from sp_search.train.population import Population, flatten

SHAPE, EXITS, ROWS, N = Shape(positions=6, channels=7, answers=1, classes=2), 4, 3, 5
EVERYWHERE = SHAPE._replace(answers=SHAPE.positions)
META = torch.device("meta")


def model_of(name):
    """Return a small network with what its losses read."""
    generator = Generator().manual_seed(0)
    match name:
        case "reader":
            return ReadingCell(width=4).build(SHAPE, EXITS, halting=True, generator=generator)
        case "exits":
            return ExitConv(width=4, depth=EXITS, kernel=2).build(SHAPE, EXITS, halting=False, generator=generator)
        case "cell":
            return RecallConv(width=4, layers=1).build(EVERYWHERE, EXITS, halting=True, generator=generator)
    return assembly.build(ReadingCell(width=4), HaltingPredictorPrior(), SHAPE, EXITS, generator)


# Without `joint`, the product's own prior: its `new_tensor` knows CPU and CUDA under vmap, and not meta (torch's
# BatchedTensorImpl.h, kKeysToPropagateToWrapper).
LOSSES = {
    "pondering": ("reader", losses.pondering(EXITS, price=0.1, last=1.0)),
    "last_answer": ("reader", losses.last_answer(EXITS)),
    "every_answer": ("exits", exit_losses.every_answer(EXITS, "last")),
    "silent_heads": ("exits", exit_losses.silent_heads(EXITS, 1.0)),
    "hiding_blocks": ("exits", exit_losses.hiding_blocks(EXITS, 1.0, lambda x_BTC: x_BTC[:, 0, 0] > 0)),
    "paid_to_wait": ("exits", exit_losses.paid_to_wait(EXITS, 0.1, 0.9)),
    "by_position": ("cell", halting_losses.by_position(EXITS, MeanRollouts(price=0.2))),
    "offline_halting": ("cell", halting_losses.offline_halting(EXITS)),
    "offline_predictor": ("predictor", halting_losses.offline_predictor(EXITS)),
    "online_predictor": ("predictor", halting_losses.online_predictor(EXITS, 0.1)),
    "silent_until_last": ("predictor", halting_losses.silent_until_last(EXITS, 1.0)),
    "carried_state": ("reader", CarriedState(rollouts=EXITS)._loss(True, 0.1)),
}


def batch_of(name):
    """Return inputs and labels of every row: of a carried state three tasks one after the other."""
    tasks = 3 if name == "carried_state" else 1
    answers = EVERYWHERE.answers if LOSSES[name][0] == "cell" else tasks
    x_RBTC = torch.ones(ROWS, N, tasks * SHAPE.positions, SHAPE.channels)
    return x_RBTC, torch.ones(ROWS, N, answers, dtype=torch.long)


def population_of(model, where):
    return Population.fresh(torch.stack([flatten(model)] * ROWS).to(where))


@pytest.mark.parametrize("optimiser", [Optimiser(), Optimiser(kind="adamw", weight_decay=0.1), Optimiser(kind="sgd")])
@pytest.mark.parametrize("name", LOSSES)
def test_a_step_of_training_stays_on_the_device_of_its_nets(name, optimiser):
    network, loss = LOSSES[name]
    model = model_of(network)
    batch = tuple(part.to(META) for part in batch_of(name))
    moved = step(model, population_of(model, META), loss, batch, optimiser)
    assert {part.device for part in moved.arrays().values()} == {META}
    here = step(model, population_of(model, "cpu"), loss, batch_of(name), optimiser)
    assert here.weights_RP.shape == moved.weights_RP.shape
    assert not torch.equal(here.weights_RP, population_of(model, "cpu").weights_RP)


def test_a_tensor_that_was_left_behind_is_found():
    left_B = torch.ones(N)
    model = model_of("reader")

    def loss(model, x_BTC, y_BT):
        return (x_BTC[:, 0, 0] * left_B).sum() + sum(part.sum() for part in model.parameters())

    batch = tuple(part.to(META) for part in batch_of("pondering"))
    with pytest.raises(RuntimeError, match="device"):
        step(model, population_of(model, META), loss, batch, Optimiser())


@pytest.mark.parametrize(
    ("network", "rule"),
    [
        ("reader", HaltingRule("quantile", 0.5)),
        ("reader", HaltingRule("last")),
        ("exits", HaltingRule("confidence", 0.9)),
        ("predictor", HaltingRule("prediction", 0.9)),
    ],
)
def test_nets_are_looked_at_on_the_device_where_they_are(network, rule):
    model = model_of(network)
    x_BTC, y_BT = (part[0].to(META) for part in batch_of("last_answer"))
    seen = stopped(model, population_of(model, META).weights_RP, Batch(x_BTC, y_BT), rule, EXITS)
    assert seen.right_RB.device == seen.exit_RB.device == META
    assert seen.right_RB.shape == seen.exit_RB.shape == (ROWS, N)


def test_nets_are_on_the_cpu_unless_a_gpu_is_allowed_and_there():
    assert device().type == "cpu"
    for gpu in (False, True):
        with gpu_allowed(gpu) as place:
            assert place.device is None, "no net has asked yet"
            assert device().type == ("cuda" if gpu and torch.cuda.is_available() else "cpu")
    assert device().type == "cpu"


def test_nets_of_another_device_are_not_taken_from_the_cache(tmp_path):
    def make(value):
        return lambda: {"weights_RP": torch.tensor([[value]])}

    assert stored(tmp_path, {"seeds": [0]}, make(1.0))["weights_RP"].item() == 1.0
    with gpu_allowed(True) as place:
        place.device = META
        assert stored(tmp_path, {"seeds": [0]}, make(2.0))["weights_RP"].item() == 2.0
    assert stored(tmp_path, {"seeds": [0]}, make(3.0))["weights_RP"].item() == 1.0


@pytest.mark.parametrize(
    ("experiment", "notes"),
    [
        ({"kind": "ponder_pool", "planting_steps": 1, "steps": 1, "pool": 1}, ["nets on the CPU"]),
        ({"kind": "selection_order"}, []),
    ],
)
def test_evidence_says_where_its_nets_were(experiment, notes, tmp_path):
    job = Job(key="key", experiment=experiment, n=3, seed=1000, seconds=1.0, parts=["C01/pools"])
    ran = Ran.model_validate(run_job(job.model_dump(mode="json"), str(tmp_path), gpu=False))
    assert ran.evidence is not None, ran.error
    assert ran.evidence.notes == notes
