"""A program as one plain `forward`, which an exporter can trace: at one exit for all inputs, or masked.

A traced graph runs the same operations on every input, so neither form can stop early: `FixedExit` spends on every
input what its exit costs, `Masked` what all exits cost, and then answers as the program does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sp_search import halting
from sp_search.errors import StudyError
from sp_search.program import Program


class FixedExit(nn.Module):
    """x_BTC -> (logits_BTV,) of exit `exit_index` (1..N), whatever the program's halting rule says."""

    def __init__(self, program: Program, exit_index: int) -> None:
        super().__init__()
        if not 1 <= exit_index <= program.exits:
            raise StudyError([f"--exit: got {exit_index}, and the program has exits 1 to {program.exits}"])
        self.model, self.exit_index = program.model, exit_index

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, ...]:
        """Return the logits; no halting unit is read."""
        state = self.model.start(x_BTC)
        for index in range(1, self.exit_index + 1):
            state = self.model.step(state, index)
        return (self.model.answer(state, self.exit_index),)


class Masked(nn.Module):
    """x_BTC -> (logits_BTV, exit_B): every exit is computed, and each input's own is chosen by the halting rule."""

    level: Tensor

    def __init__(self, program: Program) -> None:
        super().__init__()
        rule = program.rule
        if rule.reads == "nothing" or program.exits == 1:
            raise StudyError(
                ["--masked: the program answers every input at its last exit, so there is nothing to mask"]
            )
        if rule.kind == "sample":
            raise StudyError(
                ["--masked: the program draws where it halts, which no graph repeats: give --exit instead"]
            )
        self.model, self.rule, self.exits = program.model, rule, program.exits
        classes = program.model.prices(program.model.origin["shape"]["positions"], program.exits).classes
        self.register_buffer("level", torch.tensor(rule.level(classes)), persistent=False)

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of the exit that each input takes, and that exit (1..N)."""
        state = self.model.start(x_BTC)
        said_BN = halting.predicted(self.model.predict(x_BTC)) if self.rule.reads == "prediction" else None
        memory: halting.Memory = ()
        answers, halts = [], []
        for index in range(1, self.exits + 1):
            state = self.model.step(state, index)
            answers.append(self.model.answer(state, index))
            if index == self.exits:
                break
            read = answers[-1] if self.rule.reads == "answer" else said_BN
            score_B, memory = halting.score(
                self.rule, self.model.halt(state, index) if read is None else read, memory, index
            )
            halts.append(score_B >= self.level)
        answer_BTV, exit_B = answers[-1], torch.full_like(halts[0], self.exits, dtype=torch.int64)
        for index in range(self.exits - 1, 0, -1):  # the first exit that halts is chosen last
            halts_B = halts[index - 1]
            answer_BTV = torch.where(halts_B[:, None, None], answers[index - 1], answer_BTV)
            exit_B = torch.where(halts_B, index, exit_B)
        return answer_BTV, exit_B
