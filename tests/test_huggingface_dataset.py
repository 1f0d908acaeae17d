"""Hugging Face datasets: their splits, missing labels and missing images are honoured or refused by name."""

from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imagenetd.errors import DataError
from imagenetd.images.datasets.dataset import Listing
from imagenetd.images.datasets.huggingface import HuggingFaceDataset
from imagenetd.words.vocabulary import load_categories
from tests.pictures import encoded, picture

ALL = tuple(load_categories().values())
IMAGES = [{"bytes": encoded(picture(seed)), "path": None} for seed in range(3)]
NAMES = ["alarm_clock", "banana", "mug"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def table(columns: dict[str, list[Any]], **features: Any) -> Any:
    made = datasets.Dataset.from_dict(columns)
    types = {"image": datasets.Image(decode=False), **features} if "image" in columns else features
    for name, feature in types.items():
        made = made.cast_column(name, feature)
    return made


def saved(folder: Path, columns: dict[str, list[Any]], **features: Any) -> Path:
    table(columns, **features).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def written(folder: Path, columns: dict[str, list[Any]]) -> Path:
    """Return a folder with one Parquet file that `datasets` did not write."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", image), ("label", pa.string())])
    folder.mkdir()
    pq.write_table(pa.table(columns, schema=schema), folder / "test.parquet")
    return folder


def parquet(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        table({"image": IMAGES[:1], "label": ["mug"]}).to_parquet(str(folder / file))
    return folder


def listed(root: Path, **options: Any) -> Listing:
    dataset = HuggingFaceDataset(root=str(root), **options)
    found = dataset.listing(dataset.categories(ALL))
    for entry in found.entries:
        assert dataset.read_bytes(entry)
    return found


def refused(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        listed(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_class_numbers_are_read_by_the_names_of_their_feature(tmp_path: Path) -> None:
    root = saved(tmp_path, {"image": IMAGES, "label": [2, 0, 1]}, label=datasets.ClassLabel(names=NAMES))
    assert [entry.category for entry in listed(root).entries] == ["mug", "alarm_clock", "banana"]


@pytest.mark.parametrize(("label", "name"), [(-1, "-1"), (None, "")])
def test_a_row_without_a_label_has_no_category(label: int | None, name: str, tmp_path: Path) -> None:
    columns = {"image": IMAGES, "label": [0, label, 1]}
    root = saved(tmp_path, columns, label=datasets.ClassLabel(names=NAMES))
    assert f"holds 1 unknown labels: {name!r}" in refused(root)
    found = listed(root, on_unknown="list")
    assert [entry.row for entry in found.entries] == [0, 2]
    assert [(problem.file, problem.problem) for problem in found.problems] == [("row 1", "unknown label")]


def test_minus_one_is_not_the_class_one(tmp_path: Path) -> None:
    root = saved(tmp_path, {"image": IMAGES, "label": [-1, 0, 1]})
    message = refused(root, label_map={"0": "banana", "1": "mug"})
    assert "holds 1 unknown labels: '-1'" in message


def test_numbers_without_names_need_a_label_map_and_may_be_floats(tmp_path: Path) -> None:
    root = saved(tmp_path, {"image": IMAGES, "label": [0.0, 1.0, None]})
    assert "'0' (a number without a name: say with data.label_map" in refused(root)
    found = listed(root, label_map={"0": "banana", "1": "mug"}, on_unknown="list")
    assert [entry.category for entry in found.entries] == ["banana", "mug"]


def test_names_that_differ_only_in_spelling_are_not_merged(tmp_path: Path) -> None:
    root = saved(tmp_path, {"image": IMAGES, "label": ["mug", "Mug", "banana"]})
    assert "holds 'mug' and 'Mug', which both read as mug" in refused(root)


def test_a_row_without_an_image_is_listed(tmp_path: Path) -> None:
    images = [IMAGES[0], None, {"bytes": None, "path": "gone.png"}]
    root = written(tmp_path / "root", {"image": images, "label": ["mug", "banana", "mug"]})
    found = listed(root)
    assert [entry.row for entry in found.entries] == [0]
    assert [(problem.file, problem.problem, problem.reason) for problem in found.problems] == [
        ("row 1", "unreadable", "the row holds no image"),
        ("row 2", "unreadable", "the row holds only the path gone.png: there is no such file"),
    ]


def test_the_path_of_a_row_is_looked_for_below_the_root_and_not_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = written(tmp_path / "root", {"image": [{"bytes": None, "path": "a.png"}], "label": ["mug"]})
    (root / "a.png").write_bytes(encoded(picture(8)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.png").write_bytes(encoded(picture(9)))
    monkeypatch.chdir(elsewhere)
    dataset = HuggingFaceDataset(root=str(root))
    (entry,) = dataset.listing(ALL).entries
    assert dataset.read_bytes(entry) == encoded(picture(8))


def test_kinds_and_nuisances_are_names_and_absent_ones_are_absent(tmp_path: Path) -> None:
    columns = {"image": IMAGES, "label": NAMES, "kind": [1, 0, None], "nuisance": [0, 3, None]}
    root = saved(tmp_path, columns, kind=datasets.ClassLabel(names=["background", "texture"]))
    entries = listed(root, kind_column="kind", nuisance_column="nuisance").entries
    assert [(entry.kind, entry.nuisance) for entry in entries] == [
        ("texture", "0"),
        ("background", "3"),
        ("huggingface", ""),
    ]


def test_several_labels_a_row_are_refused(tmp_path: Path) -> None:
    root = saved(tmp_path, {"image": IMAGES, "label": [["mug"], ["mug", "banana"], []]})
    assert "the column label holds List values, but one label an image is needed" in refused(root)


def test_a_column_that_holds_no_encoded_image_is_refused(tmp_path: Path) -> None:
    root = saved(tmp_path, {"pixels": [[1, 2], [3], [4]], "label": NAMES})
    assert "the column pixels holds" in refused(root, image_column="pixels")


def test_a_second_column_of_images_is_told(tmp_path: Path) -> None:
    root = saved(
        tmp_path, {"image": IMAGES, "mask": IMAGES, "label": NAMES}, mask=datasets.Image(decode=False)
    )
    assert dict(listed(root).ignored) == {"column mask of images": 1}


def test_a_split_of_one_table_is_refused(tmp_path: Path) -> None:
    root = saved(tmp_path, {"image": IMAGES, "label": NAMES})
    assert "data.split=test, but" in refused(root, split="test")


def test_an_empty_table_is_told_with_the_cause(tmp_path: Path) -> None:
    message = refused(written(tmp_path / "root", {"image": [], "label": []}))
    assert "cannot be read as a Hugging Face dataset" in message and "generating the dataset" not in message


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"), "splits test, train"),
        (("train/0000.parquet", "test/0000.parquet"), "splits test, train"),
        (("imagenet-train.parquet", "imagenet-val.parquet"), "splits imagenet-train, imagenet-val"),
        (
            ("plain/test-00000-of-00001.parquet", "hard/test-00000-of-00001.parquet"),
            "several data sets: hard, plain",
        ),
        (("plain/test/0000.parquet", "hard/test/0000.parquet"), "several data sets: hard, plain"),
        (
            ("data/test-00000-of-00002.parquet",),
            "lacks 1 of the 2 files of the split test, e.g. number 00001",
        ),
        (
            ("test-00000-of-00001.parquet", "test-00000-of-00002.parquet", "test-00001-of-00002.parquet"),
            "versions",
        ),
    ],
)
def test_splits_and_data_sets_are_never_merged(files: tuple[str, ...], message: str, tmp_path: Path) -> None:
    assert message in refused(parquet(tmp_path / "files", *files))


@pytest.mark.parametrize(
    ("files", "split", "rows"),
    [
        (("data/test-00000-of-00002.parquet", "data/test-00001-of-00002.parquet"), None, 2),
        (("train/0000.parquet", "test/0000.parquet", "test/0001.parquet"), "test", 2),
        (("part-0.parquet", "part-1.parquet", "part-2.parquet"), None, 3),
        (("imagenet-train.parquet", "imagenet-val.parquet"), "imagenet-val", 1),
        (("__MACOSX/a.parquet", "test.parquet"), None, 1),
    ],
)
def test_the_files_of_one_split_are_read_together(
    files: tuple[str, ...], split: str | None, rows: int, tmp_path: Path
) -> None:
    assert len(listed(parquet(tmp_path / "files", *files), split=split).entries) == rows


def test_a_folder_of_saved_data_sets_names_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        table({"image": IMAGES, "label": NAMES}).save_to_disk(str(tmp_path / "all" / name))
    assert "It holds the data sets one, two: name one" in refused(tmp_path / "all")


def test_a_saved_data_set_beside_parquet_files_is_refused(tmp_path: Path) -> None:
    root = saved(tmp_path, {"image": IMAGES, "label": NAMES})
    parquet(root, "test.parquet")
    assert "and Parquet files: two data sets" in refused(root)


@pytest.mark.parametrize("kind", ["arrow", "numpy", "pandas", "torch"])
def test_a_format_that_was_saved_with_the_table_changes_nothing(kind: str, tmp_path: Path) -> None:
    made = table({"image": IMAGES, "label": NAMES}).with_format(kind, columns=["label"])
    made.save_to_disk(str(tmp_path / "saved"))
    assert [entry.category for entry in listed(tmp_path / "saved").entries] == NAMES


def test_files_whose_class_numbers_mean_other_classes_are_not_merged(tmp_path: Path) -> None:
    for number, names in enumerate((NAMES, NAMES[::-1])):
        made = table({"image": IMAGES, "label": [0, 1, 2]}, label=datasets.ClassLabel(names=names))
        made.to_parquet(str(tmp_path / f"test-{number:05d}-of-00002.parquet"))
    assert "the column label has another type, or other class names, in test-00001" in refused(tmp_path)


def test_two_versions_of_one_file_do_not_count_twice(tmp_path: Path) -> None:
    parquet(tmp_path, "test-00000-of-00001.parquet", "test-00000-of-00001-abcdef.parquet")
    assert "holds number 00000 of the split test twice" in refused(tmp_path)


@pytest.mark.parametrize(("mapped", "other"), [("🐶", "🦊"), ("+", "-"), ("c", "c++"), ("कि", "की")])
def test_names_of_signs_alone_or_of_another_script_are_not_mapped_by_luck(
    mapped: str, other: str, tmp_path: Path
) -> None:
    root = saved(tmp_path, {"image": IMAGES, "label": [mapped, other, "mug"]})
    found = listed(root, label_map={mapped: "banana"}, on_unknown="list")
    assert [(entry.row, entry.category) for entry in found.entries] == [(0, "banana"), (2, "mug")]
    assert [problem.file for problem in found.problems] == ["row 1"]
