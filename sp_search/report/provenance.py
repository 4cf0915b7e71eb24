"""The sections that say what the answer rests on: search compute, the program, the runs, hashes and versions."""

from __future__ import annotations

from datetime import UTC, datetime

from sp_search.ledger import LEDGER_NAME
from sp_search.report.part import Part, Table, of_ledger, of_selected
from sp_search.report.reading import Story
from sp_search.report.runs import LEDGER_ANCHOR, MOST_RUNS, RESULT_ANCHOR, RUN_HEADS, Spot, run_cells
from sp_search.report.words import flops


def costs(story: Story) -> Part:
    """Say what the search paid."""
    spent: dict[str, float] = dict(story.ledger.spent if story.result is None else story.result.search_flops)
    cells = [(use, flops(value)) for use, value in spent.items()]
    looks = story.ledger.looks if story.result is None else story.result.looks
    tests = f"{looks} verification tests were spent." if looks else "No statistical test was needed."
    text = f"{tests} This is what the search paid, never part of a program's budget."
    return Part("What the search cost", text, Table(("use", "compute"), cells), source=of_ledger())


def diagnostics(story: Story) -> Part | None:
    """Show what training noted of the selected program."""
    if story.result is None or not story.result.diagnostics:
        return None
    known = {name: value for name, value in story.result.diagnostics.items() if value is not None}
    cells = [(name.replace("_", " "), _value(value)) for name, value in known.items()]
    return Part("Diagnostics of the selected program", table=Table(("what", "value"), cells), source=of_selected(story))


def loading(story: Story) -> Part | None:
    """Show the selected program's settings, and how it is loaded."""
    if "program/config.json" not in story.hashes:
        return None
    code = (
        "# with sp_search, in this folder\n"
        'import sp_search\nprogram = sp_search.load(".")\n\n'
        "# with torch and safetensors alone, in the folder program/\n"
        "from load import load\nprogram = load()\n"
    )
    program = story.result.program if story.result is not None and story.result.program is not None else {}
    cells = [(str(name), _value(value)) for name, value in program.items() if name != "kind"]
    settings = Table(("setting", "value"), cells) if cells else None
    return Part("The program", table=settings, code=code, source=of_selected(story))


def runs(story: Story) -> Part | None:
    """Return the runs that the page's numbers lead to."""
    cells, total = run_cells(story), len(story.ledger.rows)
    if not cells:
        return None
    text = "One row for each judged lineage: m is the member, v the visit of the search, l the lineage (one seed)."
    if total > MOST_RUNS:
        text += f" {len(cells):,} of {total:,} are shown: those that passed first, of the rest every so many-th."
    return Part("Runs", text, Table(RUN_HEADS, cells), source=of_ledger())


def provenance(story: Story) -> Part:
    """Show seed, versions, times, hashes and the study's file."""
    ledger = story.ledger
    cells = [("seed", str(ledger.header["seed"]))]
    cells += [(name, str(version)) for name, version in ledger.header.get("versions", {}).items()]
    if ledger.began is not None and ledger.last is not None:
        cells.append(("began", _time(ledger.began)))
        cells.append(("last event", f"{_time(ledger.last)} ({_duration(ledger.last - ledger.began)} later)"))
    places = {LEDGER_NAME: LEDGER_ANCHOR, "result.json": RESULT_ANCHOR}
    cells += [(Spot(f"SHA-256 of {name}", id=places.get(name, "")), digest) for name, digest in story.hashes.items()]
    code = f"sp-search run study.yaml --seed {int(ledger.header['seed'])} --output again"
    return Part(
        "Provenance",
        "In this folder, with the versions below:",
        Table(("what", "value"), cells),
        code,
        "study.yaml",
        story.study_text,
    )


def _value(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "unknown"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items())
    return str(value)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
