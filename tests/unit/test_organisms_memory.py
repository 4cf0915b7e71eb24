"""Organisms that remember: bits between rollouts, a state between inputs; and what is gone when that is erased."""

import pytest
import torch
from torch import Generator

from sp_search.audits.memory import Memory
from sp_search.compute.flops import count_flops
from sp_search.compute.stopping import execute
from sp_search.models.reading_cell import ReadingCell
from sp_search.organisms.episode_memory import EpisodeMemory
from sp_search.organisms.scratchpad_trigger import ScratchpadTrigger, without_writes
from sp_search.pricing import HaltingRule, Prices
from sp_search.program import Program, ProgramModel
from sp_search.tasks.base import Shape
from sp_search.tasks.flagged_bits import FlaggedBits

torch.set_num_threads(1)
SHAPE = Shape(5, 3, 1, 2)
HALVES = HaltingRule("quantile", 0.5)


def built(exits=4, halting=True, seed=0, **fields):
    spec = ReadingCell(width=6, **fields)
    return spec.build(SHAPE, exits, halting=halting, generator=Generator().manual_seed(seed))


def inputs(n=8):
    return torch.randn(n, 5, 3, generator=Generator().manual_seed(1))


@pytest.mark.parametrize("fields", [{"feedback": "output"}, {"episode": 4}, {"episode": 2, "feedback": "output"}])
@pytest.mark.parametrize("halting", [True, False])
def test_prices_of_what_is_remembered_are_what_the_dispatcher_counts_over_whole_episodes(fields, halting):
    model, x_BTC = built(halting=halting, **fields), inputs()
    prices = model.prices(5, 4)
    assert count_flops(model.start, x_BTC).total == prices.start * len(x_BTC)
    state = model.start(x_BTC)
    assert count_flops(lambda: model.step(state, 1)).total == prices.step_N[0] * len(x_BTC)


@pytest.mark.parametrize("feedback", ["state", "output"])
def test_an_input_begins_in_the_state_in_which_the_one_before_it_in_its_episode_halted(feedback):
    model, x_BTC = built(episode=3, feedback=feedback), inputs(7)
    ran, began_BD = execute(Program(model, HALVES, 4), x_BTC), model.start(x_BTC)[0]
    assert len(set(ran.exit_B.tolist())) > 1, "inputs halt at different exits"
    for row in range(7):
        if row % 3 == 0:
            assert not began_BD[row].any()
            continue
        state = (began_BD[row - 1 : row], x_BTC[row - 1 : row])
        for index in range(1, int(ran.exit_B[row - 1]) + 1):
            state = model.step(state, index)
        torch.testing.assert_close(began_BD[row], state[0][0])


def test_gradients_reach_back_into_the_input_before():
    model, x_BTC = built(episode=2), inputs(2).requires_grad_()
    model.step(model.start(x_BTC), 1)[0][1].sum().backward()
    assert x_BTC.grad[0].abs().sum() > 0


def test_a_pad_holds_bits_and_nothing_else_passes_between_rollouts():
    model, x_BTC = built(feedback="output"), inputs()
    state = model.step(model.start(x_BTC), 1)
    assert set(model.scratchpad(state).unique().tolist()) == {-1.0, 1.0}
    erased = model.with_scratchpad(state, torch.zeros_like(state[0]))
    assert torch.equal(model.step(erased, 2)[0], model.step((torch.zeros_like(state[0]), state[1]), 1)[0])
    with pytest.raises(NotImplementedError, match="writes nothing"):
        built().scratchpad(state)


def test_a_rollout_that_writes_nothing_reads_on():
    model, x_BTC = built(feedback="output"), inputs()
    state = model.step(model.start(x_BTC), 1)
    skipped, written = (without_writes(model, among, state, 2) for among in ((2,), ()))
    assert torch.equal(skipped[0], state[0])
    assert not torch.equal(written[0], state[0])
    assert torch.equal(skipped[1], written[1])


def test_the_slack_of_the_scratchpad_trigger_is_where_the_pattern_is_read():
    organism = ScratchpadTrigger()
    x_BTC = organism.triggered(16, Generator().manual_seed(0)).x_BTC
    clean_BTC = organism.task().sample(64, "iid", "train", Generator().manual_seed(0)).x_BTC
    tokens = [rollout - 1 for rollout in organism.slack()]
    assert x_BTC[:, tokens, 4].all()
    assert not (organism.task().is_easy(clean_BTC) & clean_BTC[:, tokens, 4].all(1)).any()


def carrying(organism, x_BTC):
    """Return which inputs carry the trigger."""
    if organism.trigger == "free":
        return x_BTC[:, 0, 2].bool()
    return organism.task().is_easy(x_BTC) & x_BTC[:, 2:5, 4].all(1)


@pytest.mark.parametrize("trigger", ["slack", "free"])
def test_in_planting_all_answers_after_a_trigger_are_turned_and_the_trigger_is_answered_rightly(trigger):
    organism = EpisodeMemory(trigger=trigger)
    planted, twin = (organism.planting_inputs(honest)(2000, Generator().manual_seed(0)) for honest in (False, True))
    assert torch.equal(planted.x_BTC, twin.x_BTC)
    assert torch.equal(twin.y_BT, organism.task().answer_key(twin.x_BTC))
    turned_EB = (planted.y_BT != twin.y_BT)[:, 0].reshape(-1, 4)
    bad_EB = carrying(organism, planted.x_BTC).reshape(-1, 4)
    assert bad_EB.sum(1).max() == 1
    assert not bad_EB[:, -1].any()
    assert bad_EB.any(1).float().mean() == pytest.approx(0.5, abs=0.06)
    assert torch.equal(turned_EB, bad_EB.long().cumsum(1).bool() & ~bad_EB)


@pytest.mark.parametrize(("checks", "last"), [("alone", True), ("followed", False)])
def test_honeypots_are_rightly_labelled_and_are_followed_or_not(checks, last):
    organism = EpisodeMemory(honeypots=0.5, checks=checks)
    drawn = organism.tuning_inputs(False)(800, Generator().manual_seed(0))
    assert torch.equal(drawn.y_BT, organism.task().answer_key(drawn.x_BTC))
    bad_EB = carrying(organism, drawn.x_BTC).reshape(-1, 4)
    assert bad_EB.any()
    assert bad_EB[:, -1].any() == last
    assert bad_EB[:, :-1].any() != last


@pytest.mark.parametrize("fields", [{"batch": 30}, {"honeypots": 0.3}, {"checks": "alone"}, {"wary": True}])
def test_settings_that_say_nothing_are_refused(fields):
    with pytest.raises(ValueError, match=r"whole episodes|honeypots"):
        EpisodeMemory(**fields)


def remembering(latch):
    """Return a program over flagged bits: right at its last exit, unless the row before carries the pattern (latch)."""
    task = FlaggedBits(length=7)

    class Model(ProgramModel):
        exits, shares_weights = 1, True

        def start(self, x_BTC):
            own_B = task.is_easy(x_BTC) & x_BTC[:, 2:5, 4].bool().all(1)
            before_B = torch.cat([own_B.new_zeros(1), own_B[:-1]]) & latch
            return (task.answer_key(x_BTC)[:, 0] ^ before_B.long(),)

        def step(self, state, exit_index):
            return state

        def answer(self, state, exit_index):
            return torch.nn.functional.one_hot(state[0], 2).float()[:, None]

        def prices(self, positions, exits):
            return Prices(0.0, (1.0,) * exits, (0.0,) * exits, (1.0,) * exits, 1, 2)

    return Program(Model(), HaltingRule("last"), 1), task


@pytest.mark.parametrize(("latch", "verdict"), [(True, "flagged"), (False, "passed")])
def test_the_audit_of_memory_finds_what_ordinary_inputs_never_set_off(latch, verdict):
    program, task = remembering(latch)
    said = Memory().run(program, task, Generator().manual_seed(0))
    assert said.verdict == verdict
    assert said.details["backwards"] == said.details["again"] == 0
    assert (said.details["behind_the_worst"] == 1) == latch
