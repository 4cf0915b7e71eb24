"""Which settings of the members mattered: permutation importance (Breiman, 2001) of a forest on held-out members.

A forest predicts a figure of every member and level from the member's settings and the budget; a setting's importance
is how much of the held-out R^2 is lost when that column is shuffled. All rows of a member are held out together, so the
statistical unit is the configuration. Where there are few, or settings at random predict as well, none is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Any, NamedTuple

from sp_search.report.figures import seen_accuracy
from sp_search.report.reading import Story
from sp_search.rows import LineageRow

LEAST_CONFIGURATIONS = 20
FOLDS, SHUFFLES, TREES = 4, 5, 20
NULLS = 19
"""Times that the settings are dealt to the members anew; to beat them all has a chance of 1 in 20."""
MOST_EXAMPLES = 1_000
BUDGET = "budget"
FIGURES: dict[str, Callable[[LineageRow], float | None]] = {
    "accuracy": seen_accuracy,
    "mean FLOPs (log)": lambda row: log(row.mean_flops) if row.mean_flops > 0 else None,
}


class Importance(NamedTuple):
    """Of one figure: how well settings predict it for members that were held out, and what each contributes.

    by_setting: (setting, loss of R^2, its standard deviation over folds), the most important first; empty where
    settings that were dealt to the members at random predict as well in one of `NULLS` times.
    """

    figure: str
    n: int
    r_squared: float
    by_setting: list[tuple[str, float, float]]


def importances(story: Story) -> list[Importance] | int:
    """Return the importance of settings for each figure, or how many configurations there are where that is too few."""
    rows = story.ledger.rows
    proposed = not story.ledger.header["population"]["members"]
    flat = {
        at.member: _flat(at.config) | (at.budget.axis if proposed else {}) for at in (row.assignment for row in rows)
    }
    different = len({repr(sorted(one.items())) for one in flat.values()})
    if different < LEAST_CONFIGURATIONS:
        return different
    return [_importance(figure, read, rows, flat, by_budget=not proposed) for figure, read in FIGURES.items()]


def _flat(config: dict[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in config.items():
        found |= _flat(value, f"{path}{name}.") if isinstance(value, dict) else {f"{path}{name}": value}
    return found


def _columns(flat: dict[int, dict[str, Any]]) -> dict[str, dict[int, float]]:
    """Return every setting that varies, as one number a member: itself, or the rank of its text."""
    columns = {}
    for name in sorted({name for one in flat.values() for name in one}):
        values = {member: one.get(name) for member, one in flat.items()}
        words = sorted({repr(value) for value in values.values()})
        if len(words) > 1:
            numeric = all(isinstance(value, int | float) for value in values.values())
            columns[name] = {
                member: float(value) if numeric and value is not None else float(words.index(repr(value)))
                for member, value in values.items()
            }
    return columns


def _importance(
    figure: str,
    read: Callable[[LineageRow], float | None],
    rows: Sequence[LineageRow],
    flat: dict[int, dict[str, Any]],
    *,
    by_budget: bool,
) -> Importance:
    """Return the importance for one figure; the budget is a setting only where the others do not decide it."""
    import numpy as np

    columns = _columns(flat)
    known = [(row, value) for row in rows if (value := read(row)) is not None]
    known = known[:: -(-len(known) // MOST_EXAMPLES) or 1]
    members = np.array([row.assignment.member for row, _ in known])
    caps = [np.array([row.assignment.budget.cap for row, _ in known])] * by_budget
    y = np.array([value for _, value in known])
    order = sorted(flat)
    settings = np.array([[column[member] for column in columns.values()] for member in order])
    place = np.searchsorted(order, members)
    n = len(set(members.tolist()))
    if n < LEAST_CONFIGURATIONS or np.ptp(y) == 0:
        return Importance(figure, n, 0.0, [])
    x = np.column_stack([settings[place], *caps])
    r_squared, lost = _held_out(x, y, members, SHUFFLES)
    generator = np.random.default_rng(0)
    for _ in range(NULLS):
        dealt = generator.permutation(settings)[place]
        if _held_out(np.column_stack([dealt, *caps]), y, members, 0)[0] >= r_squared:
            return Importance(figure, n, r_squared, [])
    names = [*columns, *[BUDGET] * by_budget]
    found = [(one, float(m), float(s)) for one, m, s in zip(names, np.mean(lost, 0), np.std(lost, 0), strict=True)]
    return Importance(figure, n, r_squared, sorted(found, key=lambda one: -one[1]))


def _held_out(x: Any, y: Any, members: Any, shuffles: int) -> tuple[float, list[Any]]:
    """Return R^2 on members that were held out and, of every fold, what each column's shuffling loses of it."""
    import numpy as np
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import GroupKFold

    lost, predicted = [], np.zeros_like(y)
    for train, held in GroupKFold(FOLDS).split(x, y, members):
        forest = ExtraTreesRegressor(TREES, random_state=0).fit(x[train], y[train])
        predicted[held] = forest.predict(x[held])
        if shuffles:
            fold = permutation_importance(forest, x[held], y[held], n_repeats=shuffles, random_state=0)
            lost.append(fold.importances_mean)
    return 1.0 - float(((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum()), lost
