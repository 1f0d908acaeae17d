"""The loaders of published benchmarks: their layouts, their counts, their own numbers."""

import importlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra.utils import get_object
from PIL import Image

from imagenetd.errors import DataError
from imagenetd.images.datasets.dataset import Dataset, Listing
from imagenetd.images.datasets.huggingface import HuggingFaceDataset
from imagenetd.images.datasets.imagenet_9 import CLASSES, ImageNet9Dataset
from imagenetd.images.datasets.imagenet_c import ALEXNET_ERROR, GROUPS, ImageNetCDataset, corruption_errors
from imagenetd.images.datasets.imagenet_d import ImageNetDDataset
from imagenetd.images.datasets.objectnet import ObjectNetDataset
from imagenetd.images.datasets.wordnet import WordNetDataset
from imagenetd.scoring.counts import accuracy_by
from imagenetd.words.vocabulary import Category, choose_categories, load_categories
from tests import shipped
from tests.pictures import encoded, picture, put
from tests.test_zoo import CONF, composed

BANANA, CLOCK = choose_categories(["banana", "alarm_clock"])
ALL = tuple(load_categories().values())
CHOICES = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))
DATASETS = [choice for choice in CHOICES if choice != "pool"]


def listed(dataset: Dataset, categories: Sequence[Category]) -> Listing:
    return dataset.listing(dataset.categories(categories))


def refused(dataset: Dataset, categories: Sequence[Category] = ALL) -> str:
    with pytest.raises(DataError) as caught:
        listed(dataset, categories)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("choice", DATASETS)
def test_a_data_yaml_names_every_argument_of_its_class(choice: str, tmp_path: Path) -> None:
    spec = composed(tmp_path, "data", choice)
    factory = get_object(spec.pop("_target_"))
    assert issubclass(factory, Dataset)
    assert set(spec) == set(inspect.signature(factory).parameters)
    factory(**spec | {"root": "nowhere"})


@pytest.mark.parametrize("choice", CHOICES)
def test_a_data_yaml_opens_with_a_sentence(choice: str) -> None:
    first = (CONF / "data" / f"{choice}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ") and first.endswith(".")


@pytest.mark.parametrize("choice", shipped.DATASETS)
def test_the_docs_say_where_a_shipped_dataset_comes_from(choice: str) -> None:
    assert f"| `{choice}` |" in (CONF.parent / "docs" / "evaluate.md").read_text()


@pytest.mark.parametrize("choice", DATASETS)
def test_a_folder_of_something_else_is_told_in_one_line(choice: str, tmp_path: Path) -> None:
    root = put(tmp_path / "root", "holiday/a.png", "holiday/b.png")
    spec = composed(tmp_path, "data", choice)
    factory = get_object(spec.pop("_target_"))
    message = refused(factory(**spec | {"root": str(root)}))
    assert str(root) in message


def imagenet_d(root: Path, **options: Any) -> ImageNetDDataset:
    return ImageNetDDataset(root=str(root), **{"check_counts": False, **options})


def test_the_release_gives_kinds_and_the_rivals_of_its_questions(tmp_path: Path) -> None:
    put(tmp_path, "background/banana/1.png", "texture/alarm_clock/2.png", "README.md")
    (tmp_path / "questions").mkdir()
    header = "image_dir\tgt_category\ttop1_pred_cate\ttop2_pred_cate\n"
    rows = "background/banana/1.png\tbanana\tbanana\tcan_opener\n"
    (tmp_path / "questions" / "background.csv").write_text(header + rows)
    found = listed(imagenet_d(tmp_path), ALL)
    assert [(entry.kind, entry.category, entry.rival) for entry in found.entries] == [
        ("background", "banana", "can_opener"),
        ("texture", "alarm_clock", ""),
    ]
    assert dict(found.ignored) == {"*.md files": 1, "*.csv files": 1}
    assert len(listed(imagenet_d(tmp_path, kinds=["texture"]), ALL).entries) == 1


def test_the_fiftyone_export_takes_the_category_from_the_path_and_passes_over_its_csv_samples(
    tmp_path: Path,
) -> None:
    put(tmp_path, "data/background/banana/1.png", "data/2.png", "data/background.csv")
    samples = [
        {"filepath": "data/background/banana/1.png", "ground_truth": {"label": "background"}},
        {
            "filepath": "data/2.png",
            "tags": ["material"],
            "ground_truth": {"_cls": "Classification", "label": "mug"},
        },
        {"filepath": "data/background.csv"},
    ]
    (tmp_path / "samples.json").write_text(json.dumps({"samples": samples}))
    found = listed(imagenet_d(tmp_path), ALL)
    assert [(entry.kind, entry.category) for entry in found.entries] == [
        ("material", "mug"),
        ("background", "banana"),
    ]


def test_a_release_that_is_not_complete_is_told(tmp_path: Path) -> None:
    put(tmp_path, "background/banana/1.png")
    message = refused(imagenet_d(tmp_path, check_counts=True))
    assert "1 of 3,764 background, 0 of 498 texture, 0 of 573 material images" in message
    assert "docs/evaluate.md" in message


def test_an_unknown_folder_of_the_release_stops_the_run(tmp_path: Path) -> None:
    put(tmp_path, "background/banana/1.png", "background/bannana/1.png")
    assert "did you mean banana?" in refused(imagenet_d(tmp_path))


def imagenet_val(root: Path, **options: Any) -> WordNetDataset:
    return WordNetDataset(root=str(root), title="imagenet_val", subfolders=["val"], **options)


def test_the_validation_images_are_those_of_the_categories_alone(tmp_path: Path) -> None:
    put(
        tmp_path,
        *(f"val/{wnid}/{n}.JPEG" for wnid in ("n02708093", "n03196217", "n01440764") for n in range(2)),
    )
    found = listed(imagenet_val(tmp_path), [CLOCK])
    assert [entry.category for entry in found.entries] == ["alarm_clock"] * 4
    assert found.ignored["images of classes that are no category of this run"] == 2


def test_all_classes_are_categories_of_their_own_when_asked(tmp_path: Path) -> None:
    put(tmp_path, "n02708093/a.png", "n01440764/a.png")
    dataset = imagenet_val(tmp_path, classes="all")
    assert [(c.name, c.display, c.imagenet_ids) for c in dataset.categories(ALL)] == [
        ("n01440764", "tench", (0,)),
        ("n02708093", "analog clock", (409,)),
    ]
    assert [entry.category for entry in listed(dataset, ALL).entries] == ["n01440764", "n02708093"]
    assert "holds 2 classes, but imagenet_val has 3" in refused(
        imagenet_val(tmp_path, classes="all", num_classes=3)
    )


def test_folders_of_class_numbers_are_those_of_imagenet_v2(tmp_path: Path) -> None:
    put(tmp_path, "409/a.png", "530/b.png", "0/c.png")
    assert [entry.file for entry in listed(imagenet_val(tmp_path), [CLOCK]).entries] == [
        "409/a.png",
        "530/b.png",
    ]


def test_a_flat_folder_needs_the_label_file(tmp_path: Path) -> None:
    put(tmp_path / "root", "ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG")
    labels = tmp_path / "labels.csv"
    names = {"ILSVRC2012_val_00000001": "n02708093", "ILSVRC2012_val_00000002": "n01440764"}
    rows = [f"{name},{wnid} 1 2 3 4" for name, wnid in names.items()]
    labels.write_text("\n".join(["ImageId,PredictionString", *rows]))
    found = listed(imagenet_val(tmp_path / "root", labels=str(labels)), [CLOCK])
    assert [entry.file for entry in found.entries] == ["ILSVRC2012_val_00000001.JPEG"]
    assert "WordNet id" in refused(imagenet_val(tmp_path / "root"), [CLOCK])


def test_a_class_that_is_not_complete_is_told(tmp_path: Path) -> None:
    put(tmp_path, "n02708093/a.png", "n03196217/a.png")
    message = refused(imagenet_val(tmp_path, images_per_class=50), [CLOCK])
    assert "holds 2 images of alarm_clock, but imagenet_val has 100" in message


def test_the_border_of_objectnet_is_cut_off(tmp_path: Path) -> None:
    inside = picture(5, size=(10, 8))
    framed = Image.new("RGB", (14, 12), (255, 0, 0))
    framed.paste(inside, (2, 2))
    dataset = ObjectNetDataset(root=str(tmp_path))
    assert encoded(dataset.decode(encoded(framed))) == encoded(inside)
    assert dataset.identity() != ObjectNetDataset(root=str(tmp_path), border_px=1).identity()


def test_objects_of_objectnet_that_are_no_category_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "images/alarm_clock/a.png", "images/air_freshener/b.png")
    found = listed(ObjectNetDataset(root=str(tmp_path)), [CLOCK])
    assert [entry.category for entry in found.entries] == ["alarm_clock"]
    assert found.ignored["files of objects that are no category of this run"] == 1
    assert "has no folder for 1 of 2 categories, e.g. banana" in refused(
        ObjectNetDataset(root=str(tmp_path)), [CLOCK, BANANA]
    )


def corrupted(root: Path, *corruptions: str) -> Path:
    return put(root, *(f"{c}/{s}/n02708093/a.png" for c in corruptions for s in range(1, 6)))


def imagenet_c(root: Path, **options: Any) -> ImageNetCDataset:
    return ImageNetCDataset(root=str(root), title="imagenet_c", **{"classes": "all", **options})


def test_corruptions_are_nuisances_and_their_groups_kinds(tmp_path: Path) -> None:
    corrupted(tmp_path, "noise/shot_noise", "fog")
    found = listed(imagenet_c(tmp_path), ALL)
    assert {(e.kind, e.nuisance) for e in found.entries} == {("noise", "shot_noise"), ("weather", "fog")}
    assert sorted(e.severity for e in found.entries) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert {e.nuisance for e in listed(imagenet_c(tmp_path, corruptions=["fog"]), ALL).entries} == {"fog"}


def test_a_corruption_or_severity_that_is_missing_is_told(tmp_path: Path) -> None:
    corrupted(tmp_path, "fog")
    assert "lacks snow" in refused(imagenet_c(tmp_path, corruptions=["fog", "snow"]))
    assert "names 'mist'" in refused(imagenet_c(tmp_path, corruptions=["mist"]))
    (tmp_path / "fog" / "3" / "n02708093" / "a.png").unlink()
    (tmp_path / "fog" / "3" / "n02708093").rmdir()
    (tmp_path / "fog" / "3").rmdir()
    assert "lacks the severities 3" in refused(imagenet_c(tmp_path))


def answers(corruption: str, wrong: Sequence[int]) -> pd.DataFrame:
    """Ten images at each severity, of which so many are wrong."""
    rows = [(severity, 10, 10 - count) for severity, count in enumerate(wrong, start=1)]
    frame = pd.DataFrame(rows, columns=["severity", "num_images", "num_correct"])
    return accuracy_by(frame.assign(model="m", nuisance=corruption), ["model", "nuisance", "severity"])


def test_the_corruption_error_is_the_mean_over_severities_in_units_of_alexnet() -> None:
    table = corruption_errors(answers("fog", [1, 2, 3, 4, 5]))
    assert table["error"].tolist() == pytest.approx([0.3])
    assert table["corruption_error"].tolist() == pytest.approx([0.3 / 0.819324])
    assert table["error_severity_5"].tolist() == [0.5]


def test_the_mean_corruption_error_needs_all_fifteen(tmp_path: Path) -> None:
    dataset = imagenet_c(tmp_path)
    assert len(ALEXNET_ERROR) == 15 and set(ALEXNET_ERROR) | set(GROUPS["extra"]) == {
        name for names in GROUPS.values() for name in names
    }
    everything = pd.concat([answers(name, [5] * 5) for name in ALEXNET_ERROR], ignore_index=True)
    _, (line,) = dataset.findings(everything)
    mce = 100 * sum(0.5 / error for error in ALEXNET_ERROR.values()) / 15
    assert f"mCE {mce:.1f}" in line
    _, (partial,) = dataset.findings(answers("fog", [5] * 5))
    assert "mCE needs all 15 corruptions" in partial


def imagenet_9(tmp_path: Path) -> ImageNet9Dataset:
    mapping = {index: index // 100 if index < 900 else -1 for index in range(1000)}
    (tmp_path / "map.json").write_text(json.dumps(mapping))
    return ImageNet9Dataset(root=str(tmp_path / "root"), class_map=str(tmp_path / "map.json"))


def test_imagenet_9_has_nine_classes_of_many_ids_and_its_variants_are_nuisances(tmp_path: Path) -> None:
    put(tmp_path / "root", "mixed_same/val/02_wheeled vehicle/a.png", "mixed_rand/val/00_dog/b.png")
    dataset = imagenet_9(tmp_path)
    categories = dataset.categories(ALL)
    assert [category.display for category in categories] == list(CLASSES)
    assert categories[2].imagenet_ids == tuple(range(200, 300))
    assert [(e.category, e.nuisance) for e in listed(dataset, ALL).entries] == [
        ("dog", "mixed_rand"),
        ("wheeled_vehicle", "mixed_same"),
    ]
    put(tmp_path / "root", "mixed_rand/val/00_cat/b.png")
    assert "'00_cat'" in refused(dataset)


def test_the_background_gap_is_mixed_same_minus_mixed_rand(tmp_path: Path) -> None:
    rows = [("mixed_same", 2, 2), ("mixed_rand", 2, 1)]
    counts = pd.DataFrame(rows, columns=["nuisance", "num_images", "num_correct"]).assign(model="m")
    tables, lines = imagenet_9(tmp_path).findings(accuracy_by(counts, ["model", "nuisance"]))
    assert lines == ["m: BG-Gap 50.0 points (mixed_same - mixed_rand)."]
    assert tables["variants"]["bg_gap"].tolist() == [0.5]


def test_imagenet_9_without_its_map_says_where_to_get_it(tmp_path: Path) -> None:
    put(tmp_path, "mixed_same/val/00_dog/a.png")
    assert "github.com/MadryLab/backgrounds_challenge" in refused(ImageNet9Dataset(root=str(tmp_path)))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    datasets = importlib.import_module("datasets")
    images = [{"bytes": encoded(picture(n)), "path": None} for n in range(3)]
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=["Mug", "banana"]),
        nuisance=datasets.Value("string"),
    )
    rows = {"image": images, "label": [0, 1, 1], "nuisance": ["beach-s", "", "fog"]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_hugging_face_dataset_gives_its_rows(saved: Path) -> None:
    dataset = HuggingFaceDataset(root=str(saved), nuisance_column="nuisance")
    found = listed(dataset, ALL)
    assert [(e.category, e.nuisance, e.row) for e in found.entries] == [
        ("mug", "beach-s", 0),
        ("banana", "", 1),
        ("banana", "fog", 2),
    ]
    assert dataset.read_bytes(found.entries[1]) == encoded(picture(1))


def test_a_column_that_a_hugging_face_dataset_lacks_is_told(saved: Path) -> None:
    assert "lacks the columns pixels" in refused(HuggingFaceDataset(root=str(saved), image_column="pixels"))


def test_parquet_files_are_read_by_their_splits(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = importlib.import_module("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "files").mkdir()
    rows = datasets.load_from_disk(str(saved))
    for split in ("test", "train"):
        rows.to_parquet(tmp_path / "files" / f"{split}-00000-of-00001.parquet")
    assert "data.split=None is none of the splits test, train" in refused(
        HuggingFaceDataset(root=str(tmp_path / "files"))
    )
    assert len(listed(HuggingFaceDataset(root=str(tmp_path / "files"), split="test"), ALL).entries) == 3


def test_class_folders_that_count_from_one_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "1/a.png", "999/b.png", "1000/c.png")
    assert "holds the folder 1000, but ImageNet numbers its classes 0..999" in refused(imagenet_val(tmp_path))


def test_class_folders_are_named_in_one_way(tmp_path: Path) -> None:
    put(tmp_path / "mixed", "954/a.png", "n02708093/b.png")
    assert "holds class numbers (954) beside WordNet ids (n02708093)" in refused(
        imagenet_val(tmp_path / "mixed")
    )
    put(tmp_path / "twice", "7/a.png", "007/b.png")
    assert "which are one class" in refused(imagenet_val(tmp_path / "twice"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a,n07753592 1 2 3 4\na,n02708093\n", "line 3, column ImageId repeats 'a' of line 2"),
        ("a,\n", "line 2, column PredictionString is empty"),
        ("a,n99999999\n", "line 2, column PredictionString begins with 'n99999999'"),
    ],
)
def test_a_line_of_the_label_file_of_imagenet_that_means_no_class_is_named(
    lines: str, message: str, tmp_path: Path
) -> None:
    put(tmp_path / "root", "a.png")
    (tmp_path / "labels.csv").write_text(f"ImageId,PredictionString\n{lines}")
    assert message in refused(imagenet_val(tmp_path / "root", labels=str(tmp_path / "labels.csv")))


def test_what_a_label_file_of_imagenet_and_the_folder_lack_is_counted(tmp_path: Path) -> None:
    put(tmp_path / "root", "a.png", "b.png")
    (tmp_path / "labels.csv").write_text("ImageId,PredictionString\na,n07753592\nc,n07753592\n")
    found = listed(imagenet_val(tmp_path / "root", labels=str(tmp_path / "labels.csv")), ALL)
    assert dict(found.ignored) == {
        "lines of data.labels whose image is not there": 1,
        "images that data.labels does not list": 1,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({index: 0 for index in range(1, 1001)}, "each of the ImageNet ids 0..999 must stand there once"),
        ({index: 2.5 for index in range(1000)}, "gives the id 0 the class 2.5"),
        ({index: 9 for index in range(1000)}, "gives the id 0 the class 9"),
        ([0] * 1000, "holds no mapping"),
    ],
)
def test_a_map_of_imagenet_9_that_is_shifted_or_no_map_is_refused(
    content: Any, message: str, tmp_path: Path
) -> None:
    put(tmp_path / "root", "mixed_same/val/00_dog/a.png")
    dataset = imagenet_9(tmp_path)
    (tmp_path / "map.json").write_text(json.dumps(content))
    assert message in refused(dataset)


def test_a_class_of_imagenet_9_with_the_number_of_another_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "root", "mixed_same/val/01_dog/a.png")
    assert "calls class 01 'dog', which has another number" in refused(imagenet_9(tmp_path))


def test_two_copies_of_a_corruption_are_never_merged(tmp_path: Path) -> None:
    files = [f"{top}fog/{severity}/n07753592/a.png" for top in ("", "weather/") for severity in range(1, 6)]
    assert "several times (fog, weather/fog)" in refused(imagenet_c(put(tmp_path, *files)))


def test_severities_with_different_numbers_of_images_are_refused(tmp_path: Path) -> None:
    files = [f"fog/{severity}/n07753592/{name}.png" for severity in range(1, 6) for name in "ab"]
    put(tmp_path, *files)
    (tmp_path / files[-1]).unlink()
    message = refused(imagenet_c(tmp_path, num_classes=1))
    assert "holds 1 images of fog/5, but 2 of fog/1" in message
    assert len(listed(imagenet_c(tmp_path), ALL).entries) == 9


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1.png\tbanana\tbannana\tmug\n", "line 2, column top1_pred_cate holds 'bannana'"),
        ("1.png\tbanana\tbanana\tbanana\n", "names banana as its own rival"),
        ("1.png\tbanana\tmug\n", "line 2 has 3 cells"),
        ("1.png\tbanana\tmug\ttie\n1.png\tbanana\ttie\tmug\n", "lists 1.png twice, with the rivals mug, tie"),
    ],
)
def test_a_question_without_a_plain_meaning_is_refused(rows: str, message: str, tmp_path: Path) -> None:
    put(tmp_path, "background/banana/1.png", "questions/x.png")
    header = "image_dir\tgt_category\ttop1_pred_cate\ttop2_pred_cate\n"
    (tmp_path / "questions" / "background.csv").write_text(header + rows)
    assert message in refused(imagenet_d(tmp_path))


def test_samples_with_one_file_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png")
    samples = [
        {"filepath": f"{place}/1.png", "tags": ["material", "validation"], "truth": {"label": label}}
        for place, label in (("a", "mug"), ("b", "banana"))
    ]
    (tmp_path / "samples.json").write_text(json.dumps({"samples": samples}))
    found = {entry.file: entry.category for entry in listed(imagenet_d(tmp_path), ALL).entries}
    assert found == {"a/1.png": "mug", "b/1.png": "banana"}


@pytest.mark.parametrize("content", ['{"samples": [3]}', '{"samples": {}}', "[]", "{"])
def test_a_file_of_samples_that_is_none_is_one_line(content: str, tmp_path: Path) -> None:
    put(tmp_path, "a/1.png")
    (tmp_path / "samples.json").write_text(content)
    assert "samples.json" in refused(imagenet_d(tmp_path))


def test_half_of_the_columns_of_an_export_are_not_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "background/banana/1.png")
    (tmp_path / "images.csv").write_text(
        "file,category,kind,prompt\nbackground/banana/1.png,banana,background,p\n"
    )
    assert "lacks the columns nuisance of an export" in refused(imagenet_d(tmp_path))
