"""What every speed prior must keep to; a new part is tested the moment its file exists."""

import pytest
import torch
from torch.nn import functional

from sp_search import assembly
from sp_search.compute import cross_check, measured_prices
from sp_search.models.recall_conv import RecallConv
from sp_search.plugins import discover
from sp_search.program import Exits, Program
from sp_search.records import Assignment, Budget
from sp_search.tasks.base import Shape
from sp_search.tasks.prefix_sums import PrefixSums
from sp_search.train.settings import TrainSettings
from sp_search.train.trainer import NeuralRunner

torch.set_num_threads(1)
KINDS = sorted(discover("priors"))
HALTING = [kind for kind in KINDS if discover("priors")[kind]().uses_halting()]
FREEZING = [kind for kind in KINDS if not discover("priors")[kind]().trains_program(1.0)]
N, B, T, V = 4, 5, 3, 2
Y_BT = torch.zeros(B, T, dtype=torch.long)
SHAPE = Shape(6, 2, 6, 3)
MODEL = RecallConv(width=4)


def exits_with(halt_NB, logits_NBTV=None):
    logits_NBTV = torch.zeros(N, B, T, V) if logits_NBTV is None else logits_NBTV
    return Exits(
        logits_NBTV,
        halt_NB,
        (1.0, 2.0, 3.0, 4.0),
        depth_N=(5.0, 9.0, 13.0, 17.0),
        right_NB=torch.arange(N)[:, None] >= torch.arange(B) % N,
        predict_BN=torch.randn(B, N, generator=torch.Generator().manual_seed(0)).requires_grad_(),
        active=torch.tensor(0.5),
    )


def state_at(prior, progress):
    remembered = {name: torch.tensor(value) for name, value in prior.remembers().items()}
    return {"progress": progress, "cap": 2.5, "cost_N": (1.0, 2.0, 3.0, 4.0), **remembered}


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
    loss, state = prior.loss(exits, batch_loss, state_at(prior, progress))
    read = (halt_NB, logits_NBTV, exits.predict_BN)
    gradients = [g for g in torch.autograd.grad(loss, read, allow_unused=True) if g is not None]
    assert loss.ndim == 0
    assert loss.isfinite()
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert state["progress"] == progress


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_prior_remembers_it_returns_finite_for_the_next_step(kind):
    prior = discover("priors")[kind]()
    halt_NB = torch.randn(N, B) if prior.uses_halting() else None
    for progress in (0.0, 1.0):
        _, state = prior.loss(exits_with(halt_NB), batch_loss, state_at(prior, progress))
        assert all(torch.as_tensor(state[name]).isfinite() for name in prior.remembers())


@pytest.mark.parametrize("kind", HALTING)
def test_speed_law_halting_surely_at_a_later_exit_never_costs_less(kind):
    """At equal task loss at all exits. Rates below one half are where a remainder bump would break it."""
    part = discover("priors")[kind]
    settings = [{"rate": rate} for rate in (0.05, 0.2, 0.5, 0.9)] if kind == "ponder_net" else [{}]
    for fields in settings:
        costs = [
            part(**fields).loss(exits_with(surely_at(index)), batch_loss, state_at(part(), 1.0))[0].item()
            for index in range(N)
        ]
        assert costs == sorted(costs)
        assert costs[0] < costs[-1]


@pytest.mark.parametrize("kind", HALTING)
def test_a_later_halt_shows_the_price_at_full_strength_right_after_the_warm_up(kind):
    prior = discover("priors")[kind]()
    share = prior.warmup_share()
    early, late = (exits_with(surely_at(index)) for index in (0, 2))
    before, first, last = (
        [prior.loss(exits, batch_loss, state_at(prior, progress))[0] for exits in (early, late)]
        for progress in (share - 1e-6, share, 1.0)
    )
    assert before[0] == before[1]
    assert first == last
    assert first[1] > first[0]


@pytest.mark.parametrize("kind", HALTING)
def test_a_model_without_a_halting_unit_is_refused(kind):
    prior = discover("priors")[kind]()
    with pytest.raises(ValueError, match=f"{kind} needs a model that is built with halting=True"):
        prior.loss(exits_with(None), batch_loss, state_at(prior, 1.0))


@pytest.mark.parametrize("kind", FREEZING)
def test_a_prior_that_freezes_the_program_trains_it_first_and_then_leaves_it_no_gradient(kind):
    prior = discover("priors")[kind]()
    assert prior.trains_program(0.0)
    assert prior.trains_program(prior.warmup_share() - 1e-6)
    assert not prior.trains_program(prior.warmup_share())
    logits_NBTV = torch.randn(N, B, T, V, requires_grad=True)
    loss, _ = prior.loss(exits_with(None, logits_NBTV), batch_loss, state_at(prior, 1.0))
    assert torch.autograd.grad(loss, logits_NBTV, allow_unused=True) == (None,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exits", [1, 3])
def test_what_a_prior_attaches_is_priced_counted_and_charged_exactly(kind, exits):
    prior = discover("priors")[kind]()
    network = assembly.build(MODEL, prior, SHAPE, exits, torch.Generator().manual_seed(0))
    x_BTC = torch.randn((9, SHAPE.positions, SHAPE.channels), generator=torch.Generator().manual_seed(1))
    assert assembly.parameters(MODEL, prior, SHAPE, exits) == sum(part.numel() for part in network.parameters())
    prices = assembly.prices(MODEL, prior, SHAPE, exits)
    assert prices == network.prices(SHAPE.positions, exits)
    assert prices == measured_prices(network, x_BTC, exits=exits, halting=prior.uses_halting())
    check = cross_check(Program(network, prior.rule(), exits), x_BTC)
    assert check.agrees, check


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_builds_the_same_parts_and_longer_inputs_and_more_exits_run(kind):
    prior = discover("priors")[kind]()
    first, again = (
        assembly.build(MODEL, prior, SHAPE, 3, torch.Generator().manual_seed(4)).state_dict() for _ in range(2)
    )
    assert all(torch.equal(part, again[name]) for name, part in first.items())
    network = assembly.build(MODEL, prior, SHAPE, 3, torch.Generator().manual_seed(4))
    x_BTC = torch.randn(5, 2 * SHAPE.positions, SHAPE.channels)
    assert cross_check(Program(network, prior.rule(), 7), x_BTC).agrees


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("budget", ["max", "mean"])
def test_every_prior_trains_through_both_of_its_stages_and_a_slice_repeats_bit_for_bit(kind, budget):
    prior = discover("priors")[kind](**({"cap": 2.0} if kind == "mean_budget" else {}))
    settings = TrainSettings(steps=8, batch=8, evaluate_every=4, screening=16, validation=32)
    terms = {"gates": ["iid"], "verification_n": 1000, "confidence": 0.9, "study_seed": 3}
    run = NeuralRunner(PrefixSums(bits=20), RecallConv(width=6), prior, settings, **terms)
    at = Assignment(
        member=0,
        visit=0,
        level=0,
        attempt=0,
        milestone=1.0,
        budget=Budget(kind=budget, measure="rollouts", cap=2.5, axis={"rollouts": 3}),
        config={},
        lineages=[0, 1, 2],
        seeds=[100, 101, 102],
    )
    begun = run.begin(at, None)
    first, _ = run.step(at, begun)
    second, _ = run.step(at, first)
    again, _ = run.step(at, first)
    assert second.meta == again.meta
    assert all(torch.equal(array, again.arrays[name]) for name, array in second.arrays.items())
    moved_RP = begun.arrays["weights_RP"] != second.arrays["weights_RP"]
    assert moved_RP.double().mean() > 0.9
    assert sorted(second.meta["remembered"]) == sorted(prior.remembers())
    _, measured = run.step(at, second)
    assert all(1 <= lineage.compute["rollouts"].mean <= 3 for lineage in measured.lineages)
