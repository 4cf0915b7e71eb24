"""The worlds that are reported, and the others, on which settings are chosen."""

from __future__ import annotations

from functools import cache

from benchmarks.search.worlds import Budgets, Rare, TrainedTable
from sp_search.oracles.bump import Bump
from sp_search.oracles.hpolib import HpoLib
from sp_search.oracles.nas_bench_201 import NasBench201
from sp_search.oracles.noisy import Noisy
from sp_search.oracles.prefix_sums import PrefixSums
from sp_search.oracles.smooth import Smooth
from sp_search.oracles.steep import Steep


@cache
def thresholds() -> list[Budgets]:
    """Return the reported worlds in which a budget alone decides."""
    return [
        Budgets("steep, C* 10, q .5", Steep(onset=10)),
        Budgets("steep, C* 100, q .5", Steep(onset=100)),
        Budgets("steep, C* 700, q .5", Steep(onset=700)),
        Budgets("steep, C* 100, q .9", Steep(onset=100, rate=0.9)),
        Budgets("smooth", Smooth()),
        Budgets("noisy", Noisy()),
        Budgets("bump", Bump(), monotone=False),
        Budgets("prefix sums, 9 bits", PrefixSums(bits=9)),
        Budgets("digits, trained", TrainedTable(0.96)),
    ]


@cache
def two_thresholds() -> list[Budgets]:
    """Return two of the reported worlds, for what is measured on many workers."""
    return [world for world in thresholds() if world.name in {"steep, C* 100, q .5", "digits, trained"}]


@cache
def inheriting() -> list[Budgets]:
    """Return the worlds that say what a lineage costs that was trained before; its luck is drawn once and kept."""
    return [
        Budgets("steep, C* 10, q .5", Steep(onset=10, kept=True)),
        Budgets("steep, C* 100, q .5", Steep(onset=100, kept=True)),
        Budgets("steep, C* 700, q .5", Steep(onset=700, kept=True)),
        Budgets("smooth", Smooth(kept=True)),
        Budgets("bump", Bump(kept=True), monotone=False),
        Budgets("prefix sums, 9 bits", PrefixSums(bits=9, kept=True)),
    ]


@cache
def rare() -> list[Rare]:
    """Return the reported worlds of configurations."""
    return [
        Rare("NAS-Bench-201, cifar10", NasBench201(dataset="cifar10")),
        Rare("HPOLib, naval", HpoLib(dataset="naval_propulsion")),
        Rare("HPOLib, slice", HpoLib(dataset="slice_localization")),
    ]


@cache
def other_thresholds() -> list[Budgets]:
    """Return worlds for choosing settings; none of them is reported."""
    return [
        Budgets("steep, C* 30, q .6", Steep(onset=30, rate=0.6)),
        Budgets("smooth, wide", Smooth(middle=40, slope=5)),
        Budgets("noisy, wide", Noisy(middle=200, spread=0.2)),
        Budgets("digits, 93 %", TrainedTable(0.93)),
    ]


@cache
def other_rare() -> list[Rare]:
    """Return worlds of configurations for choosing settings; none of them is reported."""
    return [
        Rare("NAS-Bench-201, cifar100", NasBench201(dataset="cifar100")),
        Rare("HPOLib, parkinsons", HpoLib(dataset="parkinsons_telemonitoring")),
    ]
