"""The comparison of searches: everybody pays alike, and a method is judged by the truth alone."""

import json
import math
import random
from dataclasses import dataclass, field

import pytest

from benchmarks.search.measures import cost_difference, ert, ert_ratio, judged, summary, wilson
from benchmarks.search.methods import RARE_METHODS, THRESHOLD_METHODS
from benchmarks.search.ours import Proposals, searched
from benchmarks.search.page import PAGE, filled, tables
from benchmarks.search.peers_plain import RandomPeer
from benchmarks.search.peers_ray import asha, hyperband
from benchmarks.search.race import Claim, Confirm, Job, Outcome, Run, race
from benchmarks.search.runs import CHOOSING_SEEDS, FAMILIES, SEEDS
from benchmarks.search.worlds import Budgets, Rare, TrainedTable
from sp_search.oracles.noisy import Noisy
from sp_search.oracles.smooth import Smooth
from sp_search.oracles.steep import Steep
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.fixed import Fixed

SURE = Budgets("sure", Steep(low=1, high=64, ratio=2, onset=8, rate=1.0))
COIN = Budgets("coin", Steep(low=1, high=64, ratio=2, onset=8, rate=0.5))

CHOOSERS = [method for method in RARE_METHODS if method.name not in {"Levin", "Luby"}]
"""A ladder needs a whole table."""
FAST = [method for method in THRESHOLD_METHODS if method.name != "Optuna GP"]
"""Its fits take seconds."""


def first_settings(method):
    """All settings of a fast method, the first of a slow one."""
    return list(method.settings.values())[: 1 if method.slow else None]


@dataclass
class Listed:
    """A method that asks for budgets from a list, and remembers what it was told."""

    budgets: list[float]
    told: list[Outcome] = field(default_factory=list)

    def ask(self, below: float) -> Job | None:
        return Job({"budget": self.budgets.pop(0)}) if self.budgets else None

    def tell(self, job: Job, outcome: Outcome) -> None:
        self.told.append(outcome)


@dataclass
class Shapes:
    """A tiny world of configurations: compute is the product, and only large enough sums pass."""

    space: dict = field(default_factory=lambda: {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]})
    threshold: float = 5.0
    levels: tuple = (1.0, 4.0, 16.0)

    def compute(self, config):
        return float(config["a"] * config["b"])

    def price(self, config):
        return float(config["a"])

    def score(self, config, seed):
        return float(config["a"] + config["b"])

    def cost(self, budget):
        return budget

    def passes(self, budget, seed):
        return budget >= self.least()

    def least(self):
        return 4.0


def test_a_search_pays_for_what_it_trains_and_nothing_for_what_cannot_help() -> None:
    method = Listed([4, 16, 32, 8])
    run = race(method, SURE, seed=0)
    assert run.spent == 4 + 16 + 8
    assert [outcome.skipped for outcome in method.told] == [False, False, True, False]
    assert [(claim.compute, claim.spent, claim.true, claim.rate) for claim in run.claims] == [
        (16, 20, True, 1.0),
        (8, 28, True, 1.0),
    ]
    assert run.cut_short  # nothing below C* passes here, so there is nothing left to find


def test_nobody_spends_more_than_the_purse() -> None:
    world = Budgets("poor", Steep(low=1, high=64, ratio=2, onset=8, rate=0.5), stretch=3)
    assert all(race(RandomPeer(world, seed), world, seed).spent <= 24 for seed in range(20))


def test_a_confirmation_is_paid_for_and_a_lucky_pass_is_not_claimed() -> None:
    once = [race(Listed([8]), COIN, seed) for seed in range(200)]
    twice = [race(Listed([8]), COIN, seed, confirm=Confirm(2, 3)) for seed in range(200)]
    assert {run.spent for run in once} == {8}
    assert {run.spent for run in twice} == {8, 16, 24}
    assert sum(bool(run.claims) for run in once) > sum(bool(run.claims) for run in twice) > 0


def test_workers_train_side_by_side_for_the_same_price() -> None:
    alone, together = race(Listed([2, 4, 8]), SURE, 0), race(Listed([2, 4, 8]), SURE, 0, workers=3)
    assert (alone.spent, alone.time) == (14, 14)
    assert (together.spent, together.time) == (14, 8)


def test_a_crash_costs_what_it_interrupted_and_changes_no_answer() -> None:
    calm, stormy = race(Listed([4, 8]), SURE, 3), race(Listed([4, 8]), SURE, 3, crash_rate=0.5)
    costs = [race(Listed([4, 8]), SURE, seed, crash_rate=0.5).spent for seed in range(50)]
    assert [claim.compute for claim in calm.claims] == [claim.compute for claim in stormy.claims] == [8]
    assert min(costs) == 12
    assert max(costs) > 24


def test_an_inheriting_lineage_pays_the_difference() -> None:
    world = Budgets("kept", Steep(low=1, high=64, ratio=2, onset=8, rate=1.0, kept=True))
    jobs = [Job({"budget": budget}, lineage=0) for budget in (16, 8)]

    class Twice(Listed):
        def ask(self, below):
            return jobs.pop(0) if jobs else None

    assert race(Twice([]), world, 0, inherit=True).spent == 16  # down from 16 to 8 is free


def test_a_stretch_of_a_training_costs_its_share_and_shows_how_it_will_end() -> None:
    class Stretch(Listed):
        def ask(self, below):
            return Job({"budget": self.budgets.pop(0)}, end=0.25) if self.budgets else None

    method = Stretch([8, 4])
    assert race(method, SURE, 0).spent == 3
    assert [outcome.shortfall for outcome in method.told] == [0.75, 1.0]


@pytest.mark.parametrize("method", FAST, ids=lambda method: method.name)
def test_every_setting_of_every_threshold_method_keeps_the_protocol(method) -> None:
    world = Budgets("short", Steep(low=1, high=64, ratio=1.5, onset=8, rate=0.8), stretch=6 if method.slow else 12)
    for search in first_settings(method):
        run = search(world, 1, workers=2, crash_rate=0.0)
        computes = [claim.compute for claim in run.claims]
        assert computes == sorted(computes, reverse=True)
        assert run.spent <= world.purse
        assert all(claim.spent <= world.purse and claim.true for claim in run.claims)
        assert run.jobs > 0


@pytest.mark.parametrize("method", CHOOSERS, ids=lambda method: method.name)
def test_every_setting_of_every_method_for_configurations_keeps_the_protocol(method) -> None:
    world = Rare("shapes", Shapes(), evaluations=30)
    for search in first_settings(method):
        run = search(world, 1)
        assert run.claims
        assert all(claim.true and claim.rate == 1.0 and claim.compute >= world.least for claim in run.claims)


@pytest.mark.parametrize("make", [asha, hyperband])
def test_rays_schedulers_stop_what_falls_behind(make) -> None:
    world = Budgets("coin", Steep(low=1, high=64, ratio=1.5, onset=8, rate=0.5))
    peer = make(world, 0, resource="share")
    race(peer, world, 0)
    shares = [had / peer.rungs[-1] for had in peer.had.values()]
    assert any(share == 1.0 for share in shares)
    assert sum(share < 1.0 for share in shares) > len(shares) / 4


def test_proposals_compute_less_than_the_cap_they_are_asked_for() -> None:
    world = Rare("shapes", Shapes(), evaluations=30)
    for sampler in ("random", "tpe", "nsga2"):
        run = searched(Fixed(), world, 0, members=30, proposer=Proposals(world, 0, sampler))
        assert [claim.compute for claim in run.claims] == sorted({claim.compute for claim in run.claims}, reverse=True)


def test_a_claim_of_sp_search_says_whether_its_program_passes() -> None:
    world = Budgets("noisy", Noisy(low=50, high=200))
    claims = [claim for seed in range(5) for claim in searched(Annealing(inherit="off"), world, seed).claims]
    assert claims
    assert all(0 <= claim.rate <= 1 for claim in claims)


def test_what_a_sample_has_to_show_is_seldom_shown_by_a_near_miss() -> None:
    world = Budgets("noisy", Noisy(middle=100))
    shown = [world.shortfall({"budget": 40.0}, seed) == 0.0 for seed in range(500)]
    assert sum(shown) <= 15  # 1 % of 500, and what chance adds


def test_a_budget_computes_the_largest_level_within_it() -> None:
    for budget, level in [(0.5, 1), (1, 1), (7.9, 4), (8, 8), (1000, 64)]:
        assert SURE.compute({"budget": budget}) == level


def test_a_random_budget_lies_below_what_passed() -> None:
    rng = random.Random(0)  # noqa: S311
    assert all(1 <= SURE.draw(rng, 8.0)["budget"] <= 8 for _ in range(100))


def test_the_trained_table_has_a_least_width_and_lineages_that_differ() -> None:
    table = TrainedTable(0.96)
    least = table.least()
    assert least is not None
    assert table.pass_rate(least) >= 0.5 > table.pass_rate(table.levels[table.levels.index(least) - 1])
    assert len({table.passes(least, seed) for seed in range(50)}) == 2


def test_a_lucky_program_below_the_least_budget_is_true_and_not_repeatable() -> None:
    world = Budgets("smooth", Smooth())
    run = Run(claims=[Claim(200.0, 1.0, world.least / 1.5, True, 0.1)], spent=400.0, time=1.0, busy=1.0)
    program, repeatable = judged(run, world), judged(run, world, "repeatable")
    assert (program.false, repeatable.false) == (False, True)
    assert program.regret < 0 < repeatable.regret == math.inf


def test_a_run_that_ends_in_a_false_claim_fails_and_costs_all_it_spent() -> None:
    good, bad = Claim(10.0, 1.0, 8.0, True, 1.0), Claim(20.0, 2.0, 4.0, False, 0.0)
    run = judged(Run(claims=[good, bad], spent=80.0, time=1.0), SURE)
    assert run.false
    assert run.cost() == 10  # 80 in prices of one lineage at C* = 8
    assert judged(Run(claims=[good], spent=80.0, time=1.0), SURE).cost() == 10 / 8


def test_expected_cost_of_a_success_charges_failures() -> None:
    hit = judged(Run(claims=[Claim(16.0, 1.0, 8.0, True, 1.0)], spent=80.0, time=1.0), SURE)
    miss = judged(Run(spent=80.0, time=1.0), SURE)
    assert ert([hit, hit]) == 2
    assert ert([hit, miss]) == 2 + 10
    assert ert([hit, miss], to_the_end=True) == 20
    assert ert([miss]) == math.inf


def test_intervals_hold_what_is_known() -> None:
    assert wilson(5, 10) == pytest.approx((0.5, 0.2366, 0.7634), abs=1e-4)
    assert wilson(30, 30).high == 1.0
    rows = [judged(race(RandomPeer(COIN, seed), COIN, seed), COIN) for seed in range(20)]
    found = summary(rows)
    ratio = ert_ratio(found, found)
    assert ratio is not None
    assert ratio == (1, 1, 1)
    assert cost_difference(found, found) == (0, 0, 0)
    assert found["success"]["0.05"][0] <= found["success"]["0.25"][0]


def test_rows_are_json() -> None:
    from benchmarks.search.runs import without_infinity

    row = summary([judged(Run(spent=1.0), SURE)])
    text = json.dumps(without_infinity(row), allow_nan=False)
    assert json.loads(text)["ert"]["0.1"] is None


def test_a_page_without_its_markers_is_refused() -> None:
    assert filled("<!-- a -->\nold\n<!-- /a -->", {"a": lambda: "new"}) == "<!-- a -->\nnew\n<!-- /a -->"
    with pytest.raises(ValueError, match="0 pairs of markers"):
        filled("text", {"a": lambda: "new"})


def test_the_page_says_what_its_rows_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text, tables()) == text


def test_settings_are_chosen_on_worlds_and_seeds_that_are_not_reported() -> None:
    for family in FAMILIES.values():
        reported, others = ([vars(world.oracle) for world in worlds()] for worlds in (family.worlds, family.choosing))
        assert not any(other in reported for other in others)
    assert not set(SEEDS) & set(CHOOSING_SEEDS)
