"""What is refused of a study's text, at its line and path, and in which words."""

import pytest
from small_study import GOOD

from sp_search.errors import StudyError
from sp_search.study import load_study


def test_every_problem_comes_at_once_with_its_line_and_path(problems):
    found = problems("""\
name: a/b
sed: 1
task: {kind: prefix_sum}
model:
  kind: recall_conv
  width: yes
  widht: 3
prior: {kind: ponder_nets}
scheduler: {kind: annealing, axis: rollouts, budget: both}
population: {members: [], replicas: true}
train: {step: 3, steps: "7"}
""")
    starts = [
        "study.yaml:1: name: got",
        "study.yaml:2: sed: unknown key. Did you mean 'seed'?",
        "study.yaml:3: task.kind: no tasks plug-in is named 'prefix_sum'. Did you mean 'prefix_sums'?",
        'study.yaml:6: model.width: got "yes", a text: it should be a valid integer',
        "study.yaml:7: model.widht: unknown key. Did you mean 'width'?",
        "study.yaml:8: prior.kind: no priors plug-in is named 'ponder_nets'. Did you mean 'ponder_net'?",
        "study.yaml:9: scheduler.budget: got \"both\": it should be 'max' or 'mean'",
        "study.yaml:10: population.members: got []",
        "study.yaml:10: population.replicas: got true",
        'study.yaml:11: train.steps: got "7"',
        "study.yaml:11: train.step: unknown key. Did you mean 'steps'?",
    ]
    assert len(found) == len(starts)
    for problem, start in zip(found, starts, strict=True):
        assert problem.startswith(start)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("seed: -1", "seed: got -1"),
        ("seed: 1.0", "seed: got 1.0"),
        ("seed: true", "seed: got true"),
        ("seed: 0123", "seed: got 0123"),
        ("seed: 12:30:00", 'seed: got "12:30:00"'),
        ("seed: 2020-01-01", 'seed: got "2020-01-01"'),
        ("seed: no", 'seed: got "no"'),
        ("seed: 1_000", 'seed: got "1_000"'),
        ("seed: 1e400", "seed: got 1e400, numbers must be finite"),
        ("seed: .nan", "seed: got .nan, numbers must be finite"),
        ("limits: {seconds: .inf}", "limits.seconds: got .inf"),
        ("limits: {seconds: 0}", "limits.seconds: got 0"),
        ("limits: {trials: 1.5}", "limits.trials: got 1.5"),
        ("verdict: {min_pass_rate: 1}", "verdict.min_pass_rate: got 1"),
        ("resources: {gpu: 1.5}", "resources.gpu: got 1.5"),
        ("resources: {cpu: true}", "resources.cpu: got true"),
        ("milestones: []", "milestones: got []"),
        ("milestones: [0.9, 0.9]", "milestones: got [0.9, 0.9]: they should ascend"),
        ("milestones: [1.5]", "milestones.0: got 1.5"),
        ("audits: [{kind: planted}]", "audits.0.kind: no audits plug-in is named 'planted'"),
        ("audits: [{kind: memory}, {kind: noise}, {kind: memory, n: 64}]", "audits.2: got memory again"),
        ("audits: [planted]", 'audits.0: got "planted": it should be a mapping with a kind'),
        ("selection: {gates: [longer]}", "selection.gates.0: 'longer' is a report, never a gate"),
        ("selection: {gates: [iid, idd]}", "selection.gates.1: task prefix_sums has no distribution 'idd'"),
        ("selection: {stable_after_halt: 0}", "selection.stable_after_halt: got 0"),
        ("selection: {gates: [iid, iid]}", "selection.gates.1: 'iid' is listed twice"),
        ("population: {members: [{width: 8}, {}]}", "population.members.1: the same configuration as member 0"),
        ("population: {members: [{wdith: 8}]}", "population.members.0.wdith: unknown key. Did you mean 'width'?"),
        ("population: {members: [{kind: exit_mlp}]}", 'population.members.0.kind: got "exit_mlp"'),
        ("tracking: {uri: 'file:///etc'}", 'tracking.uri: got "file"'),
        ("tracking: {uri: mlruns}", 'tracking.uri: got "mlruns"'),
        ("tracking: {uri: 'http://'}", "tracking.uri: got"),
        ("tracking: {detail: lineage}", "tracking.detail: got"),
        ('tracking: {owner: "a\\eb"}', "tracking.owner: got"),
        ('tracking: {notes: "a\\eb"}', "tracking.notes: got"),
        ("tracking: {uri: 'https://me:secret@host'}", "tracking.uri: it holds a password"),
    ],
)
def test_a_bad_value_is_refused_with_what_was_got(problems, lines, expected):
    assert problems(GOOD + lines + "\n")[0].startswith(f"study.yaml:5: {expected}")


def test_a_secret_is_never_repeated(problems):
    assert "secret" not in "".join(problems(GOOD + "tracking: {uri: 'https://me:secret@host'}\n"))


@pytest.mark.parametrize("name", ["../../x", "a b", "''", "x" * 65, "é", '"a\\nb"', '"a\\0b"', "..", "[a]", "no"])
def test_a_name_is_a_plain_word(problems, name):
    found = problems(GOOD.replace("small", name))
    assert found == [] if name == "no" else found[0].startswith("study.yaml:1: name: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "study.yaml:1: the file is empty"),
        ("# nothing\n", "study.yaml:1: the file is empty"),
        ("- a\n", 'study.yaml:1: got ["a"]: a study is a mapping'),
        ("a: [\n", "study.yaml:2: not YAML"),
        ("a: 1\na: 2\n", "study.yaml:2: a: written twice, on lines 1 and 2"),
        ("a: &x 1\n", "study.yaml:1: a: anchors and aliases"),
        ("a: *x\n", "study.yaml:1: a: anchors and aliases"),
        ("a: !!python/object/apply:os.system ['true']\n", "study.yaml:1: a: got the tag"),
        ("a: 1\n---\nb: 2\n", "study.yaml:2: a second document begins"),
        ("? [1]\n: 2\n", "study.yaml:1: got a nested key"),
        ("1: 2\n", "study.yaml:1: got the key 1"),
        ("[" * 50_000, "study.yaml:1: 0.0"),
        ("a: " + "9" * 5_000, "study.yaml:1: a: got a huge number"),
        ("a: " + "x" * 300_000, "study.yaml:1: got 200,001 characters"),
        ("a: \x00\n", "study.yaml:1: not YAML"),
    ],
)
def test_what_is_no_plain_document_is_refused_in_one_line(problems, text, expected):
    assert any(problem.startswith(expected) for problem in problems(text))


def test_a_file_that_cannot_be_read_is_a_bad_study(tmp_path):
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(StudyError, match="cannot be read"):
            load_study(path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path / "latin.yaml")
