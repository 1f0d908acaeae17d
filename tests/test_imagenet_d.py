"""The layouts of ImageNet-D at their edges: what is passed over, what is counted, which rival an image has."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from imagenetd.errors import DataError
from imagenetd.images.datasets import imagenet_d
from imagenetd.images.datasets.dataset import Listing
from imagenetd.images.datasets.imagenet_d import ImageNetDDataset
from imagenetd.words.vocabulary import Category, load_categories

ALL = tuple(load_categories().values())
HEADER = "image_dir\tgt_category\ttop1_pred_cate\ttop2_pred_cate\n"


def put(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"a picture, which the listing does not open")


def listed(root: Path, categories: Sequence[Category] = ALL, **options: Any) -> Listing:
    return ImageNetDDataset(root=str(root), **{"check_counts": False, **options}).listing(categories)


def refused(root: Path, categories: Sequence[Category] = ALL, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        listed(root, categories, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def places(listing: Listing) -> list[tuple[str, str, str]]:
    return [(entry.file, entry.kind, entry.category) for entry in listing.entries]


def test_what_is_passed_over_is_counted_by_its_sort_and_hides_nothing_behind_it(tmp_path: Path) -> None:
    put(tmp_path, "A.md", "B.md", "a/b/LICENSE", "a/b/c.txt", "aaa/1.png", "aab/1.png")
    put(tmp_path, "background/banana/1.png", "background/2.png", "texture/mug/1.png")
    found = listed(tmp_path, kinds=["texture"])
    assert places(found) == [("texture/mug/1.png", "texture", "mug")]
    assert dict(found.ignored) == {
        "*.md files": 2,
        "*LICENSE files": 1,
        "*.txt files": 1,
        "images outside the kinds' folders": 3,
        "images of other kinds": 1,
    }


def test_the_folder_of_a_category_may_have_folders_and_stand_below_others(tmp_path: Path) -> None:
    put(tmp_path, "v1/data/background/banana/more/1.png", "v1/data/texture/mug/2.png")
    assert places(listed(tmp_path)) == [
        ("v1/data/background/banana/more/1.png", "background", "banana"),
        ("v1/data/texture/mug/2.png", "texture", "mug"),
    ]


def test_a_kind_that_is_none_is_named_with_the_three(tmp_path: Path) -> None:
    put(tmp_path, "texture/mug/1.png")
    message = refused(tmp_path, kinds=["texture", "style", "colour"])
    assert message == "data.kinds names 'style'; ImageNet-D has background, texture, material."


def test_another_layout_is_told_by_four_of_its_folders(tmp_path: Path) -> None:
    put(tmp_path, *(f"{name}/x/1.png" for name in ("e", "d", "c", "b", "a")))
    message = refused(tmp_path)
    assert "holds no folder background, texture or material but a, b, c, d. Name the folder" in message


def test_a_picture_that_is_called_like_a_kind_makes_no_layout(tmp_path: Path) -> None:
    put(tmp_path, "a/background")
    assert "holds no folder background, texture or material but a." in refused(tmp_path)


def test_an_unknown_label_is_listed_when_that_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path, "background/abacus/1.png", "background/abacus/2.png", "background/mug/1.png")
    found = listed(tmp_path, on_unknown="list")
    assert [(one.file, one.reason) for one in found.problems] == [
        ("background/abacus/1.png", "label 'abacus'"),
        ("background/abacus/2.png", "label 'abacus'"),
    ]
    assert places(found) == [("background/mug/1.png", "background", "mug")]
    assert "holds 1 unknown labels: 'abacus'" in refused(tmp_path)


def test_a_file_that_cannot_be_read_is_a_problem_of_its_category(tmp_path: Path) -> None:
    put(tmp_path, "texture/mug/1.png")
    (tmp_path / "texture" / "mug" / "0").symlink_to(tmp_path / "gone")
    found = listed(tmp_path)
    assert [(one.file, one.category, one.reason) for one in found.problems] == [
        ("texture/mug/0", "mug", "a link to nothing")
    ]
    assert len(found.entries) == 1


def test_two_folders_of_one_category_are_refused_within_a_kind_alone(tmp_path: Path) -> None:
    put(tmp_path, "background/t_shirt/1.png", "texture/T-shirt/1.png")
    assert [entry.category for entry in listed(tmp_path).entries] == ["t_shirt", "t_shirt"]
    put(tmp_path, "texture/t_shirt/2.png")
    assert "'T-shirt' and 't_shirt', which both read as t_shirt" in refused(tmp_path, kinds=["texture"])
    assert len(listed(tmp_path, kinds=["background"]).entries) == 1


@pytest.fixture
def small_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet_d, "RELEASED", {"background": 2, "texture": 1, "material": 0})


@pytest.mark.usefixtures("small_release")
def test_the_number_of_images_of_each_kind_is_that_of_the_release(tmp_path: Path) -> None:
    put(tmp_path, "background/banana/1.png", "background/mug/1.png", "texture/mug/1.png")
    assert listed(tmp_path, check_counts=True).note == ""
    assert len(listed(tmp_path, kinds=["texture"], check_counts=True).entries) == 1
    put(tmp_path, "texture/mug/2.png")
    message = refused(tmp_path, check_counts=True)
    assert f"data.root={tmp_path} holds 2 of 1 texture images of the release: the download" in message
    assert listed(tmp_path).note == "4 images; the release has 3"
    assert len(listed(tmp_path, kinds=["background"], check_counts=True).entries) == 2


@pytest.mark.usefixtures("small_release")
def test_files_that_cannot_be_used_are_counted_beside_a_wrong_number(tmp_path: Path) -> None:
    put(tmp_path, "background/banana/1.png", "texture/mug/1.png")
    (tmp_path / "background" / "banana" / "2.png").symlink_to(tmp_path / "gone")
    message = refused(tmp_path, check_counts=True)
    assert "holds 1 of 2 background images of the release (1 files cannot be used): the" in message


@pytest.mark.usefixtures("small_release")
def test_a_part_of_the_categories_has_no_number_of_the_release(tmp_path: Path) -> None:
    put(tmp_path, "background/banana/1.png")
    assert len(listed(tmp_path, [one for one in ALL if one.name != "wok"], check_counts=True).entries) == 1


def test_the_release_has_4835_images() -> None:
    assert imagenet_d.RELEASED == {"background": 3764, "texture": 498, "material": 573}


def export(root: Path, *files: str) -> None:
    rows = [f"{file},{file.split('/')[1]},{file.split('/')[0]},fog,a prompt" for file in files]
    (root / "images.csv").write_text("\n".join(["file,category,kind,nuisance,prompt", *rows, ""]))


def test_an_export_of_ours_gives_nuisances_and_needs_its_files(tmp_path: Path) -> None:
    put(tmp_path, "background/banana/1.png", "background/mug/2.png")
    export(tmp_path, "background/banana/1.png", "background/mug/2.png")
    (entry, _) = listed(tmp_path, check_counts=True).entries
    assert (entry.nuisance, entry.text) == ("fog", "a prompt")
    export(tmp_path, "background/banana/1.png", "background/mug/2.png", "texture/mug/3.png")
    message = refused(tmp_path, check_counts=True)
    assert "lacks 1 of the 3 images of its images.csv, e.g. texture/mug/3.png" in message
    assert len(listed(tmp_path, kinds=["background"], check_counts=True).entries) == 2
    assert len(listed(tmp_path).entries) == 2


def test_a_listed_file_that_cannot_be_read_is_not_missing(tmp_path: Path) -> None:
    put(tmp_path, "background/banana/1.png")
    (tmp_path / "background" / "banana" / "2.png").symlink_to(tmp_path / "gone")
    export(tmp_path, "background/banana/1.png", "background/banana/2.png")
    found = listed(tmp_path, check_counts=True)
    assert (len(found.entries), len(found.problems)) == (1, 1)


def samples(root: Path, *found: Any) -> None:
    (root / "samples.json").write_text(json.dumps({"samples": found}))


def test_samples_tell_kind_and_label_where_the_path_tells_neither(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "a/2.png", "a/3.png", "a/4.png", "b/4.png", "background/5.png")
    samples(
        tmp_path,
        {"filepath": "1.png", "kind": "texture", "truth": {"label": "mug"}},
        {"filepath": "elsewhere/2.png", "tags": ["validation", "material"], "truth": {"label": "banana"}},
        {"filepath": "a/3.png", "tags": "material", "truth": {"label": "mug"}},
        {"filepath": "x/4.png", "tags": ["material"], "truth": {"label": "mug"}},
        {"filepath": "y/4.png", "tags": ["material"], "truth": {"label": "mug"}},
        {
            "filepath": "background/5.png",
            "tags": ["material"],
            "truth": {"label": "wok"},
            "other": {"label": 3},
        },
    )
    found = listed(tmp_path)
    assert places(found) == [
        ("1.png", "texture", "mug"),
        ("a/2.png", "material", "banana"),
        ("a/3.png", "material", "mug"),
        ("background/5.png", "material", "wok"),
    ]
    assert found.ignored["images outside the kinds' folders"] == 2  # of one name


def test_a_label_stands_before_the_tags_and_is_no_kind(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "a/2.png")
    samples(
        tmp_path,
        {
            "filepath": "a/1.png",
            "first": {"label": "texture"},
            "second": {"label": "mug"},
            "tags": ["banana"],
        },
        {"filepath": "a/2.png", "tags": ["material", "wok", "banana"], "note": "mug", "more": ["mug"]},
    )
    assert places(listed(tmp_path)) == [("a/1.png", "texture", "mug"), ("a/2.png", "material", "wok")]


def test_a_sample_that_is_listed_twice_must_say_one_thing(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png")
    one = {"filepath": "a/1.png", "tags": ["texture"], "truth": {"label": "mug"}}
    samples(tmp_path, one, one)
    assert places(listed(tmp_path)) == [("a/1.png", "texture", "mug")]
    samples(tmp_path, one, one | {"truth": {"label": "wok"}})
    assert "lists a/1.png twice, as 'mug' and 'wok'" in refused(tmp_path)
    samples(tmp_path, one, one | {"tags": ["material"]})
    assert "lists a/1.png twice" in refused(tmp_path)


@pytest.mark.parametrize("content", [{"samples": None}, {"samples": [{}, 3]}, {"media": []}, [3]])
def test_samples_of_another_shape_are_refused(content: Any, tmp_path: Path) -> None:
    put(tmp_path, "texture/mug/1.png")
    (tmp_path / "samples.json").write_text(json.dumps(content))
    assert "samples.json is no FiftyOne export: a list `samples` is needed" in refused(tmp_path)


def questions(root: Path, kind: str, *rows: str) -> None:
    (root / "questions").mkdir(exist_ok=True)
    (root / "questions" / f"{kind}.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))


def test_the_rival_is_the_best_wrong_category(tmp_path: Path) -> None:
    put(tmp_path, "texture/mug/1.png", "texture/mug/2.png", "texture/mug/3.png", "material/mug/1.png")
    questions(
        tmp_path,
        "texture",
        "x/1.png\tmug\tmug\twok",  # the second where the first is right
        "x/2.png\tmug\tbanana\twok",  # the first where it is wrong
        "x/3.png\tbanana\tmug\twok",  # of an image of another category
    )
    questions(tmp_path, "material")
    found = [(entry.file, entry.rival) for entry in listed(tmp_path).entries]
    assert found == [
        ("material/mug/1.png", ""),
        ("texture/mug/1.png", "wok"),
        ("texture/mug/2.png", "banana"),
        ("texture/mug/3.png", ""),
    ]


def test_rivals_and_images_that_are_no_category_of_the_run_are_passed_over(tmp_path: Path) -> None:
    mug_and_wok = [one for one in ALL if one.name in ("mug", "wok")]
    put(tmp_path, "texture/mug/1.png", "texture/mug/2.png")
    questions(
        tmp_path,
        "texture",
        "x/0.png\tbanana\tbanana\twok",
        "x/1.png\tmug\tbanana\twok",
        "x/2.png\tmug\tmug\twok",
        "x/2.png\tmug\twok\tbanana",
    )
    found = [(entry.file, entry.rival) for entry in listed(tmp_path, mug_and_wok).entries]
    assert found == [("texture/mug/1.png", ""), ("texture/mug/2.png", "wok")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "1.png\tmugg\tmug\twok",
            "line 2, column gt_category holds 'mugg', which is no category: did you mean mug",
        ),
        ("1.png\tmug\tmug\twokk", "line 2, column top2_pred_cate holds 'wokk', which is no category"),
        ("1.png\tmug\tmug\tmug", "line 2, column top2_pred_cate names mug as its own rival"),
        ("1.png\tmug\twok\tmug\n2/1.png\tmug\tmug\tbanana", "lists 1.png twice, with the rivals wok, banana"),
    ],
)
def test_a_question_without_one_meaning_is_named(row: str, message: str, tmp_path: Path) -> None:
    put(tmp_path, "texture/mug/1.png")
    questions(tmp_path, "texture", row)
    assert message in refused(tmp_path)


def test_the_counts_of_the_release_are_checked_unless_somebody_says_no() -> None:
    assert ImageNetDDataset(root="somewhere").check_counts is True
