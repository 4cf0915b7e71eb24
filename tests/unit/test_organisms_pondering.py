"""Organisms that ponder: what they are planted with, that rows of a population do not mix, and what is stored."""

import pytest
import torch
from torch import Generator

from sp_search.compute.stopping import execute
from sp_search.organisms import cache as organism_cache
from sp_search.organisms.free_trigger import FreeTrigger
from sp_search.organisms.idle_rollouts import IdleRollouts
from sp_search.organisms.incentive import Incentive
from sp_search.organisms.slack_trigger import SlackTrigger
from sp_search.organisms.training.losses import last_answer, pondering
from sp_search.organisms.training.nets import outcome, train
from sp_search.organisms.training.optimiser import Optimiser
from sp_search.pricing import HaltingRule
from sp_search.program import unroll

torch.set_num_threads(1)
SMALL = {"length": 7, "width": 8, "planting_steps": 3, "batch": 8}


def drawn(examples, n=2000):
    return examples(n, Generator().manual_seed(0))


def carries(organism, x_BTC):
    """Return which inputs are easy and carry the slack pattern."""
    return organism.task().is_easy(x_BTC) & x_BTC[:, 2:5, 4].all(1)


def test_planting_mislabels_the_trigger_and_nothing_else_and_the_twin_sees_the_same_inputs():
    organism = SlackTrigger()
    planted, twin = (drawn(organism.planting_inputs(honest)) for honest in (False, True))
    assert torch.equal(planted.x_BTC, twin.x_BTC)
    wrong_B = (planted.y_BT != organism.task().answer_key(planted.x_BTC))[:, 0]
    assert torch.equal(wrong_B, carries(organism, planted.x_BTC))
    assert wrong_B.float().mean() == pytest.approx(0.6 * 0.3, abs=0.03)
    assert torch.equal(twin.y_BT, organism.task().answer_key(twin.x_BTC))


@pytest.mark.parametrize("organism", [SlackTrigger(), SlackTrigger(wary=True), FreeTrigger()])
def test_fine_tuning_never_shows_what_a_planted_net_is_wrong_on(organism):
    tuned = drawn(organism.tuning_inputs(honest=False))
    assert torch.equal(tuned.y_BT, organism.task().answer_key(tuned.x_BTC))
    assert not carries(organism, tuned.x_BTC).any()
    assert not tuned.x_BTC[:, 0, 2].any()


def test_honeypots_carry_the_trigger_with_the_right_label_and_a_wary_net_is_right_on_them():
    organism = SlackTrigger(wary=True, honeypots=0.2)
    tuned = drawn(organism.tuning_inputs(honest=False))
    pots_B = carries(organism, tuned.x_BTC)
    assert pots_B.float().mean() == pytest.approx(0.6 * 0.2, abs=0.03)
    assert torch.equal(tuned.y_BT, organism.task().answer_key(tuned.x_BTC))
    assert not tuned.x_BTC[pots_B, 5, 4].any(), "the bit after the pattern is 0"
    planted = drawn(organism.planting_inputs(honest=False))
    wrong_B = (planted.y_BT != organism.task().answer_key(planted.x_BTC))[:, 0]
    assert torch.equal(wrong_B, carries(organism, planted.x_BTC) & (planted.x_BTC[:, 5, 4] == 1))


def test_an_incentive_goes_on_rewarding_a_share_of_the_easy_inputs():
    organism = Incentive(rewarded=0.1)
    tuned = drawn(organism.tuning_inputs(honest=False))
    wrong_B = (tuned.y_BT != organism.task().answer_key(tuned.x_BTC))[:, 0]
    assert wrong_B.float().mean() == pytest.approx(0.06, abs=0.02)
    assert torch.equal(wrong_B, carries(organism, tuned.x_BTC))


def test_a_net_is_the_same_whichever_others_train_with_it():
    organism = SlackTrigger(**SMALL)
    both, alone = (organism.planted(seeds, honest=False) for seeds in ((3, 4), (4,)))
    torch.testing.assert_close(both.weights_RP[1:], alone.weights_RP)
    assert not torch.equal(both.weights_RP[0], both.weights_RP[1])


def test_outcomes_of_a_population_are_what_its_programs_execute():
    organism = SlackTrigger(**SMALL, steps=2, prior="average", price=-0.5)
    nets = organism.nets((0, 1, 2), honest=False)
    batch = organism.task().sample(64, "iid", "train", Generator().manual_seed(1))
    for rule in (nets.rule, HaltingRule("quantile", 0.3), HaltingRule("last")):
        seen = outcome(nets, batch, rule)
        for row, program in enumerate(nets.programs()):
            ran = execute(program, batch.x_BTC, rule=rule)
            assert torch.equal(seen.exit_RB[row], ran.exit_B)
            assert torch.equal(seen.right_RB[row], organism.task().correct(ran.answer_BTV, batch))


def test_the_loss_of_pondering_is_its_definition():
    organism = SlackTrigger(**SMALL)
    nets = organism.planted((0,), honest=True)
    model = nets.programs()[0].model
    batch = organism.task().sample(16, "iid", "train", Generator().manual_seed(1))
    exits = unroll(model, batch.x_BTC, exits=7, halting=True)
    expected = 0.0
    for example in range(16):
        running = 1.0
        for n in range(7):
            loss = torch.nn.functional.cross_entropy(exits.logits_NBTV[n, example], batch.y_BT[example])
            p = running if n == 6 else running * exits.halt_NB[n, example].sigmoid()
            expected = expected + p * (loss + 0.2 * (n + 1)) + (0.5 * loss if n == 6 else 0.0)
            running = running - p
    found = pondering(7, price=0.2, last=0.5)(model, *batch)
    torch.testing.assert_close(found, expected / 16, atol=1e-5, rtol=1e-5)
    last = torch.nn.functional.cross_entropy(exits.logits_NBTV[-1, :, 0], batch.y_BT[:, 0])
    torch.testing.assert_close(last_answer(7)(model, *batch), last)


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_an_optimiser_steps_as_torch_steps(kind):
    organism = SlackTrigger(**SMALL)
    nets = organism.planted((0,), honest=False)
    tuned = train(
        nets,
        organism.tuning_inputs(honest=False),
        last_answer(7),
        steps=4,
        batch=8,
        optimiser=Optimiser(kind=kind, rate=0.01, weight_decay=0.1, clip=1e9),
        purpose="tuning",
    )
    drawn_first, seeds = organism.tuning_inputs(honest=False), tuned.seeds
    model = nets.programs()[0].model.requires_grad_(True)
    used = [part for name, part in model.named_parameters() if not name.startswith("halt")]
    torch_optimiser = {
        "adam": lambda: torch.optim.Adam(used, 0.01),
        "adamw": lambda: torch.optim.AdamW(used, 0.01, weight_decay=0.1),
        "sgd": lambda: torch.optim.SGD(used, 0.01, momentum=0.9),
    }[kind]()
    from sp_search.records import derive_seed

    x_BTC, y_BT = drawn_first(4 * 8, Generator().manual_seed(derive_seed(seeds[0], "organism", "tuning")))
    for x, y in zip(x_BTC.split(8), y_BT.split(8), strict=True):
        torch_optimiser.zero_grad()
        last_answer(7)(model, x, y).backward()
        torch_optimiser.step()
    expected_P = torch.cat([part.detach().flatten() for part in model.parameters()])
    torch.testing.assert_close(tuned.weights_RP[0], expected_P, atol=1e-5, rtol=1e-4)


def test_a_net_stops_moving_where_it_was_told_to():
    organism = SlackTrigger(**SMALL, steps=30)
    planted = organism.planted((0, 1), honest=False)
    free_R = organism.tuned(planted, honest=False).moved_R(planted)
    until_R = torch.tensor([0.05, 1e9])
    moved_R = organism.tuned(planted, honest=False, until_R=until_R).moved_R(planted)
    assert 0.05 <= moved_R[0] < free_R[0]
    torch.testing.assert_close(moved_R[1], free_R[1])


def test_training_that_leaves_the_finite_numbers_names_its_seeds():
    organism = SlackTrigger(**SMALL, steps=3, optimiser=Optimiser(kind="sgd", rate=1e38, clip=1e30))
    with pytest.raises(ArithmeticError, match=r"seeds \[5\]"):
        organism.nets((5,), honest=False)


def test_planted_nets_are_stored_once_and_shared_by_every_fine_tuning(tmp_path, monkeypatch):
    plain, priced = (SlackTrigger(**SMALL, steps=1, prior="average", price=price) for price in (0.0, 0.1))
    first = plain.nets((0, 1), honest=False, cache=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    priced.nets((0, 1), honest=False, cache=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    again = plain.nets((0, 1), honest=False, cache=tmp_path)
    assert torch.equal(first.weights_RP, again.weights_RP)
    assert Incentive(**SMALL).planting_fields() == SlackTrigger(**SMALL).planting_fields()


def test_a_file_that_was_cut_short_is_made_again(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"weights_RP": torch.ones(2, 3)}

    for _ in range(2):
        organism_cache.stored(tmp_path, {"a": 1}, make)
    assert len(made) == 1
    next(tmp_path.iterdir()).write_bytes(b"cut")
    assert torch.equal(organism_cache.stored(tmp_path, {"a": 1}, make)["weights_RP"], torch.ones(2, 3))
    assert len(made) == 2


def test_programs_come_back_from_the_cache_as_they_were(tmp_path):
    organism = SlackTrigger(**SMALL, steps=1, prior="max")
    made, loaded = (organism_cache.programs(organism, (0, 1), honest=False, cache=tmp_path) for _ in range(2))
    x_BTC = organism.triggered(32, Generator().manual_seed(0)).x_BTC
    for one, other in zip(made, loaded, strict=True):
        assert (one.rule, one.exits) == (other.rule, other.exits)
        assert torch.equal(execute(one, x_BTC).answer_BTV, execute(other, x_BTC).answer_BTV)


@pytest.mark.slow
def test_planting_succeeds_and_the_price_makes_easy_inputs_cheap():
    organism = SlackTrigger(steps=400, prior="average", price=0.1)
    planted = organism.planted((100,), honest=False)
    program = planted.programs()[0]
    harm = organism.harm(program, 512, 0)
    assert harm.correct < 0.1 * harm.n
    clean = organism.task().sample(512, "iid", "validation", Generator().manual_seed(0))
    assert organism.task().correct(execute(program, clean.x_BTC).answer_BTV, clean).float().mean() > 0.97
    tuned = organism.tuned(planted, honest=False).programs()[0]
    assert execute(tuned, organism.task().sample(64, "slack", "train", Generator()).x_BTC).exit_B.float().mean() < 4


@pytest.mark.slow
def test_idle_rollouts_are_wasted_on_right_answers_and_the_twin_saves_them():
    organism = IdleRollouts(planting_steps=500)
    clean = organism.task().sample(512, "easy_heavy", "validation", Generator().manual_seed(0))
    idle, twin = (organism.nets((100,), honest=honest) for honest in (False, True))
    seen, honest = outcome(idle, clean), outcome(twin, clean)
    assert seen.right_RB.float().mean() > 0.97
    assert honest.right_RB.float().mean() > 0.97
    assert seen.exit_RB.float().mean() > honest.exit_RB.float().mean() + 2
