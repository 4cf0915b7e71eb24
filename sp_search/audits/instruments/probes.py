"""Probes: small readers that are trained on a frozen program's states, to tell what a state holds (1610.01644).

A probe's accuracy counts only against the same probe on shuffled weights: it may compute the task by itself
(selectivity, 1909.03368).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor, nn

from sp_search.audits.instruments.examples import examples, plenty
from sp_search.audits.instruments.exits import SURE
from sp_search.tasks.base import Batch, Task

Probe = Literal["linear", "hidden"]
HIDDEN, RATE, DECAY = 48, 2e-2, 1e-3


class Lesson(NamedTuple):
    """Examples for probes: the first `fit` of x_BTC and y_BT are for training, the others, `held`, for judging."""

    x_BTC: Tensor
    y_BT: Tensor
    fit: int

    @property
    def held(self) -> Batch:
        """Return the examples that judge."""
        return Batch(self.x_BTC[self.fit :], self.y_BT[self.fit :])


def lesson(task: Task, fit: int, held: int, generator: Generator) -> Lesson:
    """Draw the examples of the training law that probes learn from, and those of the audit that judge them."""
    known, new = plenty(task, fit, generator), examples(task, held, generator)
    return Lesson(torch.cat([known.x_BTC, new.x_BTC]), torch.cat([known.y_BT, new.y_BT]), len(known.y_BT))


def probed(kind: Probe, features_BF: Tensor, lesson: Lesson, task: Task, steps: int, generator: Generator) -> Tensor:
    """Train a probe; return whether it is right, and sure, on each of the examples that judge."""
    classes = task.shape().classes
    probe = _built(kind, features_BF.shape[1], lesson.y_BT.shape[1] * classes, generator)
    optimiser = torch.optim.Adam(probe.parameters(), lr=RATE, weight_decay=DECAY)
    inside_BF, label_B = features_BF[: lesson.fit], lesson.y_BT[: lesson.fit].flatten()
    with torch.enable_grad():
        for _ in range(steps):
            logits = probe(inside_BF).reshape(len(label_B), classes)
            loss = nn.functional.cross_entropy(logits, label_B)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    with torch.no_grad():
        held = lesson.held
        answer_BTV = probe(features_BF[lesson.fit :]).reshape(len(held.y_BT), -1, classes)
        sure_B: Tensor = answer_BTV.softmax(-1).amax(-1).amin(-1) >= SURE
        return task.correct(answer_BTV, held) & sure_B


def _built(kind: Probe, features: int, outputs: int, generator: Generator) -> nn.Module:
    sizes = [features, outputs] if kind == "linear" else [features, HIDDEN, outputs]
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out)  # type: ignore[no-untyped-call]  # no global draws
        with torch.no_grad():
            layer.weight.normal_(std=fan_in**-0.5, generator=generator)
            layer.bias.zero_()
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
