"""The generated MNIST-1D: its draws, and that its shapes are those of the publication."""

import pytest
import torch

from sp_search.tasks.mnist1d import SIZES, Mnist1d


def whole(draw, distribution="iid"):
    return Mnist1d().sample(SIZES[draw], distribution, draw, torch.Generator().manual_seed(0))


def test_draws_hold_every_class_alike_and_the_training_draw_is_standardised():
    signals = []
    for draw in ("validation", "verification", "sealed"):
        batch = whole(draw)
        assert batch.y_BT[:, 0].bincount().tolist() == [100] * 10
        assert abs(batch.x_BTC.mean()) < 0.1
        assert batch.x_BTC.std() == pytest.approx(1.0, abs=0.1)
        signals.append(batch.x_BTC)
    signals.append(Mnist1d().sample(20_000, "iid", "train", torch.Generator().manual_seed(0)).x_BTC.unique(dim=0))
    assert 3_900 < len(signals[-1]) <= 4_000
    everything = torch.cat(signals)
    assert len(everything.unique(dim=0)) == len(everything), "draws are disjoint"


def test_fewer_training_examples_are_the_first_ones():
    few = Mnist1d(preset="smoke")
    assert len(few.sample(20_000, "iid", "train", torch.Generator().manual_seed(0)).x_BTC.unique(dim=0)) == 500


def test_a_linear_map_is_poor_and_a_nearest_signal_is_far_above_chance():
    train, test = Mnist1d().sample(4_000, "iid", "train", torch.Generator().manual_seed(0)), whole("verification")
    target_BV = torch.nn.functional.one_hot(train.y_BT[:, 0], 10).float()
    with_one_BC = torch.nn.functional.pad(train.x_BTC[..., 0], (0, 1), value=1.0)
    weights = torch.linalg.lstsq(with_one_BC, target_BV).solution
    linear_B = (torch.nn.functional.pad(test.x_BTC[..., 0], (0, 1), value=1.0) @ weights).argmax(1)
    linear = (linear_B == test.y_BT[:, 0]).float().mean()
    assert 0.15 < linear < 0.45, "published: 32 % for logistic regression"
    misled = (Mnist1d().difficulty(test) > 0).float().mean()
    assert 0.2 < misled < 0.7


def test_shifted_signals_are_moved_round_by_five_to_ten_steps():
    plain, moved = whole("sealed"), whole("sealed", "shifted")
    assert torch.equal(plain.y_BT, moved.y_BT)
    errors = torch.stack([(plain.x_BTC.roll(step, 1) - moved.x_BTC).square().mean((1, 2)) for step in range(40)])
    best = errors.argmin(0)
    assert best.min() == 5
    assert best.max() == 10
    assert errors.amin(0).mean() == pytest.approx(0.01, abs=0.002)
