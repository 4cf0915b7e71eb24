"""Telling somebody that a study has ended: commands, addresses, and failures that change nothing."""

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from sp_search.errors import StudyError
from sp_search.on_finish import checked, tell

PAYLOAD = {"name": "tiny", "ended": "resolved"}


class Listener(http.server.BaseHTTPRequestHandler):
    heard: ClassVar[list[dict[str, object]]] = []

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200 if self.path == "/good" else 500)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Listener.heard = []
    server = http.server.HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_command_finds_the_study_in_its_environment(tmp_path: Path) -> None:
    script = tmp_path / "hook.py"
    script.write_text(
        "import os, pathlib\npathlib.Path(os.environ['SP_SEARCH_FOLDER'], 'told').write_text("
        "' '.join(os.environ['SP_SEARCH_' + name] for name in ('NAME', 'MET', 'ENDED', 'EXIT_CODE')))"
    )
    tell(f"{sys.executable} {script}", tmp_path, PAYLOAD, 0)
    assert (tmp_path / "told").read_text() == "tiny 1 resolved 0"


def test_an_address_is_posted_to(address: str, tmp_path: Path) -> None:
    tell(f"{address}/good", tmp_path, PAYLOAD, 3)
    (told,) = Listener.heard
    assert told == {"folder": str(tmp_path), "name": "tiny", "met": False, "ended": "resolved", "exit_code": 3}


@pytest.mark.parametrize("hook", ["false", "no-such-command-anywhere --flag", "http://127.0.0.1:9/nobody"])
def test_a_failure_is_said_and_changes_nothing(hook: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(hook, tmp_path, PAYLOAD, 0)
    assert "failed, the answer stands" in capsys.readouterr().err


def test_an_address_that_refuses_is_said(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(f"{address}/bad", tmp_path, PAYLOAD, 0)
    assert "500" in capsys.readouterr().err


@pytest.mark.parametrize("hook", ["", "'unfinished"])
def test_what_is_no_hook_is_refused_before_anything_runs(hook: str) -> None:
    with pytest.raises(StudyError, match="--on-finish"):
        checked(hook)
