"""A program that was found by sp_search. It needs torch and safetensors alone.

from load import load
program = load()
answer = program(x)                # x: float32 (batch, positions, channels); logits (batch, answers, classes)
answer, exit_B = program.run(x)    # also at which exit (1..N) each example stopped
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

State = tuple[Tensor, ...]


class ProgramModel(nn.Module):
    """A network as start, step, halt and answer."""

    def start(self, x_BTC: Tensor) -> State:
        """Return the state before the first step."""
        raise NotImplementedError

    def step(self, state: State, exit_index: int) -> State:
        """Return the state at exit `exit_index` (1..N)."""
        raise NotImplementedError

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return the logits of this exit."""
        raise NotImplementedError

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Refuse: this network has no halting unit."""
        raise NotImplementedError("this network has no halting unit")


# NETWORK


class Program:
    """A network with its halting rule: examples that have halted leave the batch and cost nothing more."""

    def __init__(self, model: ProgramModel, rule: str, threshold: float, exits: int) -> None:
        """Take the parts of a program."""
        self.model, self.rule, self.threshold, self.exits = model, rule, threshold, exits

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.run(x)[0]

    @torch.no_grad()
    def run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the exit of every example."""
        live_B = torch.arange(len(x), device=x.device)
        exit_B = torch.zeros(len(x), dtype=torch.long, device=x.device)
        log_survival_B = torch.zeros(len(x), device=x.device)
        answers = []
        state = self.model.start(x)
        for index in range(1, self.exits + 1):
            state = self.model.step(state, index)
            halts_B = torch.full((len(live_B),), index == self.exits, device=x.device)
            if index < self.exits and self.rule == "quantile":
                log_survival_B = log_survival_B + nn.functional.logsigmoid(-self.model.halt(state, index))
                halts_B = 1.0 - log_survival_B.exp() >= self.threshold
            if index < self.exits and self.rule == "confidence":
                halts_B = self.model.answer(state, index).softmax(-1).amax(-1).flatten(1).amin(1) >= self.threshold
            if halts_B.any():
                answers.append((live_B[halts_B], self.model.answer(tuple(part[halts_B] for part in state), index)))
                exit_B[live_B[halts_B]] = index
                state = tuple(part[~halts_B] for part in state)
                live_B, log_survival_B = live_B[~halts_B], log_survival_B[~halts_B]
            if not len(live_B):
                break
        order = torch.cat([rows for rows, _ in answers]).argsort()
        return torch.cat([answer for _, answer in answers])[order], exit_B


def load(folder: str | Path | None = None) -> Program:
    """Return the program of a folder (by default the one in which this file lies)."""
    folder = Path(__file__).parent if folder is None else Path(folder)
    config = json.loads((folder / "config.json").read_text())
    network = globals()[config["network"]["class"]](**config["network"]["arguments"])
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return Program(network.eval(), config["rule"]["kind"], config["rule"]["threshold"], config["exits"])
