"""A finished study's folder with one of its files spoilt, put to every command that reads one.

Whatever is in it, the answer is a documented exit code and a line that can be read: nothing hangs, nothing is unpickled
or run, nothing outside the folder is written, and no error is called internal. The cases are drawn from a seed, so one
that fails can be run alone by its number.
"""

import copy
import hashlib
import json
import os
import pickle
import random
import shutil
import signal
import struct

import pytest
import torch

import sp_search
from sp_search.cli import ExitCode, main
from sp_search.errors import StorageError, StudyError

STUDY = {
    "name": "victim",
    "task": {"kind": "prefix_sums", "bits": 5},
    "model": {"kind": "recall_conv", "width": 8},
    "scheduler": {"kind": "annealing", "start": 2, "stop": 3},
    "population": {"members": [{"width": 8}], "replicas": 2},
    "verdict": {"false_negative": 0.3},
    "train": {"steps": 60, "evaluate_every": 20},
    "milestones": [0.3],
    "tracking": {"uri": None},
}
DOCUMENTED = {0, 2, 3, 4, 5, 6}
CPU_SECONDS = 10
QUICK, MANY = 60, 1_500
FOUND = [
    *[(10_170, "stop"), (10_224, "figures"), (10_248, "export"), (10_328, "figures"), (10_597, "report")],
    *[(10_654, "resume"), (11_010, "load"), (11_183, "resume"), (11_284, "logs"), (11_499, "resume")],
]
"""Cases among the many that once ended as an internal error."""

EVIL = [
    "<script>alert(1)</script>",
    "\x1b[31mred",
    "\u202eabc",
    "../../../etc/passwd",
    "/etc/passwd",
    "s3://them/x",
    "\ud800",
]
VALUES = [*EVIL, None, True, -1, 0, 1e308, 10**18, 10**400, [], {}, [[]], "x" * 5_000, float("nan"), float("inf")]
COMMANDS = {
    "logs": lambda folder, clean: main(["logs", folder]),
    "status": lambda folder, clean: main(["status", folder]),
    "report": lambda folder, clean: main(["report", folder]),
    "compare": lambda folder, clean: main(["compare", folder, clean]),
    "export": lambda folder, clean: main(["export", folder]),
    "ui": lambda folder, clean: main(["ui", folder, "--dry-run"]),
    "mlflow-sync": lambda folder, clean: main(["mlflow-sync", folder, "--wait", "1"]),
    "resume": lambda folder, clean: main(["resume", folder, "--in-process"]),
    "stop": lambda folder, clean: main(["stop", folder, "--wait", "0"]),
    "audit": lambda folder, clean: main(["audit", folder, "--audits", "noise", "--budget", "50"]),
    "figures": lambda folder, clean: main(["figures", "--study", folder, "--output", f"{folder}/figures"]),
    "open": lambda folder, clean: _called(sp_search.open, folder),
    "load": lambda folder, clean: _called(sp_search.load, folder),
}


class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


class TooLongError(Exception):
    """A command took too much of the processor."""


def _called(function, folder):
    try:
        function(folder)
    except StudyError:
        return ExitCode.USAGE
    except StorageError:
        return ExitCode.STORAGE
    return ExitCode.MET


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("victim") / "study"
    result = sp_search.run(STUDY, output=folder, driver="inprocess")
    assert result.met
    return folder


def spoil(folder, number):
    """Spoil one file of a folder, drawn by a case's number; return what was done."""
    lots = random.Random(number)  # noqa: S311 - a case's number, no secret
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "driver.lock")
    path = lots.choice([one for one in files if one.suffix in (".json", ".jsonl", ".yaml", ".safetensors")])
    ways = [_truncated, _replaced, _deep, _linked, _piped, _pickled, _foldered]
    ways += (
        [_value] * 8 if path.suffix in (".json", ".jsonl") else [_header] * 4 if path.suffix == ".safetensors" else []
    )
    way = lots.choice(ways)
    way(path, lots)
    return f"{path.relative_to(folder)}: {way.__name__}"


def _truncated(path, lots):
    content = path.read_bytes()
    path.write_bytes(content[: lots.randrange(len(content) + 1)])


def _replaced(path, lots):
    path.write_bytes(lots.choice([b"", b"null", b"3", b"[]", b"{}", b'"x"', b"\xff\xfe\x00", bytes(range(256)) * 8]))


def _deep(path, lots):
    path.write_text(lots.choice(["[", '{"a":']) * 100_000)


def _linked(path, lots):
    path.unlink()
    path.symlink_to(lots.choice(["/etc/passwd", "/dev/zero", "/proc/self/environ"]))


def _piped(path, lots):
    path.unlink()
    os.mkfifo(path)


def _pickled(path, lots):
    path.write_bytes(pickle.dumps(Trap()))


def _foldered(path, lots):
    path.unlink()
    path.mkdir()


def _value(path, lots):
    """Put another value somewhere into a JSON file, and make its checksums fit as an attacker would."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.suffix == ".jsonl" else None
    content = lines if lines is not None else json.loads(path.read_text())
    places = list(_places(content))
    container, key = lots.choice(places)
    container[key] = copy.deepcopy(lots.choice(VALUES))
    if lines is not None:
        path.write_text(_chained(lines))
        return
    if "meta_sha256" in content and "meta" in content:
        content["meta_sha256"] = hashlib.sha256(json.dumps(content["meta"], sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(content))


def _places(content):
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield content, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _chained(lines):
    checksum, written = "", []
    for number, line in enumerate(lines):
        line = line if isinstance(line, dict) else {"value": line}
        body = {key: value for key, value in {**line, "seq": number}.items() if key != "sum"}
        encoded = json.dumps(body, sort_keys=True, separators=(",", ":"))
        checksum = hashlib.sha256((checksum + encoded).encode()).hexdigest()[:16]
        written.append(json.dumps({**body, "sum": checksum}, sort_keys=True, separators=(",", ":")))
    return "\n".join(written) + "\n"


def _header(path, lots):
    """Say something else about the tensors than what they are."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    names = [name for name in header if name != "__metadata__"]
    name = lots.choice(names)
    change = lots.choice(["size", "shape", "type", "name", "offsets"])
    if change == "size":
        path.write_bytes(struct.pack("<Q", lots.choice([2**63, 2**40, 0])) + content[8:])
        return
    if change == "shape":
        header[name]["shape"] = lots.choice([[10**9, 10**9], [-1], [], ["x"]])
    elif change == "type":
        header[name]["dtype"] = lots.choice(["F64", "BOOL", "X", 3])
    elif change == "name":
        header["../" + name] = header.pop(name)
    else:
        header[name]["data_offsets"] = lots.choice([[0, 2**60], [5, 1], [-4, 4]])
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + size :])
    mark = path.with_suffix(".json")
    if mark.exists() and "tensors_sha256" in (said := json.loads(mark.read_text())):
        mark.write_text(json.dumps({**said, "tensors_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))


def _stop(signal_number, frame):
    raise TooLongError


def attack(finished, workplace, number, names, capsys):
    """Put a spoilt copy to some commands, and check what comes of it."""
    folder = workplace / "study"
    shutil.copytree(finished, folder)
    what = f"case {number}: {spoil(folder, number)}"
    before = signal.signal(signal.SIGVTALRM, _stop)
    try:
        for name in names:
            signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
            code = COMMANDS[name](str(folder), str(finished))
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            out, err = capsys.readouterr()
            assert code in DOCUMENTED, f"{name}, {what}: exit code {code}: {err}"
            assert "Traceback" not in out + err, f"{name}, {what}: {err}"
            assert "root:" not in out + err, f"{name}, {what}"
            assert all(line.isprintable() for line in err.splitlines()), f"{name}, {what}: {err!r}"
            assert code in (ExitCode.MET, ExitCode.NOT_MET) or len(err.splitlines()) >= 1 or name in ("open", "load")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert [path.name for path in workplace.iterdir()] == ["study"], what
    assert not (folder / "unpickled").exists(), what
    shutil.rmtree(folder)


CHEAP = ("logs", "status", "open", "load", "ui", "mlflow-sync", "stop")


@pytest.mark.parametrize("number", range(QUICK))
def test_a_spoilt_folder_is_answered_and_never_obeyed(number, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    dear = [name for name in COMMANDS if name not in CHEAP]
    attack(finished, tmp_path, number, [*CHEAP[:4], dear[number % len(dear)] if number % 6 == 0 else "stop"], capsys)


@pytest.mark.parametrize(("number", "name"), FOUND)
def test_what_many_cases_found_is_answered(number, name, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    attack(finished, tmp_path, number, [name], capsys)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_so_are_many(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = list(COMMANDS)
    for number in range(MANY):
        chosen = [names[(number + further) % len(names)] for further in (0, 3, 7)]
        attack(finished, tmp_path, 10_000 + number, chosen, capsys)
