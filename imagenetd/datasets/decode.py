"""From the bytes of a file to an RGB image, or to one line that says why there is none."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, ImageOps

from imagenetd.numerals import significant

UNSAFE_FORMATS = frozenset({"EPS", "WMF"})
"""Formats that Pillow hands to another program or to the system; no benchmark holds them."""


class UndecodableError(Exception):
    """There is no image in these bytes that could be judged; the message is the reason, one line."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """What counts as a readable image."""

    max_pixels: int
    max_aspect_ratio: float
    """Longer by shorter side; resizing the shorter side of a more extreme image would need gigabytes."""
    apply_exif: bool = False
    """Turn the image as its EXIF orientation says. The reference evaluations do not."""


def decode(data: bytes, decoding: Decoding) -> Image.Image:
    """Return the (first) image as 8-bit RGB: 16-bit grey is scaled, alpha is dropped, as `convert("RGB")` does.

    Raises:
        UndecodableError: For bytes that are no image, a torn one, or one beyond the limits.
    """
    if not data:
        raise UndecodableError("the file is empty")
    pil_limit, truncated = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = decoding.max_pixels, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_formats()) as image:
                _check_size(image.size, decoding)
                image.load()
                turned = ImageOps.exif_transpose(image) if decoding.apply_exif else image
                return to_rgb(turned)
    except UndecodableError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UndecodableError(
            f"more than data.max_pixels={decoding.max_pixels:,} pixels: a decompression bomb, or raise the limit"
        ) from error
    except Image.UnidentifiedImageError as error:
        raise UndecodableError(f"no image: {described(data)}") from error
    except Exception as error:  # Pillow's plug-ins raise whatever struct, zlib and their own parsers raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UndecodableError(f"damaged image ({reason[:120]})") from error
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = pil_limit, truncated


def to_rgb(image: Image.Image) -> Image.Image:
    """Return 8-bit RGB; grey of more than 8 bits is scaled, which `convert("RGB")` would turn white.

    Raises:
        UndecodableError: For floating-point pixels, whose range no one states.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "I":
        pixels = np.asarray(image).astype(np.int64)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise UndecodableError("32-bit pixels outside 0..65535 have no known range")
        return Image.fromarray(np.rint(pixels / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise UndecodableError("floating-point pixels have no known range: save it with 8 or 16 bits")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


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
            f"{width:,} x {height:,} pixels, more than data.max_pixels={decoding.max_pixels:,}"
        )
    if max(size) > decoding.max_aspect_ratio * min(size):
        raise UndecodableError(
            f"{width:,} x {height:,} pixels, more extreme than data.max_aspect_ratio="
            f"{significant(decoding.max_aspect_ratio, 6)}"
        )


def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.OPEN if name not in UNSAFE_FORMATS]
