"""Each prior's loss against an independent reference in numpy, and its gradients against finite differences."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from sp_search.plugins import discover
from sp_search.priors.mean_budget import MeanBudget
from sp_search.priors.ponder_net import geometric_log_N, kl_to_geometric
from sp_search.priors.uniform_kl import kl_to_uniform
from sp_search.program import Exits, halting_log_probabilities

torch.set_num_threads(1)
N, B, T, V = 4, 5, 3, 2
Y_BT = torch.arange(B * T).reshape(B, T) % V
FLOPS_N, DEPTH_N, COST_N = (10.0, 15.0, 30.0, 40.0), (7.0, 12.0, 20.0, 22.0), (1.0, 2.0, 3.0, 4.0)


def drawn(seed=0):
    generator = torch.Generator().manual_seed(seed)
    halt_NB = torch.randn(N, B, generator=generator, dtype=torch.float64)
    logits_NBTV = torch.randn(N, B, T, V, generator=generator, dtype=torch.float64)
    return halt_NB, logits_NBTV, torch.randn(B, N, generator=generator, dtype=torch.float64)


def exits_of(halt_NB, logits_NBTV, predict_BN, right_NB=None):
    active = logits_NBTV.new_tensor(0.5)
    return Exits(logits_NBTV, halt_NB, FLOPS_N, DEPTH_N, right_NB=right_NB, predict_BN=predict_BN, active=active)


def batch_loss(logits_BTV):
    return functional.cross_entropy(logits_BTV.movedim(-1, 1), Y_BT, reduction="none").mean(1)


# The reference: numpy alone, written from the equations with products and logarithms of probabilities.
def task_losses(logits_NBTV):
    e = np.exp(logits_NBTV)
    p = e / e.sum(-1, keepdims=True)
    return -np.log(np.take_along_axis(p, np.broadcast_to(Y_BT.numpy()[None, ..., None], (*p.shape[:3], 1)), -1)).mean(
        (2, 3)
    )


def distribution(halt_NB):
    rates = 1 / (1 + np.exp(-halt_NB))
    p, left = np.zeros_like(rates), np.ones(B)
    for n in range(N - 1):
        p[n], left = left * rates[n], left * (1 - rates[n])
    p[N - 1] = left
    return p


def pondered(halt, logits, task, supervision, speed_B):
    p, loss = distribution(halt), task_losses(logits)
    return (task * ((p * loss).sum(0) + supervision * loss.mean(0)) + speed_B).mean()


def mean(p_NB, value_N):
    return (p_NB * np.array(value_N)[:, None]).sum(0)


def act_by_hand(halt, logits, tau=0.2, eps=0.01):
    rates = 1 / (1 + np.exp(-halt))
    ponder, mixed = np.zeros(B), np.zeros((B, T, V))
    for b in range(B):
        total = 0.0
        for n in range(N):
            if total + rates[n, b] >= 1 - eps or n == N - 1:
                ponder[b] = n + 1 + (1 - total)
                mixed[b] += (1 - total) * logits[n, b]
                break
            total += rates[n, b]
            mixed[b] += rates[n, b] * logits[n, b]
    return (2.0 * (task_losses(mixed[None])[0] + 0.1 * task_losses(logits).mean(0)) + tau * ponder).mean()


GEOMETRIC = np.array([8.0, 4.0, 2.0, 1.0])[:, None] / 15  # rate 1/2, renormalised over four exits
COMMON = {"task": 2.0, "supervision": 0.1}
REFERENCES = {
    "ponder_net": (
        {"beta": 0.3, "rate": 0.5, "price": 0.2, **COMMON},
        lambda h, y: pondered(
            h, y, 2.0, 0.1, 0.3 * (distribution(h) * np.log(distribution(h) / GEOMETRIC)).sum(0)
            + 0.2 * mean(distribution(h), (1, 2, 3, 4)),
        ),
    ),
    "uniform_kl": (
        {"beta": 0.3, "price": 0.2, **COMMON},
        lambda h, y: pondered(
            h, y, 2.0, 0.1, 0.3 * (np.log(N) + (distribution(h) * np.log(distribution(h))).sum(0))
            + 0.2 * mean(distribution(h), (1, 2, 3, 4)),
        ),
    ),
    "mean_rollouts": (
        {"price": 0.2, **COMMON},
        lambda h, y: pondered(h, y, 2.0, 0.1, 0.2 * mean(distribution(h), (1, 2, 3, 4))),
    ),
    "exit_penalty": (
        {"strength": 0.2, **COMMON},
        lambda h, y: pondered(h, y, 2.0, 0.1, 0.2 * mean(distribution(h), (1.0, 1.5, 3.0, 4.0))),
    ),
    "serial_depth": (
        {"price": 0.02, **COMMON},
        lambda h, y: pondered(h, y, 2.0, 0.1, 0.02 * mean(distribution(h), DEPTH_N)),
    ),
    "mean_budget": (
        {"start": 0.4, **COMMON},
        lambda h, y: pondered(h, y, 2.0, 0.1, 0.4 * (mean(distribution(h), COST_N) - 2.5)),
    ),
    "act": ({"price": 0.2, **COMMON}, act_by_hand),
    "none": ({}, lambda h, y: task_losses(y)[-1].mean()),
    "early_exit": (
        {},
        lambda h, y: (task_losses(y).mean(1) * (1 / np.array(FLOPS_N)) / (1 / np.array(FLOPS_N)).sum()).sum(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFERENCES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_is_the_equation(kind, seed):
    fields, reference = REFERENCES[kind]
    prior = discover("priors")[kind](**fields)
    halt_NB, logits_NBTV, predict_BN = drawn(seed)
    state = {"progress": 1.0, "cap": 2.5, "cost_N": COST_N}
    loss, _ = prior.loss(exits_of(halt_NB, logits_NBTV, predict_BN), batch_loss, state)
    assert loss.item() == pytest.approx(reference(halt_NB.numpy(), logits_NBTV.numpy()), rel=1e-9)


@pytest.mark.parametrize("kind", sorted(discover("priors")))
def test_gradients_agree_with_finite_differences(kind):
    prior = discover("priors")[kind]()
    halt_NB, logits_NBTV, predict_BN = (part.requires_grad_() for part in drawn(2))
    right_NB = torch.arange(N)[:, None] >= torch.arange(B) % N

    def loss_of(halt_NB, logits_NBTV, predict_BN):
        exits = exits_of(halt_NB if prior.uses_halting() else None, logits_NBTV, predict_BN, right_NB)
        unused = 0 * (halt_NB.sum() + logits_NBTV.sum() + predict_BN.sum())
        return prior.loss(exits, batch_loss, {"progress": 1.0, "cap": 2.5, "cost_N": COST_N})[0] + unused

    # In `act` N is a step function of the rates: where it stays put, R and the mixture carry the whole gradient.
    assert torch.autograd.gradcheck(loss_of, (halt_NB, logits_NBTV, predict_BN))


def test_the_ponder_cost_passes_its_gradient_through_the_remainder_alone():
    prior = discover("priors")["act"](task=1e-9, supervision=0.0, price=1.0)
    halt_NB = torch.tensor([[-1.0], [-1.0], [2.0], [0.5]]).requires_grad_()
    logits_NBTV = torch.zeros(N, 1, T, V)
    loss, _ = prior.loss(Exits(logits_NBTV, halt_NB, FLOPS_N), lambda y_BTV: y_BTV.sum((1, 2)), {"progress": 1.0})
    rate = torch.sigmoid(torch.tensor(-1.0))
    assert loss.item() == pytest.approx(3 + 1 - 2 * rate.item(), rel=1e-5)
    (gradient_NB,) = torch.autograd.grad(loss, halt_NB)
    torch.testing.assert_close(gradient_NB[:2, 0], -(rate * (1 - rate)).expand(2))
    assert gradient_NB[2:].abs().sum() == 0


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.8])
def test_kl_is_zero_exactly_at_the_geometric_prior_and_positive_elsewhere(rate):
    law = geometric_log_N(rate, N)
    assert np.exp(law).sum() == pytest.approx(1.0)
    assert np.exp(law[3] - law[2]) == pytest.approx(1 - rate)
    at_prior_NB = torch.tensor(law)[:, None].expand(N, B)
    torch.testing.assert_close(kl_to_geometric(at_prior_NB, rate), torch.zeros(B), atol=1e-6, rtol=0)
    assert (kl_to_geometric(halting_log_probabilities(3 * torch.randn(N, B)), rate) > 0).all()


def test_kl_to_uniform_is_zero_exactly_at_the_uniform_law_which_halting_rates_reach():
    rates_N = torch.tensor([1 / 4, 1 / 3, 1 / 2, 0.7])
    log_p_NB = halting_log_probabilities(torch.logit(rates_N)[:, None].expand(N, B))
    torch.testing.assert_close(log_p_NB.exp(), torch.full((N, B), 0.25))
    torch.testing.assert_close(kl_to_uniform(log_p_NB), torch.zeros(B), atol=1e-6, rtol=0)
    assert (kl_to_uniform(halting_log_probabilities(3 * torch.randn(N, B))) > 0).all()
    saturated_B = kl_to_uniform(halting_log_probabilities(torch.full((N, B), 1e4)))
    torch.testing.assert_close(saturated_B, torch.full((B,), float(np.log(N))))


def test_the_published_uniform_objective_prefers_no_exit():
    prior = discover("priors")["uniform_kl"](price=0.0)
    costs = []
    for index in range(N):
        halt_NB = torch.full((N, B), -40.0)
        halt_NB[index:] = 40.0
        exits = Exits(torch.zeros(N, B, T, V), halt_NB, FLOPS_N)
        costs.append(prior.loss(exits, batch_loss, {"progress": 1.0})[0].item())
    assert costs == pytest.approx([costs[0]] * N)


@pytest.mark.parametrize(
    ("weights", "progress", "expected"),
    [
        ("cost", 0.5, [12 / 27, 8 / 27, 4 / 27, 3 / 27]),
        ("uniform", 0.5, [0.25] * 4),
        ("branchynet", 0.5, [1.0, 1.0, 1.0, 0.3]),
        ("sdn", 0.0, [0.01, 0.01, 0.01, 1.0]),
        ("sdn", 1.0, [0.25, 0.375, 0.75, 1.0]),
        ("sdn", 0.5, [0.13, 0.1925, 0.38, 1.0]),
    ],
)
def test_exit_weights(weights, progress, expected):
    found = discover("priors")["early_exit"](weights=weights).weight_N(FLOPS_N, progress)
    assert found == pytest.approx(expected)


def test_the_weights_that_are_a_speed_prior_never_grow_with_cost_and_those_of_sdn_do():
    part, names = discover("priors")["early_exit"], ("cost", "uniform", "branchynet", "sdn")
    weight_N = {name: part(weights=name).weight_N(FLOPS_N, 1.0) for name in names}
    for name in ("cost", "uniform", "branchynet"):
        assert weight_N[name] == sorted(weight_N[name], reverse=True)
    assert weight_N["cost"][0] > weight_N["cost"][-1]
    assert weight_N["sdn"] == sorted(weight_N["sdn"])


def test_early_exit_refuses_a_threshold_that_no_answer_reaches_and_halts_where_its_rule_says():
    part = discover("priors")["early_exit"]
    with pytest.raises(ValueError, match="threshold of margin must be below 1, got 2"):
        part(stop="margin", threshold=2.0)
    logits_NBTV = torch.zeros(N, 2, T, V)
    logits_NBTV[1:, 0, :, 0] = 9.0
    exits = Exits(logits_NBTV, None, FLOPS_N)
    assert part().halting(exits).argmax(0).tolist() == [1, N - 1]
    assert part(stop="patience", threshold=1.0).halting(exits).argmax(0).tolist() == [1, 1]


def test_a_scheduler_moves_the_strength_of_the_exit_penalty():
    prior = discover("priors")["exit_penalty"](strength=0.5)
    exits = exits_of(*drawn())
    free, own, moved = (
        prior.loss(exits, batch_loss, {"progress": 1.0, **given})[0].item()
        for given in ({"strength": 0.0}, {}, {"strength": 0.25})
    )
    assert moved - free == pytest.approx((own - free) / 2)


@pytest.mark.parametrize(("cap", "moves"), [(1.0, 1), (4.0, -1)])
def test_the_multiplier_of_a_mean_budget_climbs_above_the_cap_and_falls_below_it(cap, moves):
    prior = MeanBudget(start=0.3, rate=0.1)
    halt_NB, logits_NBTV, predict_BN = drawn()
    state = {"progress": 1.0, "cap": cap, "cost_N": COST_N, "multiplier": torch.tensor(0.3)}
    _, after = prior.loss(exits_of(halt_NB, logits_NBTV, predict_BN), batch_loss, state)
    mean_cost = mean(distribution(halt_NB.numpy()), COST_N).mean()
    assert after["multiplier"].item() == pytest.approx(0.3 + 0.1 * (mean_cost - cap))
    assert moves * (after["multiplier"].item() - 0.3) > 0


def test_the_multiplier_never_turns_negative_stays_in_the_warm_up_and_stays_with_the_threshold_method():
    exits = exits_of(*drawn())
    state = {"progress": 1.0, "cap": 4.0, "cost_N": COST_N, "multiplier": torch.tensor(0.0)}
    assert MeanBudget().loss(exits, batch_loss, state)[1]["multiplier"] == 0.0
    assert MeanBudget(rate=1.0).loss(exits, batch_loss, {**state, "progress": 0.0})[1]["multiplier"] == 0.0
    threshold = MeanBudget(method="threshold").loss(exits, batch_loss, {**state, "cap": 1.0})[1]
    assert threshold["multiplier"] == 0.0


def test_dual_ascent_settles_at_the_cap_on_a_problem_whose_optimum_is_known():
    """Free halting rates, equal losses but for a gain with depth: the least loss within the cap spends all of it."""
    prior = MeanBudget(task=1.0, supervision=0.0, start=0.1, rate=0.01)
    halt_NB = torch.zeros(N, B, requires_grad=True)
    state = {"progress": 1.0, "cap": 2.0, "cost_N": COST_N, "multiplier": torch.tensor(0.1)}
    optimiser = torch.optim.SGD([halt_NB], lr=2.0)
    for _ in range(1500):
        losses = iter((0.8, 0.4, 0.2, 0.1))
        exits = Exits(torch.zeros(N, B, T, V), halt_NB, FLOPS_N)
        loss, state = prior.loss(exits, lambda _: torch.full((B,), next(losses)), state)  # noqa: B023
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    spent = (prior.halting(exits) * torch.tensor(COST_N)[:, None]).sum(0)
    assert spent.mean().item() == pytest.approx(2.0, abs=0.1)
    assert 0.05 < state["multiplier"] < 0.5


def test_a_mean_budget_without_a_cap_is_refused_and_its_own_cap_counts_under_a_max_budget():
    exits, state = exits_of(*drawn()), {"progress": 1.0, "cap": None, "cost_N": COST_N}
    with pytest.raises(ValueError, match="has no cap to keep"):
        MeanBudget().loss(exits, batch_loss, state)
    assert "no cap to keep" in (MeanBudget().refuses("max") or "")
    assert MeanBudget().refuses("mean") is None
    assert MeanBudget(cap=3).refuses("max") is None
    assert "leave out the prior's own" in (MeanBudget(cap=3).refuses("mean") or "")
    own, budgets = (
        MeanBudget(cap=cap).loss(exits, batch_loss, {**state, "cap": given})[0] for cap, given in ((2, None), (3, 2.0))
    )
    assert own == budgets
