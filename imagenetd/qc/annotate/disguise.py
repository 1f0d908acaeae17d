"""Pictures as workers get them: nothing about a file tells which picture is a sentinel or comes twice."""

import collections
import contextlib
import hashlib
import io
import random
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from imagenetd.errors import StoreError
from imagenetd.images.decode import Decoding, UndecodableError, decode
from imagenetd.qc.annotate.tokens import Signer
from imagenetd.store.folders import write_bytes_atomic
from imagenetd.store.private import make_private, make_private_folder

READABLE = Decoding(max_pixels=2**28, max_aspect_ratio=1e4, apply_exif=True)
"""A picture of a votes folder was judged by models before: only nonsense is refused; people see it upright."""
ONE_IN = 61
"""One pixel in so many changes by one of 255 levels in one colour, which nobody sees."""
ENCODING = {"compress_level": 1, "compress_type": zlib.Z_RLE}
"""Only runs of one byte are looked for: a photograph takes a quarter less time than at zlib's level 1 alone."""
ENCODING_VERSION = 1
"""Raise it when the same picture becomes another file: kept ones are then made anew."""
SIGNATURE, END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
PADDING = b"paDd"
"""A private chunk that every reader skips."""
EXAMPLES = "examples"
"""Stands for the training examples where a task's id is asked for."""
MAX_KEPT_BYTES = 32 * 2**20
CHUNK_BYTES = 12
BLOCK_BYTES = 4_096
DIGEST_BYTES = hashlib.sha256().digest_size


def disguised(content: bytes, seed: bytes) -> bytes:
    """Return a picture as a PNG of its own for each seed: no two are equal, in bytes or in pixels.

    Names, times and settings that the file held are left out. Eyes, or a program that compares pictures as eyes do, can
    still see that two are alike: that is what a repeat is.
    """
    try:
        pixels = np.array(decode(content, READABLE))
    except UndecodableError as error:
        raise StoreError(f"A picture of this folder cannot be shown: {error}.") from error
    rng = np.random.Generator(np.random.Philox(int.from_bytes(seed[:16], "big")))
    flat = pixels.reshape(-1, 3)
    changed = np.flatnonzero(rng.random(len(flat)) < 1 / ONE_IN)
    changed = np.union1d(changed, [0])  # from the first row on, so that the files differ from their beginning
    colours = rng.integers(3, size=len(changed))
    old = flat[changed, colours].astype(np.int16)
    step = np.where(rng.random(len(changed)) < 0.5, 1, -1)
    flat[changed, colours] = np.where((old + step < 0) | (old + step > 255), old - step, old + step)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", **ENCODING)
    return stream.getvalue()


def common_size(pictures: Sequence[bytes]) -> int:
    """Return the size in bytes to which these pictures are filled up."""
    return -(-(max(map(len, pictures)) + CHUNK_BYTES) // BLOCK_BYTES) * BLOCK_BYTES


def filled(picture: bytes, num_bytes: int, seed: bytes) -> bytes:
    """Return a PNG filled up to a size; what fills it looks random, so that compression does not undo it.

    >>> len(filled(SIGNATURE + END, 100, b"seed"))
    100
    """
    assert picture.startswith(SIGNATURE) and picture.endswith(END)
    padding = random.Random(seed).randbytes(num_bytes - len(picture) - CHUNK_BYTES)
    chunk = PADDING + padding
    framed = struct.pack(">I", len(padding)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return picture[: -len(END)] + framed + END


class PictureDisk:
    """Files in a private folder, each behind the hash of its content."""

    def __init__(self, folder: Path) -> None:
        self._folder = make_private_folder(folder)
        for path in folder.iterdir():
            make_private(path)

    def read(self, name: str) -> bytes | None:
        """Return what was written under a name; None where nothing is, or something else."""
        try:
            content = (self._folder / name).read_bytes()
        except OSError:
            return None
        digest, kept = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        return kept if hashlib.sha256(kept).digest() == digest else None

    def write(self, name: str, content: bytes) -> None:
        """Keep a file where that is possible: on a full disk people go on working, each picture is made anew."""
        path = self._folder / name
        with contextlib.suppress(OSError, StoreError):
            write_bytes_atomic(path, hashlib.sha256(content).digest() + content)
            make_private(path)


class Pictures:
    """The disguised pictures of a folder: each is made once and kept on disk, the latest ones in memory, too.

    Args:
        signer: Of the folder; what is done to a picture follows from its secret.
        images_of: Task id, or `EXAMPLES` -> ids of its images in their order.
        read: Image id -> encoded file.
        folder: Where they are kept, for the owner alone; what is lost or damaged there is made anew.
    """

    def __init__(
        self,
        signer: Signer,
        images_of: Callable[[str], Sequence[str]],
        read: Callable[[str], bytes],
        folder: Path,
    ) -> None:
        self._signer, self._images_of, self._read = signer, images_of, read
        self._disk = PictureDisk(folder)
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}
        """Task id -> held by whoever makes its pictures; the others wait for them."""
        self._kept: collections.OrderedDict[tuple[str, int], bytes] = collections.OrderedDict()
        self._num_kept_bytes = 0
        self._size: dict[str, int] = {}
        """Task id -> bytes of each of its pictures."""

    def get(self, task_id: str, position: int) -> bytes:
        """Return one picture; the first of a task takes as long as all, since all get the size of the largest."""
        with self._lock:
            making = self._making.setdefault(task_id, threading.Lock())
        found = self._found(task_id, position)
        if found is not None:
            return found
        with making:
            found = self._found(task_id, position)  # made by somebody else in the meantime
            return self._made(task_id, position) if found is None else found

    def _found(self, task_id: str, position: int) -> bytes | None:
        with self._lock:
            if (task_id, position) in self._kept:
                self._kept.move_to_end((task_id, position))
                return self._kept[task_id, position]
        kept = self._disk.read(self._name(task_id, position))
        if kept is not None:
            with self._lock:
                self._keep((task_id, position), kept)
        return kept

    def _name(self, task_id: str, position: int) -> str:
        image_id = self._images_of(task_id)[position]
        return self._signer.name("kept picture", ENCODING_VERSION, task_id, position, image_id)

    def _made(self, task_id: str, position: int) -> bytes:
        images = self._images_of(task_id)
        if task_id in self._size:
            wanted = {position: self._disguised(task_id, position, images[position])}
        else:
            wanted = {n: self._disguised(task_id, n, image_id) for n, image_id in enumerate(images)}
            self._size[task_id] = common_size(list(wanted.values()))
        made = {n: self._filled(task_id, n, picture) for n, picture in wanted.items()}
        for number, picture in made.items():
            self._disk.write(self._name(task_id, number), picture)
        with self._lock:
            for number, picture in made.items():
                self._keep((task_id, number), picture)
        return made[position]

    def _disguised(self, task_id: str, position: int, image_id: str) -> bytes:
        return disguised(self._read(image_id), self._signer.secret("pixels", task_id, position))

    def _filled(self, task_id: str, position: int, picture: bytes) -> bytes:
        return filled(picture, self._size[task_id], self._signer.secret("padding", task_id, position))

    def _keep(self, key: tuple[str, int], picture: bytes) -> None:
        self._num_kept_bytes += len(picture) - len(self._kept.get(key, b""))
        self._kept[key] = picture
        self._kept.move_to_end(key)
        while self._num_kept_bytes > MAX_KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._num_kept_bytes -= len(oldest)
