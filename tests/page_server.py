"""The page's real server on loopback, in a thread of the test or in a process that can be killed."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from imagenetd.qc.annotate.app import Access, make_app
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.serve import invitation, listen
from tests.votes_folder import page_options

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Served:
    """A running server and the room behind it."""

    room: Room
    address: str

    def link(self, worker: str) -> str:
        """Return an invitation."""
        return invitation(self.room, worker, self.address, days=1)


@contextlib.contextmanager
def served(votes: Path, *, port: int = 0) -> Iterator[Served]:
    """Serve a votes folder from a thread until the block ends."""
    with contextlib.closing(Room(votes, timeout_s=600)) as room, listen(page_options(port=port)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = make_app(room, Access(hosts=frozenset({"127.0.0.1"})))
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(room, address)
        finally:
            server.should_exit = True
            thread.join(timeout=20)
