"""A section of the page as plain data, and where its numbers are from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sp_search.ledger import LEDGER_NAME
from sp_search.report.reading import Story
from sp_search.report.runs import LEDGER_ANCHOR, RESULT_ANCHOR, Spot, run_link, selected_run

MOST_ROWS = 400


class Table(NamedTuple):
    """Heads and rows of text."""

    heads: tuple[str, ...]
    cells: Sequence[tuple[str, ...]]


class Part(NamedTuple):
    """One section of the page; links are paths beside it, `source` leads to where its numbers are from."""

    title: str
    text: str = ""
    table: Table | None = None
    code: str = ""
    fold_title: str = ""
    fold: str = ""
    links: Sequence[str] = ()
    source: str = ""


def of_selected(story: Story) -> str:
    """Return what leads to the run of the selected program, or to the result where no run is known."""
    run = selected_run(story)
    return of_result() if run is None else run_link(story, f"run {run}", run)


def of_result() -> str:
    """Return what leads to the hash of the result."""
    return Spot("result.json", anchor=RESULT_ANCHOR)


def of_ledger() -> str:
    """Return what leads to the hash of the ledger."""
    return Spot(LEDGER_NAME, anchor=LEDGER_ANCHOR)
