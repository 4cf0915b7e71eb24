"""What a machine says of itself: versions, hardware, limits, clock, and whether it shares a storage with the others.

Only the standard library at the top, and of sp_search `bucket` alone, which keeps to the same: both travel by value to
machines on which sp_search may be missing or another one. A machine's words are plain JSON; `health.py` reads them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import resource
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sp_search.bucket import Bucket, is_bucket, told

PACKAGES = ("numpy", "optuna", "pydantic", "ray", "safetensors", "scipy", "torch")
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where Linux has it, no file of ours
LISTENING = "0A"
"""A socket's state in /proc/net/tcp (proc_net_tcp(5); Linux, tcp_states.h)."""


def facts(place: str, mark: str | None = None, *, engine: bool = True) -> dict[str, Any]:
    """Return what this machine is like.

    Args:
        place: where studies are to lie: a folder, which may not exist yet, or an object store's address.
        mark: the name of a file that another machine wrote there (`marked`), if it is to be shared.
        engine: ask torch for its GPUs, which takes the seconds of its import.
    """
    room = shutil.disk_usage(_nearest(Path("." if is_bucket(place) else place)))
    answer = f"{mark}-{socket.gethostname()}-{os.getpid()}"
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "code": code_digest(),
        "plugins": _plugins(),
        "cores": len(os.sched_getaffinity(0)),
        "gpus": _gpus() if engine else None,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "disk": [room.free, room.total],
        "shared_memory": shutil.disk_usage(SHARED_MEMORY).total if os.path.isdir(SHARED_MEMORY) else 0,
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "clock": time.time(),
        "auth_mode": os.environ.get("RAY_AUTH_MODE"),
        "answer": answer,
        "storage": "" if mark is None else answer_mark(place, mark, answer),
    }


def code_digest() -> str | None:
    """Return a digest of the sources of sp_search, which a version number does not pin; None where it is missing."""
    found = importlib.util.find_spec("sp_search")
    if found is None or not found.submodule_search_locations:
        return None
    root = Path(found.submodule_search_locations[0])
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def marked(place: str | None) -> Iterator[str | None]:
    """Hold a file in `place` for others to read and answer, and give its name; afterwards nothing is left of it.

    Raises:
        OSError: it cannot be written.
    """
    if place is None:
        yield None
        return
    mark = f"sp_search-{secrets.token_hex(8)}"
    if is_bucket(place):
        bucket = Bucket(place)
        bucket.write(f"{mark}/mark", mark.encode())
        try:
            yield mark
        finally:
            for name in bucket.names(mark):
                bucket.remove(name)
        return
    folder = Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _mark(folder, mark).write_text(mark, encoding="ascii")
        yield mark
    finally:
        for file in folder.glob(f".{mark}*"):
            file.unlink(missing_ok=True)


def answer_mark(place: str, mark: str, answer: str) -> str:
    """Read the mark and write an answer beside it; return what went wrong, or an empty string."""
    if is_bucket(place):
        return _answer_in(Bucket(place), mark, answer)
    folder = Path(place)
    try:
        if _mark(folder, mark).read_text(encoding="ascii") != mark:
            return "reads another content"
    except OSError as error:
        return f"does not see what the driver wrote ({error.strerror})"
    try:
        _mark(folder, answer).write_text(mark, encoding="ascii")
    except OSError as error:
        return f"cannot write ({error.strerror})"
    return ""


def _answer_in(bucket: Bucket, mark: str, answer: str) -> str:
    """Do in an object store whatever a study does there: read, write, list and delete."""
    own, doing = f"{mark}/{answer}", "read"
    try:
        if bucket.read(f"{mark}/mark") != mark.encode():
            return "reads another content"
        doing = "write"
        bucket.write(own, mark.encode())
        if bucket.read(own) != mark.encode():
            return "reads another content than it wrote"
        doing = "list"
        if own not in bucket.names(mark):
            return "does not list what it wrote"
        doing = "delete"
        bucket.remove(own)
    except (OSError, ImportError) as error:
        return f"cannot {doing}: {told(error)}"
    return ""


def answered(place: str, answer: str) -> bool:
    """Whether an answer can be seen from here; in an object store there is one place for all."""
    return is_bucket(place) or _mark(Path(place), answer).exists()


def _mark(folder: Path, mark: str) -> Path:
    return folder / f".{mark}"


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _plugins() -> dict[str, str]:
    """Return the packages that bring parts, with their versions."""
    points = [
        point
        for group in importlib.metadata.entry_points().groups
        if group.startswith("sp_search.")
        for point in importlib.metadata.entry_points(group=group)
    ]
    return {point.dist.name: point.dist.version for point in points if point.dist is not None}


def _gpus() -> list[str] | None:
    """Return the names of the GPUs that torch can use, or None where torch cannot be imported."""
    try:
        import torch
    except ImportError:
        return None
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def open_ray() -> list[dict[str, Any]]:
    """Return the Ray processes of this machine that listen beyond loopback: process, ports, and how they authenticate.

    Read from /proc; of other users' processes only the names are readable, which are left out.
    """
    reachable = {**_reachable("tcp", "0100007F"), **_reachable("tcp6", "00000000000000000000000001000000")}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            if name not in ("gcs_server", "raylet"):
                continue
            sockets = [os.readlink(file) for file in (process / "fd").iterdir()]
            settings = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended, or is another user's
            continue
        ports = sorted({reachable[one] for one in sockets if one in reachable})
        modes = [one.partition(b"=")[2].decode() for one in settings if one.startswith(b"RAY_AUTH_MODE=")]
        if ports:
            found.append({"process": name, "ports": ports, "auth_mode": modes[0] if modes else None})
    return found


def _reachable(family: str, loopback: str) -> dict[str, int]:
    """Return the ports that listen on more than loopback, by the socket as a process's descriptors name it."""
    table = Path("/proc/net") / family
    rows = [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
    listening = [(row[1].split(":"), row[9]) for row in rows if row[3] == LISTENING]
    return {f"socket:[{inode}]": int(port, 16) for (address, port), inode in listening if address != loopback}
