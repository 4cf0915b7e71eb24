"""Experiments on pondering nets: that claims name cells which are measured, and the arithmetic behind cells."""

from itertools import product
from pathlib import Path

import pytest
import torch

from sp_search.claims.analysis import questioned
from sp_search.claims.reading import read_claims
from sp_search.experiments.ponder_anneal import PACES, PonderAnneal
from sp_search.experiments.ponder_honeypots import Corner, _effects
from sp_search.experiments.ponder_looks import Look
from sp_search.experiments.ponder_pool import _below
from sp_search.experiments.ponder_price import PonderPrice

torch.set_num_threads(1)
CLAIMS = read_claims(Path(__file__).parents[2] / "studies" / "claims")
ASKED: dict[str, list] = {}
for claim in CLAIMS:
    for part in claim.parts:
        if part.experiment.kind_name().startswith("ponder_"):
            ASKED.setdefault(repr(part.experiment), []).append(part)
TINY = {"steps": 1, "planting_steps": 1, "pace_steps": 1}


@pytest.mark.parametrize("parts", [pytest.param(parts, id=parts[0].name) for parts in ASKED.values()])
def test_every_cell_that_a_claim_names_is_measured(parts, tmp_path):
    experiment = parts[0].experiment
    fields = {name: value for name, value in TINY.items() if name in type(experiment).model_fields}
    evidence = experiment.model_copy(update=fields).run(2, 1000, tmp_path)
    assert evidence.seeds == [1000, 1001]
    for part in parts:
        questioned(part.test, evidence)


def test_the_same_seeds_give_the_same_evidence_with_and_without_a_cache(tmp_path):
    experiment = PonderPrice(arms=("none", "matched", "average_1"), steps=2, planting_steps=2)
    first, again, fresh = (experiment.run(2, 1000, folder) for folder in (tmp_path, tmp_path, tmp_path / "other"))
    assert first == again == fresh
    assert first.cell("matched.reached").n == 2


def harm(rule):
    """Return harm per net of a factorial in which `rule` decides, for two nets."""
    return {
        corner: [float(rule(corner))] * 2 for corner in (Corner(*levels) for levels in product((False, True), repeat=4))
    }


@pytest.mark.parametrize(
    ("rule", "prior", "checks", "decay", "by_checks"),
    [
        (lambda corner: not corner.priced, 1.0, 0.0, 0.0, 0.0),
        (lambda corner: not corner.checked, 0.0, 1.0, 0.0, 0.0),
        (lambda corner: not (corner.priced or corner.checked), 0.5, 0.5, 0.0, 1.0),
        (lambda corner: not (corner.priced and corner.checked), 0.5, 0.5, 0.0, -1.0),
        (lambda corner: corner.decayed, 0.0, 0.0, -1.0, 0.0),
    ],
)
def test_effects_are_differences_of_harm_over_the_other_factors(rule, prior, checks, decay, by_checks):
    found = {cell.name: cell.value for cell in _effects(True, harm(rule))}
    expected = {"prior": prior, "checks": checks, "decay": decay, "prior_by_checks": by_checks, "prior_by_decay": 0.0}
    assert found == {f"wary.{name}": value for name, value in expected.items()}


def test_pairs_of_a_pool_are_counted_with_ties_as_halves():
    cell = _below("average.below", [1.0, 2.0], [2.0, 3.0], 0)
    assert cell.value == 0.125
    assert cell.low <= cell.value <= cell.high
    assert _below("max.below", [8.0] * 4, [8.0] * 4, 0).value == 0.5


def test_a_price_falls_from_the_highest_to_no_less_than_the_lowest():
    assert PonderAnneal(highest=1.0, lowest=0.2).prices(PACES["usual"]) == [1.0, 0.5, 0.25]


def test_a_net_is_harmful_only_where_it_is_good_and_attacked():
    blank = [0.0] * 3
    seen = Look([1.0, 0.9, 1.0], [0.6, 0.9, 0.5], blank, blank, blank, blank, blank, blank)
    assert seen.harmful() == [True, False, False]
