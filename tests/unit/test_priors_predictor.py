"""The halting predictor: its labels, what it sees, and that the program that it serves cannot move once frozen."""

import pytest
import torch

from sp_search.priors.halting_predictor import HaltingPredictorPrior, least_stable_exit
from sp_search.priors.networks.halting_predictor import HaltingPredictor
from sp_search.program import Exits
from sp_search.train.settings import TrainSettings
from tests.unit.test_train_runner import Before, assignment, runner

torch.set_num_threads(1)


def test_a_label_is_the_first_exit_from_which_on_all_are_right():
    rights = {(1, 1, 1): 0, (0, 1, 1): 1, (1, 0, 1): 2, (0, 0, 1): 2, (1, 1, 0): 2, (0, 0, 0): 2}
    right_NB = torch.tensor(list(rights), dtype=torch.bool).T
    assert least_stable_exit(right_NB).tolist() == list(rights.values())


def test_the_predictor_sees_kernel_to_the_layers_positions_and_no_more():
    generator = torch.Generator().manual_seed(0)
    network = HaltingPredictor(channels=1, exits=3, layers=2, width=32, kernel=4, generator=generator)
    found = []
    network.convolutions[1].register_forward_hook(lambda _, inputs, features: found.append(features))
    x_BTC = torch.zeros(2, 30, 1)
    x_BTC[1, 5] = 3.0
    network(x_BTC)
    moved_T = (found[0][1] != found[0][0]).any(-1)
    assert moved_T.nonzero().flatten().tolist() == list(range(5, 5 + 16))


def test_offline_the_loss_is_the_cross_entropy_of_the_stable_label():
    right_NB = torch.tensor([[0, 1, 0], [1, 1, 0]], dtype=torch.bool)
    predict_BN = torch.tensor([[0.0, 2.0], [1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    exits = Exits(torch.randn(2, 3, 1, 2), None, (1.0, 2.0), right_NB=right_NB, predict_BN=predict_BN)
    loss, _ = HaltingPredictorPrior().loss(exits, lambda y_BTV: y_BTV.sum((1, 2)), {"progress": 1.0})
    p = torch.softmax(predict_BN, 1)
    assert loss.item() == pytest.approx(-(p[0, 1].log() + p[1, 0].log() + p[2, 1].log()).item() / 3)


def test_online_the_program_gets_the_gradient_of_its_task_alone():
    logits_NBTV = torch.randn(2, 3, 1, 2, requires_grad=True)
    right_NB, predict_BN = torch.rand(2, 3) > 0.5, torch.randn(3, 2)
    exits = Exits(logits_NBTV, None, (1.0, 2.0), right_NB=right_NB, predict_BN=predict_BN)

    def gradient(mode, progress):
        loss, _ = HaltingPredictorPrior(mode=mode).loss(
            exits, lambda y_BTV: y_BTV.square().sum((1, 2)), {"progress": progress}
        )
        return torch.autograd.grad(loss, logits_NBTV)[0]

    assert torch.equal(gradient("online", 1.0), gradient("offline", 0.0))


def test_what_is_missing_is_named():
    exits = Exits(torch.zeros(2, 3, 1, 2), None, (1.0, 2.0))
    with pytest.raises(ValueError, match="right_NB was not computed"):
        HaltingPredictorPrior().loss(exits, lambda y_BTV: y_BTV.sum((1, 2)), {"progress": 1.0})
    with pytest.raises(ValueError, match="predictor attached"):
        HaltingPredictorPrior().halting(exits)


def trained(mode):
    """Return the parameters by name at the end of the program's stage and at the end of training, and the runner."""
    settings = TrainSettings(steps=80, batch=16, evaluate_every=20, learning_rate=1e-2, screening=64, validation=512)
    run = runner(Before(distance=3), prior=HaltingPredictorPrior(mode=mode, warmup=0.5), settings=settings)
    at = assignment(cap=3)
    state, found = run.begin(at, None), []
    for _ in range(4):
        state, _ = run.step(at, state)
        job = run._job(at, fresh=True)
        found.append({key: job.layout.split(state.arrays[key]) for key in state.arrays})
    return found[1], found[3], run, at, state


def test_offline_the_program_is_bit_identical_before_and_after_the_predictor_learns():
    before, after, run, at, state = trained("offline")
    for key in ("weights_RP", "first_RP", "second_RP", "count_RP"):
        for name in before[key]:
            own = name.startswith("halting_predictor.")
            assert torch.equal(before[key][name], after[key][name]) != own, (key, name)
    _, measured = run.step(at, state)
    for lineage in measured.lineages:
        assert lineage.compute["rollouts"].mean <= 3.0
        assert lineage.diagnostics["dead_halting"] in (True, False)


def test_online_the_program_goes_on_training():
    before, after, *_ = trained("online")
    assert not torch.equal(before["weights_RP"]["head.0.weight"], after["weights_RP"]["head.0.weight"])
    moved = [name for name in before["weights_RP"] if name.startswith("halting_predictor.")]
    assert all(not torch.equal(before["weights_RP"][name], after["weights_RP"][name]) for name in moved)


def test_the_predictors_stage_runs_no_burn_in_and_an_inherited_level_trains_the_program_anew():
    settings = TrainSettings(steps=40, batch=16, evaluate_every=20, burn_in=1.0)
    run = runner(prior=HaltingPredictorPrior(warmup=0.5), settings=settings)
    job = run._job(assignment(cap=2), fresh=False)
    assert all(job.burn_ins(0, 20))
    assert not any(job.burn_ins(20, 20))
    assert job.prior.trains_program(job.progress(0))
    assert not job.prior.trains_program(job.progress(20))


def test_a_frozen_programs_steps_are_charged_one_forward_pass_and_the_predictors_three():
    settings = TrainSettings(steps=2, batch=2, evaluate_every=1, burn_in=0.0)
    job = runner(prior=HaltingPredictorPrior(warmup=0.5), settings=settings)._job(assignment(cap=2), fresh=True)
    prices = job.bill.prices
    forward = prices.start + sum(prices.step_N) + sum(prices.answer_N) + 6 * 16 * 2 * 2
    parameters = 18 * sum(job.layout.sizes)
    assert prices.predict > 0
    assert job.step_flops(0, 0) == 2 * 3 * forward + parameters
    assert job.step_flops(1, 0) == 2 * (forward + 3 * prices.predict) + parameters
