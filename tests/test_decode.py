"""From the bytes of a file to an RGB image, or to one line that says why there is none."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from imagenetd.datasets.decode import Decoding, UndecodableError, decode
from tests.pictures import encoded, picture

LIMITS = Decoding(max_pixels=1_000_000, max_aspect_ratio=100)


def read(data: bytes, **options: object) -> np.ndarray:
    return np.asarray(decode(data, Decoding(**{"max_pixels": 10**6, "max_aspect_ratio": 100.0, **options})))


def refused(data: bytes) -> str:
    with pytest.raises(UndecodableError) as caught:
        decode(data, LIMITS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size that its one byte of data does not have."""

    def chunk(body: bytes) -> bytes:
        return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(header) + chunk(b"IDAT" + zlib.compress(b"\0")) + chunk(b"IEND")


def test_sixteen_bit_grey_is_scaled_and_not_turned_white() -> None:
    values = np.array([[0, 257 * 100, 257 * 200, 65535]], dtype=np.uint16)
    pixels = read(encoded(Image.fromarray(values)))
    assert pixels[0, :, 0].tolist() == [0, 100, 200, 255]


def test_thirty_two_bit_grey_is_scaled_within_sixteen_bits_and_refused_beyond() -> None:
    values = np.array([[0, 65535]], dtype=np.int32)
    assert read(encoded(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 255]
    assert "32-bit pixels" in refused(encoded(Image.fromarray(values * 2), "TIFF"))


def test_floating_point_pixels_have_no_range_and_are_refused() -> None:
    assert "floating-point" in refused(encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("CMYK", "JPEG"),
        ("L", "JPEG"),
        ("1", "PNG"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
        ("P", "PNG"),
        ("RGB", "WEBP"),
    ],
)
def test_other_modes_become_rgb_as_convert_makes_them(mode: str, kind: str) -> None:
    data = encoded(picture(1, mode=mode), kind)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(read(data), expected)


def test_a_palette_with_transparency_keeps_its_colours_without_a_warning() -> None:
    palette = picture(2).quantize(16)
    data = encoded(palette, transparency=bytes([0] * 8 + [255] * 8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read(data), np.asarray(palette.convert("RGB")))


def test_exif_orientation_is_an_option() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(3, size=(8, 4)), exif=exif)
    assert read(data).shape == (4, 8, 3)
    assert read(data, apply_exif=True).shape == (8, 4, 3)


def test_the_first_picture_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read(data)[0, 0].tolist() == [255, 0, 0]


def test_one_pixel_is_an_image() -> None:
    assert read(encoded(picture(size=(1, 1)))).shape == (1, 1, 3)


def test_a_torn_file_is_refused_and_settings_of_pillow_stay_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    before = Image.MAX_IMAGE_PIXELS
    whole = encoded(picture(4, size=(64, 64)), "JPEG")
    assert "damaged image" in refused(whole[: len(whole) // 2])
    assert (before, True) == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"This is not an image.\n", "no image: text"),
        (b"<!DOCTYPE html><html></html>", "a web page, the usual trace of a failed download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a Git LFS pointer"),
        (bytes(range(200)), "200 bytes of no known image format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript, which is not opened"),
        (png_claiming(65_000, 65_000), "a decompression bomb, or raise the limit"),
        (png_claiming(1200, 1000), "more than data.max_pixels=1,000,000"),
        (encoded(picture(size=(400, 2))), "more extreme than data.max_aspect_ratio=100"),
    ],
    ids=["empty", "text", "html", "lfs", "bytes", "eps", "bomb", "large", "extreme"],
)
def test_what_is_no_usable_image_is_told_in_one_line(data: bytes, reason: str) -> None:
    assert reason in refused(data)
