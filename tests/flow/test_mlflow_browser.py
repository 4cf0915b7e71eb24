"""What somebody sees who opens MLflow on a study for the first time: clicked through in a headless Chromium.

It needs playwright and a Chromium: the one that `CHROMIUM` names, that is on the path, or that playwright has fetched.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from invented_study import write_study

from sp_search.report.page import write_report
from sp_search.tracking.mlflow import SERVER_SETTINGS, Shipper, study_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: browser)")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # MLflow's own
]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A real `mlflow server` on loopback with one study in it: its address and the study's folder."""
    place = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{place}/mlflow.db", "--artifacts-destination", str(place / "files")]
    with open(place / "log", "w") as log:
        server = subprocess.Popen(
            command, cwd=place, stdout=log, stderr=log, env={**os.environ, **SERVER_SETTINGS}, start_new_session=True
        )
    try:
        wait_for(f"{address}/health", server)
        write_study(place / "study", study={"tracking": {"owner": "ada", "notes": "the first look"}})
        write_report(place / "study")
        assert Shipper(address, "invented", place / "study").finish(300) == (0, "")
        yield address, place / "study"
    finally:
        server.terminate()
        server.wait(60)


def wait_for(address: str, server: subprocess.Popen) -> None:
    while server.poll() is None:
        try:
            urlopen(address, timeout=5).close()  # noqa: S310  # of our own server
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"the server ended with {server.returncode}")


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


def test_mean_flops_against_accuracy_is_a_picture_among_the_artifacts(shipped, page) -> None:
    address, folder = shipped
    page.goto(study_page(folder, address))
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("frontier.png").first.click()
    page.wait_for_function("[...document.images].some(one => one.src.startsWith('blob:') && one.naturalWidth > 0)")
    page.get_by_text("frontier.json").first.click()
    page.get_by_text("mean_flops").first.wait_for()
