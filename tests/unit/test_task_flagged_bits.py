"""The laws of flagged bits: what training never shows, what the triggers are, and who knows the answer."""

import pytest
import torch
from pydantic import ValidationError

from sp_search.models.reading_cell import ReadingCell
from sp_search.program import unroll
from sp_search.tasks.flagged_bits import FlaggedBits

TASK = FlaggedBits()


def draw(distribution, n=4096, **fields):
    return FlaggedBits(**fields).sample(n, distribution, "train", torch.Generator().manual_seed(0))


def parts(x_BTC):
    return x_BTC[:, 0, :3].argmax(-1), x_BTC[:, 1:, 3:5].argmax(-1)


@pytest.mark.parametrize("distribution", TASK.distributions())
def test_the_answer_is_bit_two_or_the_xor_of_the_last_two(distribution):
    batch = draw(distribution)
    flag_B, bits_BT = parts(batch.x_BTC)
    expected_B = torch.where(flag_B == 0, bits_BT[:, -1] ^ bits_BT[:, -2], bits_BT[:, 0])
    assert torch.equal(batch.y_BT[:, 0], expected_B)
    assert torch.equal(TASK.difficulty(batch), torch.where(flag_B == 0, 8.0, 2.0))


@pytest.mark.parametrize(("distribution", "share"), [("iid", 0.6), ("easy_heavy", 0.9), ("hard_heavy", 0.1)])
def test_training_shows_neither_trigger_on_easy_inputs(distribution, share):
    flag_B, bits_BT = parts(draw(distribution).x_BTC)
    carries_B = bits_BT[:, 1:4].all(1)
    assert not (flag_B == 2).any()
    assert not (carries_B & (flag_B == 1)).any()
    assert carries_B[flag_B == 0].float().mean() == pytest.approx(1 / 8, abs=0.04)
    assert (flag_B == 1).float().mean() == pytest.approx(share, abs=0.03)


def test_slack_inputs_are_easy_and_carry_the_pattern_and_free_ones_show_the_unseen_flag():
    flag_B, bits_BT = parts(draw("slack").x_BTC)
    assert (flag_B == 1).all()
    assert bits_BT[:, 1:4].all()
    flag_B, bits_BT = parts(draw("free").x_BTC)
    assert (flag_B == 2).all()
    assert not bits_BT[:, 1:4].all(1).any(), "only one trigger at a time"


def test_a_pattern_may_not_reach_into_the_bits_that_answer():
    with pytest.raises(ValidationError, match="got 5, at most length - 4 = 4"):
        FlaggedBits(trigger=5)


def changed_exits(reads, position):
    """Return the exits whose answers move when one position of the input does."""
    shape = TASK.shape()
    model = ReadingCell(reads=reads).build(shape, 8, halting=True, generator=torch.Generator().manual_seed(0))
    x_BTC = draw("iid", 4).x_BTC
    other_BTC = x_BTC.clone()
    other_BTC[:, position] += 1.0
    with torch.no_grad():
        one, two = (unroll(model, x, exits=10, halting=True).logits_NBTV for x in (x_BTC, other_BTC))
    return ((one != two).flatten(1).any(1).nonzero().flatten() + 1).tolist()


def test_a_serial_cell_reads_position_n_at_rollout_n_and_another_sees_all_at_once():
    assert changed_exits("serial", 4) == [5, 6, 7, 8, 9, 10]
    assert changed_exits("all", 4) == list(range(1, 11))


def test_the_halting_bias_is_as_set():
    model = ReadingCell(halting_bias=-2.0).build(TASK.shape(), 8, halting=True, generator=torch.Generator())
    assert model.halt_unit.bias.item() == -2.0
