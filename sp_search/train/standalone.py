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

from sp_search.halting import levels, predicted, score
from sp_search.pricing import MOST_EXITS, HaltingRule

State = tuple[Tensor, ...]


class ProgramModel(nn.Module):
    """A network as start, step, halt and answer; some come with a halting predictor."""

    halting_predictor: nn.Module

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


# SOURCES


class Program:
    """A network with its halting rule: examples that have halted leave the batch and cost nothing more."""

    def __init__(self, model: ProgramModel, rule: HaltingRule, exits: int, classes: int) -> None:
        """Take the parts of a program; `classes` is the number of classes of an answer."""
        self.model, self.rule, self.exits, self.classes = model, rule, exits, classes

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.run(x)[0]

    @torch.no_grad()
    def run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the exit of every example."""
        rule = self.rule if self.exits > 1 else HaltingRule()
        level_B = levels(rule, len(x), self.classes, x).expand(len(x))
        said_BN = predicted(self.model.halting_predictor(x)) if rule.reads == "prediction" else None
        live_B = torch.arange(len(x), device=x.device)
        exit_B = torch.zeros(len(x), dtype=torch.long, device=x.device)
        memory: tuple[Tensor, ...] = ()
        answers = []
        state = self.model.start(x)
        for index in range(1, self.exits + 1):
            state = self.model.step(state, index)
            halts_B = torch.full((len(live_B),), index == self.exits, device=x.device)
            if index < self.exits and rule.reads != "nothing":
                read = self.model.halt if rule.reads == "halt" else self.model.answer
                score_B, memory = score(rule, read(state, index) if said_BN is None else said_BN, memory, index)
                halts_B = score_B >= level_B
            if halts_B.any() or index == self.exits:
                leaving = tuple(part[halts_B] for part in state)
                answers.append((live_B[halts_B], self.model.answer(leaving, index)))
                exit_B[live_B[halts_B]] = index
                state, memory = (tuple(part[~halts_B] for part in parts) for parts in (state, memory))
                live_B, level_B = live_B[~halts_B], level_B[~halts_B]
                said_BN = None if said_BN is None else said_BN[~halts_B]
            if len(x) and not len(live_B):
                break
        order = torch.cat([rows for rows, _ in answers]).argsort()
        return torch.cat([answer for _, answer in answers])[order], exit_B


def load(folder: str | Path | None = None) -> Program:
    """Return the program of a folder (by default the one in which this file lies)."""
    folder = Path(__file__).parent if folder is None else Path(folder)
    config = json.loads((folder / "config.json").read_text())
    if not 1 <= config["exits"] <= MOST_EXITS:
        raise ValueError(
            f"config.json: got {config['exits']} exits, a program has 1 to {MOST_EXITS:,}: restore the file"
        )
    built = globals()[config["network"]["class"]]
    if not issubclass(built, ProgramModel):
        raise ValueError(f"config.json: {built.__name__} is no network: restore the file")
    network = built(**config["network"]["arguments"])
    if "predictor" in config:
        network.halting_predictor = globals()[config["predictor"]["class"]](**config["predictor"]["arguments"])
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return Program(network.eval(), HaltingRule(**config["rule"]), config["exits"], config["shape"]["classes"])
