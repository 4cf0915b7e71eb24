"""Executes a program and really stops: an example that has halted leaves the batch and costs nothing more."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from sp_search import halting
from sp_search.pricing import HaltingRule
from sp_search.program import Program, State


@dataclass(frozen=True)
class Execution:
    """What a program did with a batch, in the batch's own order.

    answer_BTV: logits of the exit taken. exit_B: that exit, int64 in 1..N. flops_B: what the program spent on each
    example, float64, by its analytic prices.
    """

    answer_BTV: Tensor
    exit_B: Tensor
    flops_B: Tensor


def _rows(tensor: Tensor, rows: list[int]) -> Tensor:
    if len(rows) == tensor.shape[0] and rows == list(range(len(rows))):
        return tensor
    return tensor.index_select(0, torch.tensor(rows, dtype=torch.int64, device=tensor.device))


def _where(flags_B: Tensor, rows: list[int]) -> list[int]:
    flags = flags_B.tolist()
    return [row for row in rows if flags[row]]


@torch.no_grad()
def execute(
    program: Program,
    x_BTC: Tensor,
    *,
    rule: HaltingRule | None = None,
    compact: bool = True,
    generator: Generator | None = None,
) -> Execution:
    """Run `program` on a batch until every example has halted.

    Args:
        program: model, rule and N; N may exceed what a model that shares weights was trained with.
        x_BTC: inputs. A batch of one is a plain loop with a break; an empty batch has an empty answer.
        rule: takes the place of the program's own.
        compact: drop halted rows. Without it the machine goes on computing them, to no use, until all have halted:
            faster where a step is tiny. Answers, exits and flops_B are the same: they belong to the program.
        generator: of the rule `sample`; by default one seeded by the rule.
    """
    program = program if rule is None else replace(program, rule=rule)
    model, rule = program.model, program.rule
    decides = program.exits > 1 and rule.reads != "nothing"
    state: State = model.start(x_BTC)
    classes = model.prices(x_BTC.shape[1], program.exits).classes
    level = halting.levels(rule if decides else HaltingRule(), len(x_BTC), classes, x_BTC, generator)
    said = halting.predicted(model.predict(x_BTC)) if decides and rule.reads == "prediction" else None
    memory: halting.Memory = ()
    examples = list(range(x_BTC.shape[0]))  # the example that each row of the state holds
    running = examples  # the rows that have not halted
    answers: list[Tensor] = []
    exit_of: dict[int, int] = {}  # in the order of `answers`
    for index in range(1, program.exits + 1):
        state = model.step(state, index)
        logits = model.answer(state, index) if rule.reads == "answer" else None
        leaving: list[int] = []
        if index == program.exits:
            leaving = running
        elif decides:
            seen = logits if logits is not None else said if said is not None else model.halt(state, index)
            score_B, memory = halting.score(rule, seen, memory, index)
            leaving = _where(score_B >= level, running)
        if not leaving and index < program.exits:
            continue
        if logits is None:
            answers.append(model.answer(tuple(_rows(part, leaving) for part in state), index))
        else:
            answers.append(_rows(logits, leaving))
        exit_of |= {examples[row]: index for row in leaving}
        running = sorted(set(running).difference(leaving))
        if not running:
            break
        if compact:
            state, memory = (tuple(_rows(part, running) for part in parts) for parts in (state, memory))
            said = None if said is None else _rows(said, running)
            level = _rows(level, running) if rule.kind == "sample" else level
            examples = [examples[row] for row in running]
            running = list(range(len(running)))
    order = {example: place for place, example in enumerate(exit_of)}
    flops_N = program.flops_N(x_BTC.shape[1])
    exits = [exit_of[example] for example in range(x_BTC.shape[0])]
    return Execution(
        _rows(torch.cat(answers), [order[example] for example in range(x_BTC.shape[0])]),
        torch.tensor(exits, dtype=torch.int64, device=x_BTC.device),
        torch.tensor([flops_N[index - 1] for index in exits], dtype=torch.float64, device=x_BTC.device),
    )
