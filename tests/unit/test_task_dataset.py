"""A user's own data: reading, the split by content, the digest, and what is refused."""

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet

from sp_search.tasks.dataset import HELD_OUT, Dataset


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def table(rows=400, features=3, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((rows, features)), random.integers(0, 3, rows)


def rows_of(task, draw):
    """Return the rows of a draw as a set of (inputs, labels); of the training draw those that many samples show."""
    n = 30 * task.held_out(draw) if draw == "train" else task.held_out(draw)
    batch = task.sample(n, "iid", draw, generator())
    return {(tuple(x.flatten().tolist()), *y.tolist()) for x, y in zip(*batch, strict=True)}


def test_every_row_is_in_one_draw_and_shares_are_kept(tmp_path):
    x, y = table()
    task = Dataset.of(x, y, tmp_path / "data", standardise=False)
    draws = {draw: rows_of(task, draw) for draw in ("train", "validation", "verification", "sealed")}
    assert set.union(*draws.values()) == {
        (*map(tuple, [row]), label) for row, label in zip(np.float32(x).tolist(), y, strict=True)
    }
    assert sum(map(len, draws.values())) == 400
    assert len(draws["verification"]) == pytest.approx(80, abs=25)
    assert tuple(task.shape()) == (1, 3, 1, 3, 1)


def test_the_split_does_not_depend_on_the_order_of_rows_and_equal_inputs_share_a_draw(tmp_path):
    x, y = table()
    x, y = np.concatenate([x, x]), np.concatenate([y, (y + 1) % 3])
    order = np.random.default_rng(1).permutation(len(x))
    one, two = (Dataset.of(x[rows], y[rows], tmp_path / name) for rows, name in ((slice(None), "one"), (order, "two")))
    for draw in ("validation", "verification", "sealed"):
        n = one.held_out(draw)
        first, second = (task.sample(n, "iid", draw, generator()) for task in (one, two))
        assert torch.allclose(first.x_BTC, second.x_BTC, atol=1e-6)
        assert torch.equal(first.y_BT, second.y_BT)
        assert len(first.x_BTC.unique(dim=0)) * 2 == n, "both rows of one input"
    other = Dataset.of(x, y, tmp_path / "one", split_seed=1)
    assert rows_of(other, "sealed") != rows_of(one, "sealed")


def test_channels_are_standardised_with_the_training_rows_alone(tmp_path):
    x, y = table(4_000)
    task = Dataset.of(x * [1, 10, 0] + [5, 0, 7], y, tmp_path / "data")
    train = task.sample(100_000, "iid", "train", generator()).x_BTC
    assert train.mean((0, 1)).tolist() == pytest.approx([0, 0, 0], abs=0.02)
    assert train.std((0, 1)).tolist() == pytest.approx([1, 1, 0], abs=0.02)
    assert task.sample(5, "iid", "sealed", generator()).x_BTC.dtype == torch.float32


@pytest.mark.parametrize(
    ("shape", "fields", "expected"),
    [
        ((200, 6), {}, (1, 6, 1, 2, 1)),
        ((200, 6), {"layout": "positions"}, (6, 1, 1, 2, 1)),
        ((200, 6), {"classes": 5}, (1, 6, 1, 5, 1)),
        ((200, 6, 2), {}, (6, 2, 1, 2, 1)),
        ((200, 3, 3, 2), {}, (9, 2, 1, 2, 2)),
        ((200,), {}, (1, 1, 1, 2, 1)),
    ],
)
def test_arrays_of_every_shape(tmp_path, shape, fields, expected):
    random = np.random.default_rng(0)
    task = Dataset.of(random.random(shape), random.integers(0, 2, 200), tmp_path / "data", **fields)
    assert tuple(task.shape()) == expected
    batch = task.sample(8, "iid", "train", generator())
    assert batch.x_BTC.shape == (8, *expected[:2])
    assert task.difficulty(batch).shape == (8,)


def test_parquet_npz_npy_and_torch_datasets_hold_the_same_rows(tmp_path):
    x, y = table()
    columns = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "label": y, "all": list(x)}
    parquet.write_table(pyarrow.table(columns), tmp_path / "data.parquet")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    pairs = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    tasks = [
        Dataset.of(x, y, tmp_path / "data"),
        Dataset(path=str(tmp_path / "data.parquet"), x=["a", "b", "c"], y=["label"]),
        Dataset(path=str(tmp_path / "data.parquet"), x=["all"], y=["label"]),
        Dataset(path=str(tmp_path / "x.npy"), labels_path=str(tmp_path / "y.npy")),
        Dataset.from_torch(pairs, tmp_path / "pairs.npz"),
    ]
    assert all(rows_of(task, "sealed") == rows_of(tasks[0], "sealed") for task in tasks)


def test_the_written_out_task_is_equal_and_refuses_changed_data(tmp_path):
    x, y = table()
    task = Dataset.of(x, y, tmp_path / "data")
    written = task.model_dump(mode="json")
    assert len(written["digest"]) == 64
    assert Dataset.model_validate(written) == task
    x[0, 0] += 1.0
    np.savez(tmp_path / "data.npz", x=x, y=y)
    with pytest.raises(ValueError, match="has changed since this study began"):
        Dataset.model_validate(written)
    (tmp_path / "data.npz").unlink()
    gone = Dataset.model_validate(written)
    assert (gone.shape(), gone.held_out("sealed")) == (task.shape(), task.held_out("sealed")), "read without its data"
    with pytest.raises(ValueError, match="there is no file"):
        gone.sample(1, "iid", "train", generator())


X, Y = table(60)


@pytest.mark.parametrize(
    ("arrays", "fields", "message"),
    [
        ({"x": X, "y": Y}, {"x": ["z"]}, r"there is no 'z'.*Known: x, y"),
        ({"x": np.where(X > 2, np.nan, X) * [np.nan, 1, 1], "y": Y}, {}, "x: .* not finite"),
        ({"x": X, "y": Y + 0.5}, {}, "y: got .*5, labels are whole numbers"),
        ({"x": X, "y": Y - 1}, {}, "y: got label -1"),
        ({"x": X, "y": Y}, {"classes": 2}, r"y: got label 2, labels 0\.\.1 are allowed"),
        ({"x": X, "y": Y * 0}, {}, "every label is 0"),
        ({"x": X, "y": Y * 0 + 1}, {}, "every label is 1"),
        ({"x": X, "y": Y * 1000}, {}, "got label 2000 in 60 rows: number the classes from 0"),
        ({"x": X, "y": Y.astype(np.uint64) + np.uint64(2**63)}, {}, "got label 9223372036854775810"),
        ({"x": X[:0], "y": Y[:0]}, {}, r"x: got shape \(0, 3\), at least one row"),
        ({"x": np.float32(1), "y": Y}, {}, r"x: got shape \(\), at least one row"),
        ({"x": X.astype(object), "y": Y}, {}, "path: .* cannot be read: Object arrays"),
        ({"x": X, "y": Y}, {"y": ["x"]}, "'x' is named twice: a label is no input"),
        ({"x": X[:1].repeat(60, 0), "y": Y}, {}, r"too few rows: of 60 \(1 different inputs\)"),
        ({"x": np.ones((60, 3, 4, 4)), "y": Y}, {}, r"channels come last, x\.transpose\(0, 2, 3, 1\)"),
        ({"x": X[:-1], "y": Y}, {}, "59 rows of inputs and 60 of labels"),
        ({"x": X[:5], "y": np.arange(5)}, {}, "too few rows"),
        ({"x": X.reshape(60, 1, 3, 1), "y": Y}, {}, r"x: got shape \(60, 1, 3, 1\)"),
        ({"x": X.astype(str), "y": Y}, {}, "x: got values of type .*numbers are allowed"),
        ({"x": X * 1e300, "y": Y}, {}, "too large for 32-bit"),
        ({"x": X, "y": Y}, {"validation": 0.5, "sealed": 0.4}, "nothing is left to train"),
    ],
)
def test_unfit_data_is_refused_with_what_was_got(tmp_path, arrays, fields, message):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        Dataset(path=str(tmp_path / "data.npz"), **fields)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.npz", None, "there is no file"),
        ("data.csv", b"1,2", r"\.parquet, \.npz or \.npy are allowed"),
        ("data.npz", b"no archive", "cannot be read"),
        ("data.parquet", b"no parquet", "cannot be read"),
        ("data.npy", b"", "needs an .npy of labels"),
    ],
)
def test_unfit_files_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Dataset(path=str(tmp_path / name))


def test_an_array_is_not_taken_for_several_nor_several_for_one(tmp_path):
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, X)
    with (tmp_path / "data.npy").open("wb") as file:
        np.savez(file, x=X)
    np.save(tmp_path / "y.npy", Y)
    with pytest.raises(ValueError, match=r"is no \.npz inside"):
        Dataset(path=str(tmp_path / "data.npz"))
    with pytest.raises(ValueError, match=r"is no \.npy inside"):
        Dataset(path=str(tmp_path / "data.npy"), labels_path=str(tmp_path / "y.npy"))


def test_torch_images_get_their_channels_last(tmp_path):
    images = torch.arange(60.0 * 3 * 4).reshape(60, 3, 2, 2).requires_grad_()
    task = Dataset.from_torch(
        [(image, row % 2) for row, image in enumerate(images)], tmp_path / "data", standardise=False
    )
    assert task.shape() == (4, 3, 1, 2, 2)
    pool = torch.cat([task.sample(task.held_out(draw), "iid", draw, generator()).x_BTC for draw in HELD_OUT])
    first = pool[pool[:, 0, 0].argmin()]
    assert (first - first[0, 0]).tolist() == [[0.0, 4.0, 8.0], [1.0, 5.0, 9.0], [2.0, 6.0, 10.0], [3.0, 7.0, 11.0]]


NO_PAIRS = {
    "nothing": ([], "pairs is needed, with at least one"),
    "mappings": ([{"x": 1, "y": 2}], "pairs is needed"),
    "triples": ([(X[0], 1, 2)], "pairs is needed"),
    "inputs of several shapes": ([(X[0], 1), (X[0, :2], 0)], r"got inputs of shapes \(2,\), \(3,\)"),
}


@pytest.mark.parametrize("name", NO_PAIRS)
def test_a_torch_dataset_holds_pairs_that_are_alike(tmp_path, name):
    dataset, message = NO_PAIRS[name]
    with pytest.raises(ValueError, match=message):
        Dataset.from_torch(dataset, tmp_path / "data")


def test_parquet_columns_are_checked(tmp_path):
    columns = {"a": [1.0, None, 3.0], "ragged": [[1.0], [1.0, 2.0], [3.0]], "y": [0, 1, 0]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "data.parquet")
    for names, message in ((["a"], "column 'a' has 1 empty"), (["ragged"], "different lengths"), (["b"], "no 'b'")):
        with pytest.raises(ValueError, match=message):
            Dataset(path=str(tmp_path / "data.parquet"), x=names)
