"""The files under one address of an object store, `s3://BUCKET/PREFIX`, as the storage that all machines share.

Credentials, region and endpoint come from the environment of each machine (AWS_ACCESS_KEY_ID, AWS_PROFILE, a role;
AWS_DEFAULT_REGION; AWS_ENDPOINT_URL for a store of one's own; of gs:// GOOGLE_APPLICATION_CREDENTIALS or the machine's
account), never from a file of ours. A write is seen as a whole or not at all, and at once by every reader (Amazon S3's
consistency since December 2020, Google's from the beginning). Nothing of sp_search is imported (`machine.py`).
"""

from __future__ import annotations

import re
from pathlib import Path

SCHEMES = ("s3", "gs")
GS_PATIENCE_S = 20
"""Google's library tries again for a quarter of an hour otherwise, also where nobody has said who we are."""


class Bucket:
    """Files by their names below an address.

    Raises:
        OSError: whatever the store refuses; FileNotFoundError where nothing has that name.
    """

    def __init__(self, address: str) -> None:
        """Use what lies below `address`; nothing is asked of the store yet."""
        from pyarrow.fs import FileSystem

        self.address = address.rstrip("/")
        patience = f"{'&' if '?' in address else '?'}retry_limit_seconds={GS_PATIENCE_S}" if is_gs(address) else ""
        self._files, self._root = FileSystem.from_uri(self.address + patience)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        try:
            with self._files.open_input_stream(f"{self._root}/{name}") as file:
                content: bytes = file.readall()
        except OSError as error:
            if "RESOURCE_NOT_FOUND" in str(error) or "NO_SUCH_KEY" in str(error):  # removed after it was looked for
                raise FileNotFoundError(f"{self.address}/{name} is not there any more") from error
            raise
        return content

    def write(self, name: str, content: bytes) -> None:
        """Store a file over what was there."""
        with self._files.open_output_stream(f"{self._root}/{name}") as file:
            file.write(content)

    def remove(self, name: str) -> None:
        """Throw a file away, if it is there."""
        try:
            self._files.delete_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return

    def names(self, folder: str) -> list[str]:
        """Return the names of all files below `folder`, in order."""
        from pyarrow.fs import FileSelector, FileType

        below = FileSelector(f"{self._root}/{folder}".rstrip("/"), allow_not_found=True, recursive=True)
        found = [one.path for one in self._files.get_file_info(below) if one.type == FileType.File]
        return sorted(path.removeprefix(f"{self._root}/") for path in found)

    def folders(self, folder: str) -> list[str]:
        """Return the names of what lies right below `folder` and has files below it, in order."""
        below = (name.removeprefix(f"{folder}/" if folder else "") for name in self.names(folder))
        return sorted({name.partition("/")[0] for name in below if "/" in name})


def is_bucket(address: str) -> bool:
    """Whether an address names an object store, not a folder."""
    return address.partition("://")[0] in SCHEMES and "://" in address


def is_plain(address: str) -> bool:
    """Whether an address is that of something in an object store, and holds neither a login nor an endpoint."""
    return re.fullmatch(rf"({'|'.join(SCHEMES)})://[A-Za-z0-9._-]+(/[^?#]*)?", address) is not None


def is_gs(address: str) -> bool:
    """Whether an address is of Google's store."""
    return address.startswith("gs://")


def told(error: Exception) -> str:
    """Return what an object store's library says of an error, in one line."""
    return " ".join(str(error).split())[:400]


def files_of(folder: Path, *, leave_out: tuple[str, ...]) -> list[str]:
    """Return the names of a folder's files in order, but for what is called as in `leave_out` at its top."""
    names = [str(file.relative_to(folder)) for file in sorted(folder.rglob("*")) if file.is_file()]
    return [name for name in names if name.partition("/")[0] not in leave_out]


def download(bucket: Bucket, folder: Path, *, leave_out: tuple[str, ...] = ()) -> int:
    """Copy the files below a bucket's address into a folder, but for the folders `leave_out`; return how many.

    Raises:
        ValueError: a name would leave the folder.
    """
    names = [name for name in bucket.names("") if name.partition("/")[0] not in leave_out]
    for name in names:
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{bucket.address} holds '{name}', which would lie outside {folder}: remove it there")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bucket.read(name))
    return len(names)
