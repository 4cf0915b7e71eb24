"""What somebody sees who opens MLflow on a study for the first time: clicked through in a headless Chromium.

It needs playwright and a Chromium: the one that `CHROMIUM` names, that is on the path, or that playwright has fetched.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from invented_study import write_study
from mlflow_store import of, runs_of, serving, ship

from sp_search.report.page import write_report
from sp_search.tracking.mlflow import study_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: browser)")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # MLflow's own
]


@pytest.fixture(scope="module")
def shipped(fresh_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A real `mlflow server` on loopback with one study in it: its address and the study's folder."""
    place = tmp_path_factory.mktemp("shown")
    shutil.copy(fresh_store, place / "mlflow.db")
    with serving(place) as address:
        write_study(place / "study", study={"tracking": {"owner": "ada", "notes": "the first look"}})
        write_report(place / "study")
        ship(address, place / "study")
        yield address, place / "study"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    yield page
    page.close()


def test_the_cheapest_verified_program_is_three_clicks_from_the_front_page(shipped, page) -> None:
    address, _ = shipped
    page.goto(address)
    page.get_by_role("link", name="invented").first.click()
    dismiss(page)
    program = follow(page, "member 0 at 5 rollouts")
    program.get_by_role("heading", name="member 0 / rollouts 5").wait_for()
    program.get_by_text("selected_for").first.wait_for()


def follow(page, name: str):
    """Click a link of a description, which opens in a tab of its own, and return that."""
    with page.expect_popup() as opened:
        page.get_by_role("link", name=name).first.click()
    opened.value.set_default_timeout(120_000)
    return opened.value


def dismiss(page) -> None:
    """Click MLflow's own greeting away; it counts as a click."""
    button = page.get_by_role("button", name="Got it")
    button.wait_for()
    button.click()


def test_the_page_that_ui_names_leads_to_it_with_one_click_and_says_whose_study_it_is(shipped, page) -> None:
    address, folder = shipped
    page.goto(study_page(folder, address))
    page.get_by_text("the first look").first.wait_for()
    assert page.get_by_text("ada").first.is_visible()
    follow(page, "member 0 at 5 rollouts").get_by_role("heading", name="member 0 / rollouts 5").wait_for()


def test_members_are_compared_as_charts_over_the_same_names(shipped, page) -> None:
    address, folder = shipped
    page.goto(study_page(folder, address))
    charts = follow(page, "as charts")
    charts.get_by_text("member 0", exact=True).first.wait_for()
    charts.get_by_text("member 1", exact=True).first.wait_for()
    charts.get_by_text("cost").first.wait_for()


def test_ticked_members_stand_in_parallel_coordinates_and_in_a_scatter_plot(shipped, page) -> None:
    address, folder = shipped
    members = of(runs_of(address)[1], "member")
    page.goto(study_page(folder, address))
    charts = follow(page, "as charts")
    charts.get_by_role("checkbox", name="Select all runs").click()
    charts.get_by_role("button", name="Compare", exact=True).click()
    charts.get_by_role("heading", name="Comparing 2 Runs from 1 Experiment").wait_for()
    drawn = wait_for_plot(charts, "data => data.dimensions?.map(one => [one.label, [...one.values].map(Number)])")
    axes = {label: sorted(values) for label, values in drawn}
    assert axes == {
        "config.width": sorted(float(run.data.params["config.width"]) for run in members),
        "cost/mean_flops": sorted(run.data.metrics["cost/mean_flops"] for run in members),
    }
    charts.get_by_role("tab", name="Scatter Plot").click()
    chosen = ("cost/mean_flops", "quality/accuracy")
    for axis, name in zip("xy", chosen, strict=True):
        charts.locator(f"#{axis}-axis-selector").click()
        charts.get_by_role("option", name=name, exact=True).click()
    named = "(data, layout) => layout.yaxis?.title.text == 'quality/accuracy' && data.x.map((x, at) => [x, data.y[at]])"
    points = {tuple(run.data.metrics[name] for name in chosen) for run in members if chosen[1] in run.data.metrics}
    assert {tuple(point) for point in wait_for_plot(charts, named)} == points != set()


def wait_for_plot(page, read: str):
    """Return what `read` says of Plotly's chart, as soon as that is something."""
    found = page.wait_for_function(
        f"() => [...document.querySelectorAll('.js-plotly-plot')].map(one => ({read})(one.data[0], one.layout))"
        ".find(Boolean)"
    )
    return found.json_value()


def test_mean_flops_against_accuracy_is_a_picture_among_the_artifacts(shipped, page) -> None:
    address, folder = shipped
    page.goto(study_page(folder, address))
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("frontier.png").first.click()
    page.wait_for_function("[...document.images].some(one => one.src.startsWith('blob:') && one.naturalWidth > 0)")
    page.get_by_text("frontier.json").first.click()
    page.get_by_text("mean_flops").first.wait_for()
