"""Tar shards of images: append-only, whole after a crash up to the last finished unit, read at random.

A shard holds `<image_id>.png` and `<image_id>.json` (the row, without times) for each image, in the order of the prompt
table, so its bytes are the same whoever wrote it and however often that was interrupted.
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from imagenetd.errors import DamagedError, StoreError
from imagenetd.store import remote
from imagenetd.store.system_errors import explained, refusal

BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a shard."""

    name: str
    offset: int
    """Of its first byte."""
    length: int


def shard_name(number: int) -> str:
    """Return the name of a shard's file.

    >>> shard_name(12)
    'shard-000012.tar'
    """
    return f"shard-{number:06d}.tar"


def members(path: Path) -> Iterator[Member]:
    """Yield the whole members of a tar file, and stop at its end or at the first torn one."""
    with explained(path, verb="read"), open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        position = 0
        while position + BLOCK <= size:
            stream.seek(position)
            header = stream.read(BLOCK)
            try:
                info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
            except tarfile.HeaderError:
                return
            end = position + BLOCK + _padded(info.size)
            if end > size:
                return
            yield Member(info.name, position + BLOCK, info.size)
            position = end


class ShardWriter:
    """Appends units of images to one shard; `with` closes it, `finish` makes it visible.

    A writer that takes over from a lost one goes on with a copy: should the other wake up, they never write one file.

    Args:
        path: The finished shard; until then `<path>.<writer>.tmp` grows.
        writer: Name of the process that writes.
    """

    def __init__(self, path: Path, *, writer: str = "0") -> None:
        self.path = path
        self.partial = path.with_name(f"{path.name}.{writer}.tmp")
        self._stream: io.FileIO | None = None

    def __enter__(self) -> Self:
        with explained(self.partial):
            if not self.partial.is_file():
                before = self._left_by_others()
                if before:
                    shutil.copyfile(before[-1], self.partial)
            self.partial.touch(exist_ok=True)
            self._stream = open(self.partial, "r+b", buffering=0)  # noqa: SIM115 - closed by __exit__
            self._stream.seek(0, os.SEEK_END)
        return self

    def _left_by_others(self) -> list[Path]:
        """Return what other writers have left of this shard, the longest last."""
        found = self.path.parent.glob(f"{self.path.name}.*.tmp")
        return sorted((path for path in found if path != self.partial), key=lambda path: path.stat().st_size)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._stream is not None:
            self._stream.close()

    def keep(self, image_ids: Sequence[str], *, unit_size: int) -> int:
        """Cut what an interrupted writer left back to whole units; return how many images stay."""
        assert self._stream is not None
        expected = [name for image_id in image_ids for name in (f"{image_id}.png", f"{image_id}.json")]
        end, whole = 0, 0
        for number, member in enumerate(members(self.partial)):
            if number >= len(expected) or member.name != expected[number]:
                break
            images = (number + 1) // 2
            if number % 2 == 1 and (images % unit_size == 0 or images == len(image_ids)):
                end, whole = member.offset + _padded(member.length), images
        self._stream.truncate(end)
        self._stream.seek(end)
        return whole

    def append(self, files: Sequence[tuple[str, bytes]]) -> list[Member]:
        """Write the files of one unit and make them durable; return where they lie."""
        assert self._stream is not None
        start = self._stream.tell()
        buffer, placed = io.BytesIO(), []
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            buffer.write(info.tobuf(tarfile.USTAR_FORMAT))
            placed.append(Member(name, start + buffer.tell(), len(data)))
            buffer.write(data.ljust(_padded(len(data)), b"\0"))
        with explained(self.path):
            self._write(buffer.getvalue())
        return placed

    def _write(self, data: bytes) -> None:
        assert self._stream is not None
        rest = memoryview(data)
        while rest:  # an unbuffered write may stop short
            rest = rest[self._stream.write(rest) :]
        os.fsync(self._stream.fileno())

    def finish(self) -> None:
        """Close the archive and give the shard its final name, unless another writer was faster with the same bytes."""
        assert self._stream is not None
        with explained(self.path):
            self._write(b"\0" * (2 * BLOCK))
            self._stream.close()
            try:
                os.replace(self.partial, self.path)
            except FileNotFoundError:  # the other has taken away what was left of this shard
                if not self.path.is_file():
                    raise
            for path in self._left_by_others():
                path.unlink(missing_ok=True)


def read_member(path: Path, offset: int, length: int, sha256: str) -> bytes:
    """Return a file's bytes out of a shard; missing or changed bytes are a StoreError."""
    remote.fetch(path)
    try:
        with open(path, "rb") as stream:
            data = os.pread(stream.fileno(), length, offset)
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} is missing. Run with stages=[prompts,generate]: only its images are made anew."
        ) from error
    except OSError as error:
        raise refusal(error, path, verb="read") from error
    if len(data) != length or hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedError(
            f"{path} is damaged: {length} bytes at {offset} do not have the recorded hash {sha256[:12]}. "
            "Delete this file and run again: only its images are made anew."
        )
    return data


def sidecars(path: Path, *, num_images: int) -> list[tuple[Member, dict[str, Any]]]:
    """Return each image's member and the row that is stored beside it; a torn shard is a StoreError."""
    found = list(members(path))
    try:
        if len(found) != 2 * num_images:
            raise ValueError(f"{len(found)} whole files where {2 * num_images} are expected")
        with explained(path, verb="read"), open(path, "rb") as stream:
            rows = [json.loads(os.pread(stream.fileno(), row.length, row.offset)) for row in found[1::2]]
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("a row is no mapping")
    except ValueError as error:
        raise DamagedError(
            f"{path} is damaged ({error}). Delete it and run again: only its images are made anew."
        ) from error
    return list(zip(found[0::2], rows, strict=True))


def png_size(data: bytes) -> tuple[int, int]:
    """Return height and width of a PNG file after checking every byte of it; ValueError where one is wrong.

    Each chunk of a PNG carries a checksum, which decoders skip for the pixels.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise ValueError("is no PNG file")
    position, kind = 8, b""
    while kind != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length
        if end > len(data):
            raise ValueError("is cut short")
        kind = data[position + 4 : position + 8]
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ValueError(f"has a wrong checksum in its chunk {kind!r}")
        position = end
    if position != len(data):
        raise ValueError("goes on behind its end")
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")


def _padded(length: int) -> int:
    return -(-length // BLOCK) * BLOCK
