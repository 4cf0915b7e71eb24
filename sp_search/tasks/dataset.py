"""The user's own data: a Parquet, .npz or .npy file, or arrays and torch datasets that are written to one.

Rows are split once and for all by a hash of their inputs, whatever their order in the file; equal inputs share a draw.
The resolved study holds the file's SHA-256, so that a search never goes on with other data.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from sp_search.tasks.base import Batch, Draw, Shape, Task
from sp_search.tasks.dataset_file import read_arrays
from sp_search.tasks.finite import choose_rows

if TYPE_CHECKING:
    from torch import Generator, Tensor

HELD_OUT: tuple[Draw, ...] = ("validation", "verification", "sealed")


class Dataset(Task):
    """Rows with inputs x and integer labels y, from a file; `Dataset.of` and `Dataset.from_torch` write one.

    x of shape (rows, features) is one position with all features as channels, or with `layout: positions` a line of
    positions with one channel; (rows, T, C) is a line, (rows, side, side, C) a square. y is one label a row or T_y.
    Nothing is known of the need, and `iid` is the only distribution.
    """

    kind: Literal["dataset"] = "dataset"
    path: str = Field(description=".parquet, .npz, or .npy of x with its labels in `labels_path`")
    labels_path: str | None = Field(None, description=".npy of y, beside an .npy of x")
    x: list[str] = Field(["x"], min_length=1, description="columns (Parquet) or the array (.npz) of the inputs")
    y: list[str] = Field(["y"], min_length=1, description="columns (Parquet) or the array (.npz) of the labels")
    layout: Literal["features", "positions"] = Field("features", description="what the columns of a table are")
    classes: int | None = Field(None, ge=2, description="labels are 0..classes - 1 (unset: as many as there are)")
    standardise: bool = Field(True, description="every channel gets the training rows' mean 0 and variance 1")
    validation: float = Field(0.15, gt=0, lt=1, description="share of rows that may stop training")
    verification: float = Field(0.2, gt=0, lt=1, description="share of rows on which programs are judged")
    sealed: float = Field(0.15, gt=0, lt=1, description="share of rows that is read once, at the end")
    split_seed: int = Field(0, description="another one is another split, and so another task")
    digest: str | None = Field(None, description="SHA-256 of the file; filled in, and refused when the data changed")
    sizes: list[int] | None = Field(None, description="filled in: T, C, T_y, V and dimensions of the data")
    rows: dict[Draw, int] | None = Field(None, description="filled in: how many rows every draw has")

    @model_validator(mode="before")
    @classmethod
    def _write_paths_out(cls, values: Any) -> Any:
        """Write paths out in full, so that a study goes on from any folder."""
        paths = ("path", "labels_path")
        if not isinstance(values, dict):
            return values
        found = {name: values[name] for name in paths if isinstance(values.get(name), str)}
        return values | {name: os.path.realpath(os.path.expanduser(path)) for name, path in found.items()}

    @model_validator(mode="after")
    def _shares_fit_and_the_data_is_what_it_was(self) -> Self:
        """Refuse shares without training rows, a missing file, and data that is unfit or changed.

        What the data turned out to be is written into the fields, so that a finished study is read without it.
        """
        held_out = self.validation + self.verification + self.sealed
        if held_out >= 1.0:
            raise ValueError(f"validation, verification and sealed: got {held_out:g} in all, nothing is left to train")
        if self.digest is None or Path(self.path).is_file():
            table = self._table()
            rows = {draw: len(batch.y_BT) for draw, batch in table.draws.items()}
            self.__dict__.update(digest=table.digest, sizes=list(table.shape), rows=rows)  # frozen from here on
        return self

    @classmethod
    def of(cls, x: Any, y: Any, path: str | Path, **fields: Any) -> Self:
        """Write arrays (NumPy, or anything that it takes) to an .npz file at `path`, and return the task."""
        import numpy as np

        target = Path(path).with_suffix(".npz")
        target.parent.mkdir(parents=True, exist_ok=True)
        np.savez(target, x=_numbers(x), y=_numbers(y))
        return cls(path=str(target), **fields)

    @classmethod
    def from_torch(cls, dataset: Any, path: str | Path, **fields: Any) -> Self:
        """Write a torch `Dataset` of (x, y) pairs to an .npz file at `path`, and return the task.

        Images as torch has them, (C, side, side), are written with their channels last.

        Raises:
            ValueError: it holds no pairs, or pairs of different shapes.
        """
        import numpy as np

        pairs = [dataset[row] for row in range(len(dataset))]
        if not pairs or any(not isinstance(pair, (tuple, list)) or len(pair) != 2 for pair in pairs):
            raise ValueError("a dataset of (x, y) pairs is needed, with at least one: wrap it, or use Dataset.of")
        x, y = ([_numbers(one) for one in part] for part in zip(*pairs, strict=True))
        shapes = sorted({one.shape for one in x})
        if len(shapes) > 1:
            raise ValueError(f"x: got inputs of shapes {', '.join(map(str, shapes))}: all have to be alike")
        images = x[0].ndim == 3 and x[0].shape[1] == x[0].shape[2]
        return cls.of(np.moveaxis(np.stack(x), 1, -1) if images else np.stack(x), np.stack(y), path, **fields)

    def shape(self) -> Shape:
        """Return the sizes of the data; V is `classes`, or one more than the largest label."""
        return Shape(*self.sizes) if self.sizes else self._table().shape

    def held_out(self, draw: Draw) -> int:
        """Return how many rows this draw has."""
        self.refuse_unknown("iid", draw)
        return self.rows[draw] if self.rows else len(self._table().draws[draw].y_BT)

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n rows: of `train` with replacement, of the other draws without.

        Raises:
            ValueError: an unknown distribution or draw, or more rows than the draw has.
        """
        self.refuse_unknown(distribution, draw)
        pool, device = self._table().draws[draw], generator.device
        rows = choose_rows("dataset", len(pool.y_BT), n, draw, generator)
        return Batch(pool.x_BTC.to(device)[rows], pool.y_BT.to(device)[rows])

    def difficulty(self, batch: Batch) -> Tensor:
        """Return 0 for every row: nothing is known, and a curriculum changes nothing."""
        return batch.x_BTC.new_zeros(len(batch.x_BTC))

    def _table(self) -> Table:
        files = [Path(name) for name in (self.path, self.labels_path) if name is not None]
        for file in files:
            if not file.is_file():
                raise ValueError(f"path: there is no file {file}: name one from the root, or from where you are")
        stamps = tuple(file.stat().st_mtime_ns for file in files)
        table = _read(self.model_dump_json(exclude={"digest", "sizes", "rows"}), stamps)
        if self.digest not in (None, table.digest):
            raise ValueError(
                f"digest: {self.path} has changed since this study began: put it back, or begin a study without digest"
            )
        return table


class Table(NamedTuple):
    """What a file holds, split, and its SHA-256."""

    shape: Shape
    draws: dict[Draw, Batch]
    digest: str


def _numbers(values: Any) -> Any:
    """Return what NumPy makes of values; a tensor may stand on any device and need gradients."""
    import numpy as np

    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _digest(path: str, labels_path: Any) -> str:
    digest = hashlib.sha256()
    for name in [path, labels_path]:
        if isinstance(name, str) and Path(name).is_file():
            with Path(name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


@cache
def _read(written: str, stamps: tuple[int, ...]) -> Table:
    """Return the data as batches. Rows of a draw are ordered by their hash, so the file's order does not matter.

    Args:
        written: the task as JSON.
        stamps: when its files were last written, so that a changed file is read again.
    """
    import numpy as np
    import torch

    task = Dataset.model_construct(**json.loads(written))
    x, y = read_arrays(task.path, task.labels_path, task.x, task.y)
    classes = task.classes or int(y.max()) + 1
    if y.max() >= classes:
        raise ValueError(f"y: got label {y.max()}, labels 0..{classes - 1} are allowed (classes: {classes})")
    if task.classes is None and classes > len(y):
        raise ValueError(
            f"y: got label {y.max()} in {len(y)} rows: number the classes from 0, or say how many there are, classes"
        )
    dimensions = 1
    if x.ndim == 2:
        x = x[:, None, :] if task.layout == "features" else x[:, :, None]
    elif x.ndim == 4:
        dimensions, x = 2, x.reshape(len(x), -1, x.shape[3])
    hashes = [hashlib.sha256(b"%d/" % task.split_seed + row.tobytes()).digest() for row in x]
    order = sorted(range(len(x)), key=lambda row: (hashes[row], y[row].tolist()))
    share_B = np.array([int.from_bytes(hashes[row][:8], "big") / 2**64 for row in order])
    chosen: dict[Draw, Any] = {}
    low = 0.0
    for draw in (*HELD_OUT, "train"):
        high = low + getattr(task, draw) if draw in HELD_OUT else 1.0
        chosen[draw] = np.array(order)[(share_B >= low) & (share_B < high)]
        low = high
    for draw, rows in chosen.items():
        if len(rows) < 2:
            raise ValueError(
                f"path: too few rows: of {len(x)} ({len(set(hashes))} different inputs), {draw} gets {len(rows)}, "
                "at least 2 are needed"
            )
    if task.standardise:
        train = x[chosen["train"]].astype(np.float64)
        mean, deviation = train.mean((0, 1)), train.std((0, 1))
        x = ((x - mean) / np.where(deviation > 0, deviation, 1.0)).astype(np.float32)
    shape = Shape(x.shape[1], x.shape[2], y.shape[1], classes, dimensions)
    draws = {draw: Batch(torch.from_numpy(x[rows]), torch.from_numpy(y[rows])) for draw, rows in chosen.items()}
    return Table(shape, draws, _digest(task.path, task.labels_path))
