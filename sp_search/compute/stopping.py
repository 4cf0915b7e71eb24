"""Executes a program and really stops: an example that has halted leaves the batch and costs nothing more.

What an example spends belongs to the program; how its rows lie in the machine does not. Halted rows are dropped where
that pays, decided from FLOPs alone, so the same program does the same thing on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from sp_search import halting
from sp_search.compute.dispatch import unmetered
from sp_search.pricing import HaltingRule
from sp_search.program import Program, ProgramModel, State

DROPPING_FLOPS = 3e5
"""FLOPs that the next step must save before halted rows are dropped. Choosing the rows that stay took 12 microseconds
at any size, the time of 3e5 FLOPs of small layers (25 GFLOP/s on one core)."""
MOVING_FLOPS = 4.0
"""The same for every number of state that has to be copied: 0.1 nanoseconds, and somewhat more out of the cache."""


@dataclass(frozen=True)
class Execution:
    """What a program did with a batch, in the batch's own order.

    answer_BTV: logits of the exit taken. exit_B: that exit, int64 in 1..N. flops_B: what the program spent on each
    example, float64, by its analytic prices.
    """

    answer_BTV: Tensor
    exit_B: Tensor
    flops_B: Tensor


def _chosen(parts: State, rows: Tensor) -> State:
    """Return these rows of every part."""
    return tuple(part.index_select(0, rows) for part in parts)


def _both(flags_B: Tensor, among_B: Tensor) -> Tensor:
    """Return the rows for which both are true. The machine's bookkeeping: a meter has counted the comparison."""
    rows_B: Tensor = unmetered(lambda: (flags_B & among_B).nonzero().squeeze(1))
    return rows_B


def _check_inputs(model: ProgramModel, x_BTC: Tensor) -> None:
    """Refuse inputs of another shape or type than a model part builds for; an adapted network checks its own."""
    built = vars(model).get("origin")
    if built is None:
        return
    shape, dtype = built["shape"], next(model.parameters()).dtype
    positions = "T" if model.any_length else shape["positions"]
    fits = x_BTC.dim() == 3 and x_BTC.shape[2] == shape["channels"] and x_BTC.shape[1] > 0
    if not fits or (not model.any_length and x_BTC.shape[1] != positions):
        raise ValueError(
            f"inputs of shape {tuple(x_BTC.shape)} do not fit: {type(model).__name__} was built for "
            f"(B, {positions}, {shape['channels']})"
        )
    if x_BTC.dtype != dtype:
        raise ValueError(f"inputs of type {x_BTC.dtype} do not fit a model of {dtype}: give x.to({dtype})")


def pays(halted: int, running: int, numbers: int, flops: float) -> bool:
    """Return whether dropping `halted` rows saves more in the next step alone than it costs.

    Args:
        halted: rows that have halted and are still computed.
        running: rows that stay.
        numbers: elements of state of one row.
        flops: of the next step, of one row.
    """
    return halted * flops >= DROPPING_FLOPS + MOVING_FLOPS * running * numbers


@torch.no_grad()
def execute(
    program: Program,
    x_BTC: Tensor,
    *,
    rule: HaltingRule | None = None,
    compact: bool | None = None,
    generator: Generator | None = None,
) -> Execution:
    """Run `program` on a batch until every example has halted.

    Args:
        program: model, rule and N; N may exceed what a model that shares weights was trained with.
        x_BTC: inputs. A batch of one is a plain loop with a break; an empty batch has an empty answer.
        rule: takes the place of the program's own.
        compact: whether halted rows are dropped; without it the machine goes on computing them, to no use, until all
            have halted. By default they are dropped where it pays (`pays`). Answers, exits and flops_B are the same.
        generator: of the rule `sample`; by default one seeded by the rule.

    Raises:
        ValueError: inputs that the model was not built for.
    """
    _check_inputs(program.model, x_BTC)
    program = program if rule is None else replace(program, rule=rule)
    model, rule = program.model, program.rule
    flops_N = program.flops_N(x_BTC.shape[1])
    decides = program.exits > 1 and rule.reads != "nothing"
    state: State = model.start(x_BTC)
    numbers = sum(part[:1].numel() for part in state)
    classes = model.prices(x_BTC.shape[1], program.exits).classes
    level = halting.levels(rule if decides else HaltingRule(), len(x_BTC), classes, x_BTC, generator)
    said = halting.predicted(model.predict(x_BTC)) if decides and rule.reads == "prediction" else None
    memory: halting.Memory = ()
    example_B = torch.arange(len(x_BTC), device=x_BTC.device)  # that each row of the state holds
    running_B = torch.ones_like(example_B, dtype=torch.bool)  # the rows that have not halted
    running = len(x_BTC)
    answers: list[Tensor] = []
    left: list[tuple[Tensor, int]] = []  # examples and the exit at which they left, in the order of `answers`
    for index in range(1, program.exits + 1):
        state = model.step(state, index)
        last = index == program.exits
        logits = model.answer(state, index) if rule.reads == "answer" else None
        if not last and not decides:
            continue
        halts_B = running_B
        if not last:
            seen = logits if logits is not None else said if said is not None else model.halt(state, index)
            score_B, memory = halting.score(rule, seen, memory, index)
            halts_B = score_B >= level
        leaving_B = _both(halts_B, running_B)
        if not len(leaving_B) and not last:
            continue
        whole = len(leaving_B) == len(example_B)
        if logits is None:
            answers.append(model.answer(state if whole else _chosen(state, leaving_B), index))
        else:
            answers.append(logits if whole else logits.index_select(0, leaving_B))
        left.append((example_B.index_select(0, leaving_B), index))
        running -= len(leaving_B)
        if not running:
            break
        running_B = running_B.index_fill(0, leaving_B, False)
        halted, saved = len(example_B) - running, flops_N[index] - flops_N[index - 1]
        if pays(halted, running, numbers, saved) if compact is None else compact:
            staying_B = _both(running_B, running_B)
            state, memory = _chosen(state, staying_B), _chosen(memory, staying_B)
            said = None if said is None else said.index_select(0, staying_B)
            level = level.index_select(0, staying_B) if level.dim() else level
            example_B, running_B = example_B.index_select(0, staying_B), torch.ones_like(staying_B, dtype=torch.bool)
    order_B, exit_B = unmetered(lambda: _in_order(left))
    costs_N = torch.tensor(flops_N, dtype=torch.float64, device=x_BTC.device)
    return Execution(torch.cat(answers).index_select(0, order_B), exit_B, unmetered(lambda: costs_N[exit_B - 1]))


def _in_order(left: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """Return, for every example, where its answer lies, and its exit."""
    order_B = torch.cat([example_B for example_B, _ in left]).argsort()
    exit_B = torch.cat([torch.full_like(example_B, index) for example_B, index in left])
    return order_B, exit_B.index_select(0, order_B)
