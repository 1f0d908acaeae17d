"""How long the page's server waits for somebody: every connection has an end, and a full house makes room.

Uvicorn waits for ever for the rest of a request, and refuses everybody when enough connections wait. Here a request
must be whole `REQUEST_S` after its connection (or its first byte), an answer must be taken within `ANSWER_S`, and where
places run short those who have not said anything whole leave first, beginning with the address that holds most of them.
"""

import asyncio
import collections
import resource
import time
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 15.0
"""From the connection, or the first byte of a later request, to the last byte of the request."""
ANSWER_S = 120.0
"""From there to the end of the answer: of a picture on a slow line."""
MAX_CONNECTIONS = 1_000
FILES_KEPT_FREE = 64
"""Open files that are not connections: database, shards, libraries."""
LINE_EVERY_S = 60.0


def num_places() -> int:
    """Return how many connections are held at once: fewer where the system gives this process few open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(8, min(MAX_CONNECTIONS, soft - FILES_KEPT_FREE))


class Waiting:
    """The connections of one server from which a whole request is awaited, the longest waiting first.

    Args:
        say: Takes each line for the terminal; one a minute of each kind at most.
        places: Connections at once, those with a whole request among them.
        request_s: See `REQUEST_S`.
        answer_s: See `ANSWER_S`.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        places: int | None = None,
        request_s: float = REQUEST_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        self.request_s, self.answer_s = request_s, answer_s
        self.places = num_places() if places is None else places
        self.idle: dict[PatientProtocol, str] = {}
        """Connection -> address, in the order in which they came or fell idle."""
        self._say, self._said_at, self._untold = say, dict[str, float](), collections.Counter[str]()

    def protocol(self, *arguments: Any, **options: Any) -> "PatientProtocol":
        """Return the protocol of a new connection; uvicorn's `http` option."""
        return PatientProtocol(self, *arguments, **options)

    def make_room(self, num_open: int) -> None:
        """Let one connection go when all places are taken: the oldest idle one of the address with most of them."""
        if num_open <= self.places or not self.idle:
            return
        (crowded, _), *_ = collections.Counter(self.idle.values()).most_common(1)
        oldest = next(one for one, address in self.idle.items() if address == crowded)
        oldest.give_up(
            f"closed to make room: all {self.places} places were taken, and it had sent no whole request"
        )

    def tell(self, reason: str) -> None:
        """Say why connections were closed, and how many since the last line."""
        self._untold[reason] += 1
        now = time.monotonic()
        if now - self._said_at.get(reason, -LINE_EVERY_S) >= LINE_EVERY_S:
            self._said_at[reason] = now
            self._say(f"{self._untold.pop(reason)} connections {reason}")


class PatientProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 with an end to every wait."""

    def __init__(self, waiting: Waiting, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting = waiting
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._await_request()
        self._waiting.make_room(len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection that is gone."""
        self._stop()
        self._waiting.idle.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a whole request ends the wait for it, the first byte of one begins it."""
        was_between = self._timer is None and not self._is_answering()
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._is_answering() and not self.cycle.more_body:
            self._await_end_of_answer()
        elif was_between:
            self._await_request()

    def on_response_complete(self) -> None:
        """Leave the connection to uvicorn's own limit for idle ones."""
        self._stop()
        is_half_sent = self.cycle.more_body
        super().on_response_complete()
        if is_half_sent:
            self._await_request()  # it was answered before all of it had come
        elif not self._is_answering():
            self._sit_idle()

    def give_up(self, reason: str) -> None:
        """Close the connection without another word to it."""
        self._stop()
        self._waiting.idle.pop(self, None)
        self._waiting.tell(reason)
        self.transport.abort()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _sit_idle(self) -> None:
        self._waiting.idle.pop(self, None)
        self._waiting.idle[self] = self.client[0] if self.client else ""

    def _await_request(self) -> None:
        seconds = self._waiting.request_s
        self._sit_idle()
        self._start(seconds, f"closed: no whole request came within {seconds:g} s")

    def _await_end_of_answer(self) -> None:
        self._waiting.idle.pop(self, None)
        seconds = self._waiting.answer_s
        self._start(seconds, f"closed: the answer was not taken within {seconds:g} s")

    def _start(self, seconds: float, reason: str) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, self.give_up, reason)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
