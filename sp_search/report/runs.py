"""The runs behind a page's numbers: one row for each judged lineage, with its seed and the line of the ledger.

Numbers elsewhere on the page link to these rows, and these to the hash of the ledger. Of very many runs those that
passed come first and the rest is thinned out evenly; what was left out is counted.
"""

from __future__ import annotations

from typing import NamedTuple

from sp_search.report.figures import seen_accuracy, short_number
from sp_search.report.reading import Story
from sp_search.report.words import level_words, percent
from sp_search.rows import LineageRow

MOST_RUNS = 400
RUN_HEADS = ("run", "budget", "seed", "", "accuracy", "of", "mean FLOPs", "ledger line")
LEDGER_ANCHOR, RESULT_ANCHOR = "hash-ledger", "hash-result"


class Spot(str):
    """A cell that leads to another place of the page (`anchor`), or is such a place (`id`)."""

    __slots__ = ("anchor", "id")
    anchor: str
    id: str

    def __new__(cls, text: str, *, anchor: str = "", id: str = "") -> Spot:
        made = super().__new__(cls, text)
        made.anchor, made.id = anchor, id
        return made


class RunId(NamedTuple):
    """Which member, at which visit of the search, and which of its seeds."""

    member: int
    visit: int
    lineage: int

    def __str__(self) -> str:
        return f"m{self.member}.v{self.visit}.l{self.lineage}"


def id_of(row: LineageRow) -> RunId:
    """Return the run of a row."""
    return RunId(row.assignment.member, row.assignment.visit, row.measured.lineage)


def selected_run(story: Story) -> RunId | None:
    """Return the run of the selected program, where `result.json` names one that the ledger holds."""
    program = {} if story.result is None else story.result.program or {}
    named = (program.get("member"), program.get("visit"), program.get("lineage"))
    found = (id_of(row) for row in story.ledger.rows if row.report.passed)
    return next((run for run in found if tuple(run) == named), None)


def shown_runs(story: Story) -> list[tuple[LineageRow, int]]:
    """Return the rows that the page shows with their ledger lines, in the order of the ledger."""
    rows = list(zip(story.ledger.rows, story.lines, strict=True))
    if len(rows) <= MOST_RUNS:
        return rows
    chosen = selected_run(story)
    order = sorted(range(len(rows)), key=lambda at: (id_of(rows[at][0]) != chosen, not rows[at][0].report.passed, at))
    passed = sum(row.report.passed for row, _ in rows)
    first = order[: min(passed, MOST_RUNS // 2)]
    rest = order[len(first) :]
    stride = -(-len(rest) // (MOST_RUNS - len(first)))
    return [rows[at] for at in sorted({*first, *rest[::stride]})]


def run_link(story: Story, text: str, run: RunId | None) -> str:
    """Return text that leads to a run's row, or the text alone where the page does not show that row."""
    if run is None or run not in {id_of(row) for row, _ in shown_runs(story)}:
        return text
    return Spot(text, anchor=f"run-{run}")


def level_runs(story: Story) -> dict[tuple[float, int], RunId]:
    """Return, for every (milestone, level), the run that passed it first, or the first that was judged there."""
    found: dict[tuple[float, int], tuple[bool, RunId]] = {}
    for row, _ in shown_runs(story):
        key = (row.assignment.milestone, row.assignment.level)
        if key not in found or (row.report.passed and not found[key][0]):
            found[key] = (row.report.passed, id_of(row))
    return {key: run for key, (_, run) in found.items()}


def run_cells(story: Story) -> list[tuple[str, ...]]:
    """Return the table of runs, under `RUN_HEADS`."""
    cells: list[tuple[str, ...]] = []
    for row, line in shown_runs(story):
        accuracy, count = seen_accuracy(row), row.accuracy
        cells.append(
            (
                Spot(str(id_of(row)), id=f"run-{id_of(row)}"),
                level_words(story.space, row.assignment.level),
                str(row.measured.seed),
                "passed" if row.report.passed else row.measured.ended,
                "-" if accuracy is None else percent(accuracy),
                "validation" if count is None else f"{count.n:,}",
                short_number(row.mean_flops),
                Spot(str(line), anchor=LEDGER_ANCHOR),
            )
        )
    return cells
