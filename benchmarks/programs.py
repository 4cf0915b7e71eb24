"""Every lineage's program of a finished study, rebuilt from its checkpoints: for figures about more than the answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sp_search.program import Program
    from sp_search.rows import LineageRow


class Trained(NamedTuple):
    """One lineage at one visit: what the ledger says of it, and its program."""

    row: LineageRow
    program: Program


def trained_programs(folder: Path, *, last_visit: bool = True) -> Iterator[Trained]:
    """Yield the program of every lineage of the study in `folder` (by default those of the last visit alone)."""
    from sp_search.folder import recorded_study
    from sp_search.ledger import read_ledger
    from sp_search.plan import build_runner
    from sp_search.rows import LedgerReader
    from sp_search.store import FolderStore, finished_state

    entries = read_ledger(folder)
    reader, runner = LedgerReader(), build_runner(recorded_study(entries, folder))
    for entry in entries:
        reader.read(entry)
    store = FolderStore(folder / "checkpoints")
    newest = max(row.assignment.visit for row in reader.rows)
    for row in reader.rows:
        if last_visit and row.assignment.visit < newest:
            continue
        state = finished_state(runner, store, row.assignment.member, row.assignment.visit, row.assignment.lineages)
        yield Trained(row, runner.program(row.assignment, state, row.measured.lineage))
