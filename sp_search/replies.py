"""A command about a study of a cluster, as a job beside it: the jobs' server may be the only door of a cluster.

The job runs `sp-search` on the head node, where the study's folder lies, and its answer comes back as marked lines of
its log, between whatever else is said there.
"""

from __future__ import annotations

import base64
import json
import secrets
import shlex
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sp_search.errors import StorageError
from sp_search.own_parts import runtime_environment
from sp_search.packing import LINE
from sp_search.submission import Job, head_word

MARK = "sp_search answers"


class Reply(NamedTuple):
    """What a command answered elsewhere: for machines, for people, and to the shell."""

    payload: Any
    text: str
    code: int


def asking_job(command: str, folder: str, options: Sequence[str] = ()) -> Job:
    """Return the job that puts a command to a study.

    Args:
        command: of `sp-search`.
        folder: the study's, on the head node.
        options: what follows it.
    """
    words = f"{command} {head_word(folder)} {shlex.join(options)}".strip()
    name = f"sp-search-{command}-{secrets.token_hex(4)}"
    return Job(name=name, command=f"python -m sp_search {words}", folder=folder, environment=runtime_environment())


def replying(job: Job) -> Job:
    """Return the job with its answer as `read_reply` reads it."""
    return job.model_copy(update={"command": job.command.replace(" -m sp_search ", " -m sp_search --reply ", 1)})


def reply_lines(reply: Reply) -> list[str]:
    """Return an answer as lines for a log."""
    text = base64.b64encode(json.dumps(reply).encode()).decode()
    parts = [text[at : at + LINE] for at in range(0, len(text), LINE)]
    return [f"{MARK} {number}/{len(parts)} {part}" for number, part in enumerate(parts, 1)]


def read_reply(log: Iterable[str]) -> Reply:
    """Return the answer in a log.

    Raises:
        StorageError: there is none, or not all of it.
    """
    lines = [line.strip() for line in log]
    marked = [line.removeprefix(MARK).split() for line in lines if line.startswith(f"{MARK} ")]
    if not marked or [place for place, _ in marked] != [f"{one}/{len(marked)}" for one in range(1, len(marked) + 1)]:
        said = next((line for line in reversed(lines) if line), "nothing")
        raise StorageError(f"the cluster sent no whole answer; its last word: {said}. Is sp_search installed there?")
    return Reply(*json.loads(base64.b64decode("".join(part for _, part in marked))))
