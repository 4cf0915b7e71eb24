"""What is proven and stated about the tasks' needs, checked on cases small enough to try everything."""

import itertools

import pytest
import torch

from sp_search.tasks.binary_addition import BinaryAddition
from sp_search.tasks.digits import Digits
from sp_search.tasks.prefix_sums import PrefixSums


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def best_local_accuracy(inputs, labels, windows, weights):
    """Return the best accuracy of all answers in which position j is any function of windows[j] of the input.

    Every position's functions are turned into the sets of inputs that they get right (bit masks); the best is the
    heaviest intersection of one set per position.
    """
    survivors = {(1 << len(inputs)) - 1}
    for position, window in enumerate(windows):
        groups = {}
        for row, text in enumerate(inputs):
            groups.setdefault(tuple(text[place] for place in window), [0, 0])[labels[row][position]] |= 1 << row
        choices = [sum(picked) for picked in itertools.product(*groups.values())]
        survivors = {alive & choice for alive in survivors for choice in choices if alive & choice}
    return max(sum(weight for row, weight in enumerate(weights) if alive >> row & 1) for alive in survivors)


@pytest.mark.parametrize(("bits", "seen"), [(2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (5, 1), (5, 2), (6, 1)])
def test_the_prefix_cap_is_the_best_that_any_local_cell_can_do(bits, seen):
    inputs = list(itertools.product((0, 1), repeat=bits))
    labels = [[sum(text[: place + 1]) % 2 for place in range(bits)] for text in inputs]
    unseen = range(seen + 1, bits)
    labels_of_unseen = [[row[place] for place in unseen] for row in labels]
    windows = [range(place - seen, place + 1) for place in unseen]
    best = best_local_accuracy(inputs, labels_of_unseen, windows, [1 / len(inputs)] * len(inputs))
    assert best == PrefixSums(bits=bits).accuracy_cap("iid", 1, seen)


def test_the_addition_caps_hold_where_every_cell_can_be_tried():
    task = BinaryAddition(bits=3)
    everything = BinaryAddition(bits=3, distribution="uniform").enumerate("iid")
    key = [tuple(map(tuple, (row > 0).long().tolist())) for row in everything.x_BTC]
    windows = [[place] for place in range(3)]
    for law in ("uniform", "graded"):
        if law == "uniform":
            weights = [1 / len(key)] * len(key)
        else:
            drawn = task.sample(40_000, law, "train", generator()).x_BTC
            rows = {text: row for row, text in enumerate(key)}
            counts = [0] * len(key)
            for text, count in zip(*(drawn > 0).long().unique(dim=0, return_counts=True), strict=True):
                counts[rows[tuple(map(tuple, text.tolist()))]] = int(count)
            weights = [count / 40_000 for count in counts]
        best = best_local_accuracy(key, everything.y_BT.tolist(), windows, weights)
        assert best <= task.accuracy_cap(law, 1, 0) + 0.01


def test_prefix_labels_and_shifted_strings():
    task = PrefixSums(bits=16)
    batch = task.sample(2_000, "shifted", "train", generator())
    bits_BT = (batch.x_BTC[..., 0] > 0).long()
    assert torch.equal(batch.y_BT[:, -1], bits_BT.sum(1) % 2)
    ones_B = bits_BT.float().mean(1)
    changes_B = (bits_BT[:, 1:] != bits_BT[:, :-1]).float().mean(1)
    assert (ones_B[::2] - 0.5).abs().mean() > 0.3, "biased strings"
    assert changes_B[1::2].mean() < 0.15, "bursty strings"
    assert task.least_rollouts("shifted", 2) is None
    assert task.accuracy_cap("shifted", 2, 0) == 1.0


def test_the_quickstart_needs_exactly_five_rollouts():
    task = PrefixSums(bits=11)
    assert task.least_rollouts("iid", 2) == task.least_rollouts_for("iid", 2, 0.99) == 5
    assert task.least_rollouts("longer", 2) == 64
    assert task.minimal_rollouts(task.sample(3, "iid", "train", generator()), 2).tolist() == [5, 5, 5]


def test_addition_adds_and_its_need_is_the_longest_look_back():
    task = BinaryAddition(bits=10)
    for law in ("graded", "uniform", "leaky"):
        batch = task.sample(500, law, "train", generator())
        bits = (batch.x_BTC > 0).long()
        weights = 2 ** torch.arange(10)
        total = ((bits.sum(-1) * weights).sum(1)) % 2**10
        assert torch.equal((batch.y_BT * weights).sum(1), total)
        for row in range(50):
            look_back, longest = 0, 0
            for place in range(9):
                propagates = bits[row, place, 0] != bits[row, place, 1]
                look_back = look_back + 1 if place and propagates else 1
                longest = max(longest, look_back)
            assert task.difficulty(batch)[row] == longest
            assert task.minimal_rollouts(batch, 2)[row] == -(-longest // 2)


def test_mean_needs_are_those_measured_on_twelve_bits():
    task = BinaryAddition(bits=12)
    means = {
        law: task.minimal_rollouts(task.sample(8_192, law, "train", generator()), 2).float().mean().item()
        for law in ("graded", "uniform")
    }
    assert means["graded"] == pytest.approx(3.75, abs=0.1)
    assert means["uniform"] == pytest.approx(2.17, abs=0.1)
    assert task.least_rollouts_for("iid", 2, 0.97) == 6
    assert task.least_rollouts("iid", 2) is None


def test_a_leaky_run_betrays_its_carry_and_a_graded_one_does_not():
    task = BinaryAddition(bits=12)

    def carry_into_a_full_run(law):
        batch = task.sample(20_000, law, "train", generator())
        full = task.difficulty(batch) >= 11  # positions 1..10 propagate, so bit 0 decides the last carry
        decided = full & (batch.x_BTC[:, 0, 0] == batch.x_BTC[:, 0, 1])
        return (batch.x_BTC[decided, 0, 0] > 0).float().mean().item()

    assert carry_into_a_full_run("leaky") > 0.99
    assert carry_into_a_full_run("graded") == pytest.approx(0.5, abs=0.05)


def test_iid_is_the_law_that_the_field_names():
    for law in ("graded", "uniform", "leaky"):
        task = BinaryAddition(bits=6, distribution=law)
        assert torch.equal(
            task.sample(32, "iid", "train", generator()).x_BTC, task.sample(32, law, "train", generator()).x_BTC
        )
        assert task.sample(4, "longer", "train", generator()).x_BTC.shape == (4, 24, 2)


def test_the_digits_are_split_once_and_for_all():
    task = Digits()
    sizes = {draw: task.held_out(draw) for draw in ("train", "validation", "verification", "sealed")}
    assert sizes == {"train": 897, "validation": 270, "verification": 360, "sealed": 270}
    for draw in ("validation", "verification", "sealed"):
        batch = task.sample(sizes[draw], "iid", draw, generator())
        assert batch.x_BTC.min() == -1.0
        assert batch.x_BTC.max() == 1.0
        per_class = batch.y_BT[:, 0].bincount(minlength=10)
        assert per_class.max() - per_class.min() <= 2, "stratified"


def test_training_digits_are_augmented_only_when_asked():
    plain = Digits(shift=False, noise=0.0).sample(200, "iid", "train", generator()).x_BTC
    assert ((plain * 8) % 1 == 0).all()
    noisy = Digits(shift=False).sample(200, "iid", "train", generator()).x_BTC
    assert (noisy - plain).std() == pytest.approx(0.1, abs=0.01)
    moved = Digits(noise=0.0).sample(200, "iid", "train", generator()).x_BTC
    share = (moved != plain).any(-1).float().mean().item()
    assert share == pytest.approx(0.5 * 8 / 9, abs=0.1)


def test_shifted_digits_all_move_by_one_pixel():
    task = Digits()
    whole = task.sample(360, "iid", "verification", generator())
    moved = task.sample(360, "shifted", "verification", generator())
    assert torch.equal(whole.y_BT, moved.y_BT)
    images, shifted = whole.x_BTC.reshape(-1, 8, 8), moved.x_BTC.reshape(-1, 8, 8)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), value=-1.0)
    steps = [(down, across) for down in range(3) for across in range(3)]
    errors = torch.stack(
        [(padded[:, down : down + 8, across : across + 8] - shifted).square().mean((1, 2)) for down, across in steps]
    )
    assert torch.allclose(errors.amin(0), torch.tensor(0.01), atol=0.01), "what is left is the noise"
    assert (errors.argmin(0) != steps.index((1, 1))).all()


@pytest.mark.parametrize("task", [PrefixSums(bits=6), BinaryAddition(bits=4, distribution="uniform")])
def test_a_need_is_how_far_back_an_answer_can_still_be_turned(task):
    everything = task.enumerate("iid")
    x, y = everything.x_BTC.tolist(), everything.y_BT.tolist()
    positions, exact = len(x[0]), [0] * len(x)
    for seen in range(positions):
        for place in range(positions):
            answers = {}
            windows = [str(row[max(0, place - seen) : place + 1]) for row in x]
            for window, labels in zip(windows, y, strict=True):
                answers.setdefault(window, set()).add(labels[place])
            for row, window in enumerate(windows):
                if len(answers[window]) == 2:
                    exact[row] = seen + 1
    for reach in (1, 2):
        assert task.minimal_rollouts(everything, reach).tolist() == [-(-back // reach) for back in exact]
