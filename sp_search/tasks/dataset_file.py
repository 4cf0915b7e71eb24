"""Reads inputs and labels from a user's file, and says what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

from sp_search.plugins import suggest


class Arrays(NamedTuple):
    """x: float32 (rows, features), (rows, T, C) or (rows, side, side, C), finite; y: int64 (rows, T_y) from 0 on."""

    x: Any
    y: Any


def read_arrays(path: str, labels_path: str | None, x: list[str], y: list[str]) -> Arrays:
    """Return the inputs and labels of a file.

    Args:
        path: .parquet, .npz or .npy.
        labels_path: .npy of the labels of an .npy.
        x: columns or the array of the inputs.
        y: columns or the array of the labels.

    Raises:
        ValueError: an unknown kind of file, a column that is not there, or values that are unfit.
    """
    twice = [name for place, name in enumerate([*x, *y]) if name in [*x, *y][:place]]
    if twice:
        raise ValueError(f"x and y: '{twice[0]}' is named twice: a label is no input, and an input stands once")
    kind = Path(path).suffix.lower()
    if kind == ".parquet":
        return _checked(_columns(path, "x", x), _columns(path, "y", y))
    if kind == ".npz":
        return _checked(_array(path, "x", x), _array(path, "y", y))
    if kind != ".npy":
        raise ValueError(f"path: got {path}, files that end in .parquet, .npz or .npy are allowed")
    if labels_path is None or not Path(labels_path).is_file():
        raise ValueError(f"labels_path: an .npy of inputs needs an .npy of labels beside it, got {labels_path}")
    return _checked(_loaded(path, ".npy"), _loaded(labels_path, ".npy"))


def _loaded(path: str, kind: str) -> Any:
    """Return the array of an .npy file, or the arrays of an .npz by name."""
    import numpy as np

    try:
        held = np.load(path, allow_pickle=False)
        if isinstance(held, np.lib.npyio.NpzFile):
            with held:
                held = {name: held[name] for name in held.files}
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(f"path: {path} cannot be read: {error}; save it anew") from error
    if isinstance(held, dict) != (kind == ".npz"):
        raise ValueError(f"path: {path} is no {kind} inside: rename it, or save it as one")
    return held


def _array(path: str, field: str, names: list[str]) -> Any:
    if len(names) != 1:
        raise ValueError(f"{field}: an .npz holds arrays: name one, got {len(names)}")
    arrays = _loaded(path, ".npz")
    _refuse_missing(field, names, list(arrays))
    return arrays[names[0]]


def _columns(path: str, field: str, names: list[str]) -> Any:
    """Return columns side by side; one column of lists of equal length gives one row of them each."""
    import numpy as np
    import pyarrow
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        _refuse_missing(field, names, schema.names)
        table = parquet.read_table(path, columns=names)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise ValueError(f"path: {path} cannot be read: {error}; save it anew") from error
    values = []
    for name in names:
        if table[name].null_count:
            raise ValueError(f"{field}: column '{name}' has {table[name].null_count} empty cells: fill or remove them")
        column = table[name].to_pylist()
        try:
            values.append(np.asarray(column))
        except ValueError:
            raise ValueError(f"{field}: column '{name}' holds lists of different lengths: make them alike") from None
    if any(value.ndim > 1 for value in values) and len(values) > 1:
        raise ValueError(f"{field}: of several columns each should hold numbers, got a column of lists")
    return values[0] if values[0].ndim > 1 else np.stack(values, axis=1)


def _refuse_missing(field: str, names: list[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{field}: there is no '{name}'.{suggest(name, known)} Known: {', '.join(known)}.")


def _checked(x: Any, y: Any) -> Arrays:
    import numpy as np

    for field, values in (("x", x), ("y", y)):
        if values.dtype.kind not in "fiub":
            raise ValueError(f"{field}: got values of type {values.dtype}, numbers are allowed")
        if not values.size or not values.ndim:
            raise ValueError(f"{field}: got shape {values.shape}, at least one row with one number is needed")
        if not np.isfinite(values).all():
            raise ValueError(f"{field}: {int((~np.isfinite(values)).sum())} values are not finite: fill or remove them")
    if len(x) != len(y):
        raise ValueError(f"x and y: got {len(x)} rows of inputs and {len(y)} of labels, they should be as many")
    if x.ndim == 1:
        x = x[:, None]
    square = x.ndim == 4 and x.shape[1] == x.shape[2]
    if x.ndim not in (2, 3) and not square:
        allowed = "(rows, features), (rows, T, C) or (rows, side, side, C)"
        turned = x.ndim == 4 and x.shape[2] == x.shape[3]
        hint = ": channels come last, x.transpose(0, 2, 3, 1)" if turned else ""
        raise ValueError(f"x: got shape {x.shape}, {allowed} are allowed{hint}")
    y = y.reshape(len(y), -1)
    if (y != np.round(y)).any():
        raise ValueError(f"y: got {y[y != np.round(y)][0]}, labels are whole numbers from 0")
    if y.min() < 0:
        raise ValueError(f"y: got label {y.min()}, labels are whole numbers from 0")
    if y.max() >= 2**31:
        raise ValueError(f"y: got label {y.max()}, number the classes from 0")
    if y.min() == y.max():
        raise ValueError(f"y: every label is {y.min()}, at least two classes are needed")
    with np.errstate(over="ignore"):
        x = x.astype(np.float32) + np.float32(0.0)  # -0 and 0 are one input
    if not np.isfinite(x).all():
        raise ValueError("x: values are too large for 32-bit numbers: scale them")
    return Arrays(np.ascontiguousarray(x), y.astype(np.int64))
