"""How a folder goes through a log: whole and unchanged, or refused, of whatever size and in whatever pieces."""

import base64
import hashlib
import io
import tarfile

import pytest

from sp_search import packing
from sp_search.errors import StorageError
from sp_search.packing import BEGIN, END, PART, Unpacking, pack, unpack


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(packing, "PART_BYTES", 1000)
    monkeypatch.setattr(packing, "LINE", 100)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "study"
    for name in ("manifest.json", "ledger.jsonl", "program/weights", "checkpoints/big", "tune/x", "driver.lock"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noise = b"".join(hashlib.sha256(f"{name} {block}".encode()).digest() for block in range(50))
        (folder / name).write_bytes(noise)
    return folder


def packed(folder, checkpoints=False):
    lines = []
    last = pack(folder, lines.append, checkpoints=checkpoints)
    return [*lines, last]


def same(folder, back):
    came = {str(file.relative_to(back)): file.read_bytes() for file in back.rglob("*") if file.is_file()}
    return sorted(came) if all((folder / name).read_bytes() == content for name, content in came.items()) else None


@pytest.mark.parametrize("checkpoints", [False, True])
def test_a_folder_comes_back_from_a_log_as_it_was_without_what_stays(checkpoints, folder, tmp_path):
    log = ["Running entrypoint for job x", *packed(folder, checkpoints), "a late warning"]
    assert sum(line.startswith(f"{PART} ") for line in log) > 4
    with_them = ["checkpoints/big"] if checkpoints else []
    assert unpack(log, tmp_path / "back") == 3 + len(with_them)
    assert same(folder, tmp_path / "back") == [*with_them, "ledger.jsonl", "manifest.json", "program/weights"]


@pytest.mark.parametrize("size", [1, 7, 150, 10**6])
def test_a_log_may_come_in_pieces_of_any_size_and_from_its_beginning_again(size, folder, tmp_path):
    text = "\n".join(["before", *packed(folder)])
    with Unpacking() as unpacking:
        for told in (text[: len(text) // 2] + "\n", text):
            for at in range(0, len(told), size):
                unpacking.hear(told[at : at + size])
        assert unpacking.write(tmp_path / "back") == 3
    assert same(folder, tmp_path / "back") is not None


def test_a_folder_that_did_not_come_whole_is_refused(folder, tmp_path):
    lines = packed(folder)
    ends = [at for at, line in enumerate(lines) if line.startswith(f"{PART} ")]
    cases = [
        (["Running entrypoint", "no such folder", ""], "ended without a folder; its last word: no such folder"),
        (lines[: ends[2]], "ended after part 2 of the folder"),
        (lines[:-1], f"ended after part {len(ends)} of the folder"),
        ([lines[0], lines[1][:-8], *lines[2:]], "part 0 of the folder came damaged"),
        ([*lines[: ends[0] + 1], *lines[ends[1] + 1 :]], "part 2 of the folder came damaged"),
        ([*lines[:3], "a word of somebody else", *lines[3:]], "part 0 of the folder came damaged"),
    ]
    for log, said in cases:
        with pytest.raises(StorageError, match=said):
            unpack(log, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_folder_that_is_no_studys_is_not_packed(tmp_path):
    with pytest.raises(StorageError, match=r"holds no manifest\.json"):
        packed(tmp_path)


def test_a_folder_from_a_hostile_cluster_stays_inside_its_own(tmp_path):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
    content = archive.getvalue()
    hashed = hashlib.sha256(content).hexdigest()
    log = [BEGIN, base64.b64encode(content).decode(), f"{PART} 0 sha256 {hashed}", f"{END} 1"]
    with pytest.raises(StorageError, match="outside"):
        unpack(log, tmp_path / "inside")
    assert not (tmp_path / "outside").exists()
