"""Run the page's server, and make the links that let people in."""

import contextlib
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imagenetd.config.page import PageConfig
from imagenetd.errors import ConfigError, StoreError
from imagenetd.qc.annotate.app import Access, make_app
from imagenetd.qc.annotate.patience import LINE_EVERY_S, Waiting
from imagenetd.qc.annotate.room import Room, open_room
from imagenetd.qc.annotate.tokens import Badge, require_worker_name

if TYPE_CHECKING:
    import uvicorn

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DAY_S, HOUR_S = 86_400, 3_600
MAX_HEADER_BYTES = 16 * 1024
BACKLOG = 1_024
KEEP_ALIVE_S = 15
SHUTDOWN_S = 5
"""Ctrl-C waits so long for answers that are under way."""
DELIVERY_S = 5.0
"""What could not be written is tried again so often."""


def address_of(options: PageConfig, port: int | None = None) -> str:
    """Return the page's address as workers type it, without a final slash."""
    if options.public_url is not None:
        return options.public_url.rstrip("/")
    scheme = "https" if options.certificate else "http"
    name = f"[{options.host}]" if ":" in options.host else options.host
    return f"{scheme}://{name}:{port or options.port}"


def invitation(room: Room, worker: str, address: str, *, days: float) -> str:
    """Return the link that lets one worker in until it expires."""
    badge = Badge(require_worker_name(worker), int(time.time() + days * DAY_S), "")
    return f"{address}/i/{room.signer.token('invitation', badge)}"


def serve(
    folder: Path, options: PageConfig, *, workers: tuple[str, ...], say: Callable[[str], None] = print
) -> None:
    """Serve the page of a votes folder until Ctrl-C.

    Args:
        folder: The votes folder.
        options: Address, limits, time-outs.
        workers: Each gets an invitation, which is printed.
        say: Takes each line for the terminal.
    """
    import uvicorn

    room = open_room(folder, options)
    with contextlib.closing(room), listen(options) as listener:
        port = listener.getsockname()[1]
        address = address_of(options, port)
        _warn(options, say)
        num_tasks = len(room.task_set.tasks)
        wanted = room.task_set.settings.workers_per_image
        say(f"{num_tasks} tasks, {wanted} workers each; votes go to {folder}")
        for worker in workers:
            say(f"{worker}: {invitation(room, worker, address, days=options.link_days)}")
        say(
            f"more people: python -m imagenetd.qc.annotate invite {folder} NAME ...   (Ctrl-C stops; nothing is lost)"
        )
        complain = _Complaints(say)
        app = make_app(
            room,
            _access(options, address),
            on_sent=lambda worker: say(_news(room, worker)),
            on_failure=complain,
        )
        server = uvicorn.Server(server_config(app, options, Waiting(say)))
        with delivering(room, complain, every_s=DELIVERY_S):
            server.run(sockets=[listener])


def server_config(app: Any, options: PageConfig, waiting: Waiting) -> "uvicorn.Config":
    """Return how the page is served: nothing waits for ever, and nothing is told that a worker should not know."""
    import uvicorn

    return uvicorn.Config(
        app,
        http=waiting.protocol,  # type: ignore[arg-type]
        ws="none",
        log_level="warning",
        access_log=False,  # it would hold invitations
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.private_key,
    )


@contextlib.contextmanager
def delivering(room: Room, complain: Callable[[str], None], *, every_s: float) -> Iterator[None]:
    """Deliver what was sent and could not be written, again and again, until the block ends."""
    ends = threading.Event()

    def watch() -> None:
        while not ends.wait(every_s):
            if not room.desk.is_behind:
                continue
            try:
                room.desk.deliver()
            except (OSError, StoreError, sqlite3.Error) as error:
                complain(str(error))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


class _Complaints:
    """Says why something could not be stored; the same reason once a minute."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._said_at = say, dict[str, float]()

    def __call__(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._said_at.get(reason, -LINE_EVERY_S) >= LINE_EVERY_S:
            self._said_at[reason] = now
            self._say(f"warning: not stored, and tried again every {DELIVERY_S:g} s: {reason}")


def _access(options: PageConfig, address: str) -> Access:
    parts = urlsplit(address)
    hosts = {parts.hostname or "", options.host} - {"0.0.0.0", "::", ""}
    if options.host in LOOPBACK:
        hosts |= set(LOOPBACK)
    return Access(
        hosts=frozenset(hosts),
        address=f"{parts.scheme}://{parts.netloc}",
        session_s=options.session_hours * HOUR_S,
        max_body_bytes=options.max_request_kb * 1024,
    )


def listen(options: PageConfig) -> socket.socket:
    """Return a socket bound to the address of the options; one that is taken is a ConfigError."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
        listener.listen(BACKLOG)  # now: whoever opens the printed link at once waits and is not refused
    except (OSError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or "no such address"
        raise ConfigError(
            f"qc.page.host={options.host}, port={options.port} cannot be used ({reason}). "
            "Choose another with --port NUMBER, or --port 0 for any free one."
        ) from error
    return listener


def _warn(options: PageConfig, say: Callable[[str], None]) -> None:
    if options.host in LOOPBACK:
        return
    if options.public_url is None and options.host in ("0.0.0.0", "::"):
        raise ConfigError(
            f"qc.page.host={options.host} listens everywhere, but links need a name. "
            "Give the address that workers use: --public-url https://pictures.example.org"
        )
    if not address_of(options).startswith("https://"):
        say("warning: other machines can reach this page without encryption. Put it behind https.")


def _news(room: Room, worker: str) -> str:
    progress = room.votes.progress()
    return f"{worker} sent a task: {progress.num_sent} are there, {progress.num_missing} missing"
