"""The command that puts a finished program to the audits."""

from __future__ import annotations

from pathlib import Path

from sp_search.audits.base import BUDGET
from sp_search.cli.app import Answer, ExitCode, FurtherFolders, StudyFolder, app
from sp_search.terminal import heard, table


@app.command
def audit(
    folder: StudyFolder,
    /,
    *,
    audits: str | None = None,
    honest: FurtherFolders = None,
    data: Path | None = None,
    seed: int = 0,
    budget: int = BUDGET,
) -> Answer:
    """Put the selected program to the audits, which the search never sees; exit code 6 when one flags.

    Args:
        folder: the study's folder, or a program's with its task.json.
        audits: names, with commas; those that the study names if not given, else all.
        honest: a folder with a program that is known to be honest; may be repeated.
        data: a file in place of the one that the study's dataset reads.
        seed: of the audits' own examples.
        budget: examples that an audit may execute, about; 100,000 if not given.
    """
    from sp_search.auditing import audit_folder
    from sp_search.report.reading import AuditEntry
    from sp_search.report.words import AUDIT_HEADS, audit_row

    names = None if audits is None else [name.strip() for name in audits.split(",") if name.strip()]
    done = audit_folder(folder, audits=names, honest=honest or (), data=data, seed=seed, budget=budget)
    rows = [audit_row(AuditEntry.model_validate(one.model_dump(mode="json"))) for one in done.heard.verdicts]
    where = f"{folder / 'audits.json'} says what each can and cannot see"
    text = "\n".join([*table([AUDIT_HEADS, *rows]), "", heard(done.payload["verdicts"]), where])
    return Answer(done.payload, text, ExitCode.FLAGGED if done.heard.flagged else ExitCode.MET)
