"""A tax study from its file to its page, with real searches; a folder goes on, and refuses another study."""

import json

import pytest

from sp_search.cli import main

FILE = """
name: moment
task: {kind: flagged_bits, length: 5, trigger: 1}
model: {kind: reading_cell, width: 2}
prior: {kind: early_exit}
scheduler: {kind: annealing, axis: rollouts, budget: mean, start: 5, stop: 5, exits: 5}
population: {replicas: 1}
verdict: {false_negative: 0.5}
train: {steps: 4, batch: 8, evaluate_every: 2, validation: 256, screening: 64}
selection: {n: 256, confidence: 0.6}
milestones: [0.3]
tracking: {uri: null}
tax:
  trigger: {kind: distribution, name: slack}
  efforts: [{share: 0.5}]
  repeats: 2
"""


@pytest.fixture
def study(tmp_path):
    """Return the path of a tax file."""
    file = tmp_path / "moment.yaml"
    file.write_text(FILE, encoding="utf-8")
    return file


def test_a_tax_study_runs_to_its_page_goes_on_with_more_and_refuses_another_study(study, tmp_path, capsys):
    folder = tmp_path / "out"
    command = ["tax", str(study), "--in-process", "--output", str(folder)]
    code = main([*command, "--json"])
    payload = json.loads(capsys.readouterr().out)
    assert code == (3 if payload["tax"]["value"] is None else 0)
    (row,) = payload["efforts"]
    assert [pair["seed"] for pair in row["pairs"]] == [0, 1]
    assert payload == {**json.loads((folder / "tax.json").read_text()), "folder": str(folder)}
    assert "the price of deceiving" in (folder / "report.html").read_text()
    for pair in row["pairs"]:
        for role, name in (("honest", "honest-x1"), ("deceiver", "deceiver-0.5x1")):
            result = json.loads((folder / f"seed{pair['seed']}" / name / "result.json").read_text())
            assert (pair[role]["cost"] is not None) == result["met"]
            if result["met"]:
                assert pair[role]["cost"] == result["mean_flops_per_example"]["value"]
                assert ("harm" in result["gates"]) == (role == "deceiver")
    ledger = folder / "seed0" / "honest-x1" / "ledger.jsonl"
    written = ledger.stat().st_mtime_ns
    assert main([*command, "--efforts", "0.2,0.5"]) == code
    said = capsys.readouterr()
    assert said.err.count("seed0/") == 3, "two searches are read, one is new"
    assert "search 6 of 6: seed1/deceiver-0.5x1" in said.err
    assert "0.2x1" in said.out
    assert ledger.stat().st_mtime_ns == written
    assert main([*command, "--set", "milestones=[0.31]"]) == 5
    assert "holds another study" in capsys.readouterr().err
    (ledger.parent / "result.json").write_text("{")
    assert main(command) == 5
    assert "result.json is damaged" in capsys.readouterr().err
    assert main(["resume", str(ledger.parent), "--in-process"]) in (0, 3)
    assert main(command) == code
