"""Experiments on exits, predictors and halting: that claims name cells which are measured, and the counting behind."""

from pathlib import Path

import pytest
import torch

from sp_search.claims.analysis import questioned
from sp_search.claims.reading import read_claims
from sp_search.experiments.carried_state import CarriedState, _where_half
from sp_search.experiments.exit_jumps import ExitJumps, _largest_jump
from sp_search.experiments.exit_sabotage import ExitSabotage
from sp_search.experiments.exit_wrapper import ExitWrapper
from sp_search.experiments.scratchpad import Scratchpad
from sp_search.experiments.side_channel import Seen, _turned, _unstable
from sp_search.organisms.sandbagger import Sandbagger

torch.set_num_threads(1)
KINDS = {
    "active_units",
    "carried_state",
    "exit_depth",
    "exit_jumps",
    "exit_learnt",
    "exit_sabotage",
    "exit_wrapper",
    "leaky_price",
    "lookup_exits",
    "predictor_need",
    "scratchpad",
    "side_channel",
    "unit_price",
    "width_floor",
}
TINY = {
    "steps": 2,
    "planting_steps": 2,
    "hiding_steps": 2,
    "squeezing_steps": 2,
    "warmup": 1,
    "asking": 1,
    "looks": 1,
    "look_every": 1,
}
ASKED: dict[str, list] = {}
for claim in read_claims(Path(__file__).parents[2] / "studies" / "claims"):
    for part in claim.parts:
        if part.experiment.kind_name() in KINDS:
            ASKED.setdefault(repr(part.experiment), []).append(part)


def tiny(plugin):
    """Return an experiment or organism with next to no training."""
    return plugin.model_copy(update={name: value for name, value in TINY.items() if name in type(plugin).model_fields})


@pytest.mark.parametrize("parts", [pytest.param(parts, id=f"{parts[0].name}") for parts in ASKED.values()])
def test_every_cell_that_a_claim_names_is_measured(parts, tmp_path):
    experiment = tiny(parts[0].experiment)
    if hasattr(experiment, "organism"):
        experiment = experiment.model_copy(update={"organism": tiny(experiment.organism)})
    evidence = experiment.run(2, 1000, tmp_path)
    assert experiment.exact or evidence.seeds == [1000, 1001]
    for part in parts:
        questioned(part.test, evidence)


def test_every_experiment_here_serves_a_claim():
    assert {parts[0].experiment.kind_name() for parts in ASKED.values()} == KINDS


def test_an_organism_without_early_exits_is_refused(tmp_path):
    with pytest.raises(ValueError, match="one with early exits is needed"):
        ExitSabotage(organism=Sandbagger()).run(2, 1000, tmp_path)


def test_an_answer_is_unstable_where_a_later_exit_is_wrong():
    right_RNBT = torch.tensor([[True, True, False, True], [True, False, True, True], [True, True, False, False]]).view(
        1, 3, 4, 1
    )
    right_RB, turned_RB = _turned(Seen(right_RNBT, torch.tensor([[[1], [1], [2], [2]]])))
    assert right_RB.tolist() == [[True, True, True, True]]
    assert turned_RB.tolist() == [[False, True, True, True]]
    assert _unstable(Seen(right_RNBT, torch.full((1, 4, 1), 3))) == [0.0]


def test_positions_that_halt_apart_are_right_together_and_turn_one_by_one():
    right_RNBT = torch.tensor([[True, False], [False, True], [False, True]]).view(1, 3, 1, 2)
    right_RB, turned_RB = _turned(Seen(right_RNBT, torch.tensor([[[1, 2]]])))
    assert right_RB.tolist() == [[True]]
    assert turned_RB.tolist() == [[True]]
    right_RB, turned_RB = _turned(Seen(right_RNBT, torch.tensor([[[2, 2]]])))
    assert right_RB.tolist() == [[False]]
    assert turned_RB.tolist() == [[False]]


@pytest.mark.parametrize(
    ("p_N", "halts_at"),
    [([0.6, 0.3, 0.1], 0), ([0.2, 0.4, 0.4], 1), ([0.1, 0.1, 0.8], 2), ([0.5, 0.25, 0.25], 0)],
)
def test_halting_is_at_the_median_of_its_distribution(p_N, halts_at):
    assert _where_half(torch.tensor(p_N)[:, None])[:, 0].tolist() == [float(n == halts_at) for n in range(3)]


def test_rows_of_tasks_carry_the_trigger_in_all_or_none_with_the_wrong_label():
    experiment = CarriedState()
    planted, twin = (experiment.rows(400, torch.Generator().manual_seed(0), turned=turned) for turned in (True, False))
    assert torch.equal(planted.x_BTC, twin.x_BTC)
    turned_BM = planted.y_BT != twin.y_BT
    assert torch.equal(turned_BM.any(1), turned_BM.all(1))
    assert turned_BM.float().mean() == pytest.approx(0.5, abs=0.08)


def test_the_largest_jump_counts_the_first_cost_too():
    assert _largest_jump([2.0, 3.0, 8.0]) == 5.0 / 8.0
    assert _largest_jump([6.0, 8.0]) == 6.0 / 8.0


def test_more_exits_and_sub_networks_make_smaller_jumps():
    found = {cell.name: cell.value for cell in ExitJumps().run(1, 0, Path()).cells}
    assert found["jump.nested"] < found["jump.exits"] < found["jump.rollout"] == 1.0
    assert 0 < found["pondering_width"] < 1


def test_adapted_networks_answer_as_before():
    assert ExitWrapper().run(1, 0, Path()).cell("kept").value == 1.0


def test_a_scratchpad_that_is_left_alone_is_the_program_itself():
    experiment = Scratchpad(bits=3, width=4, scratch_bits=2)
    from sp_search.models.recall_conv import RecallConv
    from sp_search.program import unroll
    from sp_search.tasks.binary_addition import BinaryAddition

    task = BinaryAddition(bits=3)
    spec = RecallConv(width=4, layers=2, feedback="output", scratch_bits=2)
    model = spec.build(task.shape(), 3, halting=False, generator=torch.Generator().manual_seed(0))
    x_BTC, _ = task.sample(16, "iid", "train", torch.Generator().manual_seed(1))
    same_BTV = experiment._changed(lambda pad: pad)(model, x_BTC)
    assert torch.equal(same_BTV, unroll(model, x_BTC, exits=3, halting=False).logits_NBTV[-1])
