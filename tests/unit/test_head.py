"""A driver whose cluster has lost its head ends as at SIGTERM; one whose head is slow to come back lives on."""

import signal
import socket
import threading
from itertools import count
from types import SimpleNamespace

import pytest

from sp_search.signals import Signals
from sp_search.tune.head import patience_s, watched


@pytest.fixture
def head():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def address_of(head):
    return "{}:{}".format(*head.getsockname())


def test_a_head_that_is_gone_is_said_and_ends_the_driver(head, tmp_path, capsys):
    address, heard = address_of(head), threading.Event()
    with Signals(tmp_path) as signals:
        own = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *signalled: (own(*signalled), heard.set()))
        with watched(address, 0.1, look_s=0.02):
            head.close()
            assert heard.wait(50)
    assert signals.received == [signal.SIGTERM]
    assert f"the cluster's head at {address} has not answered for 0 s: start a new one" in capsys.readouterr().err


def test_a_head_that_answers_is_left_alone_and_nothing_looks_afterwards(head, tmp_path, capsys):
    with Signals(tmp_path) as signals, watched(address_of(head), 0.0, look_s=0.01):
        for _ in range(3):
            head.accept()[0].close()
    assert (signals.received, capsys.readouterr().err) == ([], "")
    assert not [thread for thread in threading.enumerate() if thread.name == "head"]


def test_a_driver_that_stood_still_itself_gives_its_head_time_to_answer(head, tmp_path, monkeypatch, capsys):
    address, asked, often = address_of(head), count(), threading.Event()

    def clock():
        look = next(asked)
        if look == 5:
            often.set()
        return 1000.0 * look

    head.close()
    monkeypatch.setattr("sp_search.tune.head.time", SimpleNamespace(monotonic=clock))
    with Signals(tmp_path) as signals, watched(address, 50.0, look_s=0.01):
        assert often.wait(50)
    assert (signals.received, capsys.readouterr().err) == ([], "")


@pytest.mark.parametrize(("rays", "ours"), [(None, 50.0), ("300", 290.0), ("1", 2.0)])
def test_it_is_said_before_ray_ends_the_driver(rays, ours, monkeypatch):
    name = "RAY_gcs_rpc_server_reconnect_timeout_s"
    monkeypatch.delenv(name, raising=False) if rays is None else monkeypatch.setenv(name, rays)
    assert patience_s() == ours
