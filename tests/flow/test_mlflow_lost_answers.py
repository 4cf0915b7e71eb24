"""A server that makes a run and whose answer never arrives: no run is there twice, whoever asks again."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from invented_study import write_study
from mlflow_store import MARKS, keys, runs_of, ship, stored_points, wanted_points

pytestmark = [*MARKS, pytest.mark.slow]  # a real server
CREATE = "/api/2.0/mlflow/runs/create"


class Request(NamedTuple):
    """One request of MLflow's client."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@contextmanager
def between(server: str, pass_on: Callable[[Request, Callable[[Request], Answer]], Answer | None]) -> Iterator[str]:
    """Yield the address of a proxy that answers what `pass_on` says; of None the client never hears."""
    host = urlsplit(server).netloc

    def ask(request: Request) -> Answer:
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request(request.method, request.path, request.body, request.headers)
        said = connection.getresponse()
        answer = Answer(said.status, said.getheaders(), said.read())
        connection.close()
        return answer

    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = pass_on(Request(self.command, self.path, body, dict(self.headers)), ask)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers:
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # names of http.server

        def log_message(self, *said: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


class Lossy:
    """Loses answers to the creation of runs: those whose number is in `lost`. What `late` names is also done late."""

    def __init__(self, lost: set[int], *, late: bool) -> None:
        self.lost, self.late = lost, late
        self.created = 0
        self.held: list[Request] = []

    def __call__(self, request: Request, ask: Callable[[Request], Answer]) -> Answer | None:
        if request.path != CREATE:
            return ask(request)
        self.created += 1
        if self.created in self.lost and self.late:
            self.held.append(request)
            return None
        answer = ask(request)
        while self.held:  # the server was only slow: it does now what it was asked for first
            ask(self.held.pop())
        return None if self.created in self.lost else answer


@pytest.mark.parametrize("retries", ["0", "2"], ids=["we ask again", "the client asks again"])
@pytest.mark.parametrize("late", [False, True], ids=["done at once", "done late"])
def test_a_run_whose_making_was_not_answered_is_there_once(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retries: str, late: bool
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", retries)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    name, folder = f"lost-{retries}-{late}", tmp_path / "study"
    write_study(folder, name=name, until=8)
    lossy = Lossy({1, 4}, late=late)
    with between(server, lossy) as address:
        ship(address, folder, name)
    client, runs = runs_of(server, name)
    found_again = retries == "0" and not late  # else it was made a second time, and one of the two is deleted
    assert lossy.created - len(runs) == (0 if found_again else 2)
    assert keys(runs) == sorted(set(keys(runs)))
    assert sorted(stored_points(client, runs)) == sorted(wanted_points(folder))
