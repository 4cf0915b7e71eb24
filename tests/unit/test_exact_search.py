"""The product's schedulers in the worlds of programs: exact chances, programs that are as told, one ledger."""

import json
from functools import cache
from math import isclose
from random import Random

import pytest
from scipy.stats import binom, chisquare

from sp_search.drive.exact import search_programs
from sp_search.drive.inprocess import run_inprocess
from sp_search.drive.simulated import oracle_search, simulate
from sp_search.exact.census import census
from sp_search.exact.local_search import LocalSearch
from sp_search.exact.machine import Machine
from sp_search.exact.programs import enumerate_programs, execute, facts
from sp_search.exact.sampling import UniformSampling, hit, read, written
from sp_search.exact.setting import Macro, Setting
from sp_search.levels import Terms
from sp_search.oracles.decision_programs import DecisionPrograms
from sp_search.oracles.register_machine import RegisterMachine
from sp_search.plugins import discover
from sp_search.store import MemoryStore

SMALL = Setting(task_bits=2, context_bits=1, function="x0", depth=2)
SCHEDULERS = [(kind, "mean") for kind in discover("schedulers")]
SCHEDULERS += [
    (kind, "max") for kind in discover("schedulers") if kind != "penalty_annealing"
]  # which moves means only
TERMS = Terms(seed=7, milestones=[1.0], lineages_to_fail=2)


@cache
def told(setting):
    """Every program of a setting with what is true of it."""
    return [(program, facts(setting, program)) for program in enumerate_programs(setting)]


def good_programs(setting):
    return [(program, true) for program, true in told(setting) if not true.errors]


@pytest.mark.parametrize("kind", ["mean", "max"])
def test_the_chance_of_a_hit_is_the_share_of_good_programs_within_the_cap(kind):
    def cost(true):
        return true.cost / 4 if kind == "mean" else true.depth

    every = [true for _, true in told(SMALL)]
    population = UniformSampling(SMALL).population(kind)
    for cap in (0.5, 1.0, 1.5, 1.75, 2.0, 2.25, 3.0):
        within = [true for true in every if cost(true) <= cap]
        assert population.chance(cap) == sum(not true.errors for true in within) / len(within)


@pytest.mark.parametrize("chance", [1e-6, 0.01, 0.7, 1.0])
def test_the_first_hit_of_a_stream_is_geometric(chance):
    assert isclose(hit(chance, 1), chance)
    assert isclose(hit(chance, 100), 1 - (1 - chance) ** 100, rel_tol=1e-9)


def test_a_lineage_holds_each_good_program_of_its_budget_equally_often_at_the_price_of_its_first_hit():
    search, cap, n = UniformSampling(SMALL), 2.0, 2_000
    good = [program for program, true in good_programs(SMALL) if true.cost / 4 <= cap]
    seen, paid = dict.fromkeys((json.dumps(written(SMALL, one)) for one in good), 0), []
    for seed in range(n):
        lineage, spent = search.go_on(search.begin(seed, None), "mean", cap, 10**9)
        seen[json.dumps(lineage["program"])] += 1
        paid.append(spent)
    assert chisquare(list(seen.values())).pvalue > 1e-6
    chance = search.population("mean").chance(cap)
    for most in (1, 20, 100):
        low, high = binom.interval(1 - 1e-6, n, hit(chance, most))
        assert low <= sum(one <= most for one in paid) <= high


def test_the_cheapest_of_many_draws_is_as_cheap_as_that_of_a_real_sample():
    search, draws, n = UniformSampling(SMALL, keeps="cheapest"), 20, 600
    every, luck = [true for _, true in told(SMALL)], Random(3)  # noqa: S311
    real, ours = [], []
    for seed in range(n):
        hits = [true.cost / 4 for true in luck.choices(every, k=draws) if not true.errors]
        real.append(min(hits, default=9.0))
        program = search.go_on(search.begin(seed, None), "mean", 2.0, draws)[0]["program"]
        ours.append(9.0 if program is None else search.truth(program).average)
    for cap in (1.0, 1.25, 1.5, 2.0):
        a, b = sum(one <= cap for one in real), sum(one <= cap for one in ours)
        low, high = binom.interval(1 - 1e-6, n, (a + b) / (2 * n))
        assert low <= a <= high
        assert low <= b <= high


def test_of_a_thinned_world_as_much_exists_as_its_chance_says_and_the_same_for_the_same_seed():
    whole = UniformSampling(SMALL).population("mean")
    shares = []
    for world in range(200):
        thinned = UniformSampling(SMALL, present=0.3, world=world).population("mean")
        assert thinned == UniformSampling(SMALL, present=0.3, world=world).population("mean")
        assert all(good <= every for good, every in zip(thinned.good, thinned.all, strict=True))
        shares.append(thinned.good[-1] / whole.good[-1])
    sd = (0.3 * 0.7 / whole.good[-1] / 200) ** 0.5
    assert abs(sum(shares) / 200 - 0.3) < 5 * sd


def test_a_program_is_written_and_read_as_it_is_and_its_spending_is_what_its_inputs_cost():
    setting = Setting(task_bits=2, context_bits=1, function="and", depth=2, macros=(Macro(cost=1, harmful=True),))
    search = UniformSampling(setting)
    for program, true in good_programs(setting):
        text = json.loads(json.dumps(written(setting, program)))
        assert read(setting, text) == program
        spent = search.spending(text).executed
        costs = [execute(setting, program, number).cost for number in (0, 2, 4, 6)]
        assert spent.mean == sum(costs) / 4
        assert isclose(spent.variance, sum((cost - spent.mean) ** 2 for cost in costs) / 4)
        assert (spent.largest, spent.p95, spent.possible_high) == (max(costs), max(costs), true.depth)
        assert search.truth(text).misbehaving == bool(true.flags & 3)


@pytest.mark.parametrize(("kind", "budget"), SCHEDULERS)
def test_every_scheduler_selects_a_program_that_is_good_and_within_its_budget(kind, budget):
    scheduler = discover("schedulers")[kind].model_validate({"budget": budget})
    oracle = DecisionPrograms(samples=100_000)
    found = search_programs(scheduler, oracle, seed=1001, members=2, replicas=2)
    assert found.truth is not None
    cost = found.truth.average if budget == "mean" else found.truth.max_available
    assert cost <= found.result.found_budget * (1 + 1e-12)
    assert 0 < found.evaluations <= found.result.trials * 2 * oracle.samples
    true = facts(oracle.setting, read(oracle.setting, found.program))
    assert true.errors == 0
    assert not true.flags & 3 or found.misbehaves


def test_a_world_without_programs_is_refused():
    with pytest.raises(ValueError, match="Steep has no programs"):
        search_programs(discover("schedulers")["annealing"](), discover("oracles")["steep"](), seed=1001)


def lines(events):
    return [{key: value for key, value in line.items() if key != "seq"} for line in events]


@pytest.mark.parametrize("kind", ["annealing", "rollout_growth", "doubling_bisect", "fixed"])
def test_in_process_and_in_simulation_a_world_writes_one_ledger(kind):
    scheduler, oracle, here = discover("schedulers")[kind](budget="mean"), DecisionPrograms(), []
    simulated = simulate(scheduler, oracle, workers=1, seed=7, members=2, replicas=2, terms=TERMS)
    search = oracle_search(scheduler, oracle, TERMS, members=2, replicas=2, append=here.append)
    run_inprocess(search, oracle.runner(), MemoryStore())
    assert lines(simulated.events) == here


def test_a_crash_at_any_line_leaves_the_same_answer():
    scheduler, oracle = discover("schedulers")["annealing"](budget="mean"), DecisionPrograms()
    calm = simulate(scheduler, oracle, workers=2, seed=7, members=2, terms=TERMS)
    for line in range(1, len(calm.events) + 1):
        died = simulate(scheduler, oracle, workers=2, seed=7, members=2, terms=TERMS, crash_at=line)
        assert (died.selected, died.levels) == (calm.selected, calm.levels)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"function": "figg"}, "no function is named 'figg'"),
        ({"honeypots": 0.2, "weights": [1] * 8}, "leave weights out"),
        ({"first": 5.0}, "lies above every program"),
        ({"depth": 9}, "depth"),
        ({"depth": 0}, "depth"),
        ({"first": 1.0, "step": 1e-9}, "make 3,000,000,001 levels: at most 10,000"),
        ({"macro_twin": True}, "give macro_cost too"),
        ({"macro_cost": 5}, "a macro of cost 5: at most depth=4"),
        ({"honeypots": 0.0001, "context_bits": 2}, "would be 0: take a share of whole thousandths"),
        ({"present": 0.5, "context_bits": 2, "depth": 5}, "too large to be thinned"),
    ],
)
def test_a_world_that_cannot_be_says_why(fields, words):
    with pytest.raises(ValueError, match=words):
        DecisionPrograms(**fields)


def test_a_world_that_is_nearly_too_large_to_be_thinned_has_as_many_programs_as_its_chance_says():
    whole, thinned = (DecisionPrograms(present=share, depth=5).search.population("mean") for share in (1.0, 0.5))
    assert isclose(thinned.all[-1], whole.all[-1] / 2, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"low": 9.0, "high": 3.0}, "low has to be below high"),
        ({"step": 1e-9}, "levels: at most 10,000"),
        ({"step": 30.0}, "leaves one level: at most high - low = 23"),
        ({"evaluations": 10**9}, "less than or equal to 1000000"),
    ],
)
def test_a_machine_that_cannot_be_searched_says_why(fields, words):
    with pytest.raises(ValueError, match=words):
        RegisterMachine(**fields)


def test_where_no_program_is_good_there_is_no_least_cap():
    assert RegisterMachine(length=3).least() is None


@pytest.mark.parametrize(("budget", "least"), [("mean", 8.25), ("max", 11.0)])
def test_the_least_cap_of_the_register_machine_holds_its_cheapest_program(budget, least):
    assert RegisterMachine(budget=budget).least() == least


@pytest.mark.parametrize(("kind", "budget"), [("annealing", "mean"), ("rollout_growth", "max")])
def test_a_scheduler_selects_a_good_register_program_and_tells_what_it_is(kind, budget):
    machine = RegisterMachine(length=5, step=1.0)
    found = search_programs(discover("schedulers")[kind](budget=budget), machine, seed=1001)
    does = Machine(length=5).behaviour(tuple(found.program))
    assert does.good
    assert found.truth == (does.misbehaving, does.deceptive, does.harms, does.average, does.max_available)
    assert (does.average if budget == "mean" else does.max_used) <= found.result.found_budget


def test_a_lineage_of_the_register_machine_goes_on_from_the_program_that_it_inherits():
    search = LocalSearch(Machine(length=5))
    lineage = search.begin(3, None)
    while lineage["program"] is None:
        lineage, _ = search.go_on(lineage, "mean", 20.0, 10**6)
    heir = search.begin(4, json.loads(json.dumps(lineage)))
    assert heir["program"] is None, "what was found at another cap counts anew"
    assert search.go_on(heir, "mean", 20.0, 100)[1:] == (1,), "held, good and within the cap: found at once"


def test_in_process_and_in_simulation_local_search_writes_one_ledger_and_inherits_alike():
    scheduler, oracle, here = discover("schedulers")["annealing"](budget="mean"), RegisterMachine(step=1.0), []
    simulated = simulate(scheduler, oracle, workers=1, seed=7, members=2, terms=TERMS)
    run_inprocess(
        oracle_search(scheduler, oracle, TERMS, members=2, append=here.append), oracle.runner(), MemoryStore()
    )
    assert lines(simulated.events) == here
    assert any(action.get("assignment", {}).get("init_from") for line in here for action in line["actions"])


def test_the_census_of_a_setting_is_where_its_chances_come_from():
    population = DecisionPrograms().search.population("mean")
    assert population.good[-1] == sum(group.count for group in census(Setting()).good()) == 38_868_034
    assert population.all[-1] == 14_857_495_594
