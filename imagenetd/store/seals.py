"""Seals: a hash inside a file of ours, over all of its other bytes, so that one flipped bit is seen when it is read.

A seal is meant against disks, not against people: it is a fast hash (XXH3, 128 bits), since logits are large and read
often. Parquet's own page checksums are written too, for other readers; they leave out the footer and cost more.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

import xxhash

from imagenetd.records import Record

MARK = b"imgd:xx1"
"""Stands before a seal; the last sign is the version of the seal."""
SEAL_BYTES = 16
BLOCK_BYTES = len(MARK) + SEAL_BYTES
PARQUET_MAGIC = b"PAR1"
FORMAT = 1
"""Of our JSON records; a record with a higher number is of a later version of the package."""

Buffer = bytes | memoryview


class BrokenSealError(ValueError):
    """The bytes are not those that were sealed, or there is no seal."""


class LaterFormatError(ValueError):
    """A newer version of the package wrote the record."""


def fast_hash(*parts: Buffer) -> str:
    """Return 32 hex digits for the bytes of all parts together."""
    digest = xxhash.xxh3_128()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _footer_start(data: Buffer) -> int:
    """Return where the footer of a Parquet file begins."""
    if len(data) < 12 or bytes(data[-4:]) != PARQUET_MAGIC or bytes(data[:4]) != PARQUET_MAGIC:
        raise BrokenSealError("it does not begin and end as a Parquet file")
    return len(data) - 8 - int(struct.unpack("<I", data[-8:-4])[0])


def seal_parquet(data: Buffer) -> bytes:
    """Return a Parquet file with its seal: 24 bytes between the last column and the footer, where no reader looks."""
    start = _footer_start(data)
    seal = bytes.fromhex(fast_hash(data[:start], data[start:]))
    return b"".join((data[:start], MARK, seal, data[start:]))


def check_parquet(data: Buffer) -> str:
    """Return the seal of a whole Parquet file after checking every byte against it."""
    start = _footer_start(data)
    if start < BLOCK_BYTES:
        raise BrokenSealError("its footer is longer than the file")
    block = bytes(data[start - BLOCK_BYTES : start])
    if not block.startswith(MARK):
        raise BrokenSealError("it has no checksum")
    seal, view = block[len(MARK) :].hex(), memoryview(data)
    if fast_hash(view[: start - BLOCK_BYTES], view[start:]) != seal:
        raise BrokenSealError("its bytes do not have the checksum that it was written with")
    return seal


def seal_bytes(data: bytes) -> bytes:
    """Return any bytes with their seal at the end."""
    return b"".join((data, MARK, bytes.fromhex(fast_hash(data))))


def open_bytes(data: bytes) -> bytes:
    """Return what `seal_bytes` was given, after checking it."""
    content, block = data[:-BLOCK_BYTES], data[-BLOCK_BYTES:]
    if not block.startswith(MARK):
        raise BrokenSealError("it has no checksum")
    if fast_hash(content) != block[len(MARK) :].hex():
        raise BrokenSealError("its bytes do not have the checksum that it was written with")
    return content


def seal_record(content: Mapping[str, Any]) -> Record:
    """Return a record as it is stored: with the number of its format and its seal.

    >>> open_record(seal_record({"num_mined": 7}))
    {'num_mined': 7}
    """
    plain = json.loads(json.dumps({**content, "format": FORMAT}))
    return {**plain, "seal": _record_hash(plain)}


def open_record(stored: Mapping[str, Any]) -> Record:
    """Return what `seal_record` was given, after checking it.

    Raises:
        BrokenSealError: For one that is damaged or has no seal.
        LaterFormatError: For one of a newer version of the package.
    """
    content = {name: value for name, value in stored.items() if name != "seal"}
    number = content.get("format")
    if isinstance(number, int) and number > FORMAT:  # a newer version may also seal otherwise
        raise LaterFormatError(f"it is of format {number}, and this version of imagenetd reads {FORMAT}")
    if "seal" not in stored:
        raise BrokenSealError("it has no checksum")
    if stored["seal"] != _record_hash(content):
        raise BrokenSealError("its fields do not have the checksum that they were written with")
    if content.pop("format", None) != FORMAT:
        raise BrokenSealError(f"it is of format {number}, which was never written")
    return content


def _record_hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
