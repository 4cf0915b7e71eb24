"""What the parts of sp_search's annealing are worth: each row changes one thing. Seeds and worlds as in the comparison.

Worlds in which luck is drawn once and kept, and a lineage that was trained before pays the difference alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.search.measures import judged, summary
from benchmarks.search.methods import Search, scheduled
from benchmarks.search.places import inheriting
from benchmarks.search.runs import READINGS
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.doubling import Doubling

ABLATIONS: dict[str, tuple[Search, dict[str, Any]]] = {
    "as shipped": (scheduled(Annealing), {"inherit": True}),
    "no inheritance": (scheduled(Annealing), {"inherit": False}),
    "up only (no down phase)": (scheduled(Doubling), {"inherit": True}),
    "straight down to the level below": (scheduled(partial(Annealing, down=0.999)), {"inherit": True}),
    "up by 1.5": (scheduled(partial(Annealing, up=1.5)), {"inherit": True}),
    "up by 4": (scheduled(partial(Annealing, up=4.0)), {"inherit": True}),
    "3 lineages to fail": (scheduled(Annealing, lineages_to_fail=3, members=3), {"inherit": True}),
    "8 lineages to fail": (scheduled(Annealing, lineages_to_fail=8, members=8), {"inherit": True}),
    "quorum, 5 workers": (scheduled(Annealing, workers=5), {"inherit": True}),
    "full barrier, 5 workers": (scheduled(Annealing, workers=5, quorum=False), {"inherit": True}),
}


def ablate(seeds: range) -> list[dict[str, Any]]:
    """Return one row a world, ablation and reading."""
    rows = []
    for world in inheriting():
        for name, (search, how) in ABLATIONS.items():
            runs = [search(world, seed, **how) for seed in seeds]
            workers = 5 if name.endswith("5 workers") else 1
            for reading in READINGS:
                found = summary([judged(run, world, reading, workers) for run in runs])
                rows.append({"world": world.name, "method": name, "whose": "sp_search", "reading": reading, **found})
    return rows
