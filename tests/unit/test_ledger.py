"""The ledger: whole lines or nothing, damage noticed, one owner."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sp_search.errors import StorageError
from sp_search.ledger import LEDGER_NAME, Ledger, read_ledger


def write(folder: Path, count: int) -> None:
    with Ledger(folder, create=True) as ledger:
        for number in range(count):
            ledger.append({"number": number})


def numbers(folder: Path) -> list[int]:
    return [entry["number"] for entry in read_ledger(folder)]


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    write(tmp_path, 3)
    assert numbers(tmp_path) == [0, 1, 2]


def test_a_ledger_cut_at_any_byte_keeps_every_whole_line_and_goes_on(tmp_path: Path) -> None:
    write(tmp_path, 2)
    path = tmp_path / LEDGER_NAME
    whole = path.read_bytes()
    first_line = whole.index(b"\n")
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = int(cut >= first_line) + int(cut >= len(whole) - 1)
        assert numbers(tmp_path) == list(range(kept))
        with Ledger(tmp_path) as ledger:
            ledger.append({"number": 99})
        assert numbers(tmp_path) == [*range(kept), 99]


def test_a_flipped_byte_before_the_end_stops_the_study(tmp_path: Path) -> None:
    write(tmp_path, 3)
    path = tmp_path / LEDGER_NAME
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":7'))
    with pytest.raises(StorageError, match="line 2 is damaged"):
        read_ledger(tmp_path)


def test_lines_cannot_be_swapped(tmp_path: Path) -> None:
    write(tmp_path, 3)
    path = tmp_path / LEDGER_NAME
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(second + first + third)
    with pytest.raises(StorageError, match="line 1 is damaged"):
        read_ledger(tmp_path)


def test_a_line_cannot_be_taken_out(tmp_path: Path) -> None:
    write(tmp_path, 4)
    path = tmp_path / LEDGER_NAME
    first, _, third, fourth = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + third + fourth)
    with pytest.raises(StorageError, match="line 2 is damaged"):
        read_ledger(tmp_path)


def test_a_folder_without_a_ledger_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is no study folder"):
        read_ledger(tmp_path)


def test_an_existing_study_is_never_begun_anew(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with pytest.raises(StorageError, match="resume the study"):
        Ledger(tmp_path, create=True)
    assert numbers(tmp_path) == [0]


def test_a_second_driver_is_refused_and_told_who_holds_the_study(tmp_path: Path) -> None:
    code = (
        f"from pathlib import Path; from sp_search.ledger import Ledger; Ledger(Path({str(tmp_path)!r}), create=True)"
    )
    with Ledger(tmp_path, create=True):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert "another driver holds" in second.stderr
    assert "pid" in second.stderr


def test_the_lock_of_a_dead_driver_is_free(tmp_path: Path) -> None:
    code = (
        "import os; from pathlib import Path; from sp_search.ledger import Ledger; "
        f"ledger = Ledger(Path({str(tmp_path)!r}), create=True); ledger.append({{'number': 0}}); "
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    with Ledger(tmp_path) as ledger:
        assert [entry["number"] for entry in ledger.entries] == [0]


def test_a_full_disk_is_named_and_what_was_written_stays(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with Ledger(tmp_path) as ledger:

        class Full:
            def write(self, data: bytes) -> int:
                raise OSError(28, "No space left on device")

            def close(self) -> None: ...

        real, ledger._file = ledger._file, Full()  # type: ignore[assignment]
        with pytest.raises(StorageError, match="No space left"):
            ledger.append({"number": 1})
        real.close()
    assert numbers(tmp_path) == [0]


def test_non_finite_numbers_never_enter(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger, pytest.raises(ValueError, match="Out of range"):
        ledger.append({"number": float("nan")})
    assert json.loads((tmp_path / LEDGER_NAME).read_text() or "null") is None


def test_a_line_is_on_the_disk_before_anybody_acts_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda _: synced.append(len(read_ledger(tmp_path))))
    nobody_waits, acted_on = {"event": {"event": "measured"}, "actions": []}, {"actions": [{"action": "finish"}]}
    with Ledger(tmp_path, create=True) as ledger:
        ledger.append({"header": {}})
        ledger.append(nobody_waits)
        ledger.append(nobody_waits)
        assert synced == [1]
        ledger.append(nobody_waits | acted_on)
        ledger.append({"event": {"event": "pause_asked"}, "actions": []})
        assert synced == [1, 4, 5], "one that is acted on takes those before it along"


def test_what_was_written_is_read_back_and_never_kept(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        ledger.append({"number": 0})
        written = ledger.entries
        ledger.append({"number": 1})
        assert [len(written), len(ledger.entries)] == [1, 2]
        assert ledger.entries == read_ledger(tmp_path)
