"""Studies with arms: how a file expands, what is refused in which words, and what the table and the page say."""

import json
from copy import deepcopy
from itertools import pairwise

import jsonschema
import pytest
from invented_study import write_study

from sp_search import yaml_strict
from sp_search.arms import arms_of, file_schema, load_asked
from sp_search.comparison import arm_folder, build_comparison, effort_warnings, static_frontier
from sp_search.errors import StorageError, StudyError
from sp_search.report.comparison import HEADS, cells, ranking, read_comparison, write_comparison_page

GOOD = """\
name: duel
seed: 4
task: {kind: prefix_sums, bits: 5}
model: {kind: recall_conv, width: 8, layers: 3}
scheduler: {kind: annealing, stop: 8}
population: {replicas: 3}
milestones: [0.95]
arms:
  - {name: static, population: {members: [{width: 6}, {width: 8}]}}
  - name: ponder
    prior: {kind: ponder_net}
    scheduler: {start: 4}
    population: {members: [{prior: {price: 0.1}}, {prior: {price: 0.2}}]}
"""


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a study file."""

    def write(text=GOOD):
        path = tmp_path / "duel.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems(path, **options):
    with pytest.raises(StudyError) as caught:
        load_asked(path, **options)
    return [problem.replace(f"{path.parent}/", "") for problem in caught.value.problems]


def test_an_arm_is_the_file_with_its_own_keys_over_it(file):
    static, ponder = (arm.study for arm in load_asked(file()).arms)
    assert (static.name, ponder.name, static.seed, ponder.seed) == ("duel.static", "duel.ponder", 4, 4)
    assert (static.prior.kind, ponder.prior.kind) == ("none", "ponder_net")
    assert (static.scheduler.start, ponder.scheduler.start, ponder.scheduler.stop) == (1, 4, 8)
    assert (static.population.replicas, ponder.population.replicas) == (3, 3), "mappings are merged key by key"
    assert [part.prior.price for part in ponder.member_parts()] == [0.1, 0.2]


def test_a_part_of_another_kind_replaces_the_files_part_as_a_whole(file):
    other = "  - {name: cell, model: {kind: ponder_cell, width: 9}}\n"
    arms = load_asked(file(GOOD + other.replace("ponder_cell", "recall_conv"))).arms
    assert arms[2].study.model.layers == 3
    path = file(GOOD + "  - {name: cell, model: {kind: exit_conv}, scheduler: {kind: rollout_growth, axis: depth}}\n")
    assert load_asked(path).arms[2].study.model.kind == "exit_conv"


def test_overrides_and_the_seed_apply_to_every_arm(file):
    arms = load_asked(file(), overrides=["train.steps=7", "arms.1.scheduler.start=5"], seed=9).arms
    assert [(one.study.train.steps, one.study.seed) for one in arms] == [(7, 9), (7, 9)]
    assert arms[1].study.scheduler.start == 5


def test_a_comparison_that_is_written_out_expands_to_the_same_arms(file, tmp_path):
    first = load_asked(file(), overrides=["train.steps=7"])
    again = tmp_path / "again.yaml"
    again.write_text(first.dump_yaml(), encoding="utf-8")
    assert [arm.study.resolved() for arm in load_asked(again).arms] == [arm.study.resolved() for arm in first.arms]


def test_the_schema_accepts_arms_and_the_content_of_a_file_expands_like_the_file(file):
    content = yaml_strict.load(GOOD).data
    jsonschema.validate(content, file_schema())
    before = deepcopy(content)
    assert [arm.study for arm in arms_of(content).arms] == [arm.study for arm in load_asked(file()).arms]
    assert content == before
    with pytest.raises(StudyError, match="arm ponder: population"):
        arms_of(deepcopy(content) | {"arms": [content["arms"][0], content["arms"][1] | {"population": 3}]})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("price: 0.2", "prise: 2", "duel.yaml:13: arm ponder: population.members.1.prior.prise: unknown key."),
        ("bits: 5", "bits: 0", "duel.yaml:3: task.bits: got 0"),
        ("replicas: 3", "replicas: 0", "duel.yaml:6: population.replicas: got 0"),
        ("{start: 4}", "{start: 9}", "duel.yaml:12: arm ponder: scheduler.start: got 9, above stop (8)"),
        ("name: static,", "name: ponder,", "duel.yaml:10: arms.1.name: two arms are named 'ponder'"),
        ("name: static,", "name: Ponder,", "duel.yaml:10: arms.1.name: two arms are named 'ponder', be it in capitals"),
        ("name: duel", "name: ..", 'duel.yaml:1: name: got "..": it names a folder'),
        ("name: static,", "name: a b,", 'duel.yaml:9: arms.0.name: got "a b"'),
        ("name: static,", "seed: 1, name: static,", "duel.yaml:9: arms.0.seed: arm 'static' sets it: arms share seed"),
        ("name: static,", "name: static, sede: 1,", "duel.yaml:9: arm static: sede: unknown key. Did you mean 'seed'?"),
        ("seed: 4", "seed: 0123", "duel.yaml:2: seed: got 0123"),
    ],
)
def test_a_mistake_is_refused_once_with_its_line_and_its_arm(file, old, new, expected):
    found = problems(file(GOOD.replace(old, new, 1)))
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_one_arm_or_none_is_no_comparison(file):
    for arms in ("[]", "[{name: a}]", "3"):
        (found,) = problems(file(GOOD[: GOOD.index("arms:")] + f"arms: {arms}\n"))
        assert found.startswith("duel.yaml:8: arms: got")


def test_unequal_effort_is_said(file):
    assert effort_warnings(load_asked(file())) == ["unequal effort, train steps: static 800, ponder 700"], (
        "the recipes of the parts differ"
    )
    even = ["train.steps=500", "arms.0.population.members=[{}]", "arms.1.population.replicas=4"]
    assert effort_warnings(load_asked(file(), overrides=even)) == [
        "unequal effort, configurations: static 1, ponder 2",
        "unequal effort, lineages: static 3, ponder 4",
    ]


@pytest.fixture
def compared(file, tmp_path):
    """Return a comparison's folder: one arm met, one did not; nothing was trained."""
    arms = load_asked(file())
    for arm, least in zip(arms.arms, (5.0, 99.0), strict=True):
        write_study(arm_folder(tmp_path, arm), least=least, study=arm.study.resolved())
    payload = build_comparison(arms, tmp_path)
    (tmp_path / "comparison.json").write_text(json.dumps(payload))
    return tmp_path, arms, payload


def test_a_row_says_what_the_arm_found_and_what_it_paid(compared):
    folder, arms, payload = compared
    result = json.loads((arm_folder(folder, arms.arms[0]) / "result.json").read_text())
    static, ponder = payload["arms"]
    assert (static["met"], ponder["met"], payload["met"]) == (True, False, False)
    assert static["mean_flops_per_example"] == result["mean_flops_per_example"]
    assert static["training_flops"] == result["search_flops"]["training"]
    assert static["longer"]["value"] == 0.981
    assert 0 < static["passed"] <= static["tried"]
    assert ponder["accuracy"] is None
    assert (static["static"], ponder["static"]) == (True, False)


def test_the_static_frontier_holds_what_no_cheaper_static_program_reaches(compared):
    _, _, payload = compared
    frontier = static_frontier(payload["arms"])
    for before, after in pairwise(frontier):
        assert before["mean_flops"] < after["mean_flops"]
        assert before["accuracy"] < after["accuracy"]
    points = payload["arms"][0]["programs"]
    best = max(point["accuracy"] for point in points)
    assert frontier[-1]["accuracy"] == best
    assert frontier[0]["mean_flops"] == min(point["mean_flops"] for point in points)


def test_the_page_is_one_file_with_the_table_the_picture_and_the_warnings(compared):
    folder, _, _ = compared
    page = write_comparison_page(folder).read_text(encoding="utf-8")
    asked = read_comparison(folder)
    assert all(head in page for head in HEADS)
    assert all(cell in page for cell in cells(asked.arms[0]) if "<" not in cell)
    assert page.count("<svg") == 1
    assert "static frontier" in page
    assert "unequal effort" in page
    assert "http" not in page.replace("http-equiv", "")
    assert '<a href="arms/static/report.html">' in page
    assert "arms/NAME/ledger.jsonl" in page
    assert ranking(asked) == ("Mean compute per input of the arms that met 95 %, the least first: static 55k FLOPs.")
    assert write_comparison_page(folder).read_text(encoding="utf-8") == page


def test_an_arm_that_met_a_lower_milestone_alone_says_which(compared):
    folder, _, _ = compared
    write_comparison_page(folder)
    row = read_comparison(folder).arms[0]
    assert cells(row)[1] == "met"
    assert cells(row.model_copy(update={"met": False, "milestone": 0.5}))[1] == "met 50 % only"
    assert cells(row.model_copy(update={"met": False, "accuracy": None}))[1] == "not met"


def test_a_comparison_that_is_not_there_or_broken_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="does not exist yet"):
        read_comparison(tmp_path)
    (tmp_path / "comparison.json").write_text('{"name": "x"}')
    with pytest.raises(StorageError, match="cannot be read"):
        read_comparison(tmp_path)
