"""The page's server under people who say nothing, half a thing, or take nothing: others are served all the same."""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn

from imagenetd.qc.annotate.app import Access, make_app
from imagenetd.qc.annotate.patience import Waiting
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.serve import listen, server_config
from tests.votes_folder import make_votes_folder, page_options

HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
REQUEST_S, PLACES = 0.5, 12


@dataclass
class Stubborn:
    """A server with little patience and few places, and what it said."""

    port: int
    said: list[str]
    open: list[socket.socket] = field(default_factory=list)

    def connect(self, *sent: bytes) -> socket.socket:
        """Open a connection that stays, and send something."""
        one = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        self.open.append(one)
        for piece in sent:
            one.sendall(piece)
        return one

    def status(self) -> int:
        """Ask for the page as a browser does."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        client.request("GET", "/healthz")
        status = client.getresponse().status
        client.close()
        return status


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Stubborn]:
    said: list[str] = []
    waiting = Waiting(said.append, places=PLACES, request_s=REQUEST_S, answer_s=REQUEST_S)
    options = page_options()
    votes = make_votes_folder(tmp_path)
    with contextlib.closing(Room(votes, timeout_s=600)) as room, listen(options) as listener:
        app = make_app(room, Access(hosts=frozenset({"127.0.0.1"})))
        running = uvicorn.Server(server_config(app, options, waiting))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        stubborn = Stubborn(listener.getsockname()[1], said)
        try:
            yield stubborn
        finally:
            for one in stubborn.open:
                one.close()
            running.should_exit = True
            thread.join(timeout=20)


def ended_after_s(connection: socket.socket) -> float:
    """Return how long it took until the server closed the connection."""
    started = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65_536):
            pass
    return time.monotonic() - started


@pytest.mark.parametrize("sent", [b"", b"G", HALF, HALF + b"x\r\nContent-Length: 9\r\n\r\n"])
def test_a_connection_without_a_whole_request_is_closed_and_the_line_says_what_was_awaited(
    server: Stubborn, sent: bytes
) -> None:
    took_s = ended_after_s(server.connect(sent))
    assert 0.3 < took_s < 4
    assert server.said == ["1 connections closed: no whole request came within 0.5 s"]


def test_bytes_that_drip_in_do_not_put_the_end_off(server: Stubborn) -> None:
    slow = server.connect(HALF)
    started = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - started < 4:
            slow.sendall(b"x")
            time.sleep(0.05)
    assert time.monotonic() - started < 3


def test_a_second_request_on_the_same_connection_has_its_own_end(server: Stubborn) -> None:
    kept = server.connect(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert b"200 OK" in kept.recv(65_536)
    time.sleep(2 * REQUEST_S)  # between requests only the limit for idle connections counts
    kept.sendall(HALF)
    assert ended_after_s(kept) < 4


def test_many_half_sent_requests_do_not_stop_the_page(server: Stubborn) -> None:
    for _ in range(4 * PLACES):
        server.connect(HALF)
        assert server.status() == 200
    assert any("closed to make room: all 12 places were taken" in line for line in server.said)


def test_connections_that_said_nothing_leave_before_those_that_were_served(server: Stubborn) -> None:
    for _ in range(4 * PLACES):
        server.connect()
    assert [server.status() for _ in range(5)] == [200] * 5
