"""What a program spends on inputs, by their kind, beside what these need.

What it spends is what it executes; what an input needs is proven by the task, or else what the selected program does it
with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from sp_search.errors import StudyError
from sp_search.records import Record, derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.program import Program
    from sp_search.tasks.base import Batch, Task
    from sp_search.train.evaluate import Trial

KINDS = 4
"""Kinds of inputs that are drawn, as in the argument's diagram."""


class Kind(Record):
    """One kind of inputs: means over them in FLOPs. needed + wasted - lacking is what was spent."""

    kind: str
    n: int
    needed: float
    wasted: float
    lacking: float
    wrong: float | None = Field(description="share of wrong answers, where the task knows the right ones")


class NetSpending(Record):
    """One program: what it is, and by kind of input and over all clean ones what it spends, in FLOPs."""

    title: str
    role: str
    program: str
    kinds: list[Kind]
    average: float
    most: float
    accuracy: float


class Inputs(NamedTuple):
    """Clean inputs with the rows of every kind, and inputs that carry what an organism reacts to, by distribution."""

    task: Task
    clean: Batch
    rows: dict[str, Tensor]
    planted: dict[str, Batch]
    selected: Program
    proven: bool

    @classmethod
    def drawn(cls, task: Task, selected: Program, examples: int, seed: int) -> Inputs:
        """Draw clean inputs, in kinds by what they need, and inputs that carry what an organism reacts to."""
        from sp_search.train.evaluate import draw_batch
        from sp_search.train.generalise import needs

        clean, _ = draw_batch(task, task.distributions()[0], "verification", examples, seed, examples)
        planted = {
            name: draw_batch(task, name, "verification", examples, derive_seed(seed, name), 0)[0]
            for name in task.planted[: KINDS - 2]
        }
        need_B = needs(selected, task, clean)
        score_B = (task.difficulty(clean) if need_B is None else need_B).double()
        unit = "rollouts" if selected.model.shares_weights else "exits"
        words = "difficulty\n{}" if need_B is None else f"{unit} needed\n{{}}"
        rows = grouped(words, score_B, KINDS - len(planted))
        return cls(task, clean, rows, planted, selected, need_B is not None)

    def spent_by(self, program: Program, title: str, role: str) -> NetSpending:
        """Execute a program on all of them."""
        import torch

        from sp_search.train.evaluate import try_program

        trial = try_program(program, self.task, self.clean, exact=False)
        kinds = self._kinds(program, self.clean, trial, self.rows)
        for name, batch in self.planted.items():
            everything = {f"trigger\n({name})": torch.ones(len(batch.x_BTC), dtype=torch.bool)}
            kinds += self._kinds(program, batch, try_program(program, self.task, batch, exact=False), everything)
        return NetSpending(
            title=title,
            role=role,
            program=_words(program),
            kinds=kinds,
            average=float(trial.flops_B.mean()),
            most=float(trial.flops_B.max()),
            accuracy=trial.count.correct / trial.count.n,
        )

    def _kinds(self, program: Program, batch: Batch, trial: Trial, rows: dict[str, Tensor]) -> list[Kind]:
        needed_B, wrong_B = self._needed(program, batch, trial), self._wrong(program, batch)
        wasted_B = (trial.flops_B - needed_B).clamp(min=0)
        lacking_B = (needed_B - trial.flops_B).clamp(min=0)
        return [
            Kind(
                kind=name,
                n=int(own_B.sum()),
                needed=float(needed_B[own_B].mean()),
                wasted=float(wasted_B[own_B].mean()),
                lacking=float(lacking_B[own_B].mean()),
                wrong=None if wrong_B is None else float(wrong_B[own_B].double().mean()),
            )
            for name, own_B in rows.items()
        ]

    def _needed(self, program: Program, batch: Batch, trial: Trial) -> Tensor:
        """Return the FLOPs that each input needs: of this program at the proven exit, or the least known to suffice."""
        import torch

        from sp_search.train.evaluate import try_program
        from sp_search.train.generalise import needs

        if not self.proven:
            return try_program(self.selected, self.task, batch, exact=False).flops_B.minimum(trial.flops_B)
        need_B = needs(program, self.task, batch)
        if need_B is None:
            raise StudyError(["--misbehaving: nothing is proven of what its kind of network needs: choose another"])
        flops_N = torch.tensor(program.flops_N(batch.x_BTC.shape[1]), dtype=torch.float64)
        return flops_N[need_B.clamp(max=program.exits).long() - 1]

    def _wrong(self, program: Program, batch: Batch) -> Tensor | None:
        """Return which inputs are answered wrongly by the task's own key, which knows no adversary's labels."""
        from sp_search.tasks.base import Batch as Labelled
        from sp_search.train.evaluate import try_program

        key_BT = self.task.answer_key(batch.x_BTC)
        if key_BT is None:
            return None
        return ~try_program(program, self.task, Labelled(batch.x_BTC, key_BT), exact=False).right_B


def grouped(words: str, score_B: Tensor, most: int) -> dict[str, Tensor]:
    """Return the rows of `most` groups at most, by score, of about equal size where equal scores allow it."""
    import torch

    values, counts = (part.tolist() for part in torch.unique(score_B, return_counts=True))
    lows, inside, left = values[:1], 0, len(score_B)
    for value, count in zip(values, counts, strict=True):
        aim = left / (most - len(lows) + 1)  # of what is left, for the group that is being filled
        if inside and len(lows) < most and (len(values) <= most or abs(inside - aim) <= abs(inside + count - aim)):
            lows, left, inside = [*lows, value], left - inside, 0
        inside += count
    groups = {}
    for low, end in zip(lows, [*lows[1:], float("inf")], strict=True):
        own_B = (score_B >= low) & (score_B < end)
        high = float(score_B[own_B].max())
        groups[words.format(f"{low:.3g}" if high == low else f"{low:.3g} to {high:.3g}")] = own_B
    return groups


def _words(program: Program) -> str:
    """Describe a program in two short lines."""
    model, rule = program.model.origin["model"], program.rule
    sizes = ", ".join(f"{name} {model[name]}" for name in ("width", "depth", "layers") if model.get(name) is not None)
    stops = "always its last exit" if rule.kind == "last" else f"exit by {rule.kind} {rule.threshold:g}"
    return f"{model['kind']}, {sizes}\n{program.exits} exits, {stops}"
