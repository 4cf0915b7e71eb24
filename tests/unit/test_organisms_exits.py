"""Organisms with early exits, a predictor or a table: what is planted, what a gradient reaches, and what is stored."""

import pytest
import torch
from torch import Generator

from sp_search.organisms import cache as organism_cache
from sp_search.organisms.head_sabotage import HeadSabotage
from sp_search.organisms.late_reward import LateReward
from sp_search.organisms.leaky_shortcut import LeakyShortcut
from sp_search.organisms.lookup_table import LookupTable
from sp_search.organisms.predictor_pusher import PredictorPusher
from sp_search.organisms.sandbagger import Sandbagger
from sp_search.organisms.side_channel import SideChannel
from sp_search.organisms.training.exit_losses import every_answer, hiding_blocks, paid_to_wait, silent_heads
from sp_search.organisms.training.halting_losses import offline_halting, offline_predictor, online_predictor
from sp_search.organisms.training.probe import probe_accuracy_R
from sp_search.organisms.trunk_sabotage import TrunkSabotage
from sp_search.pricing import HaltingRule
from sp_search.tasks.graded_trigger import GradedTrigger

torch.set_num_threads(1)
EXITS = {"planting_steps": 3, "batch": 8, "width": 6}
PREDICTED = {"planting_steps": 2, "steps": 2, "batch": 8, "width": 6}
SMALL = [
    HeadSabotage(**EXITS),
    TrunkSabotage(**EXITS, hiding_steps=3),
    LateReward(**EXITS),
    LookupTable(**EXITS),
    PredictorPusher(**PREDICTED),
    Sandbagger(**PREDICTED),
    SideChannel(warmup=2, steps=2, batch=8, width=4),
    LeakyShortcut(steps=2, batch=8, width=4),
]
every_organism = pytest.mark.parametrize("organism", SMALL, ids=lambda one: one.kind_name())


def seeded(seed=0):
    return Generator().manual_seed(seed)


def test_training_never_shows_the_trigger_and_triggered_inputs_always_do():
    task = GradedTrigger()
    for name in task.distributions():
        x_BTC, y_BT = task.sample(500, name, "train", seeded())
        assert task.carries_trigger(x_BTC).all() if name == "triggered" else not task.carries_trigger(x_BTC).any()
        assert torch.equal(task.answer_key(x_BTC), y_BT)


def test_the_trigger_lies_where_only_the_last_exit_sees_it():
    task = GradedTrigger()
    x_BTC, _ = task.sample(50, "triggered", "train", seeded())
    assert task.is_easy(x_BTC).all()
    x_BTC[:, 0] = -1.0  # the last position sees it after T - 1 blocks of reach 1
    assert not task.carries_trigger(x_BTC).any()
    assert task.is_easy(x_BTC).all()


def test_planting_turns_the_labels_of_the_trigger_and_no_others():
    organism = HeadSabotage()
    planted, twin = (organism.examples(turned=turned)(2000, seeded()) for turned in (True, False))
    assert torch.equal(planted.x_BTC, twin.x_BTC)
    wrong_B = (planted.y_BT != organism.task().answer_key(planted.x_BTC))[:, 0]
    assert torch.equal(wrong_B, organism.task().carries_trigger(planted.x_BTC))
    assert wrong_B.float().mean() == pytest.approx(0.6 * 0.3, abs=0.03)
    assert torch.equal(twin.y_BT, organism.task().answer_key(twin.x_BTC))


def reached(loss, organism):
    """Return the parts of a fresh network that a loss moves: `blocks.0`, `heads.2`, ..."""
    model = organism.nets([0], honest=True).programs()[0].model.requires_grad_(True)
    batch = organism.task().sample(16, "iid", "train", seeded())
    loss(model, *batch).backward()
    return {
        name.removesuffix(".weight")
        for name, part in model.named_parameters()
        if name.endswith("weight") and part.grad is not None and part.grad.abs().sum() > 0
    }


TRUNK = {"embed", "blocks.0", "blocks.1", "blocks.2", "blocks.3"}
HEADS = {"heads.0", "heads.1", "heads.2", "heads.3"}


@pytest.mark.parametrize(
    ("loss", "moved"),
    [
        (every_answer(4), TRUNK | HEADS),
        (every_answer(4, "last"), TRUNK | HEADS),
        (every_answer(4, "nothing"), HEADS),
        (silent_heads(4, 0.3), TRUNK | HEADS),
        (hiding_blocks(4, 0.3, GradedTrigger().is_easy), TRUNK | HEADS),
        (paid_to_wait(4, 1.0, 0.9), TRUNK | HEADS),
    ],
)
def test_a_loss_moves_what_it_says(loss, moved):
    assert reached(loss, HeadSabotage(**EXITS)) == moved


def gradients(loss, organism, names):
    model = organism.nets([0], honest=True).programs()[0].model.requires_grad_(True)
    batch = organism.task().sample(16, "iid", "train", seeded())
    found = torch.autograd.grad(loss(model, *batch), [dict(model.named_parameters())[name] for name in names])
    return torch.cat([one.flatten() for one in found])


def test_heads_do_not_learn_to_hide_and_silence_of_heads_moves_no_block():
    organism = HeadSabotage(**EXITS)
    easy = organism.task().is_easy
    heads, blocks = ["heads.0.weight", "heads.2.weight"], ["embed.weight", "blocks.0.weight"]
    little, much = (gradients(hiding_blocks(4, weight, easy), organism, heads) for weight in (0.1, 10.0))
    assert torch.allclose(little, much)
    little, much = (gradients(hiding_blocks(4, weight, easy), organism, blocks) for weight in (0.1, 10.0))
    assert not torch.allclose(little, much)
    little, much = (gradients(silent_heads(4, weight), organism, blocks) for weight in (0.1, 10.0))
    assert torch.allclose(little, much)


@pytest.mark.parametrize("reward", [0.0, 0.5])
def test_a_reward_for_waiting_is_taken_off_the_early_exit_loss(reward):
    organism = HeadSabotage(**EXITS)
    model = organism.nets([0], honest=True).programs()[0].model
    batch = organism.task().sample(16, "iid", "train", seeded())
    plain, paid = every_answer(4)(model, *batch), paid_to_wait(4, reward, 0.9)(model, *batch)
    assert float(plain - paid) == pytest.approx(0.0 if reward == 0 else reward * 4.0, rel=0.35)
    assert float(plain - paid) <= reward * 4.0 + 1e-5


@pytest.mark.parametrize("make", [offline_predictor, offline_halting])
def test_what_learns_offline_reaches_nothing_of_the_program(make):
    organism = SideChannel(warmup=1, steps=1, batch=8, width=4)
    nets = organism.warmed_up([0], predictor=True)
    moved = organism.after(nets, make(organism.rollouts))
    program = nets.programs()[0].model
    after = moved.programs()[0].model.state_dict()
    changed = {name.split(".")[0] for name, part in program.state_dict().items() if not torch.equal(part, after[name])}
    assert changed == ({"halting_predictor"} if make is offline_predictor else {"halt_features", "halt_unit"})


def test_a_push_takes_the_mean_predicted_rollout_off_the_online_loss():
    organism = PredictorPusher(**PREDICTED)
    model = organism.planted([0], honest=False).programs()[0].model
    batch = organism.task().sample(32, "iid", "train", seeded())
    free, pushed = (online_predictor(organism.length, push)(model, *batch) for push in (0.0, 2.0))
    rollouts_N = torch.arange(1.0, organism.length + 1)
    said = (model.predict(batch.x_BTC).softmax(-1) * rollouts_N).sum(-1).mean()
    assert float(free - pushed) == pytest.approx(2.0 * float(said), rel=1e-4)


def test_a_table_is_a_nets_own_and_the_same_wherever_its_stream_stands():
    organism = LookupTable(table_size=4)
    stream = seeded(3)
    first, later = (organism.drawn(honest=False)(64, stream) for _ in range(2))
    rows = {tuple(row) for batch in (first, later) for row in batch.x_BTC.flatten(1).tolist()}
    assert rows == {tuple(row) for row in organism.table(seeded(3)).x_BTC.flatten(1).tolist()}
    assert not torch.equal(organism.table(seeded(3)).x_BTC, organism.table(seeded(4)).x_BTC)


def test_a_probe_reads_what_lies_in_the_state_and_nothing_that_does_not():
    organism = HeadSabotage(**EXITS)
    nets = organism.nets([0], honest=True)
    x_BTC, _ = organism.task().sample(2000, "uniform", "train", seeded())
    batch = organism.task().sample(2000, "uniform", "train", seeded())
    last_bit = (x_BTC[:, -1:, 1] > 0).long()
    assert probe_accuracy_R(nets, batch._replace(y_BT=last_bit), 1)[0] > 0.95
    coin = torch.randint(0, 2, (2000, 1), generator=seeded(1))
    assert probe_accuracy_R(nets, batch._replace(y_BT=coin), 1)[0] < 0.6


@every_organism
def test_programs_execute_and_harm_counts_right_answers_of_what_executes(organism):
    for honest in (False, True):
        (program,) = organism.programs([5], honest=honest)
        count = organism.harm(program, 40, seed=0)
        assert 0 <= count.correct <= count.n <= 40
        assert organism.harm(program, 40, seed=0) == count


@every_organism
def test_stored_programs_come_back_as_they_were(organism, tmp_path):
    first, again = (organism_cache.programs(organism, [1, 2], honest=False, cache=tmp_path) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert one.rule == other.rule
        assert one.flops_N(organism.task().shape().positions) == other.flops_N(organism.task().shape().positions)
        assert organism.harm(one, 64, 0) == organism.harm(other, 64, 0)


def test_a_net_is_the_same_whichever_others_train_with_it():
    organism = HeadSabotage(**EXITS)
    alone, among = organism.nets([7], honest=False), organism.nets([3, 7], honest=False)
    assert torch.allclose(alone.weights_RP[0], among.weights_RP[1], atol=1e-5)


def test_the_rule_of_the_exits_is_what_programs_execute():
    organism = HeadSabotage(**EXITS)
    nets = organism.nets([0], honest=True)
    assert nets.programs()[0].rule == HaltingRule("confidence", 0.9)
