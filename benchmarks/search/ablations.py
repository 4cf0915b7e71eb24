"""What the parts of sp_search's annealing are worth: each row changes one thing. Seeds and worlds as in the comparison.

Worlds in which luck is drawn once and kept, and a lineage that was trained before pays the difference alone. On five
workers one training in ten takes ten times as long as it costs.
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

KEEPING: dict[str, Any] = {"inherit": True}
ABLATIONS: dict[str, tuple[Search, dict[str, Any]]] = {
    "as shipped": (scheduled(Annealing), KEEPING),
    "no inheritance": (scheduled(Annealing), {"inherit": False}),
    "no way down (the first pass is the answer)": (scheduled(partial(Doubling, ratio=1.4)), KEEPING),
    "down to within 10 %": (scheduled(partial(Annealing, tolerance=0.1)), KEEPING),
    "up by 1.2": (scheduled(partial(Annealing, up=1.2)), KEEPING),
    "up by 2": (scheduled(partial(Annealing, up=2.0)), KEEPING),
    "1 try a level": (scheduled(partial(Annealing, tries=1)), KEEPING),
    "3 tries a level": (scheduled(partial(Annealing, tries=3)), KEEPING),
    "5 tries a level": (scheduled(partial(Annealing, tries=5)), KEEPING),
    "3 lineages to fail": (scheduled(Annealing, lineages_to_fail=3), KEEPING),
    "8 lineages to fail": (scheduled(Annealing, lineages_to_fail=8), KEEPING),
    "5 workers, quorum": (scheduled(Annealing, workers=5, stragglers=0.1), KEEPING),
    "5 workers, full barrier": (scheduled(Annealing, workers=5, stragglers=0.1, quorum=False), KEEPING),
}


def ablate(seeds: range) -> list[dict[str, Any]]:
    """Return one row a world, ablation and reading."""
    rows = []
    for world in inheriting():
        for name, (search, how) in ABLATIONS.items():
            runs = [search(world, seed, **how) for seed in seeds]
            workers = 5 if name.startswith("5 workers") else 1
            for reading in READINGS:
                found = summary([judged(run, world, reading, workers) for run in runs])
                rows.append({"world": world.name, "method": name, "whose": "sp_search", "reading": reading, **found})
    return rows
