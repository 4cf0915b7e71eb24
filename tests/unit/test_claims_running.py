"""The claims' files, their registration, their runs and their table."""

import json
import signal

import pytest

from sp_search.claims.jobs import Evidences, jobs_of
from sp_search.claims.reading import read_claims
from sp_search.claims.records import Claim
from sp_search.claims.running import ask, run_claims
from sp_search.claims.standing import standing
from sp_search.cli import main
from sp_search.errors import Interrupted, StorageError, StudyError
from sp_search.experiments.base import EXPLORATORY
from sp_search.ledger import read_ledger
from sp_search.report.claims import html, markdown, p_words

PART = """\
  - name: {name}
    definition: What is counted.
    experiment: {experiment}
    test: {test}
    n: {n}
    quick: 8
    supports: It lies there.
    refutes: It does not.
"""
BELOW = "{kind: below, cell: moved_by_accuracy, than: 0.2}"
POOLS = "{kind: selection_order, programs: 3}"
ROWS = "cells: [{name: found, rows: rows, value: found, over: least, log: true}]"
RECORDED = "{kind: recorded, file: kept.json, command: python -m it, " + ROWS + "}"


def part(name="pools", experiment=POOLS, test=BELOW, n=80):
    return PART.format(name=name, experiment=experiment, test=test, n=n)


def write(folder, name, *parts, says="A thing is so.", more=""):
    folder.mkdir(exist_ok=True)
    body = "parts:\n" + "".join(parts) if parts else ""
    (folder / f"{name}.yaml").write_text(f"claim: {name}\nsays: {says}\n{more}{body}")


@pytest.fixture
def studies(tmp_path):
    folder = tmp_path / "claims"
    write(folder, "C01", part())
    write(folder, "C02", part("again"), part("ties", experiment="{kind: selection_order, ties: true}"))
    write(folder, "C03", more="standing: not_testable\nwhy: There is no such space.\n")
    return folder


def run(studies, output, *, quick=False, only=(), said=None):
    asked = ask(studies, only=only, output=output, quick=quick)
    return run_claims(asked, cluster=None, progress=([] if said is None else said).append)


def parts_of(table):
    return {f"{row.claim}/{one.name}": one for row in table.claims for one in row.parts}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("C09", "claim: C10\nsays: x\nstanding: definitional\nwhy: y\n", "got C10, the file's name says C09"),
        ("C09", "claim: C09\nsays: x\n", "an empirical claim needs one part"),
        ("C09", "claim: C09\nsays: x\nstanding: not_testable\n", "a claim that is not testable says why"),
        ("C09", "claim: C09\nsays: x\nparts:\n" + part() + part(), "'pools' is there twice"),
        ("C09", "claim: C09\nsays: x\nparts:\n" + part(experiment="{kind: selection_ordr}"), "Did you mean"),
        ("C09", "claim: C09\nsays: x\nparts:\n" + part(test="{kind: above, cell: a}"), "than: missing"),
        ("C09", "claim: C09\nsays: x\nmore: 1\n", "unknown key"),
    ],
)
def test_a_claims_file_is_refused_with_its_place(studies, name, text, said):
    (studies / f"{name}.yaml").write_text(text)
    with pytest.raises(StudyError, match=said) as caught:
        read_claims(studies)
    assert f"{name}.yaml" in str(caught.value)


def test_a_claim_that_is_not_there_is_named_with_the_nearest(studies):
    with pytest.raises(StudyError, match=r"there is no claim C1 .* Did you mean"):
        read_claims(studies, ["C1"])
    with pytest.raises(StudyError, match="holds no claims"):
        read_claims(studies / "nowhere")


def test_one_experiment_of_several_claims_is_one_job(studies):
    jobs = jobs_of(read_claims(studies), studies, quick=False)
    assert sorted(job.parts for job in jobs) == [["C01/pools", "C02/again"], ["C02/ties"]]
    assert {(job.n, job.seed) for job in jobs} == {(80, 0)}


def test_exploratory_runs_take_seeds_that_no_confirmatory_run_takes(studies):
    assert {(job.n, job.seed) for job in jobs_of(read_claims(studies), studies, quick=True)} == {(8, EXPLORATORY)}


def test_a_run_measures_every_part_and_says_how_every_claim_stands(studies, tmp_path):
    table = run(studies, tmp_path / "out")
    assert [row.standing for row in table.claims] == ["supported", "supported", "not testable here"]
    assert (table.family, table.exploratory) == (3, False)
    found = parts_of(table)["C01/pools"]
    assert (found.seeds, found.finding.n) == (list(range(80)), 80)
    assert found.finding.p_adjusted > 2 * found.finding.p_supports  # three parts are corrected for together


def test_the_family_holds_parts_that_were_not_asked_for(studies, tmp_path):
    assert run(studies, tmp_path / "out", only=["C01"]).family == 3


def test_a_part_of_the_table_names_how_to_make_it_again_and_how_much_of_all_it_is(studies, tmp_path):
    whole, some = run(studies, tmp_path / "out"), run(studies, tmp_path / "out", only=["C01", "C02"])
    assert whole.command == f"sp-search claims --studies {studies}"
    assert some.command == f"sp-search claims --studies {studies} --only C01,C02"
    assert some.claims[0].parts[0].command == f"sp-search claims --studies {studies} --only C01"
    assert "2 of 3 claims: 2 supported." in markdown(some.model_dump(mode="json"))
    assert "\n**3 claims: 2 supported, 1 not testable here.**" in markdown(whole.model_dump(mode="json"))


@pytest.mark.parametrize("only", ["", ",", " , "])
def test_only_with_no_claim_is_refused_and_runs_nothing(studies, tmp_path, capsys, only):
    command = ["claims", "--in-process", "--studies", str(studies), "--output", str(tmp_path / "out")]
    assert main([*command, "--only", only]) == 2
    assert "it should name claims, as in --only C19,C20" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_that_the_same_command_goes_on_with(studies, tmp_path, number):
    out, asked = tmp_path / "out", ask(studies, output=tmp_path / "out")

    def stop(line):
        signal.raise_signal(number)

    with pytest.raises(Interrupted, match=f"signal {number.value}") as caught:
        run_claims(asked, cluster=None, progress=stop)
    assert caught.value.command == f"the same command with --output {out}"
    said = []
    assert [row.standing for row in run(studies, out, said=said).claims][:2] == ["supported", "supported"]
    assert len(said) == 1, "the other experiment was stored"


def test_what_is_stored_is_not_measured_again(studies, tmp_path):
    first, said = run(studies, tmp_path / "out"), []
    again = run(studies, tmp_path / "out", said=said)
    assert said == []
    assert again.claims == first.claims


def test_a_claim_is_registered_before_its_first_confirmatory_run(studies, tmp_path):
    run(studies, tmp_path / "out")
    kinds = [
        next(key for key in ("registered", "confirmatory", "evidence") if key in one)
        for one in read_ledger(tmp_path / "out")
    ]
    assert kinds == ["registered"] * 3 + ["confirmatory"] + ["evidence"] * 2
    assert read_ledger(tmp_path / "out")[0]["content"]["test"]["than"] == 0.2


def test_a_claim_that_changes_after_its_confirmatory_run_is_marked_and_both_stay(studies, tmp_path):
    run(studies, tmp_path / "out")
    write(studies, "C01", part(test=BELOW.replace("0.2", "0.3")))
    table = run(studies, tmp_path / "out")
    assert {name: one.changed for name, one in parts_of(table).items()} == {
        "C01/pools": True, "C02/again": False, "C02/ties": False,
    }  # fmt: skip
    registered = [one for one in read_ledger(tmp_path / "out") if one.get("registered") == "C01/pools"]
    assert [one["content"]["test"]["than"] for one in registered] == [0.2, 0.3]
    assert "Stated differently" in markdown(table.model_dump(mode="json"))


def test_parts_that_are_not_asked_for_are_registered_all_the_same(studies, tmp_path):
    run(studies, tmp_path / "out", only=["C01"])
    found = parts_of(run(studies, tmp_path / "out"))
    assert not any(one.late for one in found.values()), "C02/again shares the experiment of C01/pools"


def test_a_part_that_is_written_once_its_evidence_is_there_says_so(studies, tmp_path):
    run(studies, tmp_path / "out")
    write(studies, "C04", part("afterwards"), part("blind", n=81))
    table = run(studies, tmp_path / "out")
    assert [name for name, one in parts_of(table).items() if one.late] == ["C04/afterwards"]
    assert markdown(table.model_dump(mode="json")).count("Entered into the ledger after its evidence was taken.") == 1


def test_a_claim_that_changes_before_any_confirmatory_run_is_not_marked(studies, tmp_path):
    run(studies, tmp_path / "out", only=["C02"])
    write(studies, "C01", part(n=81))
    assert not parts_of(run(studies, tmp_path / "out"))["C01/pools"].changed


def test_a_part_that_fails_takes_nothing_else_down(studies, tmp_path, capsys):
    write(studies, "C04", part("no_cell", test="{kind: above, cell: none, than: 0}"), part("no_file", RECORDED, BELOW))
    table = run(studies, tmp_path / "out")
    found = parts_of(table)
    assert "no cell 'none'. Known: moved_by_accuracy" in found["C04/no_cell"].error
    assert "python -m it measures it" in found["C04/no_file"].error
    assert table.failed == ["C04/no_cell", "C04/no_file"]
    assert table.claims[0].standing == "supported"
    code = main(["claims", "--in-process", "--studies", str(studies), "--output", str(tmp_path / "out")])
    assert code == 4
    assert "failed: C04/no_cell" in capsys.readouterr().out


def test_recorded_numbers_are_read_with_where_they_come_from(studies, tmp_path):
    rows = [{"found": 4.0, "least": 2}, {"found": 8.0, "least": 2}]
    (studies / "kept.json").write_text(json.dumps({"rows": rows}))
    write(studies, "C04", part("kept", RECORDED, "{kind: above, cell: found, than: 0}"))
    found = parts_of(run(studies, tmp_path / "out"))["C04/kept"]
    assert (found.recorded, [cell.value for cell in found.cells]) == (True, [1.5])
    assert "kept.json" in found.notes[0]
    (studies / "kept.json").write_text(json.dumps({"rows": rows[:1] * 2}))
    assert parts_of(run(studies, tmp_path / "out"))["C04/kept"].cells[0].value == 1.0, "the file changed"


def test_damaged_evidence_is_refused_by_its_name(studies, tmp_path):
    run(studies, tmp_path / "out")
    damaged = next((tmp_path / "out" / "evidence").glob("*.json"))
    damaged.write_text("{")
    with pytest.raises(StorageError, match=f"{damaged.name} is damaged: delete it"):
        Evidences(tmp_path / "out" / "evidence").read(damaged.stem)


def test_evidence_that_was_changed_by_hand_is_refused(studies, tmp_path):
    run(studies, tmp_path / "out")
    file = sorted((tmp_path / "out" / "evidence").glob("*.json"))[0]
    content = json.loads(file.read_text())
    content["cells"][0]["value"] = 0.125
    file.write_text(json.dumps(content))
    with pytest.raises(StorageError, match=rf"{file.name} has the hash .* it is not what was measured. Delete it"):
        run(studies, tmp_path / "out")
    file.unlink()
    assert parts_of(run(studies, tmp_path / "out"))["C01/pools"].outcome == "supported"


def test_evidence_that_a_kill_left_unnoted_is_noted(studies, tmp_path):
    run(studies, tmp_path / "out")
    ledger = tmp_path / "out" / "ledger.jsonl"
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-1]))
    said = []
    run(studies, tmp_path / "out", said=said)
    assert said == []
    assert sum("evidence" in one for one in read_ledger(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("said", "outcomes", "expected"),
    [
        ("empirical", ["supported", "supported"], "supported"),
        ("empirical", ["refuted", "refuted"], "refuted"),
        ("empirical", ["supported", "refuted", "inconclusive"], "mixed"),
        ("empirical", ["supported", "inconclusive"], "inconclusive"),
        ("empirical", ["refuted", "inconclusive"], "inconclusive"),
        ("empirical", ["supported", "failed"], "inconclusive"),
        ("empirical", ["failed"], "failed"),
        ("empirical", ["not run"], "not run"),
        ("definitional", [], "definitional"),
        ("definitional", ["supported"], "definitional"),
        ("definitional", ["refuted"], "refuted"),
        ("not_testable", [], "not testable here"),
    ],
)
def test_a_claim_stands_as_all_of_its_parts_do(said, outcomes, expected):
    claim = Claim(claim="C01", says="x", standing=said, why="y")
    assert standing(claim, outcomes) == expected


def test_the_page_and_the_table_say_what_was_found(studies, tmp_path, capsys):
    write(studies, "C63", part("factorial"), says="A <b>bold</b> claim | with a bar.")
    out = tmp_path / "out"
    assert main(["claims", "--quick", "--in-process", "--studies", str(studies), "--output", str(out)]) == 0
    printed = capsys.readouterr()
    assert "C63 INCONCLUSIVE: A <b>bold</b>" in printed.out
    assert "4 claims, 2 experiments to run, 0 stored: about 0.4 s of one core" in printed.err
    table = json.loads((out / "claims.json").read_text())
    assert (table["exploratory"], len(table["claims"])) == (True, 4)
    page, text = html(table), markdown(table)
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "claim \\| with a bar" in text
    for said in ("holds by construction", "was planted", "large models", "Exploratory", "moved by accuracy"):
        assert said in page
        assert said in text
    assert "://" not in page, "no external address"
    assert (out / "index.html").read_text() == page


@pytest.mark.parametrize(
    ("p", "adjusted", "said"),
    [(0.3, None, "0.6"), (0.7, None, "1"), (0.3, 0.031, "0.031"), (0.0, 2e-11, "2e-11"), (0.0, 0.0, "< 1e-99")],
)
def test_a_p_value_is_never_printed_as_0(p, adjusted, said):
    assert p_words({"p_supports": p, "p_refutes": 1 - p / 2, "p_adjusted": adjusted}) == said


def test_the_conclusions_factorial_heads_the_page_with_and_without_the_prior(studies, tmp_path):
    write(studies, "C63", part("factorial"))
    table = run(studies, tmp_path / "out").model_dump(mode="json")
    rows = [
        {"trigger": trigger, "checked": True, "priced": priced, "n": 64, "harm": harm, "remaining": harm / 2}
        | {"false_alarms": 0.0}
        for trigger, priced, harm in (("slack", False, 0.75), ("slack", True, 0.0), ("free", False, 0.5))
    ]
    audited = table["claims"][-1]["parts"][0]
    audited["data"] = {"factorial": rows, "remaining": rows}
    audited["cells"] = [{"name": f"{prior}.false_alarms", "n": 10} for prior in ("none", "average")]
    text, page = markdown(table), html(table)
    assert "| trigger | checked | harm without the prior | harm with the prior | nets | honest nets |" in text
    harm = "| slack | yes | 0.75 (0.63 to 0.85) | 0 (0.00 to 0.06) |"
    assert harm in text
    assert "| free | yes | 0.5 (0.37 to 0.63) |  | 64 | 10 |" in text, "what was not measured is left open"
    left = "0.375 (0.26 to 0.50) | 0 (0.00 to 0.06) | 0 (0.00 to 0.31) | 0 (0.00 to 0.31) | 64 | 10 |"
    assert f"{harm} {left}" in text
    assert page.index("What remains when no audit flags") < page.index("Every claim")
