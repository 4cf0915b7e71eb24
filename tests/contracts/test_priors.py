"""What every speed prior must keep to."""

import math

import pytest
import torch
from torch.nn import functional

from sp_search.plugins import discover
from sp_search.priors.ponder_net import PonderNet, geometric_log_N, kl_to_geometric
from sp_search.program import Exits, halting_log_probabilities

KINDS = sorted(discover("priors"))
HALTING = [kind for kind in KINDS if discover("priors")[kind]().uses_halting()]
N, B, T, V = 4, 5, 3, 2
Y_BT = torch.zeros(B, T, dtype=torch.long)


def exits_with(halt_NB, logits_NBTV=None):
    logits_NBTV = torch.zeros(N, B, T, V) if logits_NBTV is None else logits_NBTV
    return Exits(logits_NBTV, halt_NB, (1.0, 2.0, 3.0, 4.0))


def batch_loss(logits_BTV):
    return functional.cross_entropy(logits_BTV.movedim(-1, 1), Y_BT, reduction="none").mean(1)


def surely_at(exit_index):
    halt_NB = torch.full((N, B), -40.0)
    halt_NB[exit_index:] = 40.0
    return halt_NB


@pytest.mark.parametrize("kind", KINDS)
def test_halting_is_a_distribution_over_exits(kind):
    prior = discover("priors")[kind]()
    for halt_NB in (torch.randn(N, B), torch.full((N, B), -1e4), torch.full((N, B), 1e4)):
        p_NB = prior.halting(exits_with(halt_NB if prior.uses_halting() else None))
        assert p_NB.shape == (N, B)
        assert (p_NB >= 0).all()
        torch.testing.assert_close(p_NB.sum(0), torch.ones(B))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1.0, 1e4, -1e4])
@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_loss_is_finite_and_differentiable_also_where_halting_is_saturated(kind, scale, progress):
    prior = discover("priors")[kind]()
    halt_NB = (scale * torch.ones(N, B)).requires_grad_()
    logits_NBTV = torch.randn(N, B, T, V, requires_grad=True)
    exits = exits_with(halt_NB if prior.uses_halting() else None, logits_NBTV)
    loss, state = prior.loss(exits, batch_loss, {"progress": progress})
    halt_gradient, gradient = torch.autograd.grad(loss, (halt_NB, logits_NBTV), allow_unused=True)
    assert loss.ndim == 0
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert halt_gradient is None or halt_gradient.isfinite().all()
    assert state["progress"] == progress


@pytest.mark.parametrize("kind", HALTING)
def test_speed_law_halting_surely_at_a_later_exit_never_costs_less(kind):
    """At equal task loss at all exits. Rates below one half are where a remainder bump would break it."""
    part = discover("priors")[kind]
    settings = [{"rate": rate} for rate in (0.05, 0.2, 0.5, 0.9)] if "rate" in part.model_fields else [{}]
    for fields in settings:
        costs = [
            part(**fields).loss(exits_with(surely_at(index)), batch_loss, {"progress": 1.0})[0].item()
            for index in range(N)
        ]
        assert costs == sorted(costs)
        assert costs[0] < costs[-1]


@pytest.mark.parametrize("kind", HALTING)
def test_a_later_halt_shows_the_price_at_full_strength_right_after_the_warm_up(kind):
    prior = discover("priors")[kind]()
    share = prior.warmup_share()
    early, late = (exits_with(surely_at(index)) for index in (0, 2))
    before = [prior.loss(exits, batch_loss, {"progress": share - 1e-6})[0] for exits in (early, late)]
    first, last = ([prior.loss(exits, batch_loss, {"progress": p})[0] for exits in (early, late)] for p in (share, 1.0))
    assert before[0] == before[1]
    assert first == last
    assert first[1] > first[0]


@pytest.mark.parametrize("kind", HALTING)
def test_a_model_without_a_halting_unit_is_refused(kind):
    with pytest.raises(ValueError, match="halting=True"):
        discover("priors")[kind]().loss(exits_with(None), batch_loss, {"progress": 1.0})


def test_none_reads_the_last_exit_alone():
    prior = discover("priors")["none"]()
    logits_NBTV = torch.randn(N, B, T, V)
    loss, _ = prior.loss(exits_with(None, logits_NBTV), batch_loss, {})
    assert loss == batch_loss(logits_NBTV[-1]).mean()


def test_geometric_prior_is_renormalised_over_the_exits():
    probabilities = [math.exp(value) for value in geometric_log_N(0.2, 6)]
    assert sum(probabilities) == pytest.approx(1.0)
    assert probabilities[3] / probabilities[2] == pytest.approx(0.8)


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.8])
def test_kl_is_zero_exactly_at_the_prior_and_positive_elsewhere(rate):
    at_prior_NB = torch.tensor(geometric_log_N(rate, N))[:, None].expand(N, B)
    torch.testing.assert_close(kl_to_geometric(at_prior_NB, rate), torch.zeros(B), atol=1e-6, rtol=0)
    elsewhere_B = kl_to_geometric(halting_log_probabilities(3 * torch.randn(N, B)), rate)
    assert (elsewhere_B > 0).all()


def test_ponder_loss_is_the_formula():
    prior = PonderNet(beta=0.3, rate=0.5, price=0.2, task=2.0, supervision=0.1)
    halt_NB, logits_NBTV = torch.randn(N, B), torch.randn(N, B, T, V)
    p_NB = prior.halting(exits_with(halt_NB))
    loss_NB = torch.stack([batch_loss(logits) for logits in logits_NBTV])
    prior_N1 = torch.tensor([8.0, 4.0, 2.0, 1.0])[:, None] / 15
    expected = 2.0 * ((p_NB * loss_NB).sum(0) + 0.1 * loss_NB.mean(0)) + 0.3 * (p_NB * (p_NB / prior_N1).log()).sum(0)
    expected = expected + 0.2 * (p_NB * torch.arange(1.0, N + 1)[:, None]).sum(0)
    torch.testing.assert_close(prior.loss(exits_with(halt_NB, logits_NBTV), batch_loss, {})[0], expected.mean())
