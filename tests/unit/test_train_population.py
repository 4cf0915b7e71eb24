"""Stacked training does to each replica what torch's own optimiser does to one."""

import torch
from torch import Generator, nn

from sp_search.models.recall_conv import RecallConv
from sp_search.tasks.base import Shape
from sp_search.train.population import Layout, Population, adam, flatten, per_replica, train_step

torch.set_num_threads(1)
SHAPE = Shape(5, 1, 5, 2)


def networks(count=3):
    build = RecallConv(width=4).build
    return [build(SHAPE, 2, halting=True, generator=Generator().manual_seed(seed)) for seed in range(count)]


def replica_loss(model, x_BTC, y_BT):
    state = model.step(model.step(model.start(x_BTC), 1), 2)
    return nn.functional.cross_entropy(model.answer(state, 2).movedim(-1, 1), y_BT)


def without_memory(model, x_BTC, y_BT, remembered):
    return replica_loss(model, x_BTC, y_BT), remembered


def data(count, steps):
    generator = Generator().manual_seed(9)
    x_SRBTC = torch.randn(steps, count, 6, 5, 1, generator=generator)
    return x_SRBTC, (x_SRBTC[..., 0] > 0).long()


def test_a_flat_vector_splits_into_the_parameters_that_it_was_made_of():
    model = networks(1)[0]
    parts = Layout.of(model).split(flatten(model)[None])
    for name, parameter in model.named_parameters():
        assert torch.equal(parts[name][0], parameter)


def test_stacked_adam_with_clipping_is_torchs_adam_for_every_replica():
    """Parameters that the loss does not read (the halting unit) are left alone."""
    models, steps = networks(), 6
    x_SRBTC, y_SRBT = data(len(models), steps)
    population = Population.fresh(torch.stack([flatten(model) for model in models]))
    for step in range(steps):
        batch = (x_SRBTC[step], y_SRBT[step])
        population, loss_R, _ = train_step(models[0], population, without_memory, batch, 0.01, 0.1)
    assert loss_R.shape == (3,)
    for replica, model in enumerate(models):
        optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
        for step in range(steps):
            optimiser.zero_grad()
            replica_loss(model, x_SRBTC[step, replica], y_SRBT[step, replica]).backward()
            nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], 0.1)
            optimiser.step()
        torch.testing.assert_close(population.weights_RP[replica], flatten(model), atol=1e-4, rtol=1e-3)


def test_a_replica_with_a_gradient_that_is_not_finite_harms_no_other():
    population = Population.fresh(torch.ones(2, 4))
    gradient_RP = torch.tensor([[float("nan")] * 4, [0.1] * 4])
    stepped = adam(population, gradient_RP, torch.ones(4), 0.5, 1.0)
    torch.testing.assert_close(stepped.weights_RP[1], torch.full((4,), 0.5))
    assert stepped.weights_RP[0].isnan().all()


def test_rows_leave_with_weights_and_moments_and_come_back():
    population = Population(*(torch.arange(6.0).reshape(3, 2) + offset for offset in (0, 10, 20, 30)))
    kept = population.rows([2, 0])
    assert kept.second_RP.tolist() == [[24.0, 25.0], [20.0, 21.0]]
    restored = Population.fresh(torch.zeros(3, 2)).with_rows([2, 0], kept)
    assert restored.first_RP.tolist() == [[10.0, 11.0], [0.0, 0.0], [14.0, 15.0]]
    assert population.weights_RP[1].tolist() == [2.0, 3.0]


def test_replicas_can_share_one_input():
    models = networks()
    weights = Layout.of(models[0]).split(torch.stack([flatten(model) for model in models]))
    x_BTC = torch.randn(4, 5, 1, generator=Generator().manual_seed(1))
    stacked = per_replica(models[0], lambda model, x: model.start(x)[0], weights, (x_BTC,), shared=True)
    for model, hidden in zip(models, stacked, strict=True):
        torch.testing.assert_close(hidden, model.start(x_BTC)[0])
