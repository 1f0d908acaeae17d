"""A folder of an object store held by one run: numbered objects that only one run can make, renewed while it lives."""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator

from imagenetd.errors import StoreError
from imagenetd.store.console import say
from imagenetd.store.object_store import ObjectStore

LOCKS = ".lock"
RENEW_S, EXPIRY_S, POLL_S, REMIND_S = 10.0, 60.0, 1.0, 600.0
"""A lock is renewed so often; not renewed for so long, it is taken over; so often it is asked for and told of."""


class RemoteLock:
    """One run's hold on a folder; `held` takes and gives it back.

    When a lock is not renewed, by the clock of the run that waits, that run may make the next number; the run that was
    too slow sees that number and writes nothing more. If it did, the bytes would be the same.

    Args:
        store: With the folder.
        folder: Its name there.
        is_conditional: The store refuses to write over an object; else two runs cannot see each other.
    """

    def __init__(self, store: ObjectStore, folder: str, *, is_conditional: bool) -> None:
        self.store, self.folder, self.is_conditional = store, folder, is_conditional
        self._name = f"{folder}/{LOCKS}".lstrip("/")
        self._number = self._beat = 0
        self._token = secrets.token_hex(8)
        self._over = threading.Event()
        self.is_lost = False
        """Another run has taken it over."""

    @contextlib.contextmanager
    def held(self, *, max_wait_s: float) -> Iterator[None]:
        """Hold the folder; wait for another run that holds it, and StoreError when that takes too long."""
        self._acquire(max_wait_s)
        renewing = threading.Thread(target=self._renew, daemon=True, name="renew")
        renewing.start()
        try:
            yield
        finally:
            self._over.set()
            renewing.join(5)
            with contextlib.suppress(StoreError):  # it expires by itself
                if not self.is_lost:
                    self.store.write(self._object(self._number), self._content(is_released=True))

    def refuse_lost(self) -> None:
        """Raise StoreError when another run has taken the folder over."""
        if self.is_lost:
            raise StoreError(
                f"Another run has taken over {self.store.address(self.folder)}, since this one did not renew its lock "
                f"for {EXPIRY_S:g} s. What is stored is kept: run again when that run has ended."
            )

    def _object(self, number: int) -> str:
        return f"{self._name}/{number:06d}"

    def _numbers(self) -> list[int]:
        names = [name.rsplit("/", 1)[1] for name in self.store.find(self._name)]
        return sorted(int(name) for name in names if name.isdigit())

    def _content(self, *, is_released: bool = False) -> bytes:
        self._beat += 1
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        content = {"holder": holder, "token": self._token, "beat": self._beat, "is_released": is_released}
        return json.dumps(content).encode()

    def _acquire(self, max_wait_s: float) -> None:
        started, told = time.monotonic(), -REMIND_S
        seen, since = b"", started
        while True:
            numbers = self._numbers()
            newest = max(numbers, default=0)
            content, now = self.store.read(self._object(newest)) if newest else b"", time.monotonic()
            if content != seen:
                seen, since = content, now
            facts = _facts(content)
            if facts.get("is_released", True) or now - since > EXPIRY_S:
                if self._take(newest + 1):
                    for number in numbers:
                        self.store.remove(self._object(number))
                    return
                continue
            holder, address = str(facts.get("holder"))[:80], self.store.address(self.folder)
            if now - started >= max_wait_s:
                raise StoreError(
                    f"{address} is held by another run ({holder}), and {max_wait_s:.0f} s of waiting are over. End "
                    f"that run; a lock that nobody renews is free after {EXPIRY_S:g} s."
                )
            if now - told > REMIND_S:
                say(f"waiting: another run works in {address} ({holder})", style="yellow")
                told = now
            time.sleep(POLL_S)

    def _take(self, number: int) -> bool:
        self._number = number
        if self.is_conditional:
            return self.store.create(self._object(number), self._content())
        self.store.write(self._object(number), self._content())
        return True

    def _renew(self) -> None:
        while not self._over.wait(RENEW_S):
            with contextlib.suppress(
                StoreError
            ):  # the store is away: tried again, and told by who writes results
                if max(self._numbers(), default=self._number) > self._number:
                    self.is_lost = True
                    return
                self.store.write(self._object(self._number), self._content())


def _facts(content: bytes) -> dict[str, object]:
    try:
        found = json.loads(content)
    except ValueError:  # gone in the meantime, or none of ours
        return {}
    return found if isinstance(found, dict) else {}
