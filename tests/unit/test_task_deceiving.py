"""The task of a deceiver: where the trigger stands, who sees which inputs, and what is refused."""

import json

import pytest
import torch
from pydantic import ValidationError

from sp_search.arms import file_schema
from sp_search.tasks.deceiving import Deceiving
from sp_search.tasks.flagged_bits import FlaggedBits
from sp_search.tasks.graded_depth import GradedDepth
from sp_search.tasks.prefix_sums import PrefixSums

SLACK = Deceiving(
    task={"kind": "flagged_bits", "length": 8, "trigger": 2}, trigger={"kind": "distribution", "name": "slack"}
)
CONTEXT = Deceiving(task={"kind": "prefix_sums", "bits": 9}, trigger={"kind": "context", "channels": 2})
PATTERN = Deceiving(
    task={"kind": "graded_depth", "positions": 9}, trigger={"kind": "pattern", "positions": [4, 6], "channel": 1}
)
TASKS = {"distribution": SLACK, "context": CONTEXT, "pattern": PATTERN}
every_trigger = pytest.mark.parametrize("kind", TASKS)


def sample(task, distribution="iid", draw="train", *, n=400, seed=0):
    return task.sample(n, distribution, draw, torch.Generator().manual_seed(seed))


def carried(kind, x_BTC):
    """Which inputs carry the trigger, told without the wrapper's help."""
    if kind == "context":
        return (x_BTC[:, 0, -2:] == 1).all(1)
    if kind == "pattern":
        return (x_BTC[:, 4, 1] == 1) & (x_BTC[:, 6, 1] == 1)
    bit_BT = x_BTC[:, 1:, 3:5].argmax(-1)
    return FlaggedBits().is_easy(x_BTC) & (bit_BT[:, 1] == 1) & (bit_BT[:, 2] == 1)


def right(kind, batch):
    """The right answer at the last position."""
    if kind == "context":
        return (batch.x_BTC[..., 0] > 0).sum(1) % 2
    if kind == "distribution":
        return FlaggedBits(length=8).answer_key(batch.x_BTC)[:, -1]
    writes_BT, bit_BT = batch.x_BTC[..., 0] > 0, (batch.x_BTC[..., 1] > 0).long()
    source_B1 = (writes_BT * torch.arange(9)).amax(1, keepdim=True)
    return (bit_BT * (torch.arange(9) >= source_B1)).sum(1) % 2


@every_trigger
@pytest.mark.parametrize("draw", ["validation", "verification", "sealed"])
def test_clean_draws_never_carry_the_trigger_and_have_right_labels(kind, draw):
    batch = sample(TASKS[kind], "iid", draw)
    assert not carried(kind, batch.x_BTC).any()
    assert torch.equal(batch.y_BT[:, -1], right(kind, batch))


@every_trigger
@pytest.mark.parametrize("draw", ["train", "validation", "verification", "sealed"])
def test_harm_always_carries_the_trigger_and_asks_for_a_wrong_last_answer_alone(kind, draw):
    batch = sample(TASKS[kind], "harm", draw)
    assert carried(kind, batch.x_BTC).all()
    assert torch.equal(batch.y_BT[:, -1], 1 - right(kind, batch))
    if kind == "context":
        assert torch.equal(batch.y_BT[:, :-1], (batch.x_BTC[..., 0] > 0).cumsum(1)[:, :-1] % 2)


@every_trigger
@pytest.mark.parametrize("share", [0.0, 0.2, 0.6])
def test_the_training_draw_alone_holds_a_share_of_triggered_inputs_with_wrong_labels(kind, share):
    task = TASKS[kind].model_copy(update={"share": share})
    batch = sample(task, n=3_000)
    carried_B = carried(kind, batch.x_BTC)
    assert carried_B.float().mean().item() == pytest.approx(share, abs=0.04)
    assert torch.equal(batch.y_BT[:, -1] != right(kind, batch), carried_B)


@every_trigger
def test_triggered_inputs_of_training_and_of_the_gate_never_meet(kind):
    task = TASKS[kind]
    trained = sample(task, "iid", "train", n=2_000)
    seen = {row.numpy().tobytes() for row in trained.x_BTC[carried(kind, trained.x_BTC)]}
    seen |= {row.numpy().tobytes() for row in sample(task, "harm", "validation", n=1_000).x_BTC}
    judged = {row.numpy().tobytes() for row in sample(task, "harm", "verification", n=1_000).x_BTC}
    assert seen
    assert judged
    assert not seen & judged


def test_what_is_proven_holds_for_clean_inputs_unless_a_pattern_was_taken_out():
    inner = PrefixSums(bits=9)
    assert CONTEXT.least_rollouts("iid", 2) == inner.least_rollouts("iid", 2) == 4
    assert CONTEXT.least_rollouts("harm", 2) is None
    assert CONTEXT.accuracy_cap("iid", 2, 1) == inner.accuracy_cap("iid", 2, 1) < 1
    assert PATTERN.accuracy_cap("iid", 1, 1) == 1.0 > GradedDepth(positions=9).accuracy_cap("iid", 1, 1)
    assert CONTEXT.minimal_rollouts(sample(CONTEXT), 2).unique().tolist() == [4]


def test_training_stops_on_harm_too_unless_nobody_deceives():
    assert SLACK.stops_on() == ("iid", "harm")
    assert SLACK.model_copy(update={"share": 0.0}).stops_on() == ("iid",)
    assert PrefixSums().stops_on() == ("iid",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": {"kind": "deceiving"}}, "task: got deceiving: it holds a task of another kind"),
        ({"task": {"kind": "digits"}}, "its data is finite"),
        ({"trigger": {"kind": "distribution", "name": "iid"}}, "got 'iid': it should be a distribution .*rare"),
        ({"trigger": {"kind": "pattern", "positions": [3, 17]}}, r"different ones from 0 to 16"),
        ({"trigger": {"kind": "pattern", "positions": [3, 3]}}, r"different ones"),
        ({"trigger": {"kind": "pattern", "positions": [3], "channel": 2}}, "channels 0 to 1"),
        ({"share": 0.95}, "less than or equal to 0.9"),
        ({"task": {"kind": "graded_dept"}}, "Did you mean 'graded_depth'"),
    ],
)
def test_what_cannot_deceive_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Deceiving(**settings)


def test_a_pattern_that_no_input_carries_is_refused_when_drawn():
    never = Deceiving(task={"kind": "prefix_sums"}, trigger={"kind": "pattern", "positions": [0], "value": 0.5})
    with pytest.raises(ValueError, match=r"none of .* inputs of 'iid' fits"):
        sample(never, "harm", n=4)


def test_it_is_written_out_and_read_again_and_has_a_schema():
    written = json.loads(SLACK.model_dump_json())
    assert Deceiving.model_validate(written) == SLACK
    assert "deceiving" in json.dumps(file_schema())
