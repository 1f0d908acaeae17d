"""From the bytes of a file to an RGB image, or to one line that says why there is none."""

import io
import re
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from imagenetd.images.decode import Decoding, UndecodableError, decode
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


def png_with_texts(image: Image.Image, *, num_bytes: int) -> bytes:
    """Return a PNG as image generators write it: prompt and workflow in text chunks, before and after the pixels."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("workflow", "w" * num_bytes, zip=True)
    texts.add_itxt("prompt", "p" * num_bytes, zip=True)
    texts.add(b"tEXt", b"parameters\0" + b"q" * num_bytes, after_idat=True)
    return encoded(image, pnginfo=texts, icc_profile=bytes(2**21))


@pytest.mark.parametrize("apply_exif", [False, True])
def test_a_png_with_megabytes_of_compressed_text_gives_its_pixels(apply_exif: bool) -> None:
    image = picture(5)
    data = png_with_texts(image, num_bytes=3 * 2**20)
    assert np.array_equal(read(data, apply_exif=apply_exif), np.asarray(image))


def test_text_that_is_a_bomb_is_never_opened() -> None:
    image = picture(6)
    text = b"zTXtworkflow\0\0" + zlib.compress(bytes(2**20)) * 64
    chunk = struct.pack(">I", len(text) - 4) + text + bytes(4)  # not even its checksum is right
    whole = encoded(image)
    assert np.array_equal(read(whole[:33] + chunk + whole[33:]), np.asarray(image))


def test_an_orientation_in_a_text_chunk_is_still_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = b"\nexif\n" + f"{len(exif.tobytes()):8d}\n".encode() + exif.tobytes().hex().encode()
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Raw profile type exif", raw.decode(), zip=True)
    assert read(encoded(picture(3, size=(8, 4)), pnginfo=texts), apply_exif=True).shape == (8, 4, 3)


def test_sixteen_bit_tiffs_are_scaled_whatever_their_zero_means() -> None:
    values = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    plain = encoded(Image.fromarray(values), "TIFF")
    inverted = encoded(Image.fromarray(values), "TIFF", tiffinfo={262: 0})
    assert read(plain)[0, :, 0].tolist() == [0, 100, 255]
    assert read(inverted)[0, :, 0].tolist() == [255, 155, 0]


def test_thirty_two_bit_pixels_that_may_be_of_eight_bits_are_refused() -> None:
    assert "may be of 8 or of 16 bits" in refused(
        encoded(Image.fromarray(np.full((2, 2), 200, np.int32)), "TIFF")
    )


def test_sixteen_bit_colours_and_grey_with_alpha_keep_their_high_byte() -> None:
    rows = {2: [200, 100, 50], 6: [200, 100, 50, 255], 4: [200, 255]}
    for colour_type, values in rows.items():
        line = b"\0" + b"".join(bytes([value, 0]) for value in values)
        header = struct.pack(">IIBBBBB", 1, 1, 16, colour_type, 0, 0, 0)
        parts = [(b"IHDR", header), (b"IDAT", zlib.compress(line)), (b"IEND", b"")]
        data = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in parts
        )
        expected = [200, 100, 50] if colour_type != 4 else [200, 200, 200]
        assert read(data)[0, 0].tolist() == expected


def test_colours_that_are_not_converted_are_named_and_not_called_damage() -> None:
    lab = Image.new("LAB", (2, 2))
    assert refused(encoded(lab, "TIFF")) == "colours in L*a*b* are not converted: save it as RGB"


def test_a_known_format_of_an_unknown_kind_is_called_so() -> None:
    assert "a TIFF of a kind that is not read" in refused(b"II*\0\x08\0\0\0\0\0\0\0\0\0")


def test_threads_that_decode_at_once_leave_the_settings_of_pillow_as_they_were() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    data = encoded(picture(7, size=(64, 64)))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: read(data).sum(), range(64)))
    assert len(set(found)) == 1
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_no_memory_says_nothing_about_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(image: Image.Image) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr("imagenetd.images.decode.to_rgb", no_memory)
    with pytest.raises(MemoryError):
        read(encoded(picture()))


def test_pixels_of_files_are_opened_in_one_place_alone() -> None:
    root = Path(__file__).parent.parent / "imagenetd"
    opened = re.compile(r"Image\.open\(|iio\.|cv2\.|read_image\(path|decode_image\(")
    found = [str(path.relative_to(root)) for path in root.rglob("*.py") if opened.search(path.read_text())]
    assert found == ["images/decode.py"]


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_pixels_with_a_sign_are_refused_and_not_read_as_if_they_had_none(kind: str) -> None:
    data = np.arange(64).reshape(8, 8).astype(kind).tobytes()
    bits = 8 * np.dtype(kind).itemsize
    tags = [
        (256, 8),
        (257, 8),
        (258, bits),
        (259, 1),
        (262, 1),
        (273, 200),
        (277, 1),
        (278, 8),
        (279, len(data)),
    ]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in [*tags, (339, 2)])
    tiff = struct.pack("<2sHIH", b"II", 42, 8, len(tags) + 1) + entries + bytes(4)
    with pytest.raises(UndecodableError, match="pixels with a sign"):
        decode(tiff.ljust(200, bytes(1)) + data, Decoding())
