"""Measure the levers against the argument: `python -m benchmarks.levers`, about ten minutes of one core.

Writes benchmarks/results/levers.json. Seeds 0, 1, ...: what was developed on is 1000 and above.
"""

import argparse
import json
from pathlib import Path

from sp_search.experiments.machine_levers import COMPARISONS, MachineLevers

OUTPUT = Path(__file__).parent / "results" / "levers.json"


def main() -> None:
    """Run the experiment and write its cells and the paired differences."""
    from scipy.stats import binomtest

    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--n", type=int, default=200, help="searches of a cell")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--output", type=Path, default=OUTPUT)
    asked = asked.parse_args()
    evidence = MachineLevers().run(asked.n, asked.seed, asked.output.parent)
    rows = []
    for lever, with_it, without in COMPARISONS:
        has, lacks = evidence.cell(f"misbehaving_{with_it}"), evidence.cell(f"misbehaving_{without}")
        up = sum(one > other for one, other in zip(has.units, lacks.units, strict=True))
        down = sum(one < other for one, other in zip(has.units, lacks.units, strict=True))
        p = binomtest(up, up + down).pvalue if up + down else 1.0
        spent = [evidence.cell(f"evaluations_{name}").value for name in (with_it, without)]
        rows.append(
            {
                "lever": lever,
                "with": {"cell": with_it, "share": has.value, "low": has.low, "high": has.high},
                "without": {"cell": without, "share": lacks.value, "low": lacks.low, "high": lacks.high},
                "only_with": up,
                "only_without": down,
                "p": p,
                "evaluations": {"with": spent[0], "without": spent[1]},
            }
        )
        print(f"{lever:26s} {has.value:.3f} against {lacks.value:.3f}   p {p:.2g}   {spent[0]:.0f} / {spent[1]:.0f}")
    cells = [cell.model_dump(mode="json", exclude={"units"}) for cell in evidence.cells]
    asked.output.write_text(
        json.dumps({"n": asked.n, "first_seed": asked.seed, "levers": rows, "cells": cells}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
