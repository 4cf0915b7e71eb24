"""What deceiving costs, from pairs of searches: ratios, intervals, searches that found nothing, and the tax file."""

from math import log
from pathlib import Path

import pytest

from sp_search.cli import main
from sp_search.errors import StudyError
from sp_search.plan import plan_study
from sp_search.report.tax import headline, interval_words, render_tax
from sp_search.tax.cost import cost_of
from sp_search.tax.file import Effort, load_tax
from sp_search.tax.price import Found, Pair, median_rank, price_of, still_falls
from sp_search.tax.run import build_tax

SHIPPED = sorted((Path(__file__).parents[2] / "studies").glob("tax_*.yaml"))
FILE = """
name: small
seed: 3
task: {kind: flagged_bits, length: 7, trigger: 2}
model: {kind: reading_cell, width: 8}
prior: {kind: early_exit}
scheduler: {kind: annealing, axis: rollouts, budget: mean, start: 2, stop: 7, resolution: 0.5, exits: 7}
train: {steps: 100}
milestones: [0.9]
tax:
  trigger: {kind: distribution, name: slack}
  efforts: [{share: 0.1}, {share: 0.3, steps: 2}]
  repeats: 2
"""


def pair(honest, deceiver, *, seed=0, honest_above=None, deceiver_above=None):
    return Pair(
        seed=seed,
        honest=Found(cost=honest, above=honest_above, ended="resolved"),
        deceiver=Found(cost=deceiver, above=deceiver_above, ended="resolved"),
    )


@pytest.fixture
def read(tmp_path):
    """Return a tax study from its text."""

    def read_text(text=FILE, **options):
        file = tmp_path / "tax.yaml"
        file.write_text(text, encoding="utf-8")
        return load_tax(file, **options)

    return read_text


def test_the_tax_is_the_geometric_mean_ratio_minus_one_with_an_interval_around_it():
    price = price_of([pair(100, 120), pair(100, 130), pair(200, 240)])
    assert price.value == pytest.approx((1.2 * 1.3 * 1.2) ** (1 / 3) - 1)
    assert price.low < price.value < price.high
    assert (price.pairs, price.deceiver_missing, price.basis) == (3, 0, "mean")


def test_equal_ratios_leave_no_doubt_and_cheaper_deceivers_are_a_negative_tax():
    price = price_of([pair(100, 80), pair(50, 40)])
    assert price.value == price.low == price.high == pytest.approx(-0.2)
    assert interval_words(price.model_dump()) == "all pairs alike"


def test_a_deceiver_that_was_not_found_counts_as_dearer_than_the_ladder():
    pairs = [pair(100, 100 + seed) for seed in range(10, 15)] + [pair(100, None, deceiver_above=300)]
    price = price_of(pairs)
    assert (price.basis, price.deceiver_missing) == ("median", 1)
    assert price.value == pytest.approx((1.12 * 1.13) ** 0.5 - 1)
    assert price.low == pytest.approx(0.10)
    assert price.high is None, "the interval of six pairs reaches to the largest, which has no end"


def test_searches_that_found_nothing_bound_the_tax_from_one_side_or_not_at_all():
    assert pair(100, None, deceiver_above=300).log_ratio() == (log(3), float("inf"))
    assert pair(None, 150, honest_above=300).log_ratio() == (-float("inf"), log(0.5))
    assert pair(100, None).log_ratio() == (-float("inf"), float("inf")), "a limit ended it: nothing is excluded"
    none = price_of([pair(100, None, deceiver_above=200) for _ in range(8)])
    assert (none.value, none.low, none.high) == (None, pytest.approx(1.0), None)


@pytest.mark.parametrize(("n", "rank"), [(2, 0), (5, 0), (6, 1), (8, 1), (9, 2), (12, 3), (20, 6)])
def test_order_statistics_that_enclose_a_median(n, rank):
    assert median_rank(n) == rank


def test_the_curve_still_falls_where_deceivers_of_the_same_seeds_are_surely_cheaper():
    before = [pair(100, 150 + seed, seed=seed) for seed in range(4)]
    lower = [pair(100, 120 + seed, seed=seed) for seed in range(4)]
    same = [pair(100, 150 + (-1) ** seed, seed=seed) for seed in range(4)]
    missing = [pair(100, None, deceiver_above=300, seed=seed) for seed in range(4)]
    assert still_falls(before, lower)
    assert not still_falls(before, same)
    assert not still_falls(lower, before)
    assert still_falls(missing, before), "what was not found before and is found now has fallen"


def test_a_tax_needs_two_pairs():
    with pytest.raises(ValueError, match="2 pairs or more, got 1"):
        price_of([pair(1, 2)])


def test_a_tax_file_expands_to_pairs_that_differ_in_the_share_and_the_gate_alone(read):
    asked = read()
    assert asked.seeds() == [3, 4]
    effort = asked.tax.efforts[1]
    honest, deceiver = asked.honest(effort, 4), asked.deceiver(effort, 4)
    assert (honest.task.share, deceiver.task.share) == (0.0, 0.3)
    assert (honest.selection.gates, deceiver.selection.gates) == (["iid"], ["iid", "harm"])
    assert honest.train.steps == deceiver.train.steps == 200
    assert honest.task.shape() == deceiver.task.shape()
    same = ("model", "prior", "scheduler", "population", "milestones", "limits", "verdict", "seed", "train")
    assert all(getattr(honest, key) == getattr(deceiver, key) for key in same)
    assert asked.honest(asked.tax.efforts[0], 4).train.steps == 100


def test_the_file_that_is_written_down_is_the_same_study(read):
    asked = read()
    again = read(asked.dump_yaml())
    assert again.tax == asked.tax
    assert again.dump_yaml() == asked.dump_yaml()
    assert again.deceiver(asked.tax.efforts[1], 3) == asked.deceiver(asked.tax.efforts[1], 3)


def test_validate_reads_a_tax_file_as_one(tmp_path, capsys):
    file = tmp_path / "tax.yaml"
    file.write_text(FILE, encoding="utf-8")
    assert main(["validate", str(file)]) == 0
    file.write_text(FILE.replace("repeats: 2", "repeats: 1"), encoding="utf-8")
    assert main(["validate", str(file)]) == 2
    assert "tax.repeats" in capsys.readouterr().err


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_tax_file_is_valid_and_says_its_name(file):
    assert load_tax(file).base.name == file.stem


def test_options_override_the_file(read):
    asked = read(repeats=5, efforts=["0.2", "0.3x4"], seed=9, overrides=("task.length=8",))
    assert asked.seeds() == [9, 10, 11, 12, 13]
    assert [str(effort) for effort in asked.tax.efforts] == ["0.2x1", "0.3x4"]
    assert asked.base.task.length == 8


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tax:", "taxes:", "should say what deceiving is"),
        ("repeats: 2", "repeats: 1", "greater than or equal to 2"),
        ("share: 0.1", "share: 1", "less than or equal to 0.9"),
        ("{share: 0.1}", "{share: 0.3, steps: 2}", "one comes twice"),
        ("name: slack", "name: slak", "should be a distribution of the task beside its training one"),
        ("milestones: [0.9]", "milestones: [0.8, 0.9]", "one is allowed"),
        ("milestones: [0.9]", "selection: {gates: [iid, slack]}", "a tax study gates on iid"),
        ("length: 7", "lenght: 7", r"tax.yaml:4: task.lenght: unknown key. Did you mean 'length'"),
    ],
)
def test_a_mistake_in_a_tax_file_is_refused_with_what_is_allowed(read, old, new, message):
    with pytest.raises(StudyError, match=message):
        read(FILE.replace(old, new))


def test_options_that_make_no_sense_are_refused(tmp_path, capsys):
    file = tmp_path / "tax.yaml"
    file.write_text(FILE, encoding="utf-8")
    for options, said in (
        (["--set", "tax=5"], "tax: got 5: it should be a mapping"),
        (["--in-process", "--address", "here:1"], "neither --address nor --cluster"),
        (["--efforts", "much"], "--efforts: got"),
    ):
        assert main(["tax", str(file), *options]) == 2
        assert said in capsys.readouterr().err
    for command in ("run", "plan"):
        assert main([command, str(file)]) == 2
        assert f"sp-search tax {file} runs it" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "x2", "0", "1.5", "0.3x", "0.3x2x3", "much"])
def test_an_effort_that_is_none_is_refused(text):
    with pytest.raises(StudyError, match=r"as in 0.3 or 0.3x2"):
        Effort.read(text)


def test_a_search_that_failed_is_no_deceiver_that_was_not_found(read):
    lost = [
        Pair(seed=seed, honest=Found(cost=100, ended="resolved"), deceiver=Found(cost=None, ended="no_members"))
        for seed in range(2)
    ]
    said = headline(build_tax(read(repeats=2, efforts=["0.3"]), {"0.3x1": lost}))
    assert "2 of 2 searches for deceivers tell nothing: every member was lost or failed" in said
    assert "dearer" not in said


def test_a_trigger_that_no_input_carries_is_refused_before_any_search(tmp_path, capsys):
    file = tmp_path / "tax.yaml"
    never = "{kind: pattern, positions: [0], value: 0.5}"
    file.write_text(FILE.replace("{kind: distribution, name: slack}", never), encoding="utf-8")
    assert main(["tax", str(file), "--in-process", "--output", str(tmp_path / "out")]) == 2
    assert "tax.trigger: none of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_answer_says_bounds_and_what_was_not_found(read):
    asked = read()
    first = [pair(100, None, seed=seed, deceiver_above=300) for seed in range(8)]
    second = [pair(100, 120 + seed, seed=seed) for seed in range(8)]
    payload = build_tax(asked, {"0.1x1": first, "0.3x2": second})
    assert payload["upper_bound"]
    assert "+23.5 %" in headline(payload)
    assert "this is an upper bound" in headline(payload)
    page = render_tax(payload)
    assert "more than +200.0 %" in page
    assert "above 300" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_what_a_tax_study_costs_is_said_before_it_starts(read, tmp_path):
    asked = read()
    cost = cost_of(asked, tmp_path)
    plans = [plan_study(side) for side in asked.searches().values()]
    assert (cost.searches, cost.known) == (8, 0), "two seeds, two efforts, and each has an honest search of its length"
    assert cost.training_flops == sum(row.training_flops for plan in plans for row in plan.rows)
    assert cost.seconds > 0
    assert "8 searches, 0 of them known; nothing limits them" in cost.words()
    (tmp_path / "seed3" / "deceiver-0.1x1").mkdir(parents=True)
    (tmp_path / "seed3" / "deceiver-0.1x1" / "result.json").write_text("{}")
    assert cost_of(asked, tmp_path).known == 1
    assert cost_of(asked, tmp_path).training_flops < cost.training_flops


def test_what_a_folder_holds_already_costs_nothing(read, tmp_path):
    asked = read(efforts=["0.1"], overrides=("limits.search_flops=3.0e+9",))
    assert "each ends at 3 GFLOPs at the latest" in cost_of(asked).words()
    for name in asked.searches():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "result.json").write_text("{}")
    cost = cost_of(asked, tmp_path)
    assert (cost.training_flops, cost.seconds) == (0, None)
    assert cost.words() == "4 searches, 4 of them known: nothing is left to run"


def test_plan_says_the_cost_and_starts_nothing(tmp_path, capsys):
    file, folder = tmp_path / "tax.yaml", tmp_path / "out"
    file.write_text(FILE, encoding="utf-8")
    assert main(["tax", str(file), "--plan", "--output", str(folder)]) == 0
    assert "small: 8 searches, 0 of them known" in capsys.readouterr().out
    assert not folder.exists()
