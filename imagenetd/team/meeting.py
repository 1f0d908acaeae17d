"""How the processes of a launch find each other and what they say.

They meet over a file in the output folder, which all of them see and only their user can read. It holds the leader's
address and a key without which nobody is listened to, so no port and no variable has to be set.
"""

import contextlib
import json
import os
import socket
import time
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from pathlib import Path

from imagenetd.errors import WorkerError
from imagenetd.store import make_folder, write_bytes_atomic
from imagenetd.team.place import Place

NEXT = "next"
"""Of a follower: which shard comes next?"""
OVER = "over"
"""Of the leader: there is nothing more to do."""
STOP = "stop"
"""Of the leader to a follower at work: finish the unit, not the shard."""

POLL_S = 0.2
CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where the leader listens, and the key that it wants."""

    hosts: tuple[str, ...]
    """To be tried one after the other."""
    port: int
    key: bytes


def meeting_file(output_dir: Path, place: Place) -> Path:
    """Return the file over which the processes of a launch meet."""
    return output_dir / ".teams" / f"{place.launch}.json"


def publish(path: Path, meeting: Meeting) -> None:
    """Write the file; only this user can read it."""
    make_folder(path.parent)
    content = {"hosts": meeting.hosts, "port": meeting.port, "key": meeting.key.hex()}
    before = os.umask(0o077)
    try:
        write_bytes_atomic(path, json.dumps(content).encode())
    finally:
        os.umask(before)


def addresses_of_this_machine() -> tuple[str, ...]:
    """Return the names under which the other machines may know this one, the likeliest first."""
    names = [
        os.environ.get("MASTER_ADDR"),
        os.environ.get("SLURMD_NODENAME"),
        socket.gethostname(),
        socket.getfqdn(),
    ]
    return tuple(dict.fromkeys(name for name in names if name))


def join_leader(output_dir: Path, place: Place, *, timeout_s: float) -> Connection:
    """Connect to the leader; WorkerError when it does not show itself in time."""
    path, deadline = meeting_file(output_dir, place), time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        connection = _try_to_join(path)
        if connection is not None:
            keep_alive(connection)
            connection.send((place.rank, place.host))
            return connection
        time.sleep(POLL_S)
    raise WorkerError(
        f"Process {place.rank} on {place.host} waited {timeout_s:,.0f} s (trainer.join_timeout_s) for process 0, which "
        f"shows itself in {path}. Check that every machine sees this folder and reaches the first one, e.g. by its "
        "name in MASTER_ADDR."
    )


def _try_to_join(path: Path) -> Connection | None:
    """Return a connection; None while the file is not there, or is that of a leader long gone."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    for host in content["hosts"]:
        with contextlib.suppress(OSError, EOFError, AuthenticationError):
            socket.create_connection((host, content["port"]), timeout=CONNECT_TIMEOUT_S).close()
            return Client((host, content["port"]), authkey=bytes.fromhex(content["key"]))
    return None


def keep_alive(connection: Connection) -> None:
    """Notice within two minutes that the machine at the other end has lost its power or its network."""
    with socket.socket(fileno=os.dup(connection.fileno())) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
            if hasattr(socket, name):  # macOS lacks one of them
                other.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
