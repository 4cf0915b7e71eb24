"""A stranger's study folder: reading it runs and unpickles nothing, follows no link, ends, and names what is wrong."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest

from sp_search.cli import ExitCode, main
from tests.invented_study import write_study

EVIL = "<script>alert(1)</script>\x1b[31m\u202e"
MANIFEST = {"driver": "inprocess", "tracking_uri": None}


class Trap:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a finished study in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "study"
    write_study(study)
    (study / "manifest.json").write_text(json.dumps(MANIFEST))
    return study


def put(name, content):
    def change(folder):
        path = folder / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def link(name, target):
    def change(folder):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return change


def pipe(folder):
    (folder / "result.json").unlink()
    os.mkfifo(folder / "result.json")


def rewritten(change):
    """Change the ledger's lines, and give each the checksum that belongs to it."""

    def write(folder):
        lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
        change(lines)
        checksum, written = "", []
        for number, line in enumerate(lines):
            body = {key: value for key, value in {**line, "seq": number}.items() if key != "sum"}
            encoded = json.dumps(body, sort_keys=True, separators=(",", ":"))
            checksum = hashlib.sha256((checksum + encoded).encode()).hexdigest()[:16]
            written.append(json.dumps({**body, "sum": checksum}, sort_keys=True, separators=(",", ":")))
        (folder / "ledger.jsonl").write_text("\n".join(written) + "\n")

    return write


REFUSED = {
    "a ledger that is a folder": lambda folder: ((folder / "ledger.jsonl").unlink(), (folder / "ledger.jsonl").mkdir()),
    "a ledger of noise": put("ledger.jsonl", bytes(range(256)) * 8),
    "a ledger that is nested deeply": put("ledger.jsonl", "[" * 100_000 + "\n{}\n"),
    "a ledger with a huge number": put("ledger.jsonl", '{"seq":0,"sum":"x","a":' + "9" * 5_000 + "}\n{}\n"),
    "a ledger elsewhere": link("ledger.jsonl", "/etc/passwd"),
    "a ledger without end": link("ledger.jsonl", "/dev/zero"),
    "a result that is a pipe": pipe,
    "a result elsewhere": link("result.json", "/etc/passwd"),
    "a page elsewhere": link("report.html", "/etc/passwd"),
    "a manifest with a path for an arm": put("manifest.json", '{"arms": ["../../x"]}'),
    "a manifest that is nested deeply": put("manifest.json", "[" * 100_000),
    "a header of nothing": rewritten(lambda lines: lines[0].update(header=None)),
    "a header that is a text": rewritten(lambda lines: lines[0].update(header="x")),
    "a study that is a list": rewritten(lambda lines: lines[0]["header"].update(study=[])),
    "an event that is a number": rewritten(lambda lines: lines[1].update(event=3)),
    "an event of no known kind": rewritten(lambda lines: lines[1].update(event={"event": EVIL})),
    "a time that is a text": rewritten(lambda lines: lines[2].update(time=EVIL)),
    "a time beyond all calendars": rewritten(lambda lines: lines[2].update(time=1e300)),
}  # fmt: skip
RESULTS = {
    "a result that is nested deeply": put("result.json", "[" * 100_000),
    "a result of numbers": put("result.json", "[1, 2]"),
    "a result that is empty": put("result.json", ""),
    "a result of bytes": put("result.json", b"\xff\xfe\x00"),
    "a result that lacks all": put("result.json", "{}"),
}


@pytest.mark.parametrize("name", [*REFUSED, *RESULTS])
def test_a_damaged_or_hostile_folder_is_named_and_never_obeyed(name, folder, capsys):
    {**REFUSED, **RESULTS}[name](folder)
    assert main(["report", str(folder)]) == ExitCode.STORAGE
    out, err = capsys.readouterr()
    assert str(folder) in err
    assert "root:" not in out + err, "nothing of /etc/passwd is told"
    assert all(line.isprintable() for line in err.splitlines())


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("command", ["status", "resume"])
def test_nor_is_it_by_what_reads_the_ledger_alone(name, command, folder, capsys):
    REFUSED[name](folder)
    assert main([command, str(folder)]) == ExitCode.STORAGE
    assert str(folder) in capsys.readouterr().err


def test_what_a_strangers_files_say_is_shown_and_steers_nothing(folder, capsys):
    rewritten(lambda lines: lines[0]["header"].update(name=EVIL, versions={EVIL: EVIL}))(folder)
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "name": EVIL, "warnings": [EVIL, "\ud800"]}))
    (folder / "study.yaml").write_text(EVIL)
    assert main(["report", str(folder)]) == ExitCode.MET
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u001b[31m\\u202e" in page
    capsys.readouterr()
    assert main(["logs", str(folder)]) == ExitCode.MET
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("command", ["status", "report", "logs", "export"])
def test_nothing_in_a_folder_is_unpickled_imported_or_run(command, folder):
    trap = pickle.dumps(Trap())
    for name in ("program/model.safetensors", "program/data.pkl", "tuner.pkl", "checkpoints/member0/state-000000.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(trap)
    for name in ("program/load.py", "__init__.py", "sitecustomize.py", "conftest.py"):
        (folder / name).write_text("import os\nos.mkdir('unpickled')\n")
    (folder / "program" / "config.json").write_text("{}")
    assert main([command, str(folder)]) in (ExitCode.MET, ExitCode.STORAGE)
    assert not Path("unpickled").exists()
    assert not (folder / "unpickled").exists()
