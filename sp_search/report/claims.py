"""The page of the claims, from `claims.json` alone: as Markdown for a forge, and as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sp_search import __version__
from sp_search.report.conclusion import factorials
from sp_search.report.words import number, spaced
from sp_search.whole_files import write_whole

TITLE = "Does a speed prior disfavour misbehaviour?"
SENTENCES = (
    "In the exact world the honest optimum of the average-case prior holds by construction: that space is closed under "
    "doing nothing instead of misbehaving. What is found there is what breaks it.",
    "Triggers and the harm that goes with them were planted in the networks, or trained into them, by us; only the "
    "halting side channel of claim 53 is looked for where nothing was planted. No network plans anything.",
    "Nothing here concerns large models: the spaces are small and chosen by hand.",
)
ENOUGH = 0.8
"""The power below which a row says how many units it would need."""
HEADS = ("part", "outcome", "claimed", "found", "95 % interval", "p", "units", "power", "cost")
LEAST_P = 1e-99
"""Below it a p value says nothing more than that it is small, and rounds to 0 in the end."""
TONES = {"supported": "good", "refuted": "bad", "failed": "bad"}


class PartWords(NamedTuple):
    """One part: the cells of its row under `HEADS`, and what was counted."""

    cells: tuple[str, ...]
    said: str


class ClaimWords(NamedTuple):
    """One claim, in words."""

    claim: str
    standing: str
    tally: str
    says: str
    why: str
    parts: list[PartWords]
    command: str


def write_pages(folder: Path, table: dict[str, Any]) -> list[Path]:
    """Write `index.html` and `index.md` into a folder, each whole or not at all, and return their paths."""
    pages = {folder / "index.html": html(table), folder / "index.md": markdown(table)}
    return [write_whole(page, text) for page, text in pages.items()]


def html(table: dict[str, Any]) -> str:
    """Return the page as one HTML file without external addresses; every word of a claim is escaped."""
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("claims.html.jinja").render(
        title=TITLE,
        css=Markup((here / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        version=__version__,
        tones=TONES,
        exploratory=table["exploratory"],
        counted=counted(table),
        sentences=SENTENCES,
        factorials=factorials(table),
        claims=_claims(table),
        heads=HEADS,
        reading=how_to_read(table),
        provenance=_provenance(table),
        command=table["command"],
    )


def markdown(table: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    lines = [f"# {TITLE}", "", f"**{counted(table)}**", ""]
    lines += [*(f"{number}. {sentence}" for number, sentence in enumerate(SENTENCES, 1)), ""]
    for head in factorials(table):
        lines += [f"## {head.title}", "", head.text, "", *_rows(head.heads, head.cells), ""]
    claims = _claims(table)
    overview = [(f"[{one.claim}](#{one.claim.lower()})", one.standing, one.tally, one.says) for one in claims]
    lines += ["## Every claim", "", *_rows(("claim", "standing", "parts", "says"), overview), ""]
    lines += ["## Every part", "", how_to_read(table), ""]
    for one in claims:
        lines += [f"### {one.claim}", "", f"**{one.standing}**: {one.says} {one.why}".rstrip(), ""]
        if one.parts:
            lines += [*_rows(HEADS, [part.cells for part in one.parts]), ""]
            lines += [*(f"- *{part.cells[0]}*: {part.said}" for part in one.parts), ""]
            lines += [f"`{one.command}`", ""]
    lines += ["## How this was made", "", *_rows(("what", "value"), _provenance(table)), "", f"`{table['command']}`"]
    return "\n".join(lines) + "\n"


def _rows(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    def row(words: Sequence[str]) -> str:
        return "| " + " | ".join(word.replace("|", "\\|").replace("\n", " ") for word in words) + " |"

    return [row(heads), "|" + " --- |" * len(heads), *(row(one) for one in cells)]


def counted(table: dict[str, Any]) -> str:
    """Return how many claims stand how, in one sentence."""
    standings = [row["standing"] for row in table["claims"]]
    named = [f"{standings.count(name)} {name}" for name in dict.fromkeys(standings)]
    mode = "Exploratory, with few units and no correction. " if table["exploratory"] else ""
    some = f" of {table['stated']}" if len(standings) < table["stated"] else ""
    return f"{mode}{len(standings)}{some} claims: {', '.join(named)}."


def how_to_read(table: dict[str, Any]) -> str:
    """Say what an outcome rests on."""
    sampled = table["family"]
    rule = (
        "Outcomes are uncorrected and prove nothing; seeds are those that no confirmatory run takes."
        if table["exploratory"]
        else f"p is adjusted by Holm's procedure over all {sampled} parts with sampling error; an outcome needs .05."
    )
    return (
        "A part is supported or refuted by what its file fixed before anything was measured. Counted numbers decide by "
        f"themselves. {rule} Intervals are uncorrected. Power is that of the confirmatory units for the effect that "
        "the part states, at the strictest level that Holm's procedure can ask. The cost is the experiment's, which "
        "parts may share. Recorded numbers were known before they were registered."
    )


def _claims(table: dict[str, Any]) -> list[ClaimWords]:
    """Return every claim in words; what is exploratory says so at each."""
    found = [claim_words(row) for row in table["claims"]]
    if not table["exploratory"]:
        return found
    return [one._replace(standing=f"{one.standing} (exploratory)") if one.parts else one for one in found]


def claim_words(row: dict[str, Any]) -> ClaimWords:
    """Return one claim in words."""
    outcomes = [part["outcome"] for part in row["parts"]]
    tally = ", ".join(f"{outcomes.count(name)} {name}" for name in dict.fromkeys(outcomes)) or "-"
    command = row["parts"][0]["command"] if row["parts"] else ""
    parts = [part_words(part) for part in row["parts"]]
    return ClaimWords(row["claim"], row["standing"], tally, row["says"], row["why"], parts, command)


def part_words(part: dict[str, Any]) -> PartWords:
    """Return one part in words."""
    finding, name = part["finding"], spaced(part["name"])
    said = [part["definition"]]
    said += [f"Supports it: {part['supports']} Refutes it: {part['refutes']}"]
    said += ["Stated differently in an earlier confirmatory run."] if part["changed"] else []
    said += ["Entered into the ledger after its evidence was taken."] if part["late"] else []
    said += [f"{note[0].upper()}{note[1:]}." for note in part["notes"]]
    if finding is None:
        failed = [part["error"]] if part["error"] else []
        return PartWords((name, part["outcome"], "", "", "", "", "", "", ""), " ".join([*said, *failed]))
    said += [f"{finding['note'][0].upper()}{finding['note'][1:]}."] if finding["note"] else []
    if finding["alone"] != finding["outcome"]:
        said.append(f"By itself, without the other parts, it would be {finding['alone']}.")
    exact = finding["exact"]
    cells = (
        name,
        part["outcome"],
        spaced(finding["claimed"]),
        number(finding["effect"]),
        "counted" if exact else limits(finding),
        "" if exact else p_words(finding),
        "" if exact else f"{finding['n']}{_seeds(part['seeds'])}",
        _power(finding),
        f"{part['seconds']:.1f} s",
    )
    return PartWords(cells, " ".join(said))


def _power(finding: dict[str, Any]) -> str:
    if finding["power"] is None:
        return ""
    needed = finding["n_needed"]
    short = finding["power"] < ENOUGH
    return f"{finding['power']:.2f}" + (f" (.8 needs {needed})" if short and needed is not None else "")


def _seeds(seeds: list[int]) -> str:
    if not seeds:
        return ""
    run = all(after == before + 1 for before, after in pairwise(seeds))
    return f" (seeds {seeds[0]}-{seeds[-1]})" if run and len(seeds) > 1 else f" ({len(seeds)} seeds)"


def _provenance(table: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [(name, str(version)) for name, version in table["versions"].items()]
    return [*rows, ("cost", f"{table['seconds']:.0f} s of one core")]


def limits(cell: dict[str, Any]) -> str:
    """Return an interval."""
    return "counted" if cell.get("exact") else f"{number(cell['low'])} to {number(cell['high'])}"


def p_words(finding: dict[str, Any]) -> str:
    """Return the p value that decides: adjusted, or a single test's in an exploratory table."""
    adjusted = finding["p_adjusted"]
    value = min(1.0, 2 * min(finding["p_supports"], finding["p_refutes"])) if adjusted is None else adjusted
    if value < LEAST_P:
        return f"< {LEAST_P:.0e}"
    return f"{value:.2g}" if value >= 1e-4 else f"{value:.0e}"
