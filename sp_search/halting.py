"""The scores by which programs decide to stop: one definition for execution, which stops, and for looks, which do not.

A program halts at the first exit whose score reaches its rule's level (`pricing.HaltingRule`). Every function is pure
and runs under vmap; what a score remembers from exit to exit is a tuple of tensors whose first dimension is B.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

from sp_search.pricing import HaltingRule

Memory = tuple[Tensor, ...]


def levels(rule: HaltingRule, examples: int, classes: int, like: Tensor, generator: Generator | None = None) -> Tensor:
    """Return the score at which each example halts: a scalar, or level_B for `sample`.

    Halting at each exit with probability lambda_n is halting where minus the log-survival passes an exponential draw.
    """
    like = like if like.is_floating_point() else like.float()  # inputs may be indices
    if rule.kind != "sample":
        return like.new_tensor(rule.level(classes))
    generator = generator or Generator().manual_seed(rule.seed)
    level_B = torch.empty(examples, dtype=like.dtype, device=generator.device).exponential_(generator=generator)
    return level_B.to(like.device)


def predicted(logits_BN: Tensor) -> Tensor:
    """Return P(n exits suffice)_BN from a predictor's logits over the exits that are needed."""
    return logits_BN.softmax(-1).cumsum(-1)


def score(rule: HaltingRule, seen: Tensor, memory: Memory, index: int) -> tuple[Tensor, Memory]:
    """Return score_B of exit `index` (1..N), and what the next exit needs.

    Args:
        rule: which score.
        seen: halting logits_B, predicted_BN or logits_BTV, as `rule.reads` says.
        memory: of the exit before; empty before the first.
        index: of the exit.
    """
    if rule.kind == "accumulated":
        sum_B = (memory[0] if memory else torch.zeros_like(seen)) + seen.sigmoid()
        return sum_B, (sum_B,)
    if rule.reads == "halt":
        hazard_B = (memory[0] if memory else torch.zeros_like(seen)) - functional.logsigmoid(-seen)
        return hazard_B, (hazard_B,)
    if rule.kind == "prediction":
        return seen[:, min(index, seen.shape[1]) - 1], ()
    if rule.kind == "confidence":
        return seen.softmax(-1).amax(-1).amin(-1), ()
    if rule.kind == "entropy":
        log_p_BTV = seen.log_softmax(-1)
        return (log_p_BTV.exp() * log_p_BTV).sum(-1).amin(-1), ()
    if rule.kind == "margin":
        two_BT2 = seen.softmax(-1).topk(2).values
        return (two_BT2[..., 0] - two_BT2[..., 1]).amin(-1), ()
    if rule.kind == "patience":
        answer_BT = seen.argmax(-1)
        before_BT, count_B = memory or (torch.full_like(answer_BT, -1), torch.zeros_like(seen[:, 0, 0]))
        same_B = (answer_BT == before_BT).all(-1)
        count_B = torch.where(same_B, count_B + 1.0, 0.0)
        return count_B, (answer_BT, count_B)
    p_BTV = seen.softmax(-1)
    (before_BTV,) = memory or (torch.full_like(p_BTV, torch.inf),)
    return -(p_BTV - before_BTV).abs().sum(-1).amax(-1), (p_BTV,)


def scores(
    rule: HaltingRule, logits_NBTV: Tensor, halt_NB: Tensor | None = None, predicted_BN: Tensor | None = None
) -> Tensor:
    """Return score_NB of every exit, when all are computed."""
    found: list[Tensor] = []
    memory: Memory = ()
    for index, logits_BTV in enumerate(logits_NBTV, start=1):
        seen = {"halt": None if halt_NB is None else halt_NB[index - 1], "prediction": predicted_BN}.get(
            rule.reads, logits_BTV
        )
        if seen is None:
            raise ValueError(f"rule {rule.kind} reads the {rule.reads} of every exit, and it was not computed")
        score_B, memory = score(rule, seen, memory, index)
        found.append(score_B)
    return torch.stack(found)
