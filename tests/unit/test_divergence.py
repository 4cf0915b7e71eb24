"""A lineage that holds NaN or infinity anywhere ends, is never executed, and never wins."""

import pytest
import torch

from sp_search.models.recall_conv import RecallConv
from sp_search.priors.none import NoPrior
from sp_search.priors.ponder_net import PonderNet
from sp_search.records import Assignment, Budget
from sp_search.tasks.prefix_sums import PrefixSums
from sp_search.train.settings import TrainSettings
from sp_search.train.trainer import NeuralRunner

torch.set_num_threads(1)
QUICK = TrainSettings(steps=4, batch=8, evaluate_every=2, screening=16, validation=64)
AT = Assignment(
    member=0, visit=0, level=0, attempt=1, milestone=0.5, config={}, lineages=[0, 1], seeds=[5, 6],
    budget=Budget(kind="max", measure="rollouts", cap=2, axis={"rollouts": 2}),
)  # fmt: skip
VALUES = [float("nan"), float("inf"), float("-inf")]


def runner(prior):
    return NeuralRunner(
        PrefixSums(bits=4), RecallConv(width=4), prior, QUICK, gates=["iid"], verification_n=64, confidence=0.9,
        study_seed=1,
    )  # fmt: skip


def columns(state, words):
    """Return where the parameters whose names hold `words` stand in a lineage's row of weights."""
    found, start = [], 0
    for name, shape in state.meta["parameters"]:
        size = int(torch.tensor(shape).prod())
        found += range(start, start + size) if words in name else []
        start += size
    return found


def spoilt(prior, words, value):
    """Return what becomes of two lineages, the second of which has a value in the parameters of that name."""
    run = runner(prior)
    state = run.begin(AT, None)
    where = columns(state, words)
    assert where
    state.arrays["weights_RP"][1, where] = value
    measured = None
    while measured is None:
        state, measured = run.step(AT, state)
    return measured.lineages


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(("prior", "words"), [(NoPrior(), ""), (PonderNet(), ""), (PonderNet(), "halt")])
def test_what_is_not_finite_ends_its_lineage_alone_and_is_tried_on_no_gate(prior, words, value):
    healthy, broken = spoilt(prior, words, value)
    assert (broken.ended, broken.gates, broken.compute) == ("diverged", {}, {})
    assert healthy.ended in ("reached", "exhausted")
    assert healthy.compute
