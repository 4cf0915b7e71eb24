"""Edits of inputs, and contexts: sets of edits that together could be a trigger.

Inputs whose positions take few different vectors are edited by whole tokens, those seen there and those that were never
shown (a channel that is never hot takes the place of one that is); other inputs are edited number by number, to the
least and the largest value seen, and beyond.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

MOST_TOKENS = 16
"""Positions with more different vectors are edited number by number."""
MOST_EDITS = 768
"""Among more possible edits, so many are drawn."""


@dataclass(frozen=True)
class Edits:
    """L edits: channels_LC (bool) of position_L become value_LC. unseen_L: training never shows that token there."""

    position_L: Tensor
    channels_LC: Tensor
    value_LC: Tensor
    unseen_L: Tensor

    def __len__(self) -> int:
        return len(self.position_L)

    def applied(self, x_BTC: Tensor, context: list[int]) -> Tensor:
        """Return inputs that all carry the edits of a context; later ones win."""
        x_BTC = x_BTC.clone()
        for edit in context:
            channels_C, position = self.channels_LC[edit], int(self.position_L[edit])
            x_BTC[:, position, channels_C] = self.value_LC[edit, channels_C]
        return x_BTC

    def carried(self, x_BTC: Tensor) -> Tensor:
        """Return carried_BL: which inputs carry which edits, planted or by themselves."""
        found = [
            (x_BTC[:, int(self.position_L[edit])] == self.value_LC[edit])[:, self.channels_LC[edit]].all(1)
            for edit in range(len(self))
        ]
        return torch.stack(found, dim=1)

    def sprinkled(self, x_BTC: Tensor, most: int, generator: Generator) -> Tensor:
        """Return inputs of which each got 1 to `most` random edits."""
        rows_B, x_BTC = torch.arange(len(x_BTC)), x_BTC.clone()
        count_B = torch.randint(1, most + 1, (len(x_BTC),), generator=generator)
        for turn in range(most):
            edit_B = torch.randint(0, len(self), (len(x_BTC),), generator=generator)
            there_BC = x_BTC[rows_B, self.position_L[edit_B]]
            changed_BC = torch.where(self.channels_LC[edit_B], self.value_LC[edit_B], there_BC)
            x_BTC[rows_B, self.position_L[edit_B]] = torch.where((count_B > turn)[:, None], changed_BC, there_BC)
        return x_BTC


def edits_of(x_BTC: Tensor, generator: Generator) -> Edits:
    """Return the edits of inputs like these."""
    tokens = [torch.unique(x_BTC[:, position], dim=0) for position in range(x_BTC.shape[1])]
    if max(map(len, tokens)) > MOST_TOKENS:
        return _drawn(_extremes(x_BTC), generator)
    cold_C = torch.cat(tokens).abs().sum(0) == 0
    rows = [(position, token_C, False) for position, own in enumerate(tokens) if len(own) > 1 for token_C in own]
    rows += [
        (position, token_C, True)
        for position, own in enumerate(tokens)
        if len(own) > 1
        for token_C in _never_shown(own, cold_C)
    ]
    return _drawn(
        Edits(
            torch.tensor([position for position, _, _ in rows]),
            torch.ones((len(rows), x_BTC.shape[2]), dtype=torch.bool),
            torch.stack([token_C for _, token_C, _ in rows]) if rows else x_BTC.new_zeros((0, x_BTC.shape[2])),
            torch.tensor([unseen for _, _, unseen in rows]),
        ),
        generator,
    )


def _never_shown(own_KC: Tensor, cold_C: Tensor) -> list[Tensor]:
    """Return tokens in which a channel that is zero everywhere takes the value of one that differs between tokens."""
    differs_C = (own_KC != own_KC[0]).any(0)
    found = []
    for cold in cold_C.nonzero().flatten().tolist():
        for hot in differs_C.nonzero().flatten().tolist():
            token_C = own_KC[own_KC[:, hot].abs().argmax()].clone()
            token_C[cold], token_C[hot] = token_C[hot].item(), 0.0
            found.append(token_C)
    return list(torch.unique(torch.stack(found), dim=0)) if found else []


def _extremes(x_BTC: Tensor) -> Edits:
    """Return, for every number that varies, the edits to its least and largest value, and twice as far beyond."""
    low_TC, high_TC = x_BTC.amin(0), x_BTC.amax(0)
    position_K, channel_K = (high_TC > low_TC).nonzero(as_tuple=True)
    low_K, high_K = low_TC[position_K, channel_K], high_TC[position_K, channel_K]
    span_K = high_K - low_K
    values = [(low_K, False), (high_K, False), (high_K + span_K, True), (low_K - span_K, True)]
    eye_CC = torch.eye(x_BTC.shape[2], dtype=torch.bool)
    return Edits(
        position_K.repeat(4),
        eye_CC[channel_K].repeat(4, 1),
        torch.cat([eye_CC[channel_K] * value_K[:, None] for value_K, _ in values]),
        torch.cat([torch.full_like(position_K, unseen, dtype=torch.bool) for _, unseen in values]),
    )


def _drawn(edits: Edits, generator: Generator) -> Edits:
    if len(edits) <= MOST_EDITS:
        return edits
    kept = torch.randperm(len(edits), generator=generator)[:MOST_EDITS]
    return Edits(edits.position_L[kept], edits.channels_LC[kept], edits.value_LC[kept], edits.unseen_L[kept])
