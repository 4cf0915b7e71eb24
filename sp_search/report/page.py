"""The one-file page of a study: no script, no external address, every word from the study escaped.

It is made from the folder's JSON and `study.yaml` alone, whether the study has ended or not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sp_search import __version__
from sp_search.ledger import LEDGER_NAME
from sp_search.report.part import Part
from sp_search.report.reading import ResultFile, Story, read_story
from sp_search.report.runs import run_link, selected_run
from sp_search.report.sections import parts, question
from sp_search.report.words import answer, cards, minimum_words, spaced
from sp_search.whole_files import write_whole

PAGE_NAME, FRONTIER_NAME = "report.html", "frontier.png"
TONES = {
    "not finished": "open",
    "passed": "good",
    "failed": "bad",
    "undecided": "open",
    "met": "good",
    "not met": "bad",
    "flagged": "bad",
    "uncalibrated": "open",
    "not applicable": "open",
}
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Characters that steer a terminal or the order of a text; what a stranger named shows them as escapes."""
ANSWER_CAPTION = " The dashed line is the answer; what lies in the grey area failed or is excluded."


class Figure(NamedTuple):
    """A picture, what it shows and how to read it."""

    title: str
    svg: Markup
    caption: str


class State(NamedTuple):
    """How the study stands, in a word."""

    word: str
    tone: str


def write_report(folder: Path) -> Path:
    """Write `report.html` into a study's folder, whole or not at all, and return its path; beside it `frontier.png`.

    Raises:
        StorageError: the folder holds no ledger, or `result.json` lacks what every result has.
    """
    import numpy

    from sp_search.report.figures import frontier_png

    story = read_story(folder)
    with numpy.errstate(over="ignore"):  # a number that somebody spoilt lies beyond any axis, and is told all the same
        frontier, page = frontier_png(story), render(story)
    if frontier is not None:
        write_whole(folder / FRONTIER_NAME, frontier)
    return write_whole(folder / PAGE_NAME, page)


def render(story: Story) -> str:
    """Return the page. Reproducible: the same files give the same bytes."""
    result = story.result
    return fill_page(
        kicker="study report",
        name=story.ledger.header["name"],
        state=_state(story),
        question=question(story),
        answer=answer(story),
        minimum="" if result is None else minimum_words(result.minimum, story.measure),
        warnings=[] if result is None else [*_flags(result), *result.warnings],
        cards=[] if result is None else cards(result, story.ledger.confidence),
        figures=_figures(story),
        parts=parts(story),
        source="" if (run := selected_run(story)) is None else run_link(story, f"run {run}", run),
    )


def fill_page(
    *,
    kicker: str,
    name: str,
    state: State,
    question: str,
    answer: str,
    minimum: str = "",
    warnings: Sequence[str] = (),
    cards: Sequence[tuple[str, str, str]] = (),
    figures: Sequence[Figure] = (),
    parts: Sequence[Part] = (),
    ledger: str = LEDGER_NAME,
    source: str = "",
) -> str:
    """Return the page with these words; all but the figures are escaped."""
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("page.html.jinja").render(
        kicker=kicker,
        name=name,
        css=Markup((here / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        version=__version__,
        state=state,
        question=question,
        answer=answer,
        minimum=minimum,
        warnings=warnings,
        cards=cards,
        figures=figures,
        parts=parts,
        tones=TONES,
        ledger=ledger,
        source=source,
    )
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", page)


def _flags(result: ResultFile) -> list[str]:
    flagged = [spaced(audit.audit) for audit in result.audits if audit.verdict == "flagged"]
    return [f"flagged by {', '.join(flagged)} (below: Audits)"] if flagged else []


def _state(story: Story) -> State:
    if story.result is None:
        return State("not finished", "open")
    if story.result.met:
        return State("all milestones met" if len(story.result.milestones) > 1 else "met", "good")
    some = any(entry.met for entry in story.result.milestones)
    return State("not all milestones met" if some else "not met", "bad")


def _figures(story: Story) -> list[Figure]:
    from sp_search.report.figures import accuracy_against_flops, budget_over_time
    from sp_search.report.generalisation import overthinking_curve, rollouts_by_need

    result = story.result
    met = result is not None and result.budget is not None
    drawn = [
        (
            "Budget over time",
            budget_over_time(story),
            "Every level in the order of the search: a disc passed, a cross failed." + (ANSWER_CAPTION if met else ""),
        ),
        (
            "Accuracy against compute",
            accuracy_against_flops(story),
            "Every judged program: filled ones were verified, hollow ones were not good enough and stand at their last "
            "validation accuracy. Further left computes less.",
        ),
        (
            "Made to go on",
            None if result is None else overthinking_curve(result),
            "The selected program's accuracy when it has to answer at that exit, whatever its halting says; the dashed "
            "line is the last exit of its budget. A curve that falls again overthinks.",
        ),
        (
            "Rollouts against need",
            None if result is None else rollouts_by_need(result),
            "Rollouts that the selected program takes, by how many the input is known to need, with its accuracy "
            "there. Below the dashed line it answers before it can know.",
        ),
    ]
    return [Figure(title, Markup(svg), caption) for title, svg, caption in drawn if svg is not None]  # noqa: S704
