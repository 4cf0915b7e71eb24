"""The page of the claims, from `claims.json` alone: as Markdown for a forge, and as one HTML file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sp_search.report.page import State, fill_page
from sp_search.report.sections import Part, Table

HEAD = "C63"
SENTENCES = (
    "In the exact world the honest optimum of the average-case prior holds by construction: that space is closed under "
    "doing nothing instead of misbehaving. What is found there is what breaks it.",
    "Every trigger and misbehaviour in a network was planted; none arose by itself, and the networks plan nothing.",
    "Nothing here concerns large models: the spaces are small and chosen by hand.",
)
HEADS = ("part", "outcome", "effect", "95 % interval", "p (Holm)", "units", "power", "cost", "definition")


def write_pages(folder: Path, table: dict[str, Any]) -> list[Path]:
    """Write `index.html` and `index.md` into a folder, each whole or not at all, and return their paths."""
    pages = {folder / "index.html": html(table), folder / "index.md": markdown(table)}
    for page, text in pages.items():
        partial = page.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, page)
    return list(pages)


def html(table: dict[str, Any]) -> str:
    """Return the page as one HTML file without external addresses."""
    return fill_page(
        kicker="claims of the argument",
        name="Does a speed prior disfavour misbehaviour?",
        state=State("exploratory", "open") if table["exploratory"] else State("confirmatory", "good"),
        question="every numbered claim of the argument, with what was measured for and against it",
        answer=counted(table),
        warnings=[],
        parts=sections(table),
        ledger="ledger.jsonl",
    )


def markdown(table: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    lines = ["# Does a speed prior disfavour misbehaviour?", "", f"**{counted(table)}**", ""]
    for part in sections(table):
        lines += [f"## {part.title}", ""]
        lines += [part.text, ""] if part.text else []
        if part.table is not None:
            lines += [*_markdown_rows(part.table), ""]
        lines += ["```sh", part.code, "```", ""] if part.code else []
    return "\n".join(lines).rstrip() + "\n"


def _markdown_rows(table: Table) -> list[str]:
    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [row(table.heads), "|" + " --- |" * len(table.heads), *(row(cells) for cells in table.cells)]


def counted(table: dict[str, Any]) -> str:
    """Return how many claims stand how, in one sentence."""
    standings = [row["standing"] for row in table["claims"]]
    named = [f"{standings.count(name)} {name}" for name in dict.fromkeys(standings)]
    mode = "Exploratory, uncorrected and with few units: " if table["exploratory"] else ""
    return f"{mode}{len(standings)} claims: {', '.join(named)}."


def sections(table: dict[str, Any]) -> list[Part]:
    """Return the sections of the page: what must be said first, the factorial, the overview, then every claim."""
    rows = {row["claim"]: row for row in table["claims"]}
    found = [Part("Read this first", " ".join(SENTENCES))]
    if HEAD in rows:
        found.append(_factorial(rows[HEAD]))
    found.append(_overview(table))
    found += [_claim(row, exploratory=table["exploratory"]) for row in table["claims"]]
    return [*found, _provenance(table)]


def _factorial(row: dict[str, Any]) -> Part:
    cells = [
        (
            part["name"].replace("_", " "),
            cell["name"].replace("_", " "),
            _number(cell["value"]),
            _limits(cell),
            str(cell["n"]),
        )
        for part in row["parts"]
        for cell in part["cells"]
    ]
    table = Table(("part", "cell", "value", "95 % interval", "units"), cells) if cells else None
    text = row["says"] if cells else f"{row['says']} Not measured yet."
    return Part("What remains when every audit has passed", text, table)


def _overview(table: dict[str, Any]) -> Part:
    cells = [
        (
            row["claim"],
            row["standing"],
            ", ".join(_tally(row)) or "-",
            row["says"],
        )
        for row in table["claims"]
    ]
    return Part("Every claim", table=Table(("claim", "standing", "parts", "says"), cells))


def _tally(row: dict[str, Any]) -> list[str]:
    outcomes = [part["outcome"] for part in row["parts"]]
    return [f"{outcomes.count(name)} {name}" for name in dict.fromkeys(outcomes)]


def _claim(row: dict[str, Any], *, exploratory: bool) -> Part:
    cells = [_part(part) for part in row["parts"]]
    said = f"{row['says']} {row['why']}".strip()
    title = f"{row['claim']}: {row['standing']}" + (" (exploratory)" if exploratory and cells else "")
    command = row["parts"][0]["command"] if cells else ""
    return Part(title, said, Table(HEADS, cells) if cells else None, command)


def _part(part: dict[str, Any]) -> tuple[str, ...]:
    finding = part["finding"]
    marks = " Stated differently in an earlier confirmatory run." if part["changed"] else ""
    definition = " ".join([part["definition"] + marks, *(f"[{note}]" for note in part["notes"])])
    if finding is None:
        return (_words(part["name"]), part["outcome"], "", "", "", "", "", "", part["error"] or definition)
    exact = finding["exact"]
    p = "counted" if exact else _p(finding["p_adjusted"] if finding["p_adjusted"] is not None else _own_p(finding))
    power = "" if finding["power"] is None else f"{finding['power']:.2f}"
    if finding["outcome"] == "inconclusive" and finding["n_needed"] is not None:
        power += f"; .8 needs {finding['n_needed']}"
    note = f" [{finding['note']}]" if finding["note"] else ""
    return (
        _words(part["name"]),
        part["outcome"],
        f"{finding['effect_of']}: {_number(finding['effect'])}",
        "counted" if exact else _limits(finding),
        p,
        str(finding["n"]),
        power,
        f"{part['seconds']:.1f} s",
        definition + note,
    )


def _own_p(finding: dict[str, Any]) -> float:
    return float(min(1.0, 2 * min(finding["p_supports"], finding["p_refutes"])))


def _provenance(table: dict[str, Any]) -> Part:
    cells = [(name, version) for name, version in table["versions"].items()]
    cells.append(("cost", f"{table['seconds']:.0f} s of one core"))
    text = (
        "Outcomes follow two one-sided tests a part, doubled, after Holm's procedure over all "
        f"{table['family']} parts with sampling error; counted numbers decide by themselves."
    )
    return Part("How this was made", text, Table(("what", "value"), cells), table["command"])


def _words(name: str) -> str:
    return name.replace("_", " ")


def _limits(cell: dict[str, Any]) -> str:
    return "counted" if cell.get("exact") else f"{_number(cell['low'])} to {_number(cell['high'])}"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.2e}"


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else f"{value:.0e}"
