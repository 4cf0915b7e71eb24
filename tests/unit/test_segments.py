"""A ledger's copy in an object store: what comes back is the ledger or nothing, whoever wrote there last."""

import json
import shutil
import time
from pathlib import Path

import pytest

from sp_search import segments
from sp_search.bucket import Bucket
from sp_search.cli import main
from sp_search.control import pending, signed
from sp_search.courier import Courier, reaching, requests_at
from sp_search.errors import StorageError
from sp_search.ledger import LEDGER_NAME, Ledger
from sp_search.requested import Request
from sp_search.segments import LedgerCopy, OwnDisk, assemble, fetch_ledger


class Disk(Bucket):
    """An object store on this disk: what is written is seen as a whole or not at all."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(str(folder))
        self.folder, self.gone = folder, False

    def write(self, name, content):
        if self.gone:
            raise OSError(f"no route to {name}")
        partial = self.folder.with_suffix(".partial")
        partial.write_bytes(content)
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        partial.replace(self.folder / name)


@pytest.fixture
def bucket(tmp_path):
    return Disk(tmp_path / "bucket")


@pytest.fixture(autouse=True)
def at_the_end(monkeypatch):
    """Ship when a copy is finished, and not before, unless a test asks for more."""
    monkeypatch.setattr(segments, "SHIP_S", 3600.0)


def write(folder: Path, *numbers: int, create: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    with Ledger(folder, create=create) as ledger:
        for number in numbers:
            ledger.append({"number": number})


def copy(folder: Path, bucket: Bucket, *numbers: int) -> None:
    """Take a study up, write its next lines, and end."""
    one = LedgerCopy(folder, bucket)
    write(folder, *numbers)
    one.finish()


def content(folder: Path) -> bytes:
    return (folder / LEDGER_NAME).read_bytes()


def test_the_ledger_comes_back_as_it_was_whatever_number_of_drivers_wrote_it(tmp_path, bucket):
    write(tmp_path / "a", 0, create=True)
    for numbers in ((1, 2), (), (3,)):
        copy(tmp_path / "a", bucket, *numbers)
    assert [name.split("/")[2][:8] for name in bucket.names("ledger")] == [
        *("00000000", "from-000"),
        "from-000",
        *("00000003", "from-000"),
    ]
    (tmp_path / "b").mkdir()
    assert fetch_ledger(bucket, tmp_path / "b") == 4
    assert content(tmp_path / "b") == content(tmp_path / "a")


def test_an_empty_store_has_no_ledger(tmp_path, bucket):
    assert fetch_ledger(bucket, tmp_path) == 0
    assert not (tmp_path / LEDGER_NAME).exists()


def test_a_copy_follows_while_its_ledger_grows_in_segments_that_are_full_once(tmp_path, bucket, monkeypatch):
    monkeypatch.setattr(segments, "SHIP_S", 0.001)
    monkeypatch.setattr(segments, "FULL_BYTES", 400)
    write(tmp_path / "a", 0, create=True)
    one = LedgerCopy(tmp_path / "a", bucket)
    for number in range(1, 30):
        write(tmp_path / "a", number)
        deadline = time.monotonic() + 60
        while assemble(bucket).lines <= number:
            assert time.monotonic() < deadline
    one.finish()
    shipped = [name for name in bucket.names("ledger") if name.endswith("jsonl")]
    assert all(len(bucket.read(name)) < 600 for name in shipped)
    assert len(content(tmp_path / "a")) / 600 < len(shipped) <= len(content(tmp_path / "a")) / 400 + 1
    assert assemble(bucket).content == content(tmp_path / "a")


def torn(bucket, name):
    bucket.write(name, bucket.read(name)[:-9])


def shorter(bucket, name):
    bucket.write(name, b"".join(bucket.read(name).splitlines(keepends=True)[:-1]))


def other(bucket, name):
    bucket.write(name, bucket.read(name).replace(b'"number":3', b'"number":5'))


HARMS = {
    "gone": (Bucket.remove, "lines 3 to 5 of the ledger are missing before .*000003-"),
    "torn": (torn, "000002-.*damaged at line 5"),
    "shorter": (shorter, "000002-.*torn: it ends with line 4 of 5"),
    "other": (other, "000002-.*damaged at line 4"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_segment_that_is_gone_or_damaged_is_named_and_nothing_is_made_up(harm, tmp_path, bucket):
    write(tmp_path / "a", 0, create=True)
    for numbers in ((1,), (2, 3, 4), (5, 6)):
        copy(tmp_path / "a", bucket, *numbers)
    (second,) = (name for name in bucket.names("ledger") if name.startswith("ledger/000002") and "/from" not in name)
    act, said = HARMS[harm]
    act(bucket, second)
    for read in (lambda: fetch_ledger(bucket, tmp_path), lambda: LedgerCopy(tmp_path / "a", bucket)):
        with pytest.raises(StorageError, match=said):
            read()
    assert not (tmp_path / LEDGER_NAME).exists()


def test_lines_that_are_missing_before_a_driver_that_wrote_none_are_noticed(tmp_path, bucket):
    write(tmp_path / "a", 0, 1, create=True)
    for _ in range(2):
        copy(tmp_path / "a", bucket)
    (first,) = (name for name in bucket.names("ledger/") if name.endswith("jsonl"))
    bucket.remove(first)
    with pytest.raises(StorageError, match=r"lines 1 to 2 .* missing before .*000002-.*/from-00000002"):
        assemble(bucket)


def test_a_driver_that_was_lost_and_lives_on_writes_nothing_that_counts_and_is_told_by_whom(tmp_path, bucket):
    write(tmp_path / "a", 0, create=True)
    copy(tmp_path / "a", bucket, 1, 2)
    lost = LedgerCopy(tmp_path / "a", bucket)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    write(tmp_path / "a", 3, 4)
    takes_over = LedgerCopy(tmp_path / "b", bucket)
    lost.check()
    write(tmp_path / "b", 30)
    lost.finish()
    takes_over.finish()
    takes_over.check()
    assert (lost.driver, takes_over.driver) == (2, 3)
    with pytest.raises(StorageError, match=r"superseded: pid \d+ on .* since"):
        lost.check()
    assert assemble(bucket).content == content(tmp_path / "b")
    with pytest.raises(StorageError, match=f"has gone another way behind that of .*fetch {bucket.address} DIR"):
        LedgerCopy(tmp_path / "a", bucket)


def test_what_a_lost_driver_wrote_behind_the_line_at_which_another_took_over_is_nobodys(tmp_path, bucket):
    write(tmp_path / "a", 0, 1, create=True)
    lost = LedgerCopy(tmp_path / "a", bucket)
    lost._ship()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    takes_over = LedgerCopy(tmp_path / "b", bucket)
    write(tmp_path / "a", 2)
    lost._put(content(tmp_path / "a")[lost._offset :])  # it had looked for others before they came
    write(tmp_path / "b", 20)
    takes_over.finish()
    assert assemble(bucket).content == content(tmp_path / "b")


def test_a_folder_that_is_behind_its_copy_is_refused(tmp_path, bucket):
    write(tmp_path / "a", 0, create=True)
    shutil.copytree(tmp_path / "a", tmp_path / "old")
    copy(tmp_path / "a", bucket, 1, 2)
    with pytest.raises(StorageError, match=r"goes on for 2 lines behind that of .*old: another driver took the study"):
        LedgerCopy(tmp_path / "old", bucket)


class Unseen(Disk):
    """Shows others' folders from the second look on: two drivers that begin at once see nobody at first."""

    looks = 0

    def folders(self, folder):
        self.looks += 1
        return super().folders(folder) if self.looks > 1 else []


@pytest.mark.parametrize(("rival", "goes_on"), [("ffffffff", False), ("00000000", True)])
def test_of_two_that_take_a_study_up_at_once_one_goes_on(rival, goes_on, tmp_path):
    bucket = Unseen(tmp_path / "bucket")
    write(tmp_path / "a", 0, create=True)
    who = {"host": "elsewhere", "pid": 7, "since": "now"}
    bucket.write(f"ledger/000001-{rival}/from-00000000.json", json.dumps(who).encode())
    if goes_on:
        copy(tmp_path / "a", bucket)
    else:
        with pytest.raises(StorageError, match="superseded: pid 7 on elsewhere since now"):
            LedgerCopy(tmp_path / "a", bucket)


def test_a_store_that_is_away_for_a_while_is_said_once_and_caught_up_with(tmp_path, bucket, capsys):
    write(tmp_path / "a", 0, create=True)
    one = LedgerCopy(tmp_path / "a", bucket)
    bucket.gone = True
    for _ in range(2):
        one._ship_or_say()
    bucket.gone = False
    write(tmp_path / "a", 1)
    one.finish()
    assert assemble(bucket).content == content(tmp_path / "a")
    first, second = capsys.readouterr().err.splitlines()
    assert "lags (tried again meanwhile): no route to ledger/000001-" in first
    assert second == f"the ledger's copy in {bucket.address} has caught up"


def test_a_store_that_is_not_there_is_told_before_anything_runs(tmp_path, bucket):
    write(tmp_path / "a", 0, create=True)
    bucket.gone = True
    with pytest.raises(StorageError, match=r"cannot reach .*no route to .*then resume"):
        LedgerCopy(tmp_path / "a", bucket)


def test_what_a_resume_from_the_copy_may_need_is_kept_until_the_copy_is_beyond(tmp_path, bucket):
    write(tmp_path / "a", 0, create=True)
    one, gone = LedgerCopy(tmp_path / "a", bucket), []
    one.when_safe(lambda: gone.append("first"))
    one._ship()
    write(tmp_path / "a", 1)
    one.when_safe(lambda: gone.append("second"))
    assert gone == ["first"]
    one.finish()
    assert gone == ["first", "second"]
    OwnDisk().when_safe(lambda: gone.append("at once"))
    assert gone[-1] == "at once"


def test_what_else_lies_beside_the_drivers_is_no_driver(tmp_path, bucket):
    write(tmp_path / "a", 0, create=True)
    one = LedgerCopy(tmp_path / "a", bucket)
    bucket.write("ledger/tmp/x", b"")
    write(tmp_path / "a", 1)
    assert one.finish()
    assert LedgerCopy(tmp_path / "a", bucket).driver == 2


def test_a_store_that_somebody_emptied_ends_no_driver(tmp_path, bucket):
    write(tmp_path / "a", 0, create=True)
    one = LedgerCopy(tmp_path / "a", bucket)
    one._ship()
    shutil.rmtree(bucket.folder / "ledger")
    write(tmp_path / "a", 1)
    assert one.finish()
    assert assemble(bucket).content == content(tmp_path / "a")


def test_whoever_is_interrupted_does_not_wait_for_a_store_that_is_away(tmp_path, bucket):
    write(tmp_path / "a", 0, create=True)
    one = LedgerCopy(tmp_path / "a", bucket)
    bucket.gone = True
    one._ship_or_say()
    bucket.gone = False
    assert not one.finish(patient=False)
    assert assemble(bucket).lines == 0
    assert one.finish()
    assert assemble(bucket).lines == 1


def test_a_request_stays_at_the_copy_until_the_copy_holds_what_came_of_it(tmp_path, bucket):
    write(tmp_path / "a", 0, create=True)
    one = LedgerCopy(tmp_path / "a", bucket)
    courier = Courier(tmp_path / "a", bucket, when_safe=one.when_safe)
    name, text = signed(Request(ask="pause"))
    for place in (name, f"0/{name}"):  # the second is nobody's, and in nobody's way
        bucket.write(f"control/{place}", text.encode())
    courier.carry()
    write(tmp_path / "a", 1)  # its event
    (heard,) = pending(tmp_path / "a")
    heard.unlink()
    courier.carry()
    assert requests_at(bucket) == [name]
    one.finish()
    assert requests_at(bucket) == []


@pytest.mark.parametrize(
    "address", ["s3://", "s3://key:secret@bucket/x", "gs://key:sec/ret@bucket/x", "s3://a?b=secret"]
)
def test_an_address_with_credentials_is_refused_and_not_repeated(address, tmp_path, capsys):
    for command in (
        ["status", address],
        ["pause", address],
        ["logs", address],
        ["fetch", address, str(tmp_path / "a")],
    ):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "credentials and endpoint come from the environment" in said
        assert "ret" not in said


def test_a_store_that_does_not_answer_is_the_storages_fault_and_a_full_disk_is_not(bucket):
    with pytest.raises(StorageError, match=f"cannot read {bucket.address}: When listing"), reaching(bucket):
        raise OSError("When listing objects")
    with pytest.raises(FileNotFoundError), reaching(bucket):
        (bucket.folder / "nothing").read_bytes()
