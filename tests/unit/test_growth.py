"""Growing keeps the function, shrinking keeps what matters: every model with a unit layout, along both its axes."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from sp_search.models.base import ModelSpec
from sp_search.plugins import discover
from sp_search.program import ProgramModel, unroll
from sp_search.records import RunnerState
from sp_search.tasks.base import Shape
from sp_search.train.growth import inherit, prune, saliency
from sp_search.train.population import Layout, Population, flatten
from sp_search.train.settings import TrainSettings
from sp_search.units import Wiring, groups, width_of

torch.set_num_threads(1)
SHAPE = Shape(5, 2, 5, 3)
PARTS = discover("models")
WITH_LAYOUT = [kind for kind, part in PARTS.items() if part().unit_layout(SHAPE, 2, halting=True) is not None]
WITH_LAYOUT += ["recall_conv/output", "recall_conv/both"]


def spec(kind: str, width: int) -> ModelSpec:
    """A part by its kind, with the feedback that stands after it."""
    name, _, feedback = kind.partition("/")
    return PARTS[name](width=width, **({"feedback": feedback} if feedback else {}))  # type: ignore[return-value]


UNTIED = [kind for kind in WITH_LAYOUT if spec(kind, 1).exits_axis() == "depth"]


def built(part: ModelSpec, exits: int, seed: int) -> ProgramModel:
    """A network whose every weight is random, biases too."""
    model = part.build(SHAPE, exits, halting=True, generator=Generator().manual_seed(seed))
    generator = Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def state_of(model: ProgramModel, moment: float = 2.0) -> RunnerState:
    layout, weights = Layout.of(model), flatten(model)[None]
    arrays = Population(weights, *(torch.full_like(weights, moment) for _ in range(3))).arrays()
    parameters = [[name, list(shape)] for name, shape in zip(layout.names, layout.shapes, strict=True)]
    return RunnerState(arrays=arrays, meta={"lineages": [4], "parameters": parameters})


def moved(before: ProgramModel, after: ProgramModel, part: ModelSpec, **fields: Any) -> tuple[ProgramModel, Population]:
    """Return `after` with what it inherits of `before`, and its population."""
    layout = Layout.of(after)
    population = inherit(
        layout,
        Population.fresh(flatten(after)[None]),
        [4],
        [4],
        state_of(before),
        part.unit_layout(SHAPE, after.exits, halting=True),
        TrainSettings(**fields),
        Generator().manual_seed,
    )
    after.load_state_dict({name: own[0] for name, own in layout.split(population.weights_RP).items()})
    return after, population


def seen(model: ProgramModel, exits: int) -> tuple[torch.Tensor, torch.Tensor]:
    x_BTC = torch.randn(6, SHAPE.positions, SHAPE.channels, generator=Generator().manual_seed(9))
    with torch.no_grad():
        found = unroll(model, x_BTC, exits=exits, halting=True)
    assert found.halt_NB is not None
    return found.logits_NBTV, found.halt_NB


def difference(first: tuple[torch.Tensor, ...], second: tuple[torch.Tensor, ...]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", WITH_LAYOUT)
def test_a_layout_names_every_parameter_and_gives_its_shape(kind: str) -> None:
    for width, exits in ((1, 1), (3, 2), (7, 3)):
        part = spec(kind, width)
        layout = part.unit_layout(SHAPE, exits, halting=True)
        assert layout is not None
        named = dict(built(part, exits, 0).named_parameters())
        assert layout.keys() == named.keys()
        assert {width_of(wiring, tuple(named[name].shape)) for name, wiring in layout.items()} - {None} == {width}


@pytest.mark.parametrize("kind", [kind for kind, part in PARTS.items() if "width" in part().axes()])
def test_a_model_with_an_axis_width_has_a_layout_and_takes_its_values(kind: str) -> None:
    part = spec(kind, 4)
    assert kind in WITH_LAYOUT
    assert part.at({"width": 9, part.exits_axis(): 2}) == spec(kind, 9)
    assert part.at({part.exits_axis(): 2}) == part


@pytest.mark.parametrize("kind", WITH_LAYOUT)
@pytest.mark.parametrize("growth", ["zero", "split"])
@given(width=st.integers(1, 6), added=st.integers(1, 7), exits=st.integers(1, 3), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_wider_network_computes_the_same(
    kind: str, growth: str, width: int, added: int, exits: int, seed: int
) -> None:
    small, large = spec(kind, width), spec(kind, width + added)
    before = built(small, exits, seed)
    after, _ = moved(before, built(large, exits, seed + 1), large, growth=growth)
    assert difference(seen(before, exits), seen(after, exits)) < 1e-5


@pytest.mark.parametrize("kind", UNTIED)
@given(width=st.integers(1, 6), added=st.integers(0, 3), exits=st.integers(1, 2), further=st.integers(1, 2))
@settings(max_examples=15, deadline=None)
def test_new_exits_of_a_deeper_network_answer_as_the_last_one_did(
    kind: str, width: int, added: int, exits: int, further: int
) -> None:
    small, large = spec(kind, width), spec(kind, width + added)
    before = built(small, exits, 0)
    after, _ = moved(before, built(large, exits + further, 1), large)
    old, new = seen(before, exits), seen(after, exits + further)
    assert difference(old, tuple(part[:exits] for part in new)) < 1e-5
    assert difference(tuple(part[-1] for part in old), tuple(part[-1] for part in new)) < 1e-5


@pytest.mark.parametrize("kind", WITH_LAYOUT)
@pytest.mark.parametrize("growth", ["zero", "split"])
def test_a_grown_network_learns_in_its_new_units_and_blocks(kind: str, growth: str) -> None:
    small, large = spec(kind, 3), spec(kind, 5)
    exits = 3 if kind in UNTIED else 2
    after, _ = moved(built(small, 2, 0), built(large, exits, 1), large, growth=growth)
    x_BTC = torch.randn(6, SHAPE.positions, SHAPE.channels, generator=Generator().manual_seed(9))
    found = unroll(after, x_BTC, exits=exits, halting=True)
    assert found.halt_NB is not None
    loss = found.logits_NBTV.square().sum() + found.halt_NB.square().sum()
    gradients = torch.autograd.grad(loss, list(after.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("kind", WITH_LAYOUT)
def test_growing_and_cutting_back_gives_the_same_weights(kind: str) -> None:
    small, large = spec(kind, 3), spec(kind, 5)
    before = built(small, 2, 0)
    grown, _ = moved(before, built(large, 2, 1), large)
    again, _ = moved(grown, built(small, 2, 2), small, shrink="slice")
    assert difference((flatten(before),), (flatten(again),)) < 1e-6


@pytest.mark.parametrize("kind", WITH_LAYOUT)
def test_units_that_nothing_reads_are_cut_without_a_change(kind: str) -> None:
    """Wherever they stand, by saliency and by name."""
    large, small = spec(kind, 6), spec(kind, 4)
    model, layout = built(large, 2, 0), large.unit_layout(SHAPE, 2, halting=True)
    assert layout is not None
    closed = [1, 4]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            start = 0
            for segment in layout[name].reads or ():
                if isinstance(segment, str):
                    parameter[:, [start + unit for unit in closed]] = 0.0
                start += 6 if isinstance(segment, str) else segment
    expected = seen(model, 2)
    assert all((score[closed] == 0).all() for score in saliency(layout, dict(model.named_parameters())).values())
    shrunk, _ = moved(model, built(small, 2, 5), small)
    assert difference(expected, seen(shrunk, 2)) < 1e-5
    cut = built(small, 2, 6)
    cut.load_state_dict(prune(layout, dict(model.named_parameters()), [0, 2, 3, 5]))
    assert difference(expected, seen(cut, 2)) < 1e-5


@pytest.mark.parametrize("kind", WITH_LAYOUT)
def test_moments_go_along_with_their_numbers_unless_they_are_reset(kind: str) -> None:
    small, large = spec(kind, 3), spec(kind, 5)
    before = built(small, 2, 0)
    _, carried = moved(before, built(large, 2, 1), large)
    for name in ("first_RP", "second_RP", "count_RP"):
        moments = carried.arrays()[name]
        assert int((moments == 2.0).sum()) == flatten(before).numel()
        assert int((moments == 0.0).sum()) == moments.numel() - flatten(before).numel()
    _, reset = moved(before, built(large, 2, 1), large, growth_optimiser="reset")
    assert not reset.first_RP.any()
    _, same_size = moved(before, built(small, 2, 1), small, growth_optimiser="reset")
    assert (same_size.first_RP == 2.0).all()


@pytest.mark.parametrize("kind", WITH_LAYOUT)
def test_noise_moves_a_network_that_changed_its_size_and_no_other(kind: str) -> None:
    small, large = spec(kind, 3), spec(kind, 5)
    before = built(small, 2, 0)
    same, _ = moved(before, built(small, 2, 1), small, growth_noise=0.1)
    assert torch.equal(flatten(before), flatten(same))
    quiet, _ = moved(before, built(large, 2, 1), large)
    loud, _ = moved(before, built(large, 2, 1), large, growth_noise=0.1)
    again, _ = moved(before, built(large, 2, 1), large, growth_noise=0.1)
    assert torch.equal(flatten(loud), flatten(again))
    assert 0 < difference(seen(quiet, 2), seen(loud, 2)) < 10


def test_copies_of_a_unit_share_what_is_read_of_it() -> None:
    large = spec("exit_mlp", 6)
    before = built(spec("exit_mlp", 2), 1, 0)
    after, _ = moved(before, built(large, 1, 1), large, growth="split")
    old, new = (dict(model.named_parameters()) for model in (before, after))
    for unit in range(2):
        copies = [j for j in range(6) if torch.equal(new["blocks.0.weight"][j], old["blocks.0.weight"][unit])]
        assert unit in copies
        for column in copies:
            torch.testing.assert_close(new["heads.0.weight"][:, column] * len(copies), old["heads.0.weight"][:, unit])


def test_a_shape_of_no_width_is_refused() -> None:
    wiring = Wiring(("a",), ("a", 2, "a", 2))
    assert width_of(wiring, (3, 10)) == 3
    assert groups({"one": wiring}) == ["a"]
    for shape in ((3, 11), (4, 10), (3, 4)):
        with pytest.raises(ValueError, match="is no width of"):
            width_of(wiring, shape)
