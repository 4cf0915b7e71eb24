"""What deceiving costs, over tasks, triggers and families of programs; and how well the exact world foretold it.

`searches` runs the product's own pairs of searches (`studies/tax_*.yaml`), `exact` counts the worlds in which every
program is known, `pools` trains pools of nets and counts those of the register machine, and puts the sealed prediction
(docs/tax_prediction.json) to the test. Everything is kept in one file, a part at a time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.seeds import RESULTS, STUDIES, keep

PREDICTION = Path(__file__).parents[1] / "docs" / "tax_prediction.json"
FAMILIES = {
    "tax_ponder": "ponder nets",
    "tax_exits": "early-exit nets",
    "tax_exits_far": "early-exit nets",
    "tax_exits_long": "early-exit nets",
}
"""Studies whose families make pools; in the others deceiving is free or compute is the same on every input."""
EXACT = ("tree_context", "tree_rare", "tree_free", "tree_macro_1", "tree_macro_2", "tree_macro_3", "machine")
LINEAGES = 32
SEARCHED_XS, SEARCHES = (2.0, 8.0), 200


def search(name: str, repeats: int | None, work: Path) -> dict[str, Any]:
    """Run a tax study's pairs; a work folder that holds some of them goes on."""
    from sp_search.tax.file import load_tax
    from sp_search.tax.run import run_tax

    started = time.monotonic()
    asked = load_tax(STUDIES / f"{name}.yaml", repeats=repeats)
    _, payload = run_tax(asked, output=work / name, driver="inprocess")
    print(f"{name}: {payload['tax']} in {time.monotonic() - started:.0f} s", flush=True)
    return payload


def exact() -> list[dict[str, Any]]:
    """Count the worlds: cells of the experiment `tax_exact`, and the tax of every world."""
    from sp_search.experiments.tax_exact import TaxExact

    rows = []
    for world in EXACT:
        evidence = TaxExact(world=world).run(1, 0, Path())  # type: ignore[arg-type]
        rows.append({"world": world, **{cell.name: cell.value for cell in evidence.cells}, **evidence.data})
    return rows


def pools(family: str, lineages: int, seed: int) -> dict[str, Any]:
    """Return a row for every pool of a family: its tax, its curve over x, and how far the prediction is off."""
    from sp_search.tax.file import load_tax
    from sp_search.tax.net_pools import net_programs
    from sp_search.tax.pools import Pool
    from sp_search.tax.prediction import opened
    from sp_search.tax.worlds import machines

    prediction = opened(json.loads(PREDICTION.read_text(encoding="utf-8")))
    if family == "machine":
        return {one.name: row_of_pool("register machine", one.name, one.pool, prediction) for one in machines()}
    asked = load_tax(STUDIES / f"{family}.yaml")
    programs = net_programs(asked, asked.tax.efforts[-1], lineages, seed)
    row = {"family": FAMILIES[family], "name": family, "lineages": 2 * lineages, "seed": seed, "good": len(programs)}
    row["harmful"] = sum(program.harmful for program in programs)
    if 0 < row["harmful"] < len(programs):
        row |= row_of_pool(FAMILIES[family], family, Pool(programs), prediction)
    return {family: row}


def row_of_pool(family: str, name: str, pool: Any, prediction: dict[str, Any]) -> dict[str, Any]:
    """Return what a pool says, beside what was predicted."""
    from sp_search.tax.pools import envelope

    xs = prediction["x"]
    row = {"family": family, "name": name, "tax": pool.tax, "gap": pool.gap, "share": pool.share}
    row |= {"good": len(pool.programs), "honest_least": pool.least(harmful=False)}
    if pool.gap <= 0:
        return row | {"free_selects": pool.selects_harm(max(pool.least(harmful=False), 1.0) / 8)}
    curve = pool.curve(xs)
    rules = {"A": prediction["median"], "B": [envelope(x, pool.share) for x in xs]}
    errors = {}
    for rule, foretold in rules.items():
        off = [seen - said for x, seen, said in zip(xs, curve, foretold, strict=True) if x > 1]
        errors[rule] = {
            "mean": sum(map(abs, off)) / len(off),
            "largest": max(map(abs, off)),
            "bias": sum(off) / len(off),
        }
    row |= {"x": xs, "curve": curve, "errors": errors}
    return row | {"product": [searched(pool, x, lineages) for x in SEARCHED_XS for lineages in (1, 5)]}


def searched(pool: Any, x: float, lineages: int) -> dict[str, Any]:
    """Return how often the product's own search over a pool selects harm, at a step of x gaps."""
    from sp_search.tax.selecting import selects_harm

    harmed = sum(selects_harm(pool, x * pool.gap, seed, lineages) for seed in range(SEARCHES))
    return {"x": x, "lineages": lineages, "searches": SEARCHES, "harmed": harmed}


def main() -> None:
    """Run the parts that are asked for, and keep them beside what is kept already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["searches", "exact", "pools", "figure", "all"])
    parser.add_argument("--studies", default=",".join(sorted(one.stem for one in STUDIES.glob("tax_*.yaml"))))
    parser.add_argument("--repeats", type=int, help="pairs; the file's own if not given")
    parser.add_argument("--lineages", type=int, default=LINEAGES)
    parser.add_argument("--families", default=",".join(["machine", *FAMILIES]))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("sp_search_runs") / "tax")
    asked = parser.parse_args()
    if asked.part in ("exact", "all"):
        keep_part("exact", exact())
    if asked.part in ("searches", "all"):
        for name in asked.studies.split(","):
            keep_part("searches", {name: search(name, asked.repeats, asked.work)})
    if asked.part in ("pools", "all"):
        for family in asked.families.split(","):
            keep_part("pools", pools(family, asked.lineages, asked.seed))
    if asked.part in ("figure", "all"):
        print(figure())


def figure() -> Path:
    """Draw all pools that are kept over the prediction."""
    from sp_search.report.tax_families import draw_families
    from sp_search.tax.prediction import opened

    rows = json.loads((RESULTS / "tax.json").read_text(encoding="utf-8"))["pools"].values()
    prediction = opened(json.loads(PREDICTION.read_text(encoding="utf-8")))
    return draw_families(prediction, list(rows), PREDICTION.with_name("tax_families.png"))


def keep_part(part: str, new: Any) -> None:
    """Keep a part beside those that are kept already, searches one by one."""
    kept = RESULTS / "tax.json"
    rows: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    rows["prediction_sha256"] = json.loads(PREDICTION.read_text(encoding="utf-8"))["sha256"]
    keep("tax", rows | {part: {**rows.get(part, {}), **new} if isinstance(new, dict) else new})


if __name__ == "__main__":
    main()
