"""Images made elsewhere: the same pixels as `data=folder` sees, and a metadata file that other programs wrote."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagenetd.errors import ConfigError, StoreError
from imagenetd.images.datasets.folder import FolderDataset
from imagenetd.images.generators.folder import FolderGenerator
from imagenetd.records import Prompt
from tests.pictures import encoded, picture, put

HEADER = "file,category,kind,nuisance"


def generator(root: Path, text: str | bytes, **options: object) -> FolderGenerator:
    metadata = root / "metadata.csv"
    metadata.write_bytes(text if isinstance(text, bytes) else text.encode())
    return FolderGenerator(str(root), str(metadata), 2, **options)  # type: ignore[arg-type]


def prompts(root: Path, text: str | bytes) -> list[Prompt]:
    return list(generator(root, text).prompts())


def refused(root: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        generator(root, text).prompts()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def odd_files() -> dict[str, bytes]:
    grey = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "grey16.png": encoded(Image.fromarray(grey)),
        "grey16.tiff": encoded(Image.fromarray(grey), "TIFF"),
        "cmyk.jpg": encoded(picture(1, mode="CMYK"), "JPEG"),
        "palette.png": encoded(picture(2).quantize(8), transparency=bytes([0] * 8)),
        "alpha.png": encoded(picture(3, mode="RGBA")),
        "turned.png": encoded(picture(4, size=(8, 4)), exif=exif),
        "moving.gif": encoded(picture(5), "GIF", save_all=True, append_images=[picture(6)]),
    }


@pytest.mark.parametrize("apply_exif", [False, True])
def test_the_same_file_has_the_same_pixels_as_in_a_dataset(apply_exif: bool, tmp_path: Path) -> None:
    files = odd_files()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    lines = "".join(f"{name},banana,texture,striped\n" for name in files)
    made = generator(tmp_path, f"{HEADER}\n{lines}", apply_exif=apply_exif)
    made.load("cpu")
    pictures = made.generate(list(made.prompts()), [0] * len(files))
    dataset = FolderDataset(root=str(tmp_path), apply_exif=apply_exif)
    for (name, data), drawn in zip(files.items(), pictures, strict=True):
        assert np.array_equal(drawn.pixels, np.asarray(dataset.decode(data))), name
    assert pictures[0].pixels[0, :3, 0].tolist() == [
        0,
        4,
        8,
    ]  # 1000 and 2000 of 65,535; convert("RGB") gave 255


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (encoded(picture(size=(400, 300))), "more than generator.max_pixels=100,000"),
        (encoded(picture(size=(64, 64)), "JPEG")[:300], "damaged image"),
    ],
)
def test_a_file_that_is_no_picture_is_refused_in_one_line(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    made = generator(tmp_path, f"{HEADER}\na.png,mug,texture,striped\n", max_pixels=100_000)
    made.load("cpu")
    with pytest.raises(StoreError, match=reason) as caught:
        made.generate(list(made.prompts()), [0])
    assert "\n" not in str(caught.value)


def test_the_metadata_of_a_spreadsheet_are_read(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    lines = ("a.png;Mug;Texture;striped;3.0;0", "b.png;Alarm clock;neutral;;4;1.0", ";;;;;", "")
    text = "\r\n".join([f"{HEADER};seed;seed_index", *lines])
    first, second = prompts(tmp_path, text.replace(",", ";").encode("utf-8-sig"))
    assert first == Prompt(0, "a.png", "adopted", "mug", "texture", "striped", 3, 0)
    assert second == Prompt(1, "b.png", "adopted", "alarm_clock", "neutral", "", 4, 1)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a.png,mugg,texture,striped", "line 2, column category holds 'mugg'"),
        ("a.png,,texture,striped", "line 2, column category is empty"),
        (",mug,texture,striped", "line 2, column file is empty"),
        ("a.png,mug,colour,red", "line 2, column kind has kind 'colour'"),
        ("a.png,mug,neutral,striped", "a neutral image has none"),
        ("a.png,mug,texture", "line 2 has 3 cells"),
        (
            "a.png,mug,texture,striped\na.png,mug,texture,striped",
            "line 3, column file repeats 'a.png' of line 2",
        ),
    ],
)
def test_a_line_that_means_nothing_is_refused_with_its_place(
    lines: str, message: str, tmp_path: Path
) -> None:
    assert message in refused(put(tmp_path, "a.png"), f"{HEADER}\n{lines}\n")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("striped,p,1,x,", "line 2, column seed_index holds 'x'"),
        ("striped,p,,0,", "line 2, column seed is empty"),
        ("striped,p,1,0,abc", "line 2, column sha256 holds 'abc'"),
    ],
)
def test_a_number_that_is_none_is_refused_with_its_place(cells: str, message: str, tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    assert message in refused(
        tmp_path, f"{HEADER},prompt,seed,seed_index,sha256\na.png,mug,texture,{cells}\n"
    )


def test_two_lines_that_would_be_one_image_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    lines = "a.png,mug,texture,striped,p,0,0\nb.png,mug,texture,striped,p,0,0\n"
    assert "line 3, column seed_index repeats" in refused(
        tmp_path, f"{HEADER},prompt,seed,seed_index\n{lines}"
    )


def test_with_hashes_nothing_is_read_before_it_is_adopted(tmp_path: Path) -> None:
    data = encoded(picture())
    told = hashlib.sha256(data).hexdigest()
    made = generator(tmp_path, f"{HEADER},sha256\na.png,mug,texture,striped,{told.upper()}\n")
    assert "images" not in made.identity()  # a.png is not even there


@pytest.mark.parametrize("again", ["./a.png", "b/../a.png", "a.png"])
def test_two_spellings_of_one_file_are_one_file(again: str, tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b/c.png")
    message = refused(tmp_path, f"{HEADER},seed\na.png,mug,texture,wet,1\n{again},mug,texture,wet,2\n")
    assert "line 3, column file" in message and "of line 2" in message
