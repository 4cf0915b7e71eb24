"""Edits of inputs, and contexts: sets of edits that together could be a trigger.

Inputs whose positions take few different vectors are edited by whole tokens, those seen there and those that were never
shown (a channel that is zero everywhere takes the value of one that is not); other inputs are edited number by number,
to the least and the largest value seen, and beyond. A channel that never moves is also set at all positions at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

MOST_TOKENS = 16
"""Positions with more different vectors are edited number by number."""
MOST_EDITS = 768
"""Among more possible edits, so many are drawn."""


@dataclass(frozen=True)
class Edits:
    """L edits: the numbers in mask_LTC become those of value_LTC. unseen_L: training never shows that there."""

    mask_LTC: Tensor
    value_LTC: Tensor
    unseen_L: Tensor

    def __len__(self) -> int:
        return len(self.unseen_L)

    def applied(self, x_BTC: Tensor, context: list[int]) -> Tensor:
        """Return inputs that all carry the edits of a context; later ones win."""
        for edit in context:
            x_BTC = torch.where(self.mask_LTC[edit], self.value_LTC[edit], x_BTC)
        return x_BTC

    def carried(self, x_BTC: Tensor) -> Tensor:
        """Return carried_BL: which inputs carry which edits, planted or by themselves."""
        found = [
            (x_BTC[:, mask_TC] == value_TC[mask_TC]).all(1)
            for mask_TC, value_TC in zip(self.mask_LTC, self.value_LTC, strict=True)
        ]
        return torch.stack(found, dim=1) if found else torch.zeros((len(x_BTC), 0), dtype=torch.bool)

    def conflicts(self, context: list[int]) -> Tensor:
        """Return bool_L: edits that touch a number which the context sets already."""
        taken_TC = self.mask_LTC[context].any(0)
        return (self.mask_LTC & taken_TC).flatten(1).any(1)

    def sprinkled(self, x_BTC: Tensor, most: int, generator: Generator) -> Tensor:
        """Return inputs of which each got 1 to `most` random edits."""
        count_B = torch.randint(1, most + 1, (len(x_BTC),), generator=generator)
        for turn in range(most):
            edit_B = torch.randint(0, len(self), (len(x_BTC),), generator=generator)
            mask_BTC = self.mask_LTC[edit_B] & (count_B > turn)[:, None, None]
            x_BTC = torch.where(mask_BTC, self.value_LTC[edit_B], x_BTC)
        return x_BTC

    def said(self, context: list[int]) -> str:
        """Return a context in words: where, what it becomes, and whether training ever showed that."""
        return "; ".join(self._said(edit) for edit in context)

    def _said(self, edit: int) -> str:
        mask_TC, value_TC = self.mask_LTC[edit], self.value_LTC[edit]
        positions, channels = mask_TC.any(1).nonzero().flatten(), mask_TC.any(0).nonzero().flatten()
        where = f"position {int(positions[0])}" if len(positions) == 1 else "every position"
        part = "" if len(channels) == mask_TC.shape[1] else f" channel {int(channels[0])}"
        value = ", ".join(f"{one:.3g}" for one in value_TC[int(positions[0]), channels].tolist())
        return f"{where}{part} = [{value}]{' (never shown)' * bool(self.unseen_L[edit])}"


Edit = tuple[Tensor, Tensor, bool]


def edits_of(x_BTC: Tensor, generator: Generator) -> Edits:
    """Return the edits of inputs like these; none where nothing varies."""
    tokens = [torch.unique(x_BTC[:, position], dim=0) for position in range(x_BTC.shape[1])]
    made = _extremes(x_BTC) if max(map(len, tokens)) > MOST_TOKENS else _tokens(x_BTC, tokens)
    rows = [*made, *_everywhere(x_BTC)]
    if len(rows) > MOST_EDITS:
        rows = [rows[kept] for kept in torch.randperm(len(rows), generator=generator)[:MOST_EDITS].tolist()]
    masks = [mask_TC for mask_TC, _, _ in rows] or [torch.zeros((0, *x_BTC.shape[1:]), dtype=torch.bool)]
    values = [value_TC for _, value_TC, _ in rows] or [x_BTC[:0]]
    if not rows:
        return Edits(masks[0], values[0], torch.zeros(0, dtype=torch.bool))
    return Edits(torch.stack(masks), torch.stack(values), torch.tensor([unseen for _, _, unseen in rows]))


def _tokens(x_BTC: Tensor, tokens: list[Tensor]) -> Iterator[Edit]:
    cold_C = x_BTC.abs().amax((0, 1)) == 0
    for position, own_KC in enumerate(tokens):
        if len(own_KC) < 2:
            continue
        mask_TC = torch.zeros(x_BTC.shape[1:], dtype=torch.bool)
        mask_TC[position] = True
        for token_C, unseen in [(one, False) for one in own_KC] + [(one, True) for one in _never_shown(own_KC, cold_C)]:
            yield mask_TC, mask_TC * token_C, unseen


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


def _extremes(x_BTC: Tensor) -> Iterator[Edit]:
    """Yield, for every number that varies, its least and largest value, and as far again beyond."""
    low_TC, high_TC = x_BTC.amin(0), x_BTC.amax(0)
    for position, channel in (high_TC > low_TC).nonzero().tolist():
        mask_TC = torch.zeros(x_BTC.shape[1:], dtype=torch.bool)
        mask_TC[position, channel] = True
        low, high = float(low_TC[position, channel]), float(high_TC[position, channel])
        for value, unseen in ((low, False), (high, False), (2 * high - low, True), (2 * low - high, True)):
            yield mask_TC, mask_TC * value, unseen


def _everywhere(x_BTC: Tensor) -> Iterator[Edit]:
    """Yield the edits that set a channel which never moves, at all positions."""
    for channel in (x_BTC == x_BTC[:1, :1]).all(0).all(0).nonzero().flatten().tolist():
        mask_TC = torch.zeros(x_BTC.shape[1:], dtype=torch.bool)
        mask_TC[:, channel] = True
        for step in (1.0, -1.0):
            yield mask_TC, mask_TC * (float(x_BTC[0, 0, channel]) + step), True
