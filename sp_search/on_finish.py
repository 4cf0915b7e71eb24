"""Tell somebody that a study has ended: a command of theirs, or an address that is posted to.

It is said where the study is run (`--on-finish`), never in a study's file: whoever resumes a stranger's study runs
nothing of theirs. Whatever goes wrong here is a warning: the answer stands.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sp_search.errors import StudyError

COMMAND_S, WEBHOOK_S = 60.0, 10.0
"""How long a command and an address may take."""


def checked(hook: str | None) -> str | None:
    """Return a hook that can be called, before anything runs.

    Raises:
        StudyError: it is neither an address nor a command.
    """
    if hook is None or _is_address(hook):
        return hook
    try:
        words = shlex.split(hook)
    except ValueError as error:
        raise StudyError([f"--on-finish {hook!r}: it is no command ({error}); quote it as for a shell"]) from None
    if not words:
        raise StudyError(["--on-finish: it is empty; give a command, or an address as in https://host/path"])
    return hook


def tell(hook: str | None, folder: Path, payload: dict[str, Any], exit_code: int) -> None:
    """Call a hook with where the study lies and how it ended; failure is said on stderr and changes nothing.

    A command finds SP_SEARCH_FOLDER, SP_SEARCH_NAME, SP_SEARCH_MET (1 or 0), SP_SEARCH_ENDED and SP_SEARCH_EXIT_CODE in
    its environment; an address is posted the same as JSON.
    """
    if hook is None:
        return
    ended = str(payload.get("ended", "compared"))
    told = {"folder": str(folder.resolve()), "name": str(payload["name"]), "met": exit_code in (0, 6), "ended": ended}
    told |= {"exit_code": exit_code}
    try:
        if _is_address(hook):
            _post(hook, told)
        else:
            _call(hook, told)
    except (OSError, subprocess.SubprocessError, urllib.error.URLError, ValueError) as error:
        where = urlsplit(hook).hostname if _is_address(hook) else shlex.split(hook)[0]
        sys.stderr.write(f"on-finish ({where}) failed, the answer stands: {type(error).__name__}: {error}\n")


def _is_address(hook: str) -> bool:
    return urlsplit(hook).scheme in ("http", "https")


def _call(hook: str, told: dict[str, Any]) -> None:
    own = {
        f"SP_SEARCH_{key.upper()}": str(int(value) if isinstance(value, bool) else value) for key, value in told.items()
    }
    command = shlex.split(hook)
    subprocess.run(  # noqa: S603  # the user's own words on the command line
        command, env={**os.environ, **own}, timeout=COMMAND_S, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr
    )


def _post(address: str, told: dict[str, Any]) -> None:
    body = json.dumps(told).encode()
    request = urllib.request.Request(address, data=body, headers={"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=WEBHOOK_S):  # noqa: S310  # http and https alone, see _is_address
        pass
