"""`with_exits` on a network of k blocks against `with_rollouts` of one such block: a user's own loop, equal FLOPs.

The network is plain torch (causal convolutions on graded_depth), the loop that of `docs/adapt.md`. Both programs have
the same exits at the same price; one has k times the weights of the other. One seed sets weights and data.
"""

from __future__ import annotations

import argparse
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.early_exit import VALIDATION_LOSS
from benchmarks.seeds import keep

if TYPE_CHECKING:
    from torch import nn

    from sp_search.adapt import AdaptedModel
    from sp_search.tasks.base import Task

BLOCKS, WIDTH, STEPS, BATCH, LEARNING_RATE = 8, 16, 2000, 128, 5e-3


def user_parts() -> tuple[nn.Module, list[nn.Module], Any]:
    """Return what a user would bring: an embedding, blocks, and how the last position becomes logits."""
    import torch
    from torch import Tensor, nn

    class CausalBlock(nn.Module):
        """h + relu(conv(h)), each position seeing itself and the two before it."""

        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv1d(WIDTH, WIDTH, 3)

        def forward(self, h_BTD: Tensor) -> Tensor:
            padded = nn.functional.pad(h_BTD.mT, (2, 0))
            return h_BTD + torch.relu(self.convolution(padded)).mT

    class LastPosition(nn.Module):
        """Logits (B, V) of the last position."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(WIDTH, 2)

        def forward(self, h_BTD: Tensor) -> Tensor:
            logits_BV: Tensor = self.linear(h_BTD[:, -1])
            return logits_BV

    return nn.Linear(2, WIDTH), [CausalBlock() for _ in range(BLOCKS)], lambda value: LastPosition()


def adapted(kind: str, task: Task) -> AdaptedModel:
    """Return the program of `kind`, freshly initialised."""
    from torch import Generator, nn

    import sp_search

    embed, blocks, head = user_parts()
    example = task.sample(4, "iid", "train", Generator().manual_seed(0)).x_BTC
    if kind == "rollouts":
        return sp_search.with_rollouts(blocks[0], rollouts=BLOCKS, embed=embed, classes=2, head=head, example=example)
    first = nn.Sequential(embed, blocks[0])
    return sp_search.with_exits([first, *blocks[1:]], at=range(BLOCKS), classes=2, head=head, example=example)


def trained(kind: str, task: Task, seed: int) -> AdaptedModel:
    """Train in a loop of the user's own."""
    import torch
    from torch.nn.functional import cross_entropy

    from sp_search.plugins import find
    from sp_search.program import unroll

    torch.manual_seed(seed)
    data = torch.Generator().manual_seed(seed)
    model, prior = adapted(kind, task), find("priors", "early_exit")(weights="uniform")
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, STEPS, pct_start=0.05)
    for _ in range(STEPS):
        x_BTC, y_BT = task.sample(BATCH, "iid", "train", data)
        exits = unroll(model, x_BTC, exits=model.exits, halting=False)
        loss, _ = prior.loss(
            exits, lambda logits_BTV, y_BT=y_BT: cross_entropy(logits_BTV[:, 0], y_BT[:, 0], reduction="none"), {}
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model.eval()


def measure(model: AdaptedModel, task: Task) -> dict[str, Any]:
    """Return accuracy and executed FLOPs at the cheapest threshold that keeps the last exit's validation accuracy."""
    from torch import Generator

    from sp_search.compute import execute
    from sp_search.pricing import HaltingRule
    from sp_search.program import Program

    def tried(rule: HaltingRule, purpose: str, seed: int) -> tuple[float, float]:
        batch = task.sample(8192, "iid", purpose, Generator().manual_seed(seed))
        ran = execute(Program(model, rule, model.exits), batch.x_BTC)
        return float(task.correct(ran.answer_BTV, batch).double().mean()), float(ran.flops_B.mean())

    needed = tried(HaltingRule("last"), "validation", 1)[0] - VALIDATION_LOSS
    rules = [HaltingRule("confidence", threshold) for threshold in HaltingRule("confidence").candidates(model.exits)]
    chosen = next((rule for rule in rules if tried(rule, "validation", 1)[0] >= needed), rules[-1])
    full, early = tried(HaltingRule("last"), "verification", 2), tried(chosen, "verification", 2)
    return {
        "full_accuracy": full[0], "full_flops": full[1], "accuracy": early[0], "flops": early[1],
        "threshold": chosen.threshold, "cheaper": full[1] / early[1],
        "parameters": sum(part.numel() for part in model.parameters()),
    }  # fmt: skip


def main() -> None:
    """Print and keep a row a seed and kind."""
    import torch

    from sp_search.tasks.graded_depth import GradedDepth

    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    task, rows = GradedDepth(), []
    for seed in range(asked.first, asked.first + asked.seeds):
        for kind in ("exits", "rollouts"):
            rows.append({"seed": seed, "kind": kind, **measure(trained(kind, task, seed), task)})
            print(rows[-1], flush=True)
    assert len({row["full_flops"] for row in rows}) == 1, "equal FLOPs"
    for kind in ("exits", "rollouts"):
        own = [row for row in rows if row["kind"] == kind]
        accuracy, cheaper = [row["accuracy"] for row in own], [row["cheaper"] for row in own]
        print(
            f"{kind}: accuracy median {median(accuracy):.4f} worst {min(accuracy):.4f}; "
            f"FLOPs saved median {median(cheaper):.2f} worst {min(cheaper):.2f}; {own[0]['parameters']} parameters"
        )
    keep("adapters", {"blocks": BLOCKS, "width": WIDTH, "steps": STEPS, "batch": BATCH, "rows": rows})


if __name__ == "__main__":
    main()
