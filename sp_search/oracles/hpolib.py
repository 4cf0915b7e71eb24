"""Part `hpolib`: 62,208 small regression networks, each trained four times (Klein and Hutter 2019, 1905.04970).

Two hidden layers, learning rate, schedule, batch, dropout and activations; what they compute is taken as their number
of parameters, which is half the FLOPs of their products.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import Field

from sp_search.oracles.table import Table, TableOracle, read_rows, tabulate

SPACE: dict[str, list[Any]] = {
    "activation_fn_1": ["relu", "tanh"],
    "activation_fn_2": ["relu", "tanh"],
    "batch_size": [8, 16, 32, 64],
    "dropout_1": [0.0, 0.3, 0.6],
    "dropout_2": [0.0, 0.3, 0.6],
    "init_lr": [5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1],
    "lr_schedule": ["cosine", "const"],
    "n_units_1": [16, 32, 64, 128, 256, 512],
    "n_units_2": [16, 32, 64, 128, 256, 512],
}
MILESTONES = {
    "naval_propulsion": 1.2e-4,
    "parkinsons_telemonitoring": 0.017,
    "protein_structure": 0.31,
    "slice_localization": 1e-3,
}
"""Validation losses that some configurations reach, a handful of them within 1.25 C*, and none of the smallest size."""


class HpoLib(TableOracle):
    """Which configuration is the smallest that reaches the loss? Compute in parameters, price in seconds.

    C* is the least number of parameters of a configuration whose mean validation loss is at most the milestone. A score
    is a loss with its sign turned.
    """

    kind: Literal["hpolib"] = "hpolib"
    dataset: Literal["naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization"] = (
        Field("naval_propulsion", description="regression task")
    )
    milestone: float | None = Field(
        None, gt=0, description="validation loss that is good enough (null: rare, by data set)"
    )

    @property
    def threshold(self) -> float:
        """The milestone, its sign turned."""
        return -(MILESTONES[self.dataset] if self.milestone is None else self.milestone)

    def table(self) -> Table:
        """Return the table of the data set."""
        return _table(self.dataset)


@cache
def _table(dataset: str) -> Table:
    return tabulate(
        read_rows(f"hpolib/{dataset}.pkl"),
        SPACE,
        lambda loss_CR: -loss_CR,
        "val_loss",
        lambda chosen, row: row["model_size"][0],
    )
