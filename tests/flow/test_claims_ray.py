"""The claims on a real Ray: the same numbers as in one process, and a failure that takes nothing down."""

import pytest

from sp_search.claims.running import ask, run_claims
from sp_search.study import Cluster

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(120)]

CLAIM = """\
claim: {name}
says: A thing is so.
parts:
  - name: pools
    definition: What is counted.
    experiment: {experiment}
    test: {{kind: below, cell: moved_by_accuracy, than: 0.2}}
    n: 30
    quick: 8
    supports: It lies there.
    refutes: It does not.
"""


def test_workers_find_what_one_process_finds(tmp_path):
    studies = tmp_path / "claims"
    studies.mkdir()
    cells = "cells: [{name: moved_by_accuracy, rows: a, value: b}]"
    experiments = {"C01": "{kind: selection_order}", "C02": f"{{kind: recorded, file: no.json, command: it, {cells}}}"}
    for name, experiment in experiments.items():
        (studies / f"{name}.yaml").write_text(CLAIM.format(name=name, experiment=experiment))
    here = run_claims(ask(studies, output=tmp_path / "here"), cluster=None, progress=lambda line: None)
    spread = run_claims(ask(studies, output=tmp_path / "ray"), cluster=Cluster(cpus=2), progress=lambda line: None)
    assert spread.claims[0].parts[0].cells == here.claims[0].parts[0].cells
    assert spread.failed == here.failed == ["C02/pools"]
    assert spread.claims[1].parts[0].error == here.claims[1].parts[0].error
