"""Every speed prior and the static networks on one task: `studies/compare_all.yaml`, a table and a picture a seed.

`python -m benchmarks.compare_all --seeds 0 1`, or `--folder DIR` for a comparison that has been run already.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.seeds import RESULTS, STUDIES, keep


def compared(seed: int) -> dict[str, Any]:
    """Run the comparison on one study seed in this process, on one thread, and return its `comparison.json`."""
    import sp_search

    with tempfile.TemporaryDirectory() as folder:
        result = sp_search.run(
            STUDIES / "compare_all.yaml",
            seed=seed,
            overrides=("tracking.uri=null",),
            driver="inprocess",
            output=Path(folder) / "compare_all",
        )
        return result.payload


def table_of(folder: Path) -> list[str]:
    """Return the table of a comparison's folder as Markdown."""
    from sp_search.report.comparison import HEADS, cells, read_comparison

    rows = [HEADS, ("---",) * len(HEADS), *map(cells, read_comparison(folder).arms)]
    return ["| " + " | ".join(row) + " |" for row in rows]


def main() -> None:
    """Run or read, keep the rows beside those of other seeds, print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments.add_argument("--folder", type=Path)
    asked = arguments.parse_args()
    if asked.folder is not None:
        print("\n".join(table_of(asked.folder)))
        found = [json.loads((asked.folder / "comparison.json").read_text(encoding="utf-8"))]
    else:
        found = [compared(seed) for seed in asked.seeds]
    path = RESULTS / "compare_all.json"
    before = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    new = {payload["seed"] for payload in found}
    rows = [payload for payload in before if payload["seed"] not in new] + found
    keep("compare_all", {"rows": sorted(rows, key=lambda payload: int(payload["seed"]))})


if __name__ == "__main__":
    main()
