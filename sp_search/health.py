"""What is wrong with a machine or a cluster before a study meets it, and how to mend it: pure readings of `machine.py`.

A finding fails when a study would end wrongly or not at all, and warns when it would be slow, tight or hard to trace.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sp_search.bucket import is_bucket
from sp_search.records import Record

Verdict = Literal["ok", "warn", "fail"]

GIB = 2**30
LEAST_DISK, SMALL_DISK = 0.2 * GIB, 2 * GIB
FULL_DISK = 0.05
"""Below this free share Ray starts no more work on a machine (`local_fs_capacity_threshold`, 95 % full)."""
SMALL_SHARED_MEMORY = 0.25 * GIB
"""A local Ray keeps 128 MiB of objects there; a container has 64 MiB unless it is told otherwise."""
FEW_FILES = 4096
CLOCK_SKEW_S, WRONG_CLOCK_S = 5.0, 300.0
"""S3 refuses a request whose clock is a quarter of an hour off, and tokens end after minutes."""
SMALL_OBJECT_STORE = 0.0625 * GIB
_MAY = "and let it get, put, list and delete objects below the address"
_S3_WHO = f"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the machine's role, {_MAY}"
_GS_WHO = f"set GOOGLE_APPLICATION_CREDENTIALS or the machine's account, {_MAY}"
BUCKET_MENDS = {
    "s3": (
        ("NO_SUCH_BUCKET|404", "make the bucket, or mend its name: nothing of sp_search makes one"),
        (
            "NETWORK_CONNECTION",
            "mend AWS_ENDPOINT_URL (none for Amazon's own) and AWS_DEFAULT_REGION, or the way there",
        ),
        ("301|AuthorizationHeaderMalformed", "set AWS_DEFAULT_REGION to the bucket's region"),
        ("ACCESS_DENIED|ACCESS_KEY|SIGNATURE|Token|HTTP status 40[013]", _S3_WHO),
    ),
    "gs": (
        ("OAuth2|PERMISSION_DENIED|UNAUTHENTICATED|40[13]", _GS_WHO),
        ("NOT_FOUND|404", "make the bucket, or mend its name: nothing of sp_search makes one"),
        ("UNAVAILABLE|CURL", "mend the way to storage.googleapis.com"),
    ),
}
"""What mends an object store, by its library's words (S3's error codes; Google's status), the most telling first."""


class Machine(Record):
    """What a machine said of itself, and what Ray says of it (`address` and the rest are None where Ray is not)."""

    host: str
    python: str
    packages: dict[str, str | None]
    code: str | None
    plugins: dict[str, str]
    cores: int
    gpus: list[str] | None
    memory_bytes: int
    disk: tuple[int, int]
    shared_memory: int
    files: int
    clock: float
    auth_mode: str | None
    answer: str
    storage: str
    address: str | None = None
    clock_skew_s: float = 0.0
    promised_gpus: float = 0.0
    object_store_bytes: float | None = None

    @property
    def name(self) -> str:
        """What a finding calls it."""
        return self.host if self.address is None else f"{self.host} ({self.address})"


class Finding(Record):
    """One thing that was looked at: on which machine, how it is, and what mends it."""

    check: str
    machine: str
    verdict: Verdict
    said: str
    mend: str = ""


def machine_findings(machine: Machine) -> list[Finding]:
    """Look at one machine alone."""
    free, total = machine.disk
    disk: Verdict = "fail" if free < LEAST_DISK else "warn" if free < max(SMALL_DISK, FULL_DISK * total) else "ok"
    tight: Verdict = "warn" if machine.shared_memory < SMALL_SHARED_MEMORY else "ok"
    files: Verdict = "warn" if machine.files < FEW_FILES else "ok"
    found = [
        _engine(machine),
        _finding(
            "disk", machine, disk, f"{_gib(free)} free of {_gib(total)}", "make room, or choose another --storage"
        ),
        _finding("shared memory", machine, tight, _gib(machine.shared_memory), "docker run --shm-size=1g, or /dev/shm"),
        _finding("open files", machine, files, f"{machine.files} at most", "ulimit -n 65536 before Ray starts"),
    ]
    if machine.object_store_bytes is not None:
        store: Verdict = "warn" if machine.object_store_bytes < SMALL_OBJECT_STORE else "ok"
        mend = "ray start --object-store-memory 134217728"
        found.append(_finding("object store", machine, store, _gib(machine.object_store_bytes), mend))
    return found


def _engine(machine: Machine) -> Finding:
    """Whether torch is there, and sees the GPUs that Ray promises."""
    if machine.gpus is None:
        return _finding("torch", machine, "fail", "cannot be imported", "pip install 'torch>=2.13,<2.14'")
    said = f"{machine.packages.get('torch')}, {machine.cores} cores, GPUs: {', '.join(machine.gpus) or 'none'}"
    if machine.promised_gpus > len(machine.gpus):
        mend = "install the GPU build of torch and its driver, or start Ray there with --num-gpus 0"
        return _finding("torch", machine, "fail", f"{said}; Ray promises {machine.promised_gpus:g}", mend)
    return _finding("torch", machine, "ok", said)


def requirement_findings(
    asked_for: Iterable[str] | None, has: Mapping[str, str | None], machine: Machine
) -> list[Finding]:
    """Compare what is installed, by canonical name, with what sp_search asks for (None: it was never installed)."""
    if asked_for is None:
        mend = "pip install the package, or make quickstart"
        return [_finding("requirements", machine, "warn", "sp_search runs from a source tree", mend)]
    asked = [one for one in map(Requirement, asked_for) if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [
        _finding(
            "requirements",
            machine,
            "fail",
            f"{one.name}: got {has.get(canonicalize_name(one.name)) or 'nothing'}, asked for {one.specifier}",
            f"pip install '{one}'",
        )
        for one in asked
        if not one.specifier.contains(has.get(canonicalize_name(one.name)) or "0.dev0", prereleases=True)
    ]
    return wrong or [_finding("requirements", machine, "ok", f"all {len(asked)} as asked for")]


def requirements() -> list[str] | None:
    """Return what sp_search asks for, as `pip` reads it; None where it was never installed."""
    try:
        return importlib.metadata.requires("sp_search")
    except importlib.metadata.PackageNotFoundError:
        return None


def installed() -> dict[str, str | None]:
    """Return what is installed here: versions by canonical name."""
    return {canonicalize_name(one.name): one.version for one in importlib.metadata.distributions()}


def differences(wanted: Machine, got: Machine) -> list[str]:
    """Return in which of the versions that an answer depends on a machine differs from the one that drives."""
    pairs = {
        "sp_search": (wanted.code, got.code),
        "python": (_minor(wanted.python), _minor(got.python)),
        "ray": (wanted.packages.get("ray"), got.packages.get("ray")),
        "torch": (_public(wanted.packages.get("torch")), _public(got.packages.get("torch"))),
        **{name: (wanted.plugins.get(name), got.plugins.get(name)) for name in wanted.plugins | got.plugins},
    }
    shown = {"sp_search": "sources "}
    return [
        f"{name}: got {shown.get(name, '') if has else ''}{has or 'none'}, "
        f"wanted {shown.get(name, '') if asked else ''}{asked or 'none'}"
        for name, (asked, has) in pairs.items()
        if asked != has
    ]


def cluster_findings(driver: Machine, machines: Iterable[Machine], *, storage: str | None) -> list[Finding]:
    """Compare the machines of a cluster with the one that drives; `storage` is what was put to the test, if any."""
    found = []
    for one in machines:
        wrong = differences(driver, one)
        mend = "install the same versions there, or start it from the same image"
        found.append(_finding("versions", one, "fail" if wrong else "ok", "; ".join(wrong) or "as the driver's", mend))
        if storage is not None:
            found.append(storage_finding(one, storage))
        found += [_clock(one), _auth(one)]
    return found


def storage_finding(machine: Machine, place: str) -> Finding:
    """Say how a machine did with the folder or the object store that was put to the test."""
    does = "reads, writes, lists and deletes" if is_bucket(place) else "reads and writes"
    verdict: Verdict = "fail" if machine.storage else "ok"
    return _finding("storage", machine, verdict, machine.storage or does, storage_mend(place, machine.storage))


def storage_mend(place: str, said: str) -> str:
    """Return what mends a storage, by what was said of it."""
    if not is_bucket(place):
        return "mount one shared folder everywhere, writable for who runs Ray, or use s3://BUCKET/PREFIX"
    scheme = place.partition("://")[0]
    found = (mend for pattern, mend in BUCKET_MENDS[scheme] if re.search(pattern, said))
    return next(found, f"look at the {scheme} store and at what this machine may do there")


def _clock(machine: Machine) -> Finding:
    skew = abs(machine.clock_skew_s)
    verdict: Verdict = "fail" if skew > WRONG_CLOCK_S else "warn" if skew > CLOCK_SKEW_S else "ok"
    return _finding("clock", machine, verdict, f"{skew:.1f} s off the driver's", "run chrony or ntpd there")


def _auth(machine: Machine) -> Finding:
    """Whether a machine that others reach asks for a token."""
    loopback = machine.address is None or machine.address.startswith("127.")
    safe = loopback or machine.auth_mode == "token"
    mend = "RAY_AUTH_MODE=token and the same token for every machine, before ray start (SECURITY.md)"
    return _finding("auth", machine, "ok" if safe else "fail", f"RAY_AUTH_MODE {machine.auth_mode or 'not set'}", mend)


def open_findings(processes: Iterable[Mapping[str, object]], machine: Machine) -> list[Finding]:
    """Judge the Ray processes of this machine that listen beyond loopback (`machine.open_ray`)."""
    mend = "RAY_AUTH_MODE=token before ray start, or --node-ip-address 127.0.0.1 and a firewall (SECURITY.md)"
    return [
        _finding(
            "auth",
            machine,
            "ok" if one["auth_mode"] == "token" else "fail",
            f"{one['process']} listens beyond loopback, RAY_AUTH_MODE {one['auth_mode'] or 'not set'}",
            mend,
        )
        for one in processes
    ] or [_finding("auth", machine, "ok", "no Ray of ours listens beyond loopback")]


def _finding(check: str, machine: Machine, verdict: Verdict, said: str, mend: str = "") -> Finding:
    mend = "" if verdict == "ok" else mend
    return Finding(check=check, machine=machine.name, verdict=verdict, said=said, mend=mend)


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _public(version: str | None) -> str | None:
    """Return a version without its build: machines with and without a GPU work together."""
    return version and version.partition("+")[0]
