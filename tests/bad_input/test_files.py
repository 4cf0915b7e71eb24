"""Study files of careless and hostile users, through the command line: exit 2, the place, the reason; nothing written.

What single settings refuse stands in `unit/test_study_refused.py`; here is what reaches a terminal or a disk.
"""

import pytest

from sp_search.cli import ExitCode, main

GOOD = """\
name: tiny
task: {kind: prefix_sums, bits: 5}
model: {kind: recall_conv, width: 8}
scheduler: {kind: annealing, stop: 4}
"""
CASES = {
    "a misspelt key": (GOOD + "train: {stepz: 1}\n", "study.yaml:5: train.stepz: unknown key. Did you mean"),
    "a boolean for a number": (GOOD + "train: {steps: true}\n", "study.yaml:5: train.steps: got true"),
    "a text for a number": (GOOD + "train: {steps: '7'}\n", "study.yaml:5: train.steps: got \"7\""),
    "a fraction for a count": (GOOD + "train: {steps: 1.0}\n", "study.yaml:5: train.steps: got 1.0"),
    "a key twice": (GOOD + "seed: 1\nseed: 2\n", "study.yaml:6: seed: written twice, on lines 5 and 6"),
    "a number with a leading zero": (GOOD + "seed: 0123\n", "study.yaml:5: seed: got 0123"),
    "a number beyond 64 bits": (GOOD + f"seed: {2**64}\n", "study.yaml:5: seed: got 18446744073709551616"),
    "a tag that would run code": ("name: !!python/object/apply:os.system [x]\n", "study.yaml:1: name: got the tag"),
    "aliases that multiply": ("a: &a [x, x]\nb: [*a, *a]\n", "study.yaml:1: a: anchors and aliases"),
    "deep nesting": (GOOD + "limits: " + "{a: " * 30 + "1" + "}" * 30, "nested deeper than 20 levels"),
    "a tabulator": ("name: x\n\ttask: 3\n", "study.yaml:2: not YAML"),
    "ten megabytes": ("a: 1\n" * 2_000_000, "study.yaml:1: got 200,001 characters, at most 200,000 are read"),
    "an import path": (GOOD.replace("prefix_sums", "os.system"), "study.yaml:2: task.kind: no tasks plug-in is named"),
    "a path for a part": (GOOD.replace("prefix_sums", "../../x"), "study.yaml:2: task.kind: no tasks plug-in is named"),
    "a target": (GOOD.replace("bits: 5", "_target_: os.system"), "study.yaml:2: task._target_: unknown key"),
    "a name that leaves its folder": (GOOD.replace("tiny", "../../x"), "study.yaml:1: name: got"),
    "a name of dots": (GOOD.replace("tiny", '".."'), "study.yaml:1: name: got"),
    "a ladder that goes down": (GOOD.replace("stop: 4", "start: 9, stop: 4"), "scheduler.start: got 9, above stop (4)"),
    "more rollouts than are priced": (GOOD.replace("stop: 4", "stop: 1e300"), "a program has 1,000 rollouts at most"),
    "more levels than can be": (GOOD.replace("stop: 4", "stop: 900, resolution: 1e-3"), "are more than 10,000 levels"),
    "a budget below the need": (GOOD.replace("stop: 4", "stop: 1"), "needs 2 rollouts (proven), and scheduler.stop"),
    "evidence beyond the data": (GOOD + "milestones: [1.0]\ntask2: 1\n", "study.yaml:6: task2: unknown key"),
    "more processors than there are": (GOOD + "resources: {cpu: 500000000}\n", "resources.cpu: got 500000000"),
    "a store that is a folder": (GOOD + "tracking: {uri: 'file:///etc'}\n", "tracking.uri: got"),
    "a password": (GOOD + "tracking: {uri: 'http://u:SECRET@h/'}\n", "tracking.uri: it holds a password"),
    "a password in the query": (GOOD + "tracking: {uri: 'postgresql://h/d?password=SECRET'}\n", "it holds a password"),
    "an escape in a key": (GOOD + '"\\e[31mred": 1\n', "study.yaml:5: got '\\x1b[31mred'"),
    "a key that turns the text around": (GOOD + '"\u202eabc": 1\n', "study.yaml:5: \\u202eabc: unknown key"),
    "a kind that turns the text around": (GOOD.replace("prefix_sums", '"\u202eabc"'), "no tasks plug-in is named"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_bad_study_is_refused_with_its_place_and_writes_nothing(name, command, tmp_path, monkeypatch, capsys):
    text, expected = CASES[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    assert main([command, "study.yaml"]) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert expected in err
    assert out == ""
    assert "SECRET" not in err
    assert "Traceback" not in err
    assert all(line.isprintable() for line in err.splitlines())
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_thousands_of_problems_are_told_as_a_hundred_and_a_number(tmp_path, capsys):
    (tmp_path / "study.yaml").write_text(GOOD + "".join(f"k{index}: 1\n" for index in range(500)))
    assert main(["validate", str(tmp_path / "study.yaml")]) == ExitCode.USAGE
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 101
    assert lines[-1] == "and 400 more: mend these first"


@pytest.mark.parametrize("name", ["a folder", "nothing", "bytes"])
def test_what_is_no_text_file_is_a_bad_study(name, tmp_path, capsys):
    path = tmp_path / name
    if name == "a folder":
        path.mkdir()
    if name == "bytes":
        path.write_bytes(b"name: \xff\n")
    assert main(["validate", str(path)]) == ExitCode.USAGE
    assert "cannot be read" in capsys.readouterr().err
