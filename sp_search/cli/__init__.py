"""The command line: thin words around `sp_search.api`. Results go to stdout, everything else to stderr.

Every command returns an `Answer`; `--json` prints its payload, otherwise its text is printed. Each module here
registers the commands of one subject; heavy imports happen inside commands, so that `validate` and `list` answer at
once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import CycloptsError, Parameter

from sp_search.cli import (  # noqa: F401  # importing a module registers its commands
    audit,
    claims,
    cluster,
    control,
    doctor,
    figures,
    game,
    outputs,
    parts,
    planning,
    starting,
    studies,
    tax,
    tracking,
)
from sp_search.cli.app import Answer, ExitCode, app, failure
from sp_search.logbook import printable
from sp_search.plugins import use
from sp_search.replies import Reply, reply_lines

__all__ = ["Answer", "ExitCode", "app", "main"]


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    as_json: Annotated[bool, Parameter(name="--json", help="Print the result as JSON.")] = False,
    debug: Annotated[bool, Parameter(help="Show the traceback of an error.")] = False,
    as_reply: Annotated[bool, Parameter(name="--reply", show=False)] = False,
    plugins: Annotated[list[Path] | None, Parameter(help="A folder with parts of your own; may be repeated.")] = None,
) -> int:
    try:
        if plugins:
            use(*plugins)
        answer: Answer | None = app(tokens, exit_on_error=False, result_action="return_value")
    except CycloptsError:  # said already
        return ExitCode.USAGE
    except Exception as error:
        code, messages = failure(error)
        if debug:
            traceback.print_exc()
        if as_reply:
            print(
                *reply_lines(Reply({"error": type(error).__name__, "messages": messages}, "\n".join(messages), code)),
                sep="\n",
            )
        elif as_json:
            print(json.dumps({"exit_code": code, "error": type(error).__name__, "messages": messages}, indent=2))
        print(_shown("\n".join(messages)), file=sys.stderr)
        return code
    if answer is None:  # --help and --version have printed
        return ExitCode.MET
    if as_reply:
        print(*reply_lines(Reply(*answer)), sep="\n")
    else:
        print(json.dumps(answer.payload, indent=2) if as_json else _shown(answer.text))
    return answer.code


def _shown(text: str) -> str:
    """Return a text for a terminal: what a stranger's file says may be told, and never steer it."""
    return "\n".join(printable(line) for line in text.split("\n"))


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    try:
        return int(app.meta(tokens, exit_on_error=False, result_action="return_value") or ExitCode.MET)
    except CycloptsError:
        return ExitCode.USAGE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # who read our output has left, as `head` does; nothing can be said any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
