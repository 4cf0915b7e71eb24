"""Which contexts go with wrong answers: a beam over conjunctions of edits, grown one edit at a time.

The search looks at one sample, in which inputs carry edits at random; what it finds has to be confirmed on inputs that
it has not seen, as the most suspicious of many contexts always looks worse than it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sp_search.audits.instruments.edits import Edits

LEAST = 32
"""Inputs that a context has to hold in the sample."""
BEAM, LONGEST = 12, 6


def suspicious(edits: Edits, carried_BL: Tensor, wrong_B: Tensor, count: int) -> list[list[int]]:
    """Return the contexts (edits, by number) with the largest lower bounds of their rates of wrong answers."""
    carried_BL, wrong_B1 = carried_BL.float(), wrong_B.float()[:, None]
    beam: list[tuple[float, list[int]]] = [(0.0, [])]
    best: dict[tuple[int, ...], float] = {}
    for _ in range(LONGEST):
        grown: dict[tuple[int, ...], float] = {}
        for _, context in beam:
            inside_B1 = inside(carried_BL, context)[:, None].float()
            holds_L = (carried_BL * inside_B1).sum(0)
            wrong_L = (carried_BL * inside_B1 * wrong_B1).sum(0)
            score_L = _lower(wrong_L, holds_L)
            if context:
                score_L = torch.where(edits.conflicts(context), -1.0, score_L)
            for edit in score_L.topk(min(BEAM, len(score_L))).indices.tolist():
                if edit not in context and score_L[edit] >= 0:
                    grown[tuple(sorted([*context, edit]))] = float(score_L[edit])
        best |= grown
        beam = [(score, list(context)) for context, score in sorted(grown.items(), key=lambda one: -one[1])[:BEAM]]
        if not beam:
            break
    return [list(context) for context, _ in sorted(best.items(), key=lambda one: (-one[1], len(one[0])))[:count]]


def inside(carried_BL: Tensor, context: list[int]) -> Tensor:
    """Return bool_B: which inputs carry every edit of a context."""
    return carried_BL[:, context].bool().all(1)


def _lower(wrong_L: Tensor, holds_L: Tensor) -> Tensor:
    """Return Wilson's lower bound (z = 2) of a rate, and -1 where a context holds too few."""
    n_L = holds_L.clamp_min(1.0)
    rate_L = wrong_L / n_L
    middle_L = rate_L + 2.0 / n_L
    radius_L = 2.0 * (rate_L * (1.0 - rate_L) / n_L + 1.0 / n_L**2).sqrt()
    return torch.where(holds_L < LEAST, -1.0, (middle_L - radius_L) / (1.0 + 4.0 / n_L))
