"""Recurrent models in all their forms: exact prices, what passes between rollouts, and how far information moves."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Generator

from sp_search.compute.flops import measured_prices
from sp_search.plugins import find
from sp_search.program import unroll
from sp_search.tasks.base import Shape

torch.set_num_threads(1)
LINE, ONCE, GRID = Shape(6, 2, 6, 3), Shape(6, 2, 1, 3), Shape(9, 2, 9, 3, dimensions=2)
FEEDBACKS = ("state", "output", "both")
FORMS = [
    *[("recall_conv", {"feedback": feedback}, LINE) for feedback in FEEDBACKS],
    *[("recall_conv", {"feedback": feedback, "kernel": 3, "causal": False}, GRID) for feedback in FEEDBACKS],
    ("recall_conv", {"kernel": 3, "causal": False, "layers": 3}, LINE),
    *[("ponder_cell", {"feedback": feedback}, ONCE) for feedback in FEEDBACKS],
    *[("ponder_cell", {"feedback": feedback, "cell": "gru"}, LINE) for feedback in ("state", "both")],
    *[("looped_transformer", {"feedback": feedback}, LINE) for feedback in FEEDBACKS],
    ("looped_transformer", {"near": 1}, ONCE),
    ("looped_transformer", {"near": 1}, GRID),
    *[("cot_transformer", {"feedback": feedback, "layers": 2}, LINE) for feedback in FEEDBACKS],
    ("cot_transformer", {}, ONCE),
]
WRITING = [form for form in FORMS if find("models", form[0])(**form[1]).feedback != "state"]
ALL_OUTPUT = [form for form in WRITING if find("models", form[0])(**form[1]).feedback == "output"]


def name(value):
    return "-".join(map(str, value.values())) if isinstance(value, dict) else None


def built(kind, settings, shape, exits=3, seed=0):
    spec = find("models", kind)(**settings)
    return spec.build(shape, exits, halting=True, generator=Generator().manual_seed(seed))


def inputs(shape, batch=5):
    return torch.randn(batch, shape.positions, shape.channels, generator=Generator().manual_seed(1))


@pytest.mark.parametrize(("kind", "settings", "shape"), FORMS, ids=name)
def test_prices_and_parameters_of_every_form_are_exact(kind, settings, shape):
    model, spec = built(kind, settings, shape), find("models", kind)(**settings)
    assert measured_prices(model, inputs(shape), exits=3, halting=True) == spec.prices(shape, 3, halting=True)
    assert spec.parameters(shape, 3, halting=True) == sum(part.numel() for part in model.parameters())


@pytest.mark.parametrize(("kind", "settings", "shape"), FORMS, ids=name)
def test_the_loss_at_the_last_rollout_moves_every_parameter_of_every_form(kind, settings, shape):
    model = built(kind, settings, shape)
    exits = unroll(model, inputs(shape), exits=3, halting=True)
    loss = exits.logits_NBTV[-1].square().sum() + exits.halt_NB[-1].square().sum()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize(("kind", "settings", "shape"), WRITING, ids=name)
def test_what_is_written_is_discrete(kind, settings, shape):
    model = built(kind, settings, shape)
    state = model.start(inputs(shape))
    for index in (1, 2, 3):
        state = model.step(state, index)
        allowed = (0.0, 1.0) if kind == "cot_transformer" else (-1.0, 1.0)
        assert set(model.scratchpad(state).unique().tolist()) <= set(allowed)
    if kind == "cot_transformer":
        assert torch.equal(model.scratchpad(state).sum(-1), torch.ones(5, 3))


@pytest.mark.parametrize(("kind", "settings", "shape"), ALL_OUTPUT, ids=name)
def test_with_output_feedback_nothing_passes_but_the_input_and_what_was_written(kind, settings, shape):
    """From input and scratchpad alone the state can be made again, and with it every later answer."""
    model, x_BTC = built(kind, settings, shape), inputs(shape)
    state = model.step(model.step(model.start(x_BTC), 1), 2)
    again = model.with_scratchpad(model.start(x_BTC), model.scratchpad(state))
    for part, part_again in zip(state, again, strict=True):
        torch.testing.assert_close(part, part_again)
    if kind != "cot_transformer":  # whose cache holds keys and values of input and tokens
        pad, carried_x = state
        assert set(pad.unique().tolist()) <= {-1.0, 1.0}
        assert torch.equal(carried_x.reshape(x_BTC.shape), x_BTC)


@pytest.mark.parametrize(("kind", "settings", "shape"), WRITING, ids=name)
def test_what_is_written_reaches_the_answer(kind, settings, shape):
    model, x_BTC = built(kind, settings, shape), inputs(shape)
    state = model.step(model.step(model.start(x_BTC), 1), 2)
    other = model.with_scratchpad(state, model.scratchpad(state).roll(1, 0))
    assert not torch.equal(model.answer(model.step(state, 3), 3), model.answer(model.step(other, 3), 3))


@pytest.mark.parametrize(("kind", "settings", "shape"), [form for form in FORMS if form not in WRITING], ids=name)
def test_a_model_that_writes_nothing_has_no_scratchpad(kind, settings, shape):
    model = built(kind, settings, shape)
    state = model.start(inputs(shape))
    with pytest.raises(NotImplementedError, match="writes nothing"):
        model.scratchpad(state)
    with pytest.raises(NotImplementedError, match="writes nothing"):
        model.with_scratchpad(state, state[0])


def test_on_a_grid_information_moves_by_its_reach_in_both_dimensions_and_no_further():
    model = built("recall_conv", {"kernel": 3, "causal": False, "layers": 1}, Shape(49, 1, 49, 2, 2), exits=2)
    x_BTC = torch.zeros(1, 49, 1)
    changed = x_BTC.clone()
    changed[0, 24] = 3.0  # the centre
    before, after = (unroll(model, x, exits=2, halting=False).logits_NBTV for x in (x_BTC, changed))
    moved = (before != after).any(-1).squeeze(1).unflatten(-1, (7, 7))
    far = torch.tensor([max(abs(row - 3), abs(column - 3)) for row in range(7) for column in range(7)])
    for index in (1, 2):
        assert torch.equal(moved[index - 1].flatten(), far <= index * model.reach())


@pytest.mark.parametrize(
    ("kind", "settings", "longer"),
    [
        ("recall_conv", {"kernel": 3, "causal": False}, GRID._replace(positions=25, answers=25)),
        ("recall_conv", {}, LINE._replace(positions=11, answers=11)),
        ("looped_transformer", {}, GRID._replace(positions=25, answers=25)),
        ("cot_transformer", {}, ONCE._replace(positions=11)),
    ],
)
def test_a_model_of_any_length_is_priced_exactly_on_another_length(kind, settings, longer):
    small = {9: 9, 25: 9, 11: 6}[longer.positions]
    shape = longer._replace(positions=small, answers=1 if longer.answers == 1 else small)
    model = built(kind, settings, shape)
    assert model.any_length
    assert measured_prices(model, inputs(longer), exits=3, halting=True) == model.prices(longer.positions, 3)


def test_a_scratch_token_costs_more_the_later_it_comes_and_exactly_one_more_position_of_attention():
    spec = find("models", "cot_transformer")(width=32, heads=4, layers=1)
    steps = spec.prices(ONCE, 4, halting=False).step_N
    per_position = 4 * 32 + 5 * 4  # query times key, softmax weight times value, softmax
    assert [late - early for early, late in pairwise(steps)] == [per_position] * 3


@pytest.mark.parametrize(
    ("kind", "settings", "shape", "words"),
    [
        ("recall_conv", {}, ONCE, "answers at every position: got 1 answers for 6 positions"),
        ("recall_conv", {"kernel": 3}, GRID, "set causal: false"),
        ("recall_conv", {"causal": False}, GRID, "odd, got kernel=2"),
        ("looped_transformer", {}, Shape(6, 2, 3, 3), "answers once or at every position"),
    ],
)
def test_what_cannot_be_built_is_refused_in_words(kind, settings, shape, words):
    spec = find("models", kind)(**settings)
    assert words in spec.refuses(shape)
    with pytest.raises(ValueError, match=words):
        built(kind, settings, shape)


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("ponder_cell", {"cell": "gru", "feedback": "output"}, "memory is its hidden state"),
        ("looped_transformer", {"width": 30, "heads": 4}, "multiple of heads"),
        ("cot_transformer", {"width": 9, "heads": 3}, "even and a multiple of heads"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(kind, settings, words):
    with pytest.raises(ValueError, match=words):
        find("models", kind)(**settings)


def test_looped_positions_are_clipped_offsets():
    from sp_search.models.networks.looped_transformer import relative_places

    line = relative_places(4, 2, 1, torch.device("cpu"))
    assert line[0].tolist() == [2, 3, 4, 4]
    assert line[3].tolist() == [0, 0, 1, 2]
    grid = relative_places(9, 1, 2, torch.device("cpu"))
    assert grid[4].tolist() == list(range(9))
    assert math.isclose(len(grid.unique()), 9)
