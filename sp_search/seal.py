"""Whether a study's folder was begun by this user: only then are the places outside it used that it names.

A folder can name an object store for its checkpoints and an address for its tracking; a stranger's names anybody's.
What this user began carries an HMAC (RFC 2104) of these places under a key that never leaves the user's home.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sp_search.plain_files import read_bytes

PLACES = ("tracking_uri", "checkpoints")
"""What a manifest may name outside its folder."""
KEY_BYTES = 32


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with the seal of its places; without one where no key can be kept, as in a read-only home."""
    key = _key(make=True)
    return manifest if key is None else {**manifest, "seal": _seal(key, manifest)}


def foreign_places(manifest: dict[str, Any], begins: Sequence[str | None] = ()) -> list[str]:
    """Return the places outside it that a manifest names, or what is to begin, unless it was sealed by this user."""
    named = list(dict.fromkeys(place for place in (*map(manifest.get, PLACES), *begins) if place))
    key, said = _key(make=False), manifest.get("seal")
    if key is None or not isinstance(said, str):
        return named
    if hmac.compare_digest(said.encode(errors="replace"), _seal(key, manifest).encode()):
        return []
    return named


def _seal(key: bytes, manifest: dict[str, Any]) -> str:
    return hmac.new(key, json.dumps([manifest.get(name) for name in PLACES]).encode(), "sha256").hexdigest()


def _key(*, make: bool) -> bytes | None:
    """Return the user's key, made at the first study; None where there is none."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    path = Path(home) / "sp_search" / "seal.key"
    with suppress(OSError, RuntimeError):
        if make and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            with suppress(FileExistsError):  # another study made it this instant
                os.link(made, path)  # whole, or not there
            made.unlink()
        key = read_bytes(path, KEY_BYTES)
        return key if len(key) == KEY_BYTES else None
    return None
