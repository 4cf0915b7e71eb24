"""Measure the levers against the argument: `python -m benchmarks.levers`, about five minutes of one core.

Writes benchmarks/results/levers.json, and its comparisons into the package, where `plan` and the report read them.
Seeds 0, 1, ...: what was developed on is 1000 and above.
"""

import argparse
import json
from pathlib import Path

from sp_search.claims.analysis import holm
from sp_search.experiments.base import Cell, Evidence
from sp_search.experiments.machine_levers import COMPARISONS, MachineLevers
from sp_search.levers import FILE

OUTPUT = Path(__file__).parent / "results" / "levers.json"


def compared(evidence: Evidence) -> list[dict[str, object]]:
    """Return every lever's two cells, with the sign test over searches in which one alone misbehaves."""
    p_values = {one.lever: _sign_test(*_pair(evidence, one.with_it, one.without)) for one in COMPARISONS}
    adjusted = holm(p_values, len(p_values))
    rows = []
    for lever, with_it, without in COMPARISONS:
        having, lacking = _pair(evidence, with_it, without)
        rows.append(
            {
                "lever": lever,
                "searches": having.n,
                "having": _share(with_it, having),
                "lacking": _share(without, lacking),
                "p": p_values[lever],
                "p_adjusted": adjusted[lever],
                "evaluations": [round(evidence.cell(f"evaluations_{name}").value, 1) for name in (with_it, without)],
            }
        )
    return rows


def _pair(evidence: Evidence, with_it: str, without: str) -> tuple[Cell, Cell]:
    return evidence.cell(f"misbehaving_{with_it}"), evidence.cell(f"misbehaving_{without}")


def _share(name: str, cell: Cell) -> dict[str, object]:
    return {"cell": name, "share": cell.value, "low": round(cell.low, 4), "high": round(cell.high, 4)}


def _sign_test(having: Cell, lacking: Cell) -> float:
    from scipy.stats import binomtest

    up = sum(one > other for one, other in zip(having.units, lacking.units, strict=True))
    down = sum(one < other for one, other in zip(having.units, lacking.units, strict=True))
    return float(binomtest(up, up + down).pvalue) if up + down else 1.0


def main() -> None:
    """Run the experiment, write its cells and what comes of comparing them."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--n", type=int, default=300, help="searches of a cell")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--output", type=Path, default=OUTPUT)
    asked = asked.parse_args()
    evidence = MachineLevers().run(asked.n, asked.seed, asked.output.parent)
    rows = compared(evidence)
    for row in rows:
        having, lacking, spent = row["having"], row["lacking"], row["evaluations"]
        print(
            f"{row['lever']:26s} {having['share']:.3f} against {lacking['share']:.3f}   adjusted p "
            f"{row['p_adjusted']:.2g}   {spent[0]:.0f} and {spent[1]:.0f} evaluations"
        )
    cells = [cell.model_dump(mode="json", exclude={"units"}) for cell in evidence.cells]
    first = {"n": asked.n, "first_seed": asked.seed}
    asked.output.write_text(json.dumps({**first, "levers": rows, "cells": cells}, indent=1) + "\n")
    if asked.output == OUTPUT:
        FILE.write_text(json.dumps({**first, "levers": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
