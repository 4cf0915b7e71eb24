"""Where a page's numbers are from: rows of runs, links between them, and what is left out of very many."""

import re

import pytest
from invented_study import write_study

from sp_search.records import derive_seed
from sp_search.report.importance import LEAST_CONFIGURATIONS, importances
from sp_search.report.page import render, write_report
from sp_search.report.reading import Story, read_story
from sp_search.report.runs import MOST_RUNS, id_of, selected_run, shown_runs

MOST_BYTES = 2_000_000


def selected_story(folder) -> Story:
    """Return a story whose result names the lineage that passed; an invented one names lineage 0."""
    story = read_story(folder)
    named = story.result.program
    place = (named["member"], named["visit"])
    passed = (id_of(row) for row in story.ledger.rows if row.report.passed)
    lineage = next(run.lineage for run in passed if (run.member, run.visit) == place)
    return story._replace(result=story.result.model_copy(update={"program": {**named, "lineage": lineage}}))


def many(story: Story, times: int) -> Story:
    """Return the story with its rows and levels repeated, every repetition at visits of its own."""
    rows, outcomes = [], []
    last = len(story.ledger.outcomes)
    for number in range(times):
        for row in story.ledger.rows:
            moved = row.assignment.model_copy(update={"visit": row.assignment.visit + number * last})
            rows.append(row._replace(assignment=moved))
        outcomes += [one.model_copy(update={"visit": one.visit + number * last}) for one in story.ledger.outcomes]
    story.ledger.rows, story.ledger.outcomes = rows, outcomes
    return story._replace(lines=story.lines * times)


def configured(story: Story, width_of) -> Story:
    """Return the story with every row a member of its own: `width_of` says its width, and cost follows the width."""
    rows = []
    for member, row in enumerate(story.ledger.rows):
        width = width_of(member)
        config = {"width": width, "prior": {"price": member * 7 % 5}}
        at = row.assignment.model_copy(update={"member": member, "config": config})
        found = row.measured.model_copy(update={"compute": {}, "max_available_flops": 100.0 * width})
        rows.append(row._replace(assignment=at, measured=found))
    story.ledger.rows = rows
    return story


def test_every_link_of_the_page_leads_to_a_place_on_it(tmp_path):
    write_study(tmp_path)
    page = write_report(tmp_path).read_text()
    body = page[page.index("</svg>") :]
    places = set(re.findall(r'<span id="([^"]+)"', body))
    links = re.findall(r'<a href="#([^"]+)"', page)
    assert set(links) <= places
    assert {"hash-ledger", "hash-result"} < places
    assert len(links) > 20


def test_a_run_names_the_line_of_the_ledger_in_which_it_was_judged(tmp_path):
    write_study(tmp_path)
    story, lines = read_story(tmp_path), (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert len(story.lines) == len(story.ledger.rows) > 0
    for row, line in zip(story.ledger.rows, story.lines, strict=True):
        assert '"judged":' in lines[line - 1].replace(" ", "")
        assert str(row.measured.seed) in "".join(lines[:line])


def test_the_answer_leads_to_the_run_of_the_selected_program(tmp_path):
    write_study(tmp_path)
    story = selected_story(tmp_path)
    selected = selected_run(story)
    assert selected is not None
    program = story.result.program
    assert selected == (program["member"], program["visit"], program["lineage"])
    answer = render(story).split("</section>")[0]
    assert f'from <a href="#run-{selected}">run {selected}</a>' in answer


@pytest.mark.timeout(300)
def test_of_very_many_runs_the_page_shows_those_that_passed_and_stays_small(tmp_path):
    write_study(tmp_path)
    story = many(selected_story(tmp_path), 400)
    total, shown = len(story.ledger.rows), shown_runs(story)
    assert total > 10_000
    assert len(shown) <= MOST_RUNS
    assert selected_run(story) in {id_of(row) for row, _ in shown}
    assert sum(row.report.passed for row, _ in shown) >= MOST_RUNS // 2
    page = render(story)
    assert len(page.encode()) < MOST_BYTES
    assert f"of {total:,} are shown" in page


def test_few_configurations_say_nothing_of_importance(tmp_path):
    write_study(tmp_path)
    story = read_story(tmp_path)
    assert importances(story) == 2
    assert "Importance of settings" not in render(story)
    few = configured(read_story(tmp_path), lambda member: 3)
    assert importances(few) == 5
    assert f"5 configurations were judged; which settings mattered is estimated from {LEAST_CONFIGURATIONS}" in render(
        few
    )


@pytest.mark.timeout(300)
def test_what_decides_the_cost_is_found_and_what_does_not_is_not(tmp_path):
    write_study(tmp_path)
    story = configured(read_story(tmp_path), lambda member: 4 + member * 11 % 23)
    accuracy, cost = importances(story)
    assert cost.n >= LEAST_CONFIGURATIONS
    assert cost.r_squared > 0.5
    found = {setting: lost for setting, lost, _ in cost.by_setting}
    assert cost.by_setting[0][0] == "width"
    assert found["width"] > 10 * max(abs(found["prior.price"]), abs(found["budget"]))
    assert accuracy.figure == "accuracy"
    page = render(story)
    assert "<td>width</td>" in page


@pytest.mark.timeout(300)
def test_of_proposals_the_axes_are_settings_and_their_price_is_none(tmp_path):
    write_study(tmp_path)
    story = configured(read_story(tmp_path), lambda member: 4 + member * 11 % 23)
    for number, row in enumerate(story.ledger.rows):
        axis = {"width": row.assignment.config["width"], "rollouts": 1 + number * 7 % 4}
        budget = row.assignment.budget.model_copy(update={"axis": axis, "cap": row.measured.max_available_flops})
        at = row.assignment.model_copy(update={"config": {}, "budget": budget})
        story.ledger.rows[number] = row._replace(assignment=at)
    assert importances(story) == 1, "listed members of one configuration"
    story.ledger.header["population"] |= {"members": [], "proposals": 4}
    cost = importances(story)[1]
    assert [setting for setting, _, _ in cost.by_setting] == ["width", "rollouts"]


@pytest.mark.timeout(300)
def test_a_figure_that_settings_do_not_predict_has_no_importance(tmp_path):
    write_study(tmp_path)
    story = configured(read_story(tmp_path), lambda member: derive_seed(member, "width") % 1000)
    for number, row in enumerate(story.ledger.rows):
        noise = 100.0 + derive_seed(number, "cost") % 1000
        found = row.measured.model_copy(update={"max_available_flops": noise})
        story.ledger.rows[number] = row._replace(measured=found)
    cost = importances(story)[1]
    assert cost.by_setting == []


@pytest.mark.parametrize("until", [0, 3])
def test_a_study_that_has_begun_has_a_page(tmp_path, until):
    write_study(tmp_path, until=until)
    story = read_story(tmp_path)
    assert selected_run(story) is None
    assert ("<h2>Runs</h2>" in render(story)) == bool(story.ledger.rows)
