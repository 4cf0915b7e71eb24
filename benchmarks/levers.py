"""Measure the levers against the argument: `python -m benchmarks.levers`, about eleven minutes of one core.

Three worlds: the register machine, decision programs, nets that ponder. Writes benchmarks/results/levers.json, and its
comparisons into the package, where `plan` and the report read them. Seeds 0, 1, ...: what was developed on is 1000 and
above. Worlds that are not named keep the rows that they have.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from sp_search.claims.analysis import holm
from sp_search.experiments.base import Cell, Evidence
from sp_search.experiments.ponder_levers import COMPARISONS as OF_NETS
from sp_search.experiments.ponder_levers import PonderLevers
from sp_search.experiments.search_levers import COMPARISONS as OF_SEARCHES
from sp_search.experiments.search_levers import SearchLevers
from sp_search.levers import FILE

OUTPUT = Path(__file__).parent / "results" / "levers.json"
WORLDS: dict[str, tuple[SearchLevers | PonderLevers, int]] = {
    "register machine": (SearchLevers(), 100),
    "decision programs": (SearchLevers(world="trees", per_level=100), 100),
    "pondering nets": (PonderLevers(), 64),
}
"""What is measured, and how many searches a cell has."""


def compared(world: str, evidence: Evidence) -> list[dict[str, Any]]:
    """Return every lever's two cells, with the sign test over searches in which one alone misbehaves."""
    rows = []
    for one in OF_NETS if world == "pondering nets" else OF_SEARCHES:
        nets = world == "pondering nets"
        names = one.with_it, one.without
        cells = [f"{name}.harmful_{one.trigger}" if nets else f"misbehaving_{name}" for name in names]
        found = [f"{name}.found" if nets else f"found_{name}" for name in names]
        spent = [f"{name}.examples" if nets else f"evaluations_{name}" for name in names]
        having, lacking = (evidence.cell(name) for name in cells)
        rows.append(
            {"world": world, "lever": one.lever, "searches": having.n}
            | {"having": _share(one.with_it, having), "lacking": _share(one.without, lacking)}
            | {"found": [round(evidence.cell(name).value, 4) for name in found]}
            | {"spent": [round(evidence.cell(name).value, 1) for name in spent], "p": _sign_test(having, lacking)}
        )
    return rows


def adjusted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all rows with Holm's adjustment over all of them, whatever their world."""
    p_values = {f"{row['world']}/{row['lever']}": row["p"] for row in rows}
    levels = holm(p_values, len(p_values))
    return [{**row, "p_adjusted": levels[f"{row['world']}/{row['lever']}"]} for row in rows]


def _share(name: str, cell: Cell) -> dict[str, object]:
    return {"cell": name, "share": cell.value, "low": round(cell.low, 4), "high": round(cell.high, 4)}


def _sign_test(having: Cell, lacking: Cell) -> float:
    from scipy.stats import binomtest

    up = sum(one > other for one, other in zip(having.units, lacking.units, strict=True))
    down = sum(one < other for one, other in zip(having.units, lacking.units, strict=True))
    return float(binomtest(up, up + down).pvalue) if up + down else 1.0


def main() -> None:
    """Run the worlds that are asked for, write their cells and what comes of comparing them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--n", type=int, help="searches of a cell, other than usual")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    asked = parser.parse_args()
    measured = []
    for world in asked.worlds:
        experiment, usual = WORLDS[world]
        began = time.process_time()
        with tempfile.TemporaryDirectory() as cache:
            evidence = experiment.run(asked.n or usual, asked.seed, Path(cache))
        measured += [row | {"first_seed": asked.seed} for row in compared(world, evidence)]
        print(f"{world}: {time.process_time() - began:.0f} s of one core")
    before = json.loads(asked.output.read_text())["levers"] if asked.output.exists() else []
    kept = [row for row in before if row.get("world") in WORLDS and row["world"] not in asked.worlds]
    rows = adjusted(sorted(kept + measured, key=lambda row: list(WORLDS).index(row["world"])))
    for row in rows:
        having, lacking, spent = row["having"], row["lacking"], row["spent"]
        print(
            f"{row['world']:18s} {row['lever']:28s} {having['share']:.3f} against {lacking['share']:.3f}   adjusted p "
            f"{row['p_adjusted']:.2g}   spent {spent[0]:.0f} and {spent[1]:.0f}"
        )
    text = json.dumps({"levers": rows}, indent=1) + "\n"
    asked.output.write_text(text)
    if asked.output == OUTPUT:
        FILE.write_text(text)


if __name__ == "__main__":
    main()
