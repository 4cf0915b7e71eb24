"""`validate` and `plan`: every problem, every level, every arm, and nothing written."""

import json
from pathlib import Path

from sp_search.cli import ExitCode, main

ROOT = Path(__file__).parents[2]

QUICKSTART = str(ROOT / "studies" / "quickstart.yaml")


def test_a_bad_study_starts_and_writes_nothing(workplace, capsys):
    (workplace / "bad.yaml").write_text("name: x\nstepz: 1\n")
    before = sorted(workplace.rglob("*"))
    for command in ("validate", "plan", "run"):
        assert main([command, "bad.yaml"]) == ExitCode.USAGE
        assert "bad.yaml:2: stepz: unknown key" in capsys.readouterr().err
    assert sorted(workplace.rglob("*")) == before


def test_validate_says_every_problem_of_every_file(workplace, capsys):
    for name in ("a", "b"):
        (workplace / f"{name}.yaml").write_text("name: x y\n")
    assert main(["validate", "a.yaml", QUICKSTART, "b.yaml"]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert "a.yaml:1: name" in err
    assert "b.yaml:1: name" in err
    assert "quickstart" not in err


def test_plan_prices_every_level(capsys):
    assert main(["plan", QUICKSTART, "--no-calibrate", "--json"]) == ExitCode.MET
    payload = json.loads(capsys.readouterr().out)
    assert len(payload["rows"]) == 2 * len(payload["space"]["caps"])
    assert payload["training_flops_at_most"] == sum(row["training_flops"] for row in payload["rows"])
    assert main(["plan", QUICKSTART, "--no-calibrate"]) == ExitCode.MET
    assert "width=12" in capsys.readouterr().out


def test_plan_and_validate_go_through_every_arm(workplace, capsys):
    path = workplace / "duel.yaml"
    path.write_text(
        "name: duel\ntask: {kind: prefix_sums, bits: 5}\nmodel: {kind: recall_conv}\n"
        "scheduler: {kind: annealing, stop: 4}\narms:\n  - {name: static}\n"
        "  - {name: ponder, prior: {kind: ponder_net}, population: {members: [{width: 8, prior: {price: 0.3}}]}}\n"
    )
    assert main(["plan", "duel.yaml", "--no-calibrate", "--json"]) == ExitCode.MET
    assert set(json.loads(capsys.readouterr().out)["arms"]) == {"static", "ponder"}
    assert main(["plan", "duel.yaml", "--no-calibrate"]) == ExitCode.MET
    out = capsys.readouterr().out
    assert "width=8 prior.price=0.3" in out
    assert "unequal effort, train steps" in out
    assert main(["validate", "duel.yaml", "--set", "task.bits=0"]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("--set task.bits=0: task.bits: got 0")
