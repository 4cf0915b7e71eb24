"""The methods of the comparison, each with the settings of which it gets the better, chosen on other worlds.

A peer's setting has a name. sp_search and its baselines run through the package's simulator, the peers through `race`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.search import peers_optuna, peers_ray
from benchmarks.search.ours import Proposals, searched
from benchmarks.search.peers_plain import RandomPeer
from benchmarks.search.race import ONCE, Confirm, Peer, Run, race
from benchmarks.search.worlds import Rare, World
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.base import BudgetScheduler
from sp_search.schedulers.doubling import Doubling
from sp_search.schedulers.doubling_bisect import DoublingBisect
from sp_search.schedulers.fixed import Fixed
from sp_search.schedulers.grid import Grid
from sp_search.schedulers.levin import Levin
from sp_search.schedulers.log_bisect import LogBisect
from sp_search.schedulers.luby import Luby

CONFIRMING = ", 2 of 3"
"""Ends the names of settings that claim what passes in two lineages of three."""
Search = Callable[..., Run]
"""(world, seed, workers=, crash_rate=, inherit=) -> Run."""


@dataclass(frozen=True)
class Method:
    """A method, its settings by name (the first is the default), and whether it takes many evaluations badly."""

    name: str
    whose: str
    settings: dict[str, Search]
    slow: bool = False


def _peer(make: Callable[[World, int], Peer], confirm: Confirm = ONCE) -> Search:
    def search(world: World, seed: int, **how: Any) -> Run:
        return race(make(world, seed), world, seed, confirm=confirm, **how)

    return search


def _confirmed(settings: dict[str, Callable[[World, int], Peer]]) -> dict[str, Search]:
    """Return every setting claiming at the first pass, and claiming after two passes of three."""
    once = {name: _peer(make) for name, make in settings.items()}
    return once | {name + CONFIRMING: _peer(make, Confirm(2, 3)) for name, make in settings.items()}


def scheduled(make: Callable[[], BudgetScheduler], **fixed: Any) -> Search:
    """Return a search by one of sp_search's schedulers, without inheritance unless it is asked for."""

    def search(world: World, seed: int, *, inherit: bool = False, **how: Any) -> Run:
        scheduler = make().model_copy(update={"inherit": "weights" if inherit else "off"})
        return searched(scheduler, world, seed, **{**fixed, **how})

    return search


def proposing(sampler: Any, *, avoid: bool = False) -> Search:
    """Return sp_search's budget search by proposals, in a world of configurations."""

    def search(world: World, seed: int, *, inherit: bool = False, **how: Any) -> Run:
        assert isinstance(world, Rare)
        proposer = Proposals(world, seed, sampler, avoid=avoid)
        return searched(Fixed(), world, seed, members=world.evaluations, proposer=proposer, **how)

    return search


OURS = Method("sp_search", "sp_search", {"annealing": scheduled(Annealing)})
OURS_RARE = Method("sp_search", "sp_search", {
    "random": proposing("random"),
    "TPE": proposing("tpe"),
    "TPE, avoiding": proposing("tpe", avoid=True),
    "NSGA-II": proposing("nsga2"),
}, slow=True)  # fmt: skip
BASELINES = [
    Method("doubling", "sp_search", {
        "by 2": scheduled(Doubling),
        "by e, random start": scheduled(partial(Doubling, randomised=True)),
        "by 1.1": scheduled(partial(Doubling, ratio=1.1)),
    }),
    Method("doubling, then bisection", "sp_search", {
        "by 2": scheduled(DoublingBisect),
        "by 2, to 10 %": scheduled(partial(DoublingBisect, tolerance=0.1)),
    }),
    Method("log bisection", "sp_search", {
        "to the end": scheduled(LogBisect), "to 10 %": scheduled(partial(LogBisect, tolerance=0.1)),
    }),
    Method("log grid, ascending", "sp_search", {
        "8 points": scheduled(Grid), "24 points": scheduled(partial(Grid, points=24)),
        "72 points": scheduled(partial(Grid, points=72)),
    }),
    Method("Levin", "sp_search", {
        "by 2": scheduled(Levin), "by 1.4": scheduled(partial(Levin, ratio=1.4)),
        "by 1.1, all alike": scheduled(partial(Levin, ratio=1.1, bits=0.0)),
    }),
    Method("Luby", "sp_search", {"default": scheduled(Luby)}),
]  # fmt: skip
RANDOM = Method("random", "plain", _confirmed({"log-uniform": RandomPeer}))
TPE_SETTINGS = _confirmed({"constraint": peers_optuna.tpe, "penalty": partial(peers_optuna.tpe, objective="penalty")})
TPE = Method("Optuna TPE", "Optuna", TPE_SETTINGS, slow=True)
TPE_RARE = Method("Optuna TPE", "Optuna", TPE_SETTINGS | {
    "constraint, avoiding": _peer(partial(peers_optuna.tpe, avoid=True)),
}, slow=True)  # fmt: skip
NSGA2 = Method("Optuna NSGA-II", "Optuna", _confirmed({
    "pareto, 50": peers_optuna.nsga2, "pareto, 10": partial(peers_optuna.nsga2, population=10),
}), slow=True)  # fmt: skip
GAUSSIAN = Method("Optuna GP", "Optuna", {
    "constraint, log": _peer(peers_optuna.gaussian_process),
    "constraint, linear": _peer(partial(peers_optuna.gaussian_process, log=False)),
}, slow=True)  # fmt: skip


def _ray(make: Any, name: str) -> list[Method]:
    titles = {"scalar": "scalarised", "cheapest": "then the cheapest"}
    return [
        Method(f"Ray {name}, {title}", "Ray", _confirmed({
            f"rungs in {resource}": partial(make, reading=reading, resource=resource) for resource in ("FLOPs", "share")
        }))
        for reading, title in titles.items()
    ]  # fmt: skip


RAY = [*_ray(peers_ray.asha, "ASHA"), *_ray(peers_ray.hyperband, "HyperBand")]
THRESHOLD_METHODS = [OURS, *BASELINES, RANDOM, TPE, NSGA2, GAUSSIAN, *RAY]
RARE_METHODS = [OURS_RARE, *(one for one in BASELINES if one.name in {"Levin", "Luby"}), RANDOM, TPE_RARE, NSGA2, *RAY]
