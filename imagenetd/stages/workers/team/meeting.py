"""How the processes of a launch find each other and what they say.

They meet over a file in the output folder, which all of them see and only their user can read. It holds the leader's
address and a key without which nobody is listened to, so no port and no variable has to be set.
"""

import contextlib
import json
import os
import socket
import stat
import struct
import time
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path

from imagenetd.errors import WorkerError
from imagenetd.stages.workers.team.place import Place
from imagenetd.store.folders import make_folder, write_bytes_atomic

NEXT = "next"
"""Of a follower: which shard comes next?"""
OVER = "over"
"""Of the leader: there is nothing more to do."""
STOP = "stop"
"""Of the leader to a follower at work: finish the unit, not the shard."""

ALIVE = "alive"
"""Of the leader, every ALIVE_S: it has not stopped."""

POLL_S = 0.2
CONNECT_TIMEOUT_S = 5.0
SEND_TIMEOUT_S = 60.0
"""A process that takes nothing for so long is lost."""
ALIVE_S = 20.0
SILENCE_S = 300.0
"""A leader that says nothing for so long is lost."""
MAX_MEETING_BYTES = 65_536


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
    _own_folder(path.parent)
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
    meeting = read_meeting(path)
    for host in meeting.hosts if meeting else ():
        with contextlib.suppress(OSError, EOFError, AuthenticationError):
            return connect(host, meeting.port, meeting.key)  # type: ignore[union-attr]
    return None


def read_meeting(path: Path) -> Meeting | None:
    """Return what the leader wrote; None while there is nothing.

    Who writes this file decides what the others run, so it must be this user's own, and nobody else's to write.

    Raises:
        WorkerError: For a file, or a folder of it, of another user or with open modes, and for one that is damaged.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WorkerError(f"{path} cannot be read ({error.strerror}). Delete it and start again.") from error
    with os.fdopen(file, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise WorkerError(
                f"{path} was written by user {status.st_uid} with mode {stat.S_IMODE(status.st_mode):o}, but must be a "
                f"file of user {os.geteuid()} that nobody else can read or write (600): it decides what this process "
                "runs. Delete it, and keep paths.output_dir where no other user can write."
            )
        text = stream.read(MAX_MEETING_BYTES)
    _own_folder(path.parent)
    try:
        content = json.loads(text)
        hosts, port, key = (
            tuple(map(str, content["hosts"])),
            int(content["port"]),
            bytes.fromhex(content["key"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise WorkerError(
            f"{path} is damaged ({type(error).__name__}). Delete it and start again."
        ) from error
    return Meeting(hosts, port, key)


def _own_folder(folder: Path) -> None:
    """Raise WorkerError when another user could put a file of the meeting's name into a folder."""
    status = os.stat(folder)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise WorkerError(
            f"{folder} belongs to user {status.st_uid} with mode {stat.S_IMODE(status.st_mode):o}: others could write "
            f"into it. It must be the folder of user {os.geteuid()} alone: chmod go-w, or another paths.output_dir."
        )


def connect(host: str, port: int, key: bytes) -> Connection:
    """Return a connection to a leader that knows the key; no step of it takes longer than CONNECT_TIMEOUT_S."""
    with socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S) as link:
        link.settimeout(None)
        connection = Connection(link.detach())
    return shake_hands(connection, key, is_leader=False)


def shake_hands(connection: Connection, key: bytes, *, is_leader: bool) -> Connection:
    """Return the connection when the other end knows the key; nothing that it says is unpickled before.

    Raises:
        OSError, EOFError, AuthenticationError: It does not, or does not answer within CONNECT_TIMEOUT_S.
    """
    limit_waits(connection, receive_s=CONNECT_TIMEOUT_S, send_s=CONNECT_TIMEOUT_S)
    try:
        if is_leader:
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
        else:
            answer_challenge(connection, key)
            deliver_challenge(connection, key)
    except BaseException:
        connection.close()
        raise
    limit_waits(connection, receive_s=0, send_s=SEND_TIMEOUT_S)
    return connection


def limit_waits(connection: Connection, *, receive_s: float, send_s: float) -> None:
    """Let the system end a wait on a connection with an OSError; 0 waits without an end."""
    with socket.socket(fileno=os.dup(connection.fileno())) as other:
        for option, seconds in ((socket.SO_RCVTIMEO, receive_s), (socket.SO_SNDTIMEO, send_s)):
            whole, part = divmod(seconds, 1)
            other.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(whole), int(part * 1e6)))


def keep_alive(connection: Connection) -> None:
    """Notice within two minutes that the machine at the other end has lost its power or its network."""
    with socket.socket(fileno=os.dup(connection.fileno())) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
            if hasattr(socket, name):  # macOS lacks one of them
                other.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
