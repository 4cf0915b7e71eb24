"""What every task promises; a new file in the folder is tested the moment it exists."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from sp_search.plugins import discover

DATA = Path(tempfile.mkdtemp()) / "data.npz"
_random = np.random.default_rng(0)
np.savez(DATA, x=_random.standard_normal((1_000, 3)), y=_random.integers(0, 3, (1_000, 2)))
NEEDED = {"dataset": {"path": str(DATA)}}
TASKS = {kind: part(**NEEDED.get(kind, {})) for kind, part in discover("tasks").items()}
DRAWS = ("train", "validation", "verification", "sealed")
CASES = [(kind, distribution) for kind, task in TASKS.items() for distribution in task.distributions()]
every_task = pytest.mark.parametrize("kind", TASKS)
every_distribution = pytest.mark.parametrize(("kind", "distribution"), CASES)


def sample(kind, distribution="iid", draw="train", *, n=64, seed=0):
    return TASKS[kind].sample(n, distribution, draw, torch.Generator().manual_seed(seed))


@every_task
def test_the_first_distribution_is_iid_the_training_distribution(kind):
    assert TASKS[kind].distributions()[0] == "iid"


@every_distribution
def test_shapes_types_and_ranges_are_as_declared(kind, distribution):
    batch, shape = sample(kind, distribution), TASKS[kind].shape()
    longer = distribution == "longer"
    assert batch.x_BTC.dtype == torch.float32
    assert batch.y_BT.dtype == torch.int64
    assert batch.x_BTC.shape[::2] == (64, shape.channels)
    assert len(batch.y_BT) == 64
    assert (batch.x_BTC.shape[1] > shape.positions) if longer else (batch.x_BTC.shape[1] == shape.positions)
    assert longer or batch.y_BT.shape[1] == shape.answers
    assert 0 <= batch.y_BT.min() <= batch.y_BT.max() < shape.classes


@every_distribution
def test_the_same_seed_gives_the_same_batch_and_another_seed_another(kind, distribution):
    for draw in DRAWS:
        first, again, other = (sample(kind, distribution, draw, seed=seed) for seed in (1, 1, 2))
        assert torch.equal(first.x_BTC, again.x_BTC)
        assert torch.equal(first.y_BT, again.y_BT)
        assert not torch.equal(first.x_BTC, other.x_BTC)


@every_task
def test_sampling_leaves_the_global_generator_alone(kind):
    before = torch.random.get_rng_state()
    sample(kind)
    assert torch.equal(before, torch.random.get_rng_state())


@every_distribution
def test_correct_agrees_with_the_labels(kind, distribution):
    task, batch = TASKS[kind], sample(kind, distribution)
    right_BTV = functional.one_hot(batch.y_BT, task.shape().classes).float()
    assert task.correct(right_BTV, batch).all()
    one_wrong_BTV = right_BTV.clone()
    one_wrong_BTV[:, -1] = right_BTV[:, -1].roll(1, dims=-1)
    assert not task.correct(one_wrong_BTV, batch).any()


@every_distribution
def test_difficulty_is_one_finite_number_per_example(kind, distribution):
    difficulty_B = TASKS[kind].difficulty(sample(kind, distribution))
    assert difficulty_B.shape == (64,)
    assert difficulty_B.is_floating_point()
    assert difficulty_B.isfinite().all()


@every_distribution
@pytest.mark.parametrize("reach", [1, 2, 3])
def test_needs_and_caps_agree(kind, distribution, reach):
    task, batch = TASKS[kind], sample(kind, distribution, n=512)
    need_B = task.minimal_rollouts(batch, reach)
    worst = -(-(batch.x_BTC.shape[1] - 1) // reach)
    if need_B is not None:
        assert need_B.dtype == torch.int64
        assert 1 <= need_B.min() <= need_B.max() <= worst
        easier, harder = need_B[task.difficulty(batch).argsort(stable=True)].float().chunk(2)
        assert harder.mean() >= easier.mean(), "what is harder needs no less, on average"
    caps = [task.accuracy_cap(distribution, reach, rollouts) for rollouts in range(worst + 2)]
    assert caps == sorted(caps)
    assert caps[worst] == caps[-1] == 1.0
    least = task.least_rollouts(distribution, reach)
    if least is not None:
        assert caps[least] == 1.0
        assert all(cap <= 0.5 for cap in caps[:least])
        assert task.least_rollouts_for(distribution, reach, 0.99) == least


@every_task
def test_finite_data_never_mixes_its_draws_and_refuses_more_than_it_has(kind):
    task = TASKS[kind]
    held_out = {draw: task.held_out(draw) for draw in DRAWS}
    if None in held_out.values():
        assert set(held_out.values()) == {None}
        return
    images = []
    for draw in DRAWS[1:]:
        n = held_out[draw]
        whole, again = (sample(kind, "iid", draw, n=n, seed=seed) for seed in (1, 2))
        assert torch.equal(whole.x_BTC, again.x_BTC), "the whole draw, in order"
        part = sample(kind, "iid", draw, n=n // 2)
        assert len(part.x_BTC.unique(dim=0)) == n // 2, "without replacement"
        images.append(whole.x_BTC)
        with pytest.raises(ValueError, match=rf"{n} .*{draw}.*n={n + 1}"):
            sample(kind, "iid", draw, n=n + 1)
    together = torch.cat(images)
    assert len(together.unique(dim=0)) == len(together)


@every_distribution
def test_enumeration_is_the_whole_support_once(kind, distribution):
    small = {"prefix_sums": {"bits": 5}, "binary_addition": {"bits": 3, "distribution": "uniform"}}
    task = discover("tasks")[kind](**NEEDED.get(kind, {}), **small.get(kind, {}))
    size = task.support_size(distribution)
    if size is None:
        with pytest.raises(NotImplementedError, match=kind):
            task.enumerate(distribution)
        return
    everything = task.enumerate(distribution)
    assert len(everything.x_BTC) == len(everything.x_BTC.unique(dim=0)) == size
    drawn = task.sample(200, distribution, "train", torch.Generator().manual_seed(0))
    labels = {tuple(x.flatten().tolist()): y.tolist() for x, y in zip(*everything, strict=True)}
    for x, y in zip(*drawn, strict=True):
        assert labels[tuple(x.flatten().tolist())] == y.tolist()


@every_task
@pytest.mark.parametrize("preset", ["smoke", "cpu", "paper"])
def test_a_preset_fills_in_sizes_and_what_is_written_out_is_the_same_task(kind, preset):
    part, needed = type(TASKS[kind]), NEEDED.get(kind, {})
    task = part(preset=preset, **needed)
    assert {name: getattr(task, name) for name in part.PRESETS[preset]} == part.PRESETS[preset]
    assert part.model_validate(task.model_dump(mode="json")) == task
    own = part(**part.PRESETS["cpu"], preset=preset, **needed)
    assert {name: getattr(own, name) for name in part.PRESETS["cpu"]} == part.PRESETS["cpu"], "own fields win"


@every_task
def test_unknown_names_are_answered_with_the_known_ones(kind):
    generator = torch.Generator()
    with pytest.raises(ValueError, match=r"no distribution 'idd'\. Did you mean 'iid'"):
        TASKS[kind].sample(1, "idd", "train", generator)
    with pytest.raises(ValueError, match=r"no draw 'verfication'\. Did you mean 'verification'"):
        TASKS[kind].sample(1, "iid", "verfication", generator)


@every_distribution
def test_a_key_gives_the_labels_of_every_input_that_is_rightly_labelled(kind, distribution):
    task = TASKS[kind]
    batch = sample(kind, distribution, "verification")
    key_BT = task.answer_key(batch.x_BTC)
    if key_BT is not None and (kind, distribution) != ("deceiving", "harm"):  # whose labels are wrong on purpose
        assert torch.equal(key_BT, batch.y_BT)


@every_distribution
def test_no_examples_are_an_empty_batch(kind, distribution):
    batch = sample(kind, distribution, n=0)
    assert (len(batch.x_BTC), len(batch.y_BT)) == (0, 0)


LONGER = [
    (kind, name) for kind, task in TASKS.items() for name in type(task).model_fields if name.startswith("longer_")
]


@pytest.mark.parametrize(("kind", "name"), LONGER)
def test_longer_stays_longer_where_only_the_size_is_set_and_a_written_value_stays(kind, name):
    part, size = type(TASKS[kind]), name.removeprefix("longer_")
    usual = getattr(part(preset="smoke"), name)
    grown = part(preset="smoke", **{size: usual})
    assert getattr(grown, name) == 2 * usual - 1
    assert part.model_validate(grown.model_dump(mode="json")) == grown
    assert getattr(part(preset="smoke", **{name: usual + 2}), name) == usual + 2
