"""The first process of a launch: it listens for the others and hands out shards.

A process may come late, be slow, or die: the others take what it has not taken.
"""

import collections
import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from imagenetd.errors import WorkerError
from imagenetd.stages.workers.team.meeting import (
    ALIVE,
    ALIVE_S,
    NEXT,
    OVER,
    POLL_S,
    SEND_TIMEOUT_S,
    STOP,
    Meeting,
    addresses_of_this_machine,
    keep_alive,
    meeting_file,
    publish,
    shake_hands,
)
from imagenetd.stages.workers.team.place import Place, is_one_machine

LOG = logging.getLogger("imagenetd")
LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(slots=True, eq=False)
class Member:
    """A follower, as the leader sees it."""

    rank: int
    host: str
    connection: Connection
    is_busy: bool = False
    speaking: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, message: Any) -> None:
        """Send one message; a follower that is gone is noticed by the thread that listens to it."""
        with self.speaking:
            try:
                self.connection.send(message)
            except OSError:  # gone, or it has taken nothing for SEND_TIMEOUT_S: nothing more can be said
                with (
                    contextlib.suppress(OSError),
                    socket.socket(fileno=os.dup(self.connection.fileno())) as link,
                ):
                    link.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class _Work:
    """A long stage in progress."""

    payload: bytes
    queue: collections.deque[int]
    errors: list[str] = field(default_factory=list)
    shares: dict[int, int] = field(default_factory=dict)


class Leader:
    """Listens from the moment it is made until `disband`."""

    def __init__(self, place: Place, output_dir: Path, *, join_timeout_s: float) -> None:
        self.place, self.join_timeout_s = place, join_timeout_s
        self._members: dict[int, Member] = {}
        self._work: _Work | None = None
        self._changed = threading.Condition()
        hosts = LOOPBACK[:1] if is_one_machine() else addresses_of_this_machine()
        self._key = secrets.token_bytes(32)
        address = hosts[0] if hosts[0] in LOOPBACK else "0.0.0.0"
        # without authkey: the listener itself would wait for the answer of whoever comes, and for nobody else
        self._listener = Listener((address, 0), backlog=max(128, place.world_size + 1))
        self._file = meeting_file(output_dir, place)
        publish(self._file, Meeting(hosts, self._listener.address[1], self._key))
        self._is_over = False
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError as error:
                if self._is_over:
                    return
                LOG.info("somebody came and did not stay: %r", error)
                time.sleep(POLL_S)  # e.g. no file handle is left
                continue
            if self._is_over:
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        """Answer one follower until it hangs up."""
        member: Member | None = None
        try:
            shake_hands(connection, self._key, is_leader=True)
        except (OSError, EOFError, AuthenticationError) as error:
            LOG.info("somebody came who does not know the key: %r", error)
            return
        try:
            keep_alive(connection)
            if not connection.poll(SEND_TIMEOUT_S):
                raise EOFError
            rank, host = connection.recv()
            member = Member(rank, host, connection)
            self._welcome(member)
            while True:
                if not connection.poll(ALIVE_S):
                    member.tell(ALIVE)
                    continue
                said = connection.recv()
                if said == NEXT:
                    member.tell(self.take(member.rank))
                else:
                    self._ended(member, said)
        except (EOFError, OSError):
            if member is not None:
                self._lost(member)

    def _welcome(self, member: Member) -> None:
        """Take a follower in; one that comes late joins the work in progress."""
        with self._changed:
            self._members[member.rank] = member
            work = self._work
            member.is_busy = work is not None and bool(work.queue)
            self._changed.notify_all()
        if work is not None and member.is_busy:
            member.tell(work.payload)

    def _ended(self, member: Member, error: str | None) -> None:
        with self._changed:
            member.is_busy = False
            if error and self._work is not None:
                self._work.errors.append(f"Process {member.rank} on {member.host}: {error}")
            self._changed.notify_all()

    def _lost(self, member: Member) -> None:
        with self._changed:
            self._members.pop(member.rank, None)
            if member.is_busy and self._work is not None:
                self._work.errors.append(
                    f"Process {member.rank} on {member.host} was lost (killed, out of memory, or its machine is gone). "
                    "What it had finished is kept: the same command, with any number of processes, goes on from here."
                )
            member.is_busy = False
            self._changed.notify_all()

    def _wait_for(self, num_members: int) -> None:
        deadline = time.monotonic() + self.join_timeout_s
        with self._changed:
            while len(self._members) < num_members and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def begin(self, payload: bytes, tasks: Sequence[int]) -> None:
        """Wait for the followers to join, then tell as many as can be of use what is to be done."""
        needed = min(self.place.world_size, len(tasks)) - 1
        self._wait_for(needed)
        with self._changed:
            self._work = _Work(payload, collections.deque(tasks))
            called = [member for member in self._members.values() if not member.is_busy][:needed]
            for member in called:
                member.is_busy = True
        for member in called:
            member.tell(payload)

    def take(self, rank: int = 0) -> int | None:
        """Return the next shard, None when all are taken."""
        with self._changed:
            work = self._work
            if work is None or not work.queue:
                return None
            work.shares[rank] = work.shares.get(rank, 0) + 1
            return work.queue.popleft()

    def stop(self) -> None:
        """Give nothing more out, and let each follower stop after its unit."""
        with self._changed:
            if self._work is not None:
                self._work.queue.clear()
            busy = [member for member in self._members.values() if member.is_busy]
        for member in busy:
            member.tell(STOP)

    def wait_until_idle(self, *, timeout_s: float) -> None:
        """Wait until no follower works any more; WorkerError when one does not come to an end."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while busy := [member for member in self._members.values() if member.is_busy]:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    slow = ", ".join(f"{member.rank} on {member.host}" for member in busy)
                    raise WorkerError(
                        f"Waited {timeout_s:,.0f} s (trainer.timeout_s) for process {slow}. What is finished is kept: "
                        "end those processes, then the same command goes on from here."
                    )

    def end(self, *, timeout_s: float) -> dict[int, int]:
        """Wait for the slowest; return how many shards each process took.

        Raises:
            WorkerError: A follower failed, was lost, or does not come to an end.
        """
        self.wait_until_idle(timeout_s=timeout_s)
        work, self._work = self._work, None
        assert work is not None
        if work.errors:
            raise WorkerError(" ".join(work.errors))
        return work.shares

    def disband(self, *, waits: bool = True) -> None:
        """Send the followers home, also those that are only just coming when this one `waits`."""
        if waits:
            self._wait_for(self.place.world_size - 1)
        if self._is_over:
            return
        with self._changed:
            members = list(self._members.values())
        for member in members:
            member.tell(OVER)
        self._is_over = True
        with contextlib.suppress(OSError):  # wakes the thread that accepts
            socket.create_connection(self._listener.address, timeout=1).close()
        self._accepting.join(1)
        self._listener.close()
        self._file.unlink(missing_ok=True)
