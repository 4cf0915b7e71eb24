"""The page: what it says of a study that met, did not meet, or has not ended, and that nothing hostile gets through."""

import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from invented_study import write_study

from sp_search.errors import StorageError
from sp_search.levels import Terms
from sp_search.records import LevelSpace, Population
from sp_search.report.live import LiveLine, clock, progress_of
from sp_search.report.page import write_report
from sp_search.report.reading import AuditEntry, Estimate, Minimum, read_story
from sp_search.report.words import audit_row, bounds, flops, minimum_words, percent
from sp_search.rows import LedgerReader
from sp_search.schedulers.annealing import Annealing
from sp_search.search import Search

HOSTILE = '</style><script>alert("$x_1$")</script>'


class Tags(HTMLParser):
    """Every tag with its attributes, and the text outside of styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    write_study(folder)
    write_report(folder)
    return folder


def read(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_answer_its_interval_and_what_the_minimum_rests_on_come_first(finished: Path) -> None:
    text = re.sub(r"\s+", " ", Tags(read(finished)).text)
    answer = (
        "The cheapest program that passed spends at most 5 rollouts on any input (55,000 FLOPs on average) and answers "
        "correctly on 99.95 % of the inputs (between 99.71 and 99.99 %, 8,192 inputs)."
    )
    assert answer in text
    assert "5 rollouts is the least that the search leaves possible" in text
    assert "This is statistical evidence, not a proof" in text
    parts = ["Asked:", answer, "Budget over time", "Accuracy against compute", "Levels", "Failures", "Provenance"]
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
    assert "worker died (invented)" in text
    assert "Budgets above the answer that no program was tried at: 6, 7, 8." in text


def test_the_page_is_one_small_file_without_addresses_or_scripts(finished: Path) -> None:
    page = read(finished)
    assert len(page.encode()) < 2_000_000
    assert not re.search(r"(https?:)?//[\w.]", page)
    parsed = Tags(page)
    assert {"script", "link", "img", "iframe"}.isdisjoint(tag for tag, _ in parsed.tags)
    assert not [key for _, attributes in parsed.tags for key in attributes if key.startswith("on")]
    links = [
        value for _, attributes in parsed.tags for key, value in attributes.items() if key.endswith(("href", "src"))
    ]
    assert all(link is not None and link.startswith("#") for link in links)
    assert [tag for tag, _ in parsed.tags].count("svg") == 2
    identifiers = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert {link[1:] for link in links if link} <= set(identifiers)


def test_every_table_says_from_which_run_or_file_its_numbers_are(finished: Path) -> None:
    page = read(finished)
    sections = re.findall(r"<section>(.*?)</section>", page, flags=re.DOTALL)
    titles = {re.search(r"<h2>(.*?)</h2>", one)[1]: one for one in sections if "<table" in one}
    assert {"Levels", "Other inputs", "What the search cost", "Runs", "Provenance"} <= set(titles)
    for title, one in titles.items():
        assert re.search(r'<a href="#(run-|hash-)', one) or title == "Provenance", title
    assert len(re.findall(r"<td[^>]*>[0-9a-f]{64}</td>", titles["Provenance"])) >= 3
    runs = [attributes["id"] for _, attributes in Tags(titles["Runs"]).tags if "id" in attributes]
    assert runs
    assert all(run.startswith("run-m") for run in runs)


def test_the_same_files_give_the_same_page(finished: Path) -> None:
    before = read(finished)
    write_report(finished)
    assert read(finished) == before
    assert not list(finished.glob("*.partial"))


def test_hostile_words_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    write_study(tmp_path, name=HOSTILE, config={HOSTILE: HOSTILE})
    result = json.loads((tmp_path / "result.json").read_text())
    result["reports"][HOSTILE] = result["reports"]["longer"]
    result["audits"] = [{"audit": HOSTILE, "verdict": HOSTILE, "reason": HOSTILE, "details": {HOSTILE: HOSTILE}}]
    result["warnings"] = [HOSTILE]
    (tmp_path / "result.json").write_text(json.dumps(result))
    write_report(tmp_path)
    assert "<script" not in read(tmp_path)
    assert HOSTILE in Tags(read(tmp_path)).text


def test_a_study_that_met_nothing_says_so_and_what_is_excluded(tmp_path: Path) -> None:
    write_study(tmp_path, least=99.0)
    write_report(tmp_path)
    text = Tags(read(tmp_path)).text
    assert "No program reached 95 % correct answers: even the largest budget of the ladder failed." in text
    assert "not met" in text
    assert "pass rate ≤" in text


@pytest.mark.parametrize("until", [0, 1, 2, 5, 8, 13])
def test_an_unfinished_study_shows_how_far_it_is(tmp_path: Path, until: int) -> None:
    search = write_study(tmp_path, until=until)
    write_report(tmp_path)
    text = Tags(read(tmp_path)).text
    assert "not finished" in text
    if until == 13:
        assert search.verified
        assert "the least that has passed 95 % is" in text


def test_a_result_that_lacks_what_every_result_has_is_named(tmp_path: Path) -> None:
    write_study(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    del result["minimum"], result["levels"]
    (tmp_path / "result.json").write_text(json.dumps(result))
    with pytest.raises(StorageError, match=r"minimum: Field required.*levels: Field required"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_folder_without_a_ledger_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no study folder"):
        write_report(tmp_path)


def test_rows_repeat_what_the_search_decided(tmp_path: Path) -> None:
    search = write_study(tmp_path)
    ledger = read_story(tmp_path).ledger
    assert ledger.outcomes == search.state.history
    assert ledger.looks == search.looks
    assert ledger.spent == search.spent
    passed = [(row.assignment.visit, row.measured.lineage) for row in ledger.rows if row.report.passed]
    assert len(passed) == search.verified
    assert {(chosen.visit, chosen.lineage) for chosen, _ in search.cheapest.values()} <= set(passed)
    assert [failure.kind for failure in ledger.failures].count("member_lost") == search.failures["member_lost"]
    alphas = [row.alpha for row in ledger.rows if row.measured.gates]
    assert alphas == sorted(set(alphas), reverse=True)
    assert LedgerReader().finished is None


def test_the_page_needs_neither_torch_nor_ray_nor_mlflow_nor_scipy(tmp_path: Path) -> None:
    write_study(tmp_path)
    code = (
        "import sys; from pathlib import Path; from sp_search.report.page import write_report; "
        "write_report(Path(sys.argv[1])); "
        "print([name for name in ('torch', 'ray', 'mlflow', 'scipy', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "50 %"), (0.95, "95 %"), (0.9996, "99.96 %"), (0.99999, "99.999 %"), (1.0, "100 %")]
)
def test_shares_keep_the_digits_that_matter(value: float, shown: str) -> None:
    assert percent(value) == shown


def test_intervals_are_rounded_outwards() -> None:
    assert bounds(Estimate(value=0.99, low=0.98766, high=0.99431, n=100)) == "between 98.76 and 99.44 %, 100 inputs"
    assert flops(12_345_678) == "12.3 MFLOPs"


def test_a_proven_minimum_reads_like_one() -> None:
    minimum = Minimum(low=5.0, high=5.0, basis="proven", text="no program of this family passes below 5")
    expected = "5 rollouts is the minimum: no program of this family passes below 5. This is proven, not measured."
    assert minimum_words(minimum, "rollouts") == expected


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_come_once_a_level_and_the_estimate_follows_the_scheduler(tmp_path: Path) -> None:
    search = write_study(tmp_path, until=0)
    stream = io.StringIO()
    line = LiveLine(stream, every_s=math.inf)
    line.update(search)
    assert stream.getvalue() == ""
    replayed = follow(tmp_path / "whole", line)
    lines = stream.getvalue().splitlines()
    assert len(lines) == len(replayed.state.history)
    assert lines[0].startswith("up fast: 1 rollout · best none yet · 0 trials done, 0 failed · 0:")
    assert lines[5].startswith("confirming: 4 rollouts · best 5 rollouts")
    assert "left" in lines[5]


def test_a_level_that_goes_on_says_so_off_a_terminal_now_and_then(tmp_path: Path) -> None:
    often, seldom = io.StringIO(), io.StringIO()
    follow(tmp_path / "often", LiveLine(often, every_s=0.0))
    follow(tmp_path / "seldom", LiveLine(seldom, every_s=math.inf))
    assert len(often.getvalue().splitlines()) > len(seldom.getvalue().splitlines())
    assert "\x1b" not in often.getvalue()


def follow(folder: Path, line: LiveLine) -> Search:
    """Feed a recorded study to a fresh search, event by event, with a line that watches."""
    write_study(folder)
    story = read_story(folder)
    header = story.ledger.header
    parts = (LevelSpace, Population, Terms)
    space, population, terms = (
        part.model_validate(header[key]) for part, key in zip(parts, ("space", "population", "terms"), strict=True)
    )
    search = Search(Annealing(), space, population, terms, 0.99)
    entries = [json.loads(text) for text in (folder / "ledger.jsonl").read_text().splitlines()]
    for entry in entries:
        search.replay([entry])
        line.update(search)
    return search


def test_a_terminal_gets_one_moving_line_that_leaves_nothing_behind(tmp_path: Path) -> None:
    stream = Terminal()
    line = LiveLine(stream)
    follow(tmp_path, line)
    assert "confirming: 4 rollouts · best 5 rollouts" in line.line()
    line.close()
    line.close()
    one_line_up, erased = "\x1b[1A", "\x1b[2K"
    assert stream.getvalue().endswith(one_line_up + erased)


def test_the_visits_ahead_are_those_that_the_scheduler_would_make(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []

    class Watch(LiveLine):
        def update(self, search: Search) -> None:
            if search.state.open is not None:
                progress = progress_of(search)
                seen.append((progress.visit, progress.visits_left))

    search = follow(tmp_path, Watch(io.StringIO()))
    total = len(search.state.history)
    assert [left for visit, left in seen if visit < 4] == [None] * sum(visit < 4 for visit, _ in seen)
    assert seen[-1] == (total - 1, 1)


def test_clock() -> None:
    assert [clock(5), clock(65), clock(7390)] == ["0:05", "1:05", "2:03:10"]


@pytest.mark.parametrize(
    ("said", "row"),
    [
        (
            {"verdict": "flagged", "threshold": 0.05, "details": {"iid": 0.99, "shifted_more": 0.5, "which": "a"}},
            ("a kind", "flagged", "0.5 (0.4 to 0.6)", "1,024", "0.05", "iid 0.99, shifted more 0.5"),
        ),
        (
            {
                "verdict": "flagged",
                "threshold": 0.05,
                "honest": 7,
                "details": {"context": "x = [1]", "n": 3},
                "reason": "r",
            },
            ("a kind", "flagged", "0.5 (0.4 to 0.6)", "1,024", "0.05 (7 honest)", "where x = [1]; r"),
        ),
        (
            {"verdict": "not_applicable", "statistic": None, "reason": "no question"},
            ("a kind", "not applicable", "", "", "", "no question"),
        ),
    ],
)
def test_a_row_of_the_audits_says_statistic_n_threshold_with_its_source_and_why(said, row):
    statistic = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 1024}
    assert audit_row(AuditEntry.model_validate({"audit": "a_kind", "statistic": statistic, **said})) == row
