"""What MLflow's pages say in words: the description of a study's run and of its experiment, in escaped Markdown."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import quote

TRAINING = "?workflowType=machine_learning"
"""What an address of MLflow's needs to open its pages of training runs; else those of language models come first."""
VERIFIED = " and tags.verified = 'true'"
MARK = "How to read this experiment"


def run_page(experiment: str, run: str) -> str:
    """Return the address of a run's page within MLflow."""
    return f"#/experiments/{experiment}/runs/{run}{TRAINING}"


def members_pages(experiment: str, study_id: str) -> str:
    """Return links to the members of a study: as charts, and those with a verified program, cheapest first."""
    # Sorted by a metric MLflow lists the members themselves, otherwise their study, closed.
    order = f"&orderByKey={quote('metrics.`cost/mean_flops`')}&orderByAsc=true"
    base = f"#/experiments/{experiment}/runs{TRAINING}{order}&searchFilter="
    members = f"tags.run_of = 'member' and tags.`sp_search.study` = '{study_id}'"
    charts, cheapest = f"{base}{quote(members)}&compareRunsMode=CHART", base + quote(members + VERIFIED)
    return f"Members: [as charts]({charts}) · [verified, cheapest first]({cheapest})"


def experiment_note(experiment: str, answer: str) -> str:
    """Return the description of a study's experiment, with the answer of the study that ended last in front."""
    runs = f"[all studies, members and levels](#/experiments/{experiment}/runs{TRAINING})"
    return f"""{answer + " · " if answer else ""}{runs}

{MARK}: every study of this name is a run, named after its seed; its description names the cheapest verified program.
Below it are its members, below these their visits of a level (a budget).

* the selected programs: filter `tags.selected = "true"`
* everything verified: filter `tags.verified = "true" and tags.run_of = "member"`, and sort by `cost/mean_flops`
* mean FLOPs against accuracy: `frontier.png` among a study's artifacts; or tick members, *Compare*, and choose
  `cost/mean_flops` and `quality/accuracy` in the scatter plot
"""


def escaped(text: str) -> str:
    """Return Markdown that shows `text` as it is: it may be a stranger's."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~-])", r"\\\1", html.escape(text, quote=False)).replace("\n", "  \n")


def study_note(study: dict[str, Any], members: str, result: dict[str, Any] | None, links: dict[float, str]) -> str:
    """Return the description of a study's run.

    Args:
        study: its content.
        members: where its members are; empty where they have no runs.
        result: content of `result.json`; None while the search goes on.
        links: by milestone that was met, the page of the run of its program.
    """
    tracking = study.get("tracking", {})
    notes, owner = tracking.get("notes", ""), tracking.get("owner", "")
    said = [f"> {escaped(notes).replace(chr(10), chr(10) + '> ')}"] if notes else []
    said += [f"Owner: {escaped(owner)}"] if owner else []
    short = "The search has not ended." if result is None else short_answer(result, links)
    told = [] if result is None else _answers(result, links)
    head = " · ".join(one for one in (members, short) if one)  # MLflow folds what goes beyond two lines
    return "\n\n".join([head] * bool(head) + told + said)


def short_answer(result: dict[str, Any], links: dict[float, str]) -> str:
    """Return the programs of a result in a line."""
    named = [
        f"milestone {entry['milestone']:g}: [{program_name(entry)}]({links[entry['milestone']]}), "
        f"{entry['mean_flops_per_example']['value']:,.0f} FLOPs"
        for entry in result.get("milestones", [])
        if entry["met"]
    ]
    return f"**Cheapest verified program** · {' · '.join(named)}" if named else ""


def program_name(entry: dict[str, Any]) -> str:
    """Return how a milestone's program is called: whose it is, and at which budget."""
    budget = entry["budget"]
    return f"member {entry['program']['member']} at {budget['cap']:g} {escaped(budget['measure'])}"


def _answers(result: dict[str, Any], links: dict[float, str]) -> list[str]:
    lines = []
    for entry in result.get("milestones", []):
        milestone = f"Milestone {entry['milestone']:g}"
        if not entry["met"]:
            lines.append(f"**{milestone}: no verified program.** {escaped(entry.get('minimum', {}).get('text', ''))}")
            continue
        mean, accuracy = entry["mean_flops_per_example"], entry["accuracy"]
        lines.append(
            f"**{milestone}: the cheapest verified program is [{program_name(entry)}]({links[entry['milestone']]})**, "
            f"with {mean['value']:,.0f} FLOPs per example on average and accuracy {accuracy['value']:.4f} "
            f"(at least {accuracy['low']:.4f} at confidence {result.get('confidence', 0.99):g})."
        )
    lines.append(f"The search ended: {escaped(str(result.get('ended', '')))}.")
    return lines
