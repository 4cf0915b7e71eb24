"""Study files of careless and hostile users, through the command line: exit 2, the place, the reason; nothing written.

What single settings refuse stands in `unit/test_study_refused.py`; here is what reaches a terminal or a disk.
"""

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from time import process_time

import pytest

import sp_search
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


HUGE = {
    "a width": ("model: {kind: recall_conv, width: 1000000000}", "population.members.0: a trial of it"),
    "layers": ("model: {kind: recall_conv, layers: 1000000000000}", "model.layers: got 1000000000000"),
    "a depth": ("model: {kind: exit_mlp, depth: 1000000000}", "exit_mlp has more than 1,000 exits"),
    "a batch": ("train: {batch: 1000000000000}", "population.members.0: a trial of it"),
    "a slice": ("train: {steps: 1000000000000, evaluate_every: 1000000000000}", "population.members.0: a trial of it"),
    "bits": ("task: {kind: prefix_sums, bits: 1000000}", "task.bits: got 1000000"),
    "replicas": ("population: {replicas: 1000000000}", "population.replicas: got 1000000000"),
    "rollouts": ("scheduler: {kind: annealing, stop: 1000000000000}", "a program has 1,000 rollouts at most"),
    "rollouts of a mean budget": ("scheduler: {kind: annealing, budget: mean, exits: 1000000000}", "1,000 at most"),
    "a verification": ("selection: {n: 1000000000000}", "selection.n: got 1000000000000"),
    "milestones": ("milestones: [" + "0.5, " * 5_000 + "0.6]", "it should have at most 100 items"),
    "gates": ("selection: {gates: [" + "iid, " * 30_000 + "iid]}", "it should have at most 100 items"),
    "values": ("selection: {gates: [" + "a," * 90_000 + "a]}", "more than 50,000 values, and no more are read"),
    "audits": ("audits: [" + "{kind: wall_time}, " * 9_000 + "]", "it should have at most 100 items"),
    "levels": ("scheduler: {kind: annealing, resolution: 1e-12}", "are more than 10,000 levels"),
    "a wait": ("limits: {seconds: .inf}", "numbers must be finite"),
    "a number of 5,000 digits": ("seed: " + "9" * 5_000, "numbers must be finite"),
    "no members": ("population: {members: []}", "at least 1 item"),
    "a negative": ("train: {steps: -1}", "train.steps: got -1"),
    "nothing": ("milestones:", "milestones: got null"),
    "markup in a name": ("name: <b>x</b>", "name: got"),
    "a line break in a name": ('name: "x\\ny"', "line breaks and control characters are not allowed"),
    "letters that look like others": ("name: \u0435\u0445ample", "name: got"),
}
PLAIN = {line.partition(":")[0]: line for line in GOOD.splitlines()}
CPU_SECONDS = 2.0
PACKAGE = Path(sp_search.__file__).parent


def with_key(line):
    return "\n".join({**PLAIN, line.partition(":")[0]: line}.values()) + "\n"


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_what_is_out_of_all_proportion_is_refused_before_it_is_made(name, command, tmp_path, monkeypatch, capsys):
    line, expected = HUGE[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(with_key(line), encoding="utf-8")
    began = process_time()
    assert main([command, "study.yaml"]) == ExitCode.USAGE
    assert process_time() - began < CPU_SECONDS
    err = capsys.readouterr().err
    assert expected in err
    assert all(line.isprintable() and len(line) < 2_000 for line in err.splitlines())
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def child_seconds(*command, folder):
    before, path = resource.getrusage(resource.RUSAGE_CHILDREN), {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    started = [sys.executable, "-m", "sp_search", *command]
    done = subprocess.run(started, cwd=folder, env=path, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.returncode, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_process_of_its_own_refuses_within_two_seconds_of_what_it_takes_to_start(tmp_path):
    texts = [with_key(HUGE[name][0]) for name in ("a width", "a depth", "gates", "values")] + ["a: 1\n" * 2_000_000]
    _, start = child_seconds("--version", folder=tmp_path)
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_text(text)
        code, seconds = child_seconds("run", f"{number}.yaml", folder=tmp_path)
        assert code == ExitCode.USAGE
        assert seconds - start < CPU_SECONDS
    assert len(list(tmp_path.iterdir())) == len(texts)


SPECIAL = {
    "a pipe": os.mkfifo,
    "a socket": lambda path: bound(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path),
}
READERS = {
    "validate": lambda path, study: ["validate", path],
    "plan": lambda path, study: ["plan", path],
    "run": lambda path, study: ["run", path],
    "tax": lambda path, study: ["tax", path, "--plan"],
    "simulate": lambda path, study: ["simulate", path, "--oracle", "steep"],
    "a cluster": lambda path, study: ["run", study, "--cluster", path],
    "a dataset": lambda path, study: ["validate", study, "--set", f"task={{kind: dataset, path: {path}}}"],
}


FOLDER_READERS = {
    "figures": lambda folder: ["figures", "--study", folder],
    "the other program of figures": lambda folder: ["figures", "--study", "good", "--misbehaving", folder],
    "a program known as honest": lambda folder: ["audit", "good", "--honest", folder],
    "a game": lambda folder: ["game", "score", folder, "--answers", "answers.json"],
    "report": lambda folder: ["report", folder],
    "stop": lambda folder: ["stop", folder],
}


@pytest.mark.parametrize("reader", FOLDER_READERS)
@pytest.mark.parametrize("name", ["ledger.jsonl", "program/config.json", "result.json", "tax.json", "game.json"])
@pytest.mark.timeout(60)
def test_a_pipe_in_a_folder_is_refused_and_never_waited_for(name, reader, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good").mkdir()
    (tmp_path / "given" / "program").mkdir(parents=True)
    os.mkfifo(tmp_path / "given" / name)
    assert main(FOLDER_READERS[reader]("given")) == ExitCode.STORAGE
    assert f"given/{name} is a pipe" in capsys.readouterr().err


def bound(path):
    """Make a socket; its address may be no longer than 107 bytes, so it is bound from its folder."""
    here = os.getcwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.timeout(60)
def test_what_is_no_file_is_refused_and_never_waited_for(name, reader, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(GOOD)
    SPECIAL[name](tmp_path / "given.npz")
    assert main(READERS[reader]("given.npz", "good.yaml")) == ExitCode.USAGE
    assert "given.npz" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given.npz", "good.yaml"]
