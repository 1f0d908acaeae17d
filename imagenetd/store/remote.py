"""An output folder in an object store: a local copy in which the stages work as always, and what travels when.

Every object is written whole, a shard before its part and a stage's record last, so that what the store holds can
always be gone on from. For plain paths every function here does nothing.
"""

import contextlib
import hashlib
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

from imagenetd.store.console import say
from imagenetd.store.object_store import ObjectStore, Stored, checked_url, is_remote
from imagenetd.store.remote_locks import RemoteLock
from imagenetd.store.system_errors import explained

RECORD, SHARD = "stage.json", ".tar"
NOT_SENT = (".tmp", ".times", "order.json", "progress.jsonl")
"""Endings of files that only this machine needs."""
TRANSFERS = 8
"""Files that travel at once."""


def local_folder(output_dir: str, cache_dir: str | None = None, cache_gb: float = 50.0) -> Path:
    """Return where a run works as `place_of` does, and know from now on what that folder is a copy of.

    Args:
        output_dir: A path, `file:///path`, `s3://bucket/prefix` or `gs://bucket/prefix`.
        cache_dir: Where copies lie; None: the user's cache folder.
        cache_gb: So much room may be taken by shards that the store has as well.
    """
    root = place_of(output_dir, cache_dir)
    if is_remote(output_dir):
        mirror = _mirrors.setdefault(root, Mirror(output_dir.rstrip("/"), root))
        mirror.cache_bytes = int(cache_gb * 2**30)
    return root


def place_of(output_dir: str, cache_dir: str | None = None) -> Path:
    """Return the folder in which a run works: the output folder itself, or its copy where it is a URL.

    Raises:
        ConfigError: For a URL of another kind, or with a secret in it.
    """
    if "://" not in output_dir:
        return Path(output_dir)
    parts = checked_url(output_dir)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(cache_dir) if cache_dir else user / "imagenetd"
    return (home / hashlib.sha256(output_dir.rstrip("/").encode()).hexdigest()[:16]).absolute()


class Mirror:
    """The local copy of what an object store holds below one URL; the store is what counts.

    Args:
        url: Without a slash at its end.
        root: Of the copy.
    """

    def __init__(self, url: str, root: Path) -> None:
        self.store, self.root = ObjectStore(url), root
        self.cache_bytes = 2**62
        """For shards that the store has as well; the least recently used ones go first."""
        self.is_conditional = True
        """The store can refuse to write over an object; else two runs cannot see each other."""
        self._is_checked = False
        self._stored: dict[str, Stored] = {}
        self._locks: dict[str, RemoteLock] = {}
        self._fresh: set[str] = set()

    def name(self, path: Path) -> str:
        """Return the name in the store of a file or folder of the copy."""
        name = path.absolute().relative_to(self.root).as_posix()
        return "" if name == "." else name

    def check(self) -> None:
        """Raise StoreError where the store cannot be written to; say so where it has no conditional writes."""
        if self._is_checked:
            return
        quick, probe = ObjectStore(self.store.url, attempts=2, reads=2), f".probe-{secrets.token_hex(8)}"
        quick.create(probe, b"first")
        self.is_conditional = not quick.create(probe, b"second")
        quick.remove(probe)
        if not self.is_conditional:
            say(
                f"{self.store.url} has no conditional writes: two runs cannot see each other there. Start one at a "
                "time.",
                style="yellow",
            )
        self._is_checked = True

    def refresh(self, folder: Path, *, is_flat: bool = False) -> None:
        """Bring a folder of the copy up to date, once until it is locked anew; below a lock it is sent as well."""
        name = self.name(folder)
        above = {name, *(parent.as_posix() for parent in Path(name).parents)}
        if above & self._fresh:
            return
        if above & self._locks.keys():
            self._sync(folder, is_flat=is_flat)
        else:
            self.pull(folder)
        if not is_flat:
            self._fresh.add(name)

    def _sync(self, folder: Path, *, is_flat: bool) -> None:
        """Make a folder of the copy what the store holds, and send what only the copy has; shards come when read.

        A record without its like in the store is forgotten: its stage is finished anew, from what is there.
        """
        there = self._list(folder, is_flat=is_flat)
        wanted = [name for name, stored in there.items() if not self._is_same(name, stored)]
        for name in wanted:
            if name.endswith(SHARD):
                with explained(self.root / name):
                    (self.root / name).unlink(missing_ok=True)
        self._fetch_all([name for name in wanted if not name.endswith(SHARD)])
        own = [path for path in self._files(folder, is_flat=is_flat) if self.name(path) not in there]
        for path in own:
            if path.name == RECORD:
                path.unlink(missing_ok=True)
        self.push([path for path in own if path.name != RECORD])

    def pull(self, folder: Path, *, name: str = "") -> None:
        """Fetch what the copy of a folder lacks, or only files of one name; nothing is sent."""
        there = {one: stored for one, stored in self._list(folder).items() if one.endswith(name)}
        self._fetch_all(
            [
                one
                for one, stored in there.items()
                if not one.endswith(SHARD) and not self._is_same(one, stored)
            ]
        )

    def _list(self, folder: Path, *, is_flat: bool = False) -> dict[str, Stored]:
        name = self.name(folder)
        found = self.store.find(name, is_flat=is_flat)
        there = {one: stored for one, stored in found.items() if _is_sent(one)}
        start = f"{name}/" if name else ""
        if not is_flat:
            self._stored = {one: known for one, known in self._stored.items() if not one.startswith(start)}
        self._stored |= there
        return there

    def _is_same(self, name: str, stored: Stored) -> bool:
        path = self.root / name
        if not path.is_file():
            return name.endswith(SHARD)  # it comes when it is read
        if path.stat().st_size != stored.size:
            return False
        if (
            name.endswith(SHARD) or not stored.md5
        ):  # each image has its hash, and tables and records their seals
            return True
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "md5").hexdigest() == stored.md5

    def _files(self, folder: Path, *, is_flat: bool = False) -> list[Path]:
        paths = folder.glob("*") if is_flat else folder.rglob("*")
        return sorted(path for path in paths if _is_sent(self.name(path)) and path.is_file())

    def _fetch_all(self, names: Sequence[str]) -> None:
        records = [name for name in names if name.endswith(RECORD)]
        with ThreadPoolExecutor(TRANSFERS) as threads:
            list(threads.map(self._fetch, [name for name in names if not name.endswith(RECORD)]))
            list(threads.map(self._fetch, records))

    def _fetch(self, name: str) -> bool:
        """Fetch one object; False where there is none."""
        path = self.root / name
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                if not self.store.get(name, temporary):
                    return False
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def fetch(self, shard: Path) -> None:
        """Have a shard in the copy, if the store has it, and let those go that were not used for long."""
        if shard.is_file():
            with contextlib.suppress(OSError):
                os.utime(shard)  # used now
        elif self._fetch(self.name(shard)):
            self._evict(keeps=shard)

    def push(self, paths: Iterable[Path]) -> None:
        """Send files: shards first, then their parts, records last; an object is there whole or not at all."""
        for lock in self._locks.values():
            lock.refuse_lost()
        by_rank: dict[int, list[Path]] = {}
        for path in paths:
            rank = 0 if path.suffix == SHARD else 2 if path.name == RECORD else 1
            by_rank.setdefault(rank, []).append(path)
        for rank in sorted(by_rank):
            with ThreadPoolExecutor(min(TRANSFERS, len(by_rank[rank]))) as threads:
                list(threads.map(self._send, by_rank[rank]))
        if 0 in by_rank:
            self._evict()

    def _send(self, path: Path) -> None:
        name = self.name(path)
        if (
            name.endswith(SHARD) and not path.is_file()
        ):  # another writer has sent it, and it has gone from the copy
            return
        self.store.put(path, name)
        self._stored[name] = Stored(path.stat().st_size)

    def push_folder(self, folder: Path) -> None:
        """Send all files of a folder that the store has not, or has otherwise."""
        there = self._list(folder)
        named = [(self.name(path), path) for path in self._files(folder)]
        self.push(path for name, path in named if name not in there or not self._is_same(name, there[name]))

    def remove(self, path: Path) -> None:
        """Take an object out of the store."""
        self._stored.pop(self.name(path), None)
        self.store.remove(self.name(path))

    def stored_size(self, path: Path) -> int:
        """Return the size of a shard of the store; -1 where it has none."""
        found = self._stored.get(self.name(path)) if path.suffix == SHARD else None
        return found.size if found else -1

    def stored_shards(self, folder: Path) -> set[str]:
        """Return the names of the shards of a folder that the store has."""
        start = f"{self.name(folder)}/"
        names = [name for name in self._stored if name.startswith(start) and name.endswith(SHARD)]
        return {name.removeprefix(start) for name in names}

    def _evict(self, *, keeps: Path | None = None) -> None:
        """Delete the least recently used shards of the copy above its limit; never one that the store has not."""
        found: dict[Path, os.stat_result] = {}
        for path in self.root.rglob(f"*{SHARD}"):
            with contextlib.suppress(FileNotFoundError):  # another process lets it go
                found[path] = path.stat()
        total = sum(status.st_size for status in found.values())
        for path in sorted(found, key=lambda path: found[path].st_mtime_ns):
            if total <= self.cache_bytes:
                return
            if path != keeps and self.store.size(self.name(path)) == found[path].st_size:
                path.unlink(missing_ok=True)
                total -= found[path].st_size

    @contextlib.contextmanager
    def exclusive(self, folder: Path, *, max_wait_s: float) -> Iterator[None]:
        """Hold a folder of the store alone."""
        name = self.name(folder)
        lock = RemoteLock(self.store, name, is_conditional=self.is_conditional)
        with lock.held(max_wait_s=max_wait_s):
            self._fresh = {one for one in self._fresh if one != name and not one.startswith(f"{name}/")}
            self._locks[name] = lock
            try:
                yield
            finally:
                del self._locks[name]


def _is_sent(name: str) -> bool:
    """Tell whether an object or a file belongs to the results: not to a lock, to workers, or to one machine."""
    parts = name.split("/")
    is_hidden = any(part.startswith(".") for part in parts[:-1])
    return (
        not is_hidden and not name.endswith(NOT_SENT) and (parts[-1][0] != "." or name.endswith(".parquet"))
    )


_mirrors: dict[Path, Mirror] = {}
"""Root of a copy -> what it is a copy of; empty where results lie in plain folders."""


def mirror_of(path: Path) -> Mirror | None:
    """Return the mirror in which a path lies; None for a plain path."""
    if not _mirrors:
        return None
    absolute = path.absolute()
    return next((mirror for root, mirror in _mirrors.items() if absolute.is_relative_to(root)), None)


def shown(path: Path) -> str:
    """Return what the user calls a path: its URL, where it lies in an object store."""
    mirror = mirror_of(path)
    return mirror.store.address(mirror.name(path)) if mirror else str(path)


def check(root: Path) -> None:
    """Raise StoreError where results cannot be written to an object store."""
    if mirror := mirror_of(root):
        mirror.check()


def refresh(folder: Path, *, is_flat: bool = False) -> None:
    """Bring a folder up to date with the object store, once until it is locked anew."""
    if mirror := mirror_of(folder):
        mirror.refresh(folder, is_flat=is_flat)


def exclusive(folder: Path, *, max_wait_s: float) -> contextlib.AbstractContextManager[None]:
    """Hold a folder of an object store alone."""
    mirror = mirror_of(folder)
    return mirror.exclusive(folder, max_wait_s=max_wait_s) if mirror else contextlib.nullcontext()


def fetch(shard: Path) -> None:
    """Have a shard on this machine before it is read."""
    if mirror := mirror_of(shard):
        mirror.fetch(shard)


def pull(folder: Path, *, name: str = "") -> None:
    """Fetch what a folder lacks, or only files of one name."""
    if mirror := mirror_of(folder):
        mirror.pull(folder, name=name)


def push(*paths: Path) -> None:
    """Send finished files to the object store."""
    if paths and (mirror := mirror_of(paths[0])):
        mirror.push(paths)


def push_folder(folder: Path) -> None:
    """Send what has changed in a folder."""
    if mirror := mirror_of(folder):
        mirror.push_folder(folder)


def forget(path: Path) -> None:
    """Delete a file here and in the object store."""
    with explained(path):
        path.unlink(missing_ok=True)
    if mirror := mirror_of(path):
        mirror.remove(path)


def stored_size(path: Path) -> int:
    """Return the size of a shard that lies in the object store; -1 where there is none."""
    mirror = mirror_of(path)
    return mirror.stored_size(path) if mirror else -1


def stored_shards(folder: Path) -> set[str]:
    """Return the names of the shards of a folder that the object store has."""
    mirror = mirror_of(folder)
    return mirror.stored_shards(folder) if mirror else set()
