"""Every model, under every rule: what its ledger charges is exactly what the dispatcher saw run."""

import pytest
import torch

from sp_search.compute import cross_check, measured_prices
from sp_search.plugins import discover
from sp_search.pricing import HaltingRule
from sp_search.program import Program
from sp_search.tasks.base import Shape

MODELS = {kind: part() for kind, part in discover("models").items()}
RULES = [HaltingRule()]
RULES += [HaltingRule(kind, threshold) for kind in ("quantile", "confidence") for threshold in (0.0, 0.5, 0.8, 2.0)]
SHAPE = Shape(6, 2, 6, 3)


def built(kind, exits):
    return MODELS[kind].build(SHAPE, exits, halting=True, generator=torch.Generator().manual_seed(0))


def inputs(n):
    return torch.randn((n, SHAPE.positions, SHAPE.channels), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.threshold}")
@pytest.mark.parametrize("exits", [1, 3])
def test_what_is_charged_is_what_ran(kind, rule, exits):
    check = cross_check(Program(built(kind, exits), rule, exits), inputs(9))
    assert check.agrees, check


@pytest.mark.parametrize("kind", MODELS)
def test_every_price_is_the_count_of_its_method(kind):
    assert measured_prices(built(kind, 3), inputs(4), exits=3, halting=True) == MODELS[kind].prices(
        SHAPE, 3, halting=True
    )
