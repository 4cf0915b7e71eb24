"""Risk control: the promise on simulated calibrations whose risk is known, the sequence, and what is refused."""

import sys
from math import sqrt

import pytest
import torch

from sp_search import risk
from sp_search.pricing import HaltingRule
from sp_search.train.evaluate import Look

EPSILON, DELTA, N = 0.06, 0.1, 400


def calibration(generator, n=N):
    """One program of two exits: exit 1 is right with the probability that its score says, exit N always.

    It halts at exit 1 where the score, uniform in 0..1, reaches t: the gap's risk is the integral of 1 - s from t to 1.
    """
    score_B = torch.rand(n, generator=generator)
    right_B = torch.rand(n, generator=generator) < score_B
    right_NB = torch.stack([right_B, torch.ones(n, dtype=torch.bool)])
    score_NB = torch.stack([score_B, torch.ones(n)])
    return Look(HaltingRule("confidence"), right_NB[None], score_NB[None], classes=2)


def true_risk(threshold):
    return 0.0 if threshold is None else (1 - threshold) ** 2 / 2


def test_the_promise_holds_over_a_thousand_calibrations_and_the_naive_choice_breaks_it():
    pytest.importorskip("mapie", reason="the extra `risk`")
    generator, controlled, naive, saved = torch.Generator().manual_seed(0), 0, 0, 0
    for _ in range(1000):
        found = risk.control(calibration(generator), epsilon=EPSILON, delta=DELTA)
        controlled += true_risk(found.threshold) > EPSILON
        saved += found.mean_exit < 2
        naive += true_risk(min(row.threshold for row in found.tested if row.risk <= EPSILON)) > EPSILON
    assert controlled / 1000 <= DELTA + 3 * sqrt(DELTA * (1 - DELTA) / 1000)
    assert naive / 1000 > 0.35
    assert saved > 900


def test_the_sequence_goes_from_the_strictest_and_keeps_the_last_that_is_rejected():
    pytest.importorskip("mapie", reason="the extra `risk`")
    from scipy.stats import binom

    found = risk.control(calibration(torch.Generator().manual_seed(1)), epsilon=EPSILON, delta=DELTA)
    thresholds = [row.threshold for row in found.tested]
    assert thresholds == sorted(thresholds, reverse=True)
    for row in found.tested:
        exact = binom.cdf(round(row.risk * N), N, EPSILON)
        assert exact <= row.p_value + 1e-12
        assert row.p_value <= binom.cdf(round(row.risk * N) + 1, N, EPSILON)
    first_that_fails = next(place for place, row in enumerate(found.tested) if row.p_value > DELTA)
    assert found.threshold == thresholds[first_that_fails - 1]
    assert found.rule == HaltingRule("confidence", found.threshold)
    assert (found.loss, found.epsilon, found.delta, found.n) == ("gap", EPSILON, DELTA, N)


def test_where_nothing_can_be_certified_the_program_runs_to_its_last_exit():
    pytest.importorskip("mapie", reason="the extra `risk`")
    look = calibration(torch.Generator().manual_seed(2))
    wrong = Look(look.rule, torch.zeros_like(look.right_RNB), torch.full_like(look.score_RNB, 2.0), classes=2)
    found = risk.control(wrong, epsilon=EPSILON, loss="error")
    assert (found.threshold, found.rule, found.mean_exit) == (None, HaltingRule("last"), 2.0)
    blameless = risk.control(wrong, epsilon=EPSILON, loss="gap")
    assert blameless.threshold == min(row.threshold for row in blameless.tested)


def test_a_replica_is_judged_by_its_own_rows():
    pytest.importorskip("mapie", reason="the extra `risk`")
    looks = [calibration(torch.Generator().manual_seed(seed)) for seed in (3, 4)]
    both = Look(
        looks[0].rule,
        torch.cat([look.right_RNB for look in looks]),
        torch.cat([look.score_RNB for look in looks]),
        classes=2,
    )
    for replica, look in enumerate(looks):
        assert risk.control(both, epsilon=EPSILON, replica=replica) == risk.control(look, epsilon=EPSILON)


@pytest.mark.parametrize(
    ("n", "rule", "settings", "message"),
    [
        (400, "confidence", {"epsilon": 0.0}, "must lie between 0 and 1"),
        (20, "confidence", {"epsilon": 0.05}, "20 examples certify no risk below 0.05 at delta 0.05, .* take 59"),
        (400, "last", {"epsilon": 0.05}, "rule last has no threshold to choose"),
        (400, "confidence", {"epsilon": 0.05, "loss": "gaps"}, "got loss .gaps.. Known: gap, error"),
    ],
)
def test_what_cannot_be_controlled_is_refused(n, rule, settings, message):
    look = calibration(torch.Generator().manual_seed(5), n)
    with pytest.raises(ValueError, match=message):
        risk.control(Look(HaltingRule(rule), look.right_RNB, look.score_RNB, classes=2), **settings)


def test_without_mapie_the_extra_is_named(monkeypatch):
    for name in ("mapie", "mapie.risk_control", "mapie.risk_control.methods"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'sp_search\[risk\]'"):
        risk.control(calibration(torch.Generator().manual_seed(6)), epsilon=EPSILON)
