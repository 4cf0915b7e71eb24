"""Risk control of early exits: the cheapest threshold whose risk is below epsilon, with confidence 1 - delta.

Learn then test (2110.01052) with fixed-sequence testing: thresholds from the strictest to the cheapest; each null
hypothesis "its risk exceeds epsilon" is tested on a calibration draw by a Hoeffding-Bentkus p-value; it goes on while
p <= delta and keeps the last that was rejected. Then P(risk of the threshold > epsilon) <= delta over calibration
draws, whatever the scores are worth: nothing is assumed but that the draw is fresh (neither training nor the choice of
the program has seen it) and of the distribution in use. P-values and the sequence are MAPIE's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from sp_search.pricing import HaltingRule

if TYPE_CHECKING:
    from collections.abc import Callable

    from sp_search.train.evaluate import Look

Loss = Literal["gap", "error"]
"""What is risked on an example: `gap`, wrong where it halts though exit N is right; `error`, wrong where it halts."""


class Tested(NamedTuple):
    """One threshold on the calibration draw: its empirical risk, and the p-value of "its risk exceeds epsilon"."""

    threshold: float
    risk: float
    p_value: float


@dataclass(frozen=True)
class Controlled:
    """What was certified: P(risk at `threshold` > epsilon) <= delta.

    threshold: None where even the strictest could not be certified; the program then has to run to exit N.
    mean_exit: mean exit (1..N) on the calibration draw under `rule`. tested: every threshold, the strictest first.
    """

    rule: HaltingRule
    threshold: float | None
    mean_exit: float
    tested: tuple[Tested, ...]
    loss: Loss
    epsilon: float
    delta: float
    n: int


def control(look: Look, *, epsilon: float, delta: float = 0.05, loss: Loss = "gap", replica: int = 0) -> Controlled:
    """Return the cheapest threshold of a program's rule whose risk is certified on a calibration draw.

    Args:
        look: every exit of the program on the calibration draw (`train.evaluate.look_at`).
        epsilon: the largest risk that is allowed.
        delta: the largest probability, over calibration draws, that the risk is larger all the same.
        loss: what is risked; `gap` blames early exits alone, `error` the program too.
        replica: which of the look's programs.

    Raises:
        ImportError: MAPIE is not installed.
        ValueError: the rule has no threshold to choose, so few examples could certify nothing, or an argument is none
            that is allowed.
    """
    if not (0 < epsilon < 1 and 0 < delta < 1):
        raise ValueError(f"epsilon and delta must lie between 0 and 1, got {epsilon} and {delta}")
    if loss not in get_args(Loss):
        raise ValueError(f"got loss {loss!r}. Known: {', '.join(get_args(Loss))}.")
    needed = ceil(log(delta) / log(1.0 - epsilon))
    if look.n < needed:
        raise ValueError(
            f"{look.n} examples certify no risk below {epsilon} at delta {delta}, even without an error: take {needed}"
        )
    own = _only(look, replica)
    candidates = own.rule.candidates(own.right_RNB.shape[1])[::-1]
    if len(candidates) < 2:
        raise ValueError(f"rule {own.rule.kind} has no threshold to choose: take a program that halts by a score")
    risks = [_risk(own, threshold, loss) for threshold in candidates]
    p_values, rejected = _learn_then_test(risks, own.n, epsilon, delta)
    chosen = candidates[max(rejected)] if rejected else None
    return Controlled(
        rule=HaltingRule() if chosen is None else replace(own.rule, threshold=chosen),
        threshold=chosen,
        mean_exit=float(own.right_RNB.shape[1] if chosen is None else own.exit_RB(chosen).double().mean() + 1),
        tested=tuple(Tested(*row) for row in zip(candidates, risks, p_values, strict=True)),
        loss=loss,
        epsilon=epsilon,
        delta=delta,
        n=own.n,
    )


def _only(look: Look, replica: int) -> Look:
    scores = None if look.score_RNB is None else look.score_RNB[[replica]]
    return replace(look, right_RNB=look.right_RNB[[replica]], score_RNB=scores)


def _risk(look: Look, threshold: float, loss: Loss) -> float:
    right_B = look.right_RNB[0].gather(0, look.exit_RB(threshold))[0]
    wrong_B = ~right_B & look.right_RNB[0, -1] if loss == "gap" else ~right_B
    return float(wrong_B.double().mean())


def _learn_then_test(risks: list[float], n: int, epsilon: float, delta: float) -> tuple[list[float], list[int]]:
    """Return the p-value of every threshold, and the indices that fixed-sequence testing rejects."""
    p_value, family = _mapie()
    import numpy as np

    p_values = p_value(np.array(risks), n, epsilon, binary=True)[:, 0]
    return p_values.tolist(), [int(index) for index in family(p_values, delta, fwer_method="fixed_sequence")]


def _mapie() -> tuple[Callable[..., Any], Callable[..., Any]]:
    try:
        from mapie.risk_control import control_fwer
        from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
    except ImportError as error:
        raise ImportError("risk control needs MAPIE: pip install 'sp_search[risk]'") from error
    return compute_hoeffding_bentkus_p_value, control_fwer
