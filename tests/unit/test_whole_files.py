"""A file or a folder that is written whole, or is not there."""

import stat

import pytest

from sp_search.errors import StorageError
from sp_search.whole_files import new_whole_folder, write_whole


def test_a_file_is_written_in_place_of_another(tmp_path):
    assert write_whole(tmp_path / "page.html", "äß").read_bytes() == "äß".encode()
    assert write_whole(tmp_path / "page.html", b"\x00").read_bytes() == b"\x00"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path):
    path = write_whole(tmp_path / "page.html", "before")
    (tmp_path / "page.partial").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(path, "after")
    assert path.read_text() == "before"


def test_a_folder_is_there_once_all_of_it_is(tmp_path):
    target = tmp_path / "below" / "new"
    with new_whole_folder(target) as folder:
        (folder / "a").write_text("a")
        assert not target.exists()
    assert [path.name for path in target.parent.iterdir()] == ["new"]
    assert (target / "a").read_text() == "a"
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


@pytest.mark.parametrize("error", [StorageError("damaged"), KeyboardInterrupt()])
def test_a_folder_that_breaks_off_leaves_nothing(error, tmp_path):
    def breaks_off():
        with new_whole_folder(tmp_path / "new") as folder:
            (folder / "a").write_text("a")
            raise error

    with pytest.raises(type(error)):
        breaks_off()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_or_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file exists: name a new folder"), new_whole_folder(tmp_path / "file"):
        pass
    with (
        pytest.raises(StorageError, match=r"cannot write .*below: .*name another folder"),
        new_whole_folder(tmp_path / "file" / "below"),
    ):
        pass
