"""Ray Jobs as `submit` needs them: start one, follow its log, hear how it ended. Over HTTP, with a token."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ray.exceptions import AuthenticationError

from sp_search.errors import StudyError
from sp_search.submission import Job

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient


class Ended(NamedTuple):
    """How a job ended: its exit code (None where it never came to run), and what the cluster said of it."""

    code: int | None
    said: str


class Jobs:
    """The jobs of one cluster.

    Raises:
        StudyError: no jobs' server answers at the address, it refuses the token, or it refuses the job.
    """

    def __init__(self, address: str) -> None:
        """Connect to the cluster whose dashboard is at `address`."""
        from ray.job_submission import JobSubmissionClient

        self.address = address
        os.environ["RAY_API_SERVER_ADDRESS"] = address  # comes before RAY_ADDRESS, which comes before an argument
        with self._answering():
            self._client: JobSubmissionClient = JobSubmissionClient(address)

    def start(self, job: Job) -> None:
        """Send a job, with the files that it needs."""
        with self._answering():
            self._client.submit_job(entrypoint=job.command, submission_id=job.name, runtime_env=job.environment or None)

    def follow(self, name: str, hear: Callable[[str], object]) -> Ended:
        """Tell the job's log, piece by piece, until it has ended."""

        async def listen() -> None:
            async for lines in self._client.tail_job_logs(name):
                hear(lines)

        with self._answering():
            while not (info := self._client.get_job_info(name)).status.is_terminal():
                asyncio.run(listen())
        return Ended(0 if info.status == "SUCCEEDED" else info.driver_exit_code, info.message or str(info.status))

    def log(self, name: str) -> str:
        """Return the whole log of a job."""
        with self._answering():
            return str(self._client.get_job_logs(name))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Say in our words what goes wrong between us and the cluster; a token is never repeated."""
        try:
            yield
        except AuthenticationError as error:
            mode = os.environ.get("RAY_AUTH_MODE", "not set")
            advice = "set RAY_AUTH_MODE=token, and the cluster's token as RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN"
            raise StudyError([f"{self.address} refuses us (RAY_AUTH_MODE is {mode}): {advice}"]) from error
        except ConnectionError as error:
            advice = "is its dashboard up (ray[default] on its head), and reachable from here (ssh -L 8265:...)?"
            raise StudyError([f"{self.address}: no Ray cluster answers: {advice}"]) from error
        except RuntimeError as error:
            said = str(error).strip().splitlines()[-1]
            if "No available agent" in said:
                advice = "give ray start a --dashboard-agent-listen-port of its own"
                said += f" Another Ray on the head's machine may hold its agent's port: {advice}"
            raise StudyError([f"{self.address}: {said}"]) from error
