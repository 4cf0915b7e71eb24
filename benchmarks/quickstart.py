"""Quickstart over 10 study seeds: is the answer 5 rollouts, and is it never below the proven minimum?"""

from __future__ import annotations

from statistics import median

from benchmarks.seeds import keep, pass_rates, run_seeds

PROVEN = 5.0


def main() -> None:
    """Print one row a seed and the summary."""
    rows = []
    for run in run_seeds("quickstart.yaml", range(10)):
        result = run["result"]
        cap = result["budget"]["cap"] if result["met"] else None
        path = " ".join(f"{visit['cap']:g}{'+' if visit['verdict'] == 'passed' else '-'}" for visit in result["visits"])
        row = {
            "seed": run["seed"], "rollouts": cap, "width": (result["program"] or {}).get("width"), "path": path,
            "replicas_passing_at_5": pass_rates(result, PROVEN), "seconds": run["seconds"],
            "longer_128": (result.get("reports") or {}).get("longer", {}).get("value"),
        }  # fmt: skip
        rows.append(row)
        print(row)
    exact = sum(row["rollouts"] == PROVEN for row in rows)
    below = sum(row["rollouts"] is not None and row["rollouts"] < PROVEN for row in rows)
    seconds = [row["seconds"] for row in rows]
    print(f"5 rollouts in {exact} of {len(rows)}, below 5 in {below}")
    print(f"seconds: median {median(seconds)}, worst {max(seconds)}")
    keep("quickstart", {"rows": rows, "exact": exact, "below": below})


if __name__ == "__main__":
    main()
