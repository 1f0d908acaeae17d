"""The one way from the bytes of a file to an RGB image, or to one line that says why there is none."""

import io
import struct
import threading
import warnings
import zlib
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, ImageOps

from imagenetd.store.numerals import significant

UNSAFE_FORMATS = frozenset({"EPS", "WMF"})
"""Formats that Pillow hands to another program or to the system; no benchmark holds them."""

MAX_PIXELS = 89_478_485
"""Pillow's own limit."""
MAX_ASPECT_RATIO = 1000.0

PNG_START = b"\x89PNG\r\n\x1a\n"
TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
"""What a PNG says beside its pixels. Image generators write their prompts and workflows there, of many MB."""
ORIENTATION_KEYS = (b"Raw profile type exif", b"Raw profile type APP1", b"XML:com.adobe.xmp")
MAX_TEXT_BYTES = 2**20
"""Pillow refuses a picture whose text is larger."""

STARTS = {
    PNG_START: "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
}
STARTS |= {b"II+\0": "BigTIFF", b"\0\0\0\x0cJXL ": "JPEG XL", b"\xff\x0a": "JPEG XL"}
STARTS |= {
    b"\0\0\0" + bytes([n]) + b"ftyp" + b: "HEIF"
    for n in range(16, 64, 4)
    for b in (b"heic", b"mif1", b"avif")
}
"""How files of known formats begin."""

PHOTOMETRIC_TAG, WHITE_IS_ZERO, BITS_TAG = 262, 0, 258
SAMPLE_FORMAT_TAG, SIGNED = 339, 2


class UndecodableError(Exception):
    """There is no image in these bytes that could be judged; the message is the reason, one line."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """What counts as a readable image."""

    max_pixels: int = MAX_PIXELS
    max_aspect_ratio: float = MAX_ASPECT_RATIO
    """Longer by shorter side; resizing the shorter side of a more extreme image would need gigabytes."""
    apply_exif: bool = False
    """Turn the image as its EXIF orientation says. The reference evaluations do not; Pillow always turns a TIFF."""
    option: str = "data"
    """Where the limits stand in the config, for messages."""


class _Strictness:
    """Pillow's settings are those of the process: strict while any thread decodes, as they were when none does."""

    def __init__(self) -> None:
        self._lock, self._depth, self._before = threading.Lock(), 0, ExitStack()

    def enter(self, max_pixels: int) -> None:
        with self._lock:
            if not self._depth:
                self._before.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                truncated = ImageFile.LOAD_TRUNCATED_IMAGES
                self._before.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", truncated)
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = max_pixels, False
                self._before.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            Image.MAX_IMAGE_PIXELS = max(max_pixels, Image.MAX_IMAGE_PIXELS or 0)
            self._depth += 1

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if not self._depth:
                self._before.close()


_strictness = _Strictness()


def decode(data: bytes, decoding: Decoding) -> Image.Image:
    """Return the (first) image as 8-bit RGB: 16-bit grey is scaled, alpha is dropped, as `convert("RGB")` does.

    Raises:
        UndecodableError: For bytes that are no image, a torn one, or one beyond the limits.
    """
    if not data:
        raise UndecodableError("the file is empty")
    _strictness.enter(decoding.max_pixels)
    try:
        pixels = without_text(data, keeps_orientation=decoding.apply_exif)
        with Image.open(io.BytesIO(pixels), formats=_formats()) as image:
            _check_size(image.size, decoding)
            image.load()
            turned = ImageOps.exif_transpose(image) if decoding.apply_exif else image
            return to_rgb(turned)
    except (UndecodableError, MemoryError):  # no memory now says nothing about the file
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UndecodableError(
            f"more than {decoding.option}.max_pixels={decoding.max_pixels:,} pixels: a decompression bomb, or raise "
            "the limit"
        ) from error
    except Image.UnidentifiedImageError as error:
        known = next((name for start, name in STARTS.items() if data.startswith(start)), None)
        reason = (
            f"a {known} of a kind that is not read, or with a damaged head: save it as PNG"
            if known
            else f"no image: {described(data)}"
        )
        raise UndecodableError(reason) from error
    except Exception as error:  # Pillow's plug-ins raise whatever struct, zlib and their own parsers raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UndecodableError(f"damaged image ({reason[:120]})") from error
    finally:
        _strictness.leave()


def to_rgb(image: Image.Image) -> Image.Image:
    """Return 8-bit RGB; grey of more than 8 bits is scaled, which `convert("RGB")` would turn white.

    Raises:
        UndecodableError: For pixels whose range no one states, and for colours that Pillow cannot convert.
    """
    tags = getattr(image, "tag_v2", {})
    if SIGNED in tags.get(SAMPLE_FORMAT_TAG, ()) and max(tags.get(BITS_TAG, (1,))) < 32:
        # of 32 bits, as Pillow itself writes them, the numbers are looked at below
        raise UndecodableError("pixels with a sign have no known range: save it without")
    if image.mode.startswith("I;16"):
        most = 4095 if tags.get(BITS_TAG) == (12,) else 65535
        grey = np.rint(np.minimum(np.asarray(image), most) * (255 / most)).astype(np.uint8)
        return Image.fromarray(255 - grey if tags.get(PHOTOMETRIC_TAG) == WHITE_IS_ZERO else grey).convert(
            "RGB"
        )
    if image.mode == "I":
        pixels = np.asarray(image).astype(np.int64)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise UndecodableError("32-bit pixels outside 0..65535 have no known range")
        if tags and 0 < pixels.max() < 256:
            raise UndecodableError("32-bit pixels below 256 may be of 8 or of 16 bits: save it with either")
        return Image.fromarray(np.rint(pixels / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise UndecodableError("floating-point pixels have no known range: save it with 8 or 16 bits")
    if image.mode == "LAB":
        raise UndecodableError("colours in L*a*b* are not converted: save it as RGB")
    if image.mode in ("RGBa", "La"):  # multiplied with alpha: the only way back leads over plain alpha
        image = image.convert(image.mode.upper())
    if image.mode == "PA" or (image.mode == "P" and "transparency" in image.info):
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def without_text(data: bytes, *, keeps_orientation: bool) -> bytes:
    """Return a PNG without its texts and its colour profile, which are not used; other bytes as they are.

    Compressed text is never opened, so that it can neither fill the memory nor be mistaken for damage.

    Args:
        data: Of a file.
        keeps_orientation: Leave the small texts in which some programs keep EXIF data.
    """
    if not data.startswith(PNG_START):
        return data
    kept, place, first = [], len(PNG_START), 0
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        stop = place + 12 + length
        if stop > len(data):
            break
        if name in TEXT_CHUNKS and not (
            keeps_orientation and _is_small_orientation(name, data[place + 8 : stop - 4])
        ):
            kept.append(data[first:place])
            first = stop
        place = stop
        if name == b"IEND":
            break
    return b"".join([*kept, data[first:]]) if kept else data


def _is_small_orientation(name: bytes, body: bytes) -> bool:
    key, _, rest = body.partition(b"\0")
    if key not in ORIENTATION_KEYS or len(body) > MAX_TEXT_BYTES:
        return False
    if name == b"iTXt" and rest[:1] != b"\1":
        return True
    compressed = rest[1:] if name == b"zTXt" else rest[2:].split(b"\0", 2)[-1] if name == b"iTXt" else b""
    try:
        return len(zlib.decompressobj().decompress(compressed, MAX_TEXT_BYTES + 1)) <= MAX_TEXT_BYTES
    except zlib.error:
        return False


def described(data: bytes) -> str:
    """Return what bytes that are no image look like.

    >>> described(b"<!DOCTYPE html><html>"), described(b"version https://git-lfs.github.com/spec/v1")
    ('a web page, the usual trace of a failed download', 'a Git LFS pointer: run `git lfs pull`')
    """
    start = data[:256].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer: run `git lfs pull`"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page, the usual trace of a failed download"
    if data.startswith(b"%!PS"):
        return "PostScript, which is not opened"
    printable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in data[:256])
    return "text" if printable == len(data[:256]) else f"{len(data):,} bytes of no known image format"


def _check_size(size: tuple[int, int], decoding: Decoding) -> None:
    width, height = size
    if width * height > decoding.max_pixels:
        raise UndecodableError(
            f"{width:,} x {height:,} pixels, more than {decoding.option}.max_pixels={decoding.max_pixels:,}"
        )
    if max(size) > decoding.max_aspect_ratio * min(size):
        raise UndecodableError(
            f"{width:,} x {height:,} pixels, more extreme than "
            f"{decoding.option}.max_aspect_ratio={significant(decoding.max_aspect_ratio, 6)}"
        )


def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.OPEN if name not in UNSAFE_FORMATS]
