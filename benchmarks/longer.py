"""Trained on 17 bits, unrolled further: how many strings of 128 and of 512 bits come out right, after which rollouts?

Weights grow with the rollouts from one on (Proposal 2A) until a program passes 17 bits at .999 (chosen on seeds 100 to
104; stopped at .99 it was worse). The need is ceil((bits - 1) / 2): 64 rollouts for 128 bits, 256 for 512.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.seeds import keep, run_seeds

STUDY: dict[str, Any] = {
    "name": "prefix-longer",
    "task": {"kind": "prefix_sums", "bits": 17, "longer_bits": 128},
    "model": {"kind": "recall_conv", "width": 16},
    "scheduler": {"kind": "rollout_growth", "stop": 12.0},
    "population": {"members": [{}], "replicas": 5},
    "train": {"steps": 300, "validation": 16384},
    "milestones": [0.999],
}

UNROLLED = {128: (64, 65, 80, 96, 128, 192, 256), 512: (256, 257, 384, 512, 1024)}
EXAMPLES = {128: 1024, 512: 128}


def unrolled(folder: Path) -> dict[str, dict[str, float]] | None:
    """Return the share of strings answered rightly, by length and by rollouts, of the selected program."""
    import torch

    import sp_search
    from sp_search.tasks.prefix_sums import PrefixSums

    if not (folder / "program").is_dir():
        return None
    model, found = sp_search.load(folder).model, {}
    for bits, rollouts in UNROLLED.items():
        task = PrefixSums(bits=17, longer_bits=bits)
        batch = task.sample(EXAMPLES[bits], "longer", "verification", torch.Generator().manual_seed(bits))
        with torch.no_grad():
            state, own = model.start(batch.x_BTC), {}
            for index in range(1, max(rollouts) + 1):
                state = model.step(state, index)
                if index in rollouts:
                    own[str(index)] = float(task.correct(model.answer(state, index), batch).double().mean())
        found[str(bits)] = own
    return found


def main() -> None:
    """Print one row a study seed, then median and worst at every length and number of rollouts."""
    rows = []
    for run in run_seeds(STUDY, range(5), inspect=unrolled):
        result = run["result"]
        longer = (result.get("reports") or {}).get("longer")
        found = result["budget"]["cap"] if result["met"] else None
        row = {"seed": run["seed"], "rollouts_trained": found, "longer_128": longer, "seconds": run["seconds"]}
        rows.append(row | {"unrolled": run["inspected"]})
        print(rows[-1])
    for bits, rollouts in UNROLLED.items():
        for count in rollouts:
            shares = [(row["unrolled"] or {}).get(str(bits), {}).get(str(count), 0.0) for row in rows]
            print(f"{bits} bits, {count} rollouts: median {median(shares):.4f}, worst {min(shares):.4f}; {shares}")
    keep("longer", {"rows": rows})


if __name__ == "__main__":
    main()
