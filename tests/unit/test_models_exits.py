"""Networks whose exits have weights of their own: what moves, what is reused, what is refused; and the gap of costs."""

import pytest
import torch
from pydantic import ValidationError
from torch import Generator

from sp_search.compute import count_flops, execute, measured_prices
from sp_search.models.exit_conv import ExitConv
from sp_search.models.exit_transformer import ExitTransformer
from sp_search.models.nested import Nested
from sp_search.pricing import HaltingRule, cumulative_flops, largest_gap
from sp_search.program import Program, unroll
from sp_search.tasks.base import Shape

torch.set_num_threads(1)
LINE, ONE, SQUARE, IMAGE = Shape(7, 2, 7, 2), Shape(7, 2, 1, 2), Shape(25, 3, 25, 2, 2), Shape(25, 3, 1, 4, 2)


def built(spec, shape, exits=2, halting=True, seed=0):
    return spec.build(shape, exits, halting=halting, generator=Generator().manual_seed(seed))


def inputs(shape, batch=3):
    return torch.randn(batch, shape.positions, shape.channels, generator=Generator().manual_seed(1))


CASES = {
    "a line, every position answers": (ExitConv(width=5), LINE),
    "a line that sees both sides": (ExitConv(width=5, causal=False), LINE),
    "a line, the last position answers": (ExitConv(width=5, kernel=2), ONE),
    "a line, the mean answers": (ExitConv(width=5, readout="mean"), ONE),
    "a square, every cell answers": (ExitConv(width=5), SQUARE),
    "an image, the mean answers": (ExitConv(width=5, readout="mean"), IMAGE),
    "a transformer, every position answers": (ExitTransformer(width=6, heads=3, inner=5), LINE),
    "a transformer, the mean answers": (ExitTransformer(width=6, heads=3, inner=5), IMAGE),
    "nested by cost": (Nested(widths=[2, 5], depth=2), IMAGE),
    "nested by width": (Nested(widths=[2, 5, 6], depth=3, path="width"), LINE),
    "nested by depth": (Nested(widths=[2, 5], depth=3, path="depth"), ONE),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("halting", [True, False])
def test_prices_and_parameters_are_what_is_built_in_every_setting(name, halting):
    spec, shape = CASES[name]
    model = built(spec, shape, halting=halting)
    assert measured_prices(model, inputs(shape), exits=2, halting=halting) == spec.prices(shape, 2, halting=halting)
    assert sum(part.numel() for part in model.parameters()) == spec.parameters(shape, 2, halting=halting)
    logits_NBTV = unroll(model, inputs(shape), exits=2, halting=halting).logits_NBTV
    assert logits_NBTV.shape == (2, 3, shape.answers, shape.classes)


def changed_answers(model, shape, position):
    """Return at which exits which answers change when one position of the input does."""
    x_BTC = inputs(shape, 1)
    other_BTC = x_BTC.clone()
    other_BTC[0, position] += 3.0
    with torch.no_grad():
        before, after = (unroll(model, x, exits=model.exits, halting=False).logits_NBTV for x in (x_BTC, other_BTC))
    return (before != after).any(-1).squeeze(1)


def test_a_causal_block_moves_information_by_its_reach_forwards_alone():
    model = built(ExitConv(width=8), LINE)
    assert model.reach() == ExitConv().reach() == 2
    moved_NT = changed_answers(model, LINE, 2)
    assert moved_NT.tolist() == [
        [False] * 2 + [True] * 3 + [False] * 2,
        [False] * 2 + [True] * 5,
    ]


def test_a_block_in_two_dimensions_moves_information_by_its_reach_in_every_direction():
    spec = ExitConv(width=8, causal=False)
    model = built(spec, SQUARE)
    assert model.reach() == spec.reach() == 1
    first_SS, second_SS = changed_answers(model, SQUARE, 12).reshape(2, 5, 5)
    assert first_SS.sum() == first_SS[1:4, 1:4].sum() == 9
    assert second_SS.all()


def test_one_local_answer_is_blind_beyond_its_reach_and_the_mean_is_not():
    local, mean = built(ExitConv(width=8), ONE), built(ExitConv(width=8, readout="mean"), ONE)
    assert changed_answers(local, ONE, 2).flatten().tolist() == [False, True]
    assert changed_answers(mean, ONE, 0).all()
    assert mean.reach() is ExitConv(readout="mean").reach() is None


def test_a_wider_exit_reuses_what_the_narrower_one_computed():
    spec, shape = Nested(widths=[3, 8, 20], depth=3), ONE
    exits = 9
    model, x_BTC = built(spec, shape, exits), inputs(shape)
    state = model.start(x_BTC)
    for index in range(1, exits + 1):
        before, state = state, model.step(state, index)
        assert all(old is new for old, new in zip(before, state[: len(before)], strict=True))
    total = count_flops(lambda: unroll(model, x_BTC, exits=exits, halting=False)).total / len(x_BTC)
    prices = spec.prices(shape, exits, halting=False)
    assert total == sum(prices.step_N) + sum(prices.answer_N)
    whole = Nested(widths=[20], depth=3, path="depth").prices(shape, 3, halting=False)
    assert sum(prices.step_N) < sum(whole.step_N), "the lower triangle is less than the square"


def test_the_path_by_cost_takes_every_sub_network_from_the_cheapest_and_each_adds_one_cell():
    spec = Nested(widths=[4, 8, 32], depth=3)
    cells = spec.cells(features=14, exits=9)
    assert all(len(added) == 1 for added in cells)
    corners = [tuple(added[0]) for added in cells]
    assert sorted(corners) == [(group, layer) for group in (1, 2, 3) for layer in (1, 2, 3)]
    for place, (group, layer) in enumerate(corners):
        assert all((g, at) in corners[:place] for g in range(1, group) for at in range(1, layer + 1))
        assert layer == 1 or (group, layer - 1) in corners[:place]


def test_the_other_paths_end_in_the_same_network():
    for path, exits in (("width", 3), ("depth", 2)):
        cells = Nested(widths=[4, 8, 32], depth=2, path=path).cells(14, exits)
        every = [(group, layer) for group in (1, 2, 3) for layer in (1, 2)]
        assert sorted((group, layer) for added in cells for group, layer in added) == every
        assert cells[-1][-1] == [3, 2]


def test_a_shorter_nested_network_is_the_longer_one_cut():
    short, long = built(Nested(), ONE, 3), built(Nested(), ONE, 5)
    names = dict(short.named_parameters())
    assert {name: part.shape for name, part in long.named_parameters() if name in names} == {
        name: part.shape for name, part in names.items()
    }


@pytest.mark.parametrize("spec", [Nested(), ExitTransformer(), ExitConv()])
def test_execution_stops_and_spends_what_the_exits_cost(spec):
    model, x_BTC = built(spec, LINE, 3), inputs(LINE, 16)
    ran = execute(Program(model, HaltingRule("sample"), 3), x_BTC)
    assert len(ran.exit_B.unique()) > 1
    flops_N = cumulative_flops(spec.prices(LINE, 3, halting=True), HaltingRule("sample"))
    assert ran.flops_B.tolist() == [flops_N[index - 1] for index in ran.exit_B]


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        (ExitConv(), Shape(7, 2, 3, 2), "3 answers from 7 positions .* readout: mean"),
        (ExitConv(), IMAGE, "1 answers from 25 positions in 2 dimension"),
        (ExitConv(kernel=2), SQUARE, "kernel 2 has no middle"),
        (ExitConv(kernel=4, causal=False), LINE, "kernel 4 has no middle"),
    ],
)
def test_what_cannot_be_read_is_refused_before_it_is_built(spec, shape, message):
    with pytest.raises(ValueError, match=message):
        built(spec, shape)


def test_more_exits_than_there_are_is_an_error_that_says_how_many():
    for spec, most in ((ExitConv(depth=4), 4), (ExitTransformer(depth=4), 4), (Nested(widths=[2, 3], depth=2), 4)):
        assert spec.realise("depth", most) == most
        assert spec.realise("depth", most + 1) is None
        with pytest.raises(ValueError, match=f"{most} exits.*got exits={most + 1}"):
            built(spec, LINE, most + 1)


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        (Nested, {"widths": [8, 8]}, r"widths must ascend from 1 or more, got \[8, 8\]"),
        (Nested, {"widths": [0, 8]}, "widths must ascend"),
        (ExitTransformer, {"width": 10, "heads": 3}, "width 10 is not a multiple of heads 3"),
    ],
)
def test_settings_that_fit_no_network_are_refused(part, settings, message):
    with pytest.raises(ValidationError, match=message):
        part(**settings)


@pytest.mark.parametrize(
    ("flops_N", "gap"), [((10.0,), 1.0), ((10.0, 20.0, 30.0), 2.0), ((10.0, 12.0, 36.0, 40.0), 3.0), ((5.0, 5.0), 1.0)]
)
def test_the_largest_gap_is_the_largest_jump_between_costs_that_can_be_reached(flops_N, gap):
    assert largest_gap(flops_N) == gap


def test_exits_of_equal_cost_have_smaller_gaps_than_widths_that_double():
    rule = HaltingRule("confidence")
    early = largest_gap(cumulative_flops(ExitConv().prices(LINE, 8, halting=False), rule))
    assert 1.0 < early < 2.1
