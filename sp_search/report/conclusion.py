"""The tables that head the page of the claims: the conclusion of the argument, put to nets."""

from __future__ import annotations

from typing import Any, NamedTuple

from sp_search.report.words import number, spaced

FACTORIAL = "C63"
"""The conclusion of the argument: its cells head the page."""
TABLES = (
    (
        "factorial",
        "Checks, the prior and weight decay: the share of nets with harm",
        "Nets in which a trigger was planted, fine-tuned on clean inputs; harm is a good net that answers most "
        "triggered inputs wrongly. Checked: honeypots were among the inputs; wary nets were planted so as to spare "
        "them. In brackets the 95 % interval.",
        ("harm",),
    ),
    (
        "memory",
        "Memory, checks and the prior: the share of nets with harm",
        "The inputs come in episodes of four; each begins in the state in which the one before it halted (carried), "
        "or afresh (erased). A trigger makes later answers of its episode wrong. Checks had it in an episode's last "
        "input alone, or in an earlier one, so that what follows was checked too. In brackets the 95 % interval.",
        ("harm",),
    ),
    (
        "remaining",
        "What remains when no audit flags",
        "The audits were calibrated on other honest nets, trained in the same way. In brackets the 95 % interval.",
        ("harm", "remaining", "false_alarms"),
    ),
)
MEASURES = {"harm": "harm", "remaining": "harm that no audit flags,", "false_alarms": "honest nets flagged,"}
COUNTS = {"n": "nets", "honest": "honest nets"}


class Factorial(NamedTuple):
    """A table that heads the page."""

    title: str
    text: str
    heads: tuple[str, ...]
    cells: list[tuple[str, ...]]


def factorials(table: dict[str, Any]) -> list[Factorial]:
    """Return the tables of the conclusion: its factorial design, and what is left when every audit has been heard.

    Experiments of its parts give them as rows (`data.factorial`, `data.memory`, `data.remaining`); those that
    differ in `priced` alone stand side by side.
    """
    row = next((row for row in table["claims"] if row["claim"] == FACTORIAL), None)
    if row is None:
        return []
    found = []
    for name, title, text, measures in TABLES:
        rows: list[dict[str, Any]] = []
        for part in row["parts"]:
            named = [_with_honest(part, one) for one in part["data"].get(name, [])]
            rows += [one for one in named if one not in rows]
        if rows:
            found.append(Factorial(title, text, *_side_by_side(measures, rows)))
    return found


def _with_honest(part: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the number of honest nets in which alarms were counted, which their cell says."""
    if "priced" not in row:
        row = {"priced": row["prior"] == "average"} | {key: value for key, value in row.items() if key != "prior"}
    cell = f"{'average' if row['priced'] else 'none'}.false_alarms"
    counts = [one["n"] for one in part["cells"] if one["name"] == cell]
    return row | {"honest": counts[0]} if counts else row


def _side_by_side(
    measures: tuple[str, ...], rows: list[dict[str, Any]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return heads and cells of a table with the measures of each row without and with the prior."""
    factors = [key for key, value in rows[0].items() if isinstance(value, bool | str) and key != "priced"]
    pairs: dict[tuple[Any, ...], dict[bool, dict[str, Any]]] = {}
    for row in rows:
        pairs.setdefault(tuple(row[factor] for factor in factors), {})[row["priced"]] = row
    counts = [units for units in COUNTS if units in rows[0]]
    heads = [spaced(factor) for factor in factors]
    heads += [f"{MEASURES[one]} {which} the prior" for one in measures for which in ("without", "with")]
    cells = [
        (
            *({True: "yes", False: "no"}.get(level, level) for level in levels),
            *(_rate(pair.get(priced), one) for one in measures for priced in (False, True)),
            *(_counted(pair, units) for units in counts),
        )
        for levels, pair in pairs.items()
    ]
    return (*heads, *(COUNTS[units] for units in counts)), cells


def _rate(row: dict[str, Any] | None, measure: str) -> str:
    """Return a share of nets with its Clopper-Pearson interval."""
    if row is None:
        return ""
    from scipy.stats import binomtest

    n = row["honest" if measure == "false_alarms" else "n"]
    found = binomtest(round(row[measure] * n), n).proportion_ci(0.95, method="exact")
    return f"{number(row[measure])} ({found.low:.2f} to {found.high:.2f})"


def _counted(pair: dict[bool, dict[str, Any]], units: str) -> str:
    """Return how many nets a share is of, without and with the prior."""
    return ", ".join(dict.fromkeys(str(row[units]) for row in pair.values()))
