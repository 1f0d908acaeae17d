"""A plain folder of images: which files are found, what they are called, and what is refused."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from imagenetd.errors import ConfigError, DataError
from imagenetd.images.datasets.dataset import Listing
from imagenetd.images.datasets.folder import FolderDataset
from imagenetd.images.datasets.labels import NameResolver
from imagenetd.images.datasets.walk import walk
from imagenetd.words.vocabulary import Category, choose_categories, load_categories
from tests.pictures import put

CATEGORIES = choose_categories(["banana", "binder_closed", "mixing_or_salad_bowl", "t_shirt"])


def listed(root: Path, categories: Sequence[Category] = CATEGORIES, **options: object) -> Listing:
    dataset = FolderDataset(root=str(root), **options)
    return dataset.listing(dataset.categories(categories))


def refused(root: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        listed(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("folder", "key"),
    [
        ("banana", "banana"),
        ("BANANA", "banana"),
        ("binder (closed)", "binder_closed"),
        ("binder_(closed)", "binder_closed"),
        ("Mixing or salad bowl", "mixing_or_salad_bowl"),
        ("mixing_salad_bowl", "mixing_or_salad_bowl"),
        ("T-shirt", "t_shirt"),
        ("t shirt", "t_shirt"),
        ("n07753592", "banana"),
    ],
)
def test_a_folder_may_be_called_by_key_display_name_or_wordnet_id(
    folder: str, key: str, tmp_path: Path
) -> None:
    (entry,) = listed(put(tmp_path, f"{folder}/a.png")).entries
    assert (entry.category, entry.file) == (key, f"{folder}/a.png")


def test_all_113_categories_answer_to_their_own_names_alone() -> None:
    categories = load_categories()
    resolver = NameResolver(tuple(categories.values()))
    for key, category in categories.items():
        assert resolver.find(key) == resolver.find(category.display) == resolver.find(key.upper()) == key


def test_files_are_found_in_deeper_folders_and_whatever_their_suffix(tmp_path: Path) -> None:
    put(tmp_path, "banana/a.JPEG", "banana/deep/er/b.webp", "banana/no_suffix", "t_shirt/.hidden.png")
    assert [entry.file for entry in listed(tmp_path).entries] == [
        "banana/a.JPEG",
        "banana/deep/er/b.webp",
        "banana/no_suffix",
        "t_shirt/.hidden.png",
    ]


def test_litter_and_empty_folders_are_counted_as_ignored(tmp_path: Path) -> None:
    put(tmp_path, "banana/a.png", "banana/.DS_Store", "banana/._a.png", "README.md")
    (tmp_path / "t_shirt").mkdir()
    assert dict(listed(tmp_path).ignored) == {
        ".DS_Store": 1,
        "._a.png": 1,
        "README.md beside the folders": 1,
        "empty folder": 1,
    }


def test_odd_file_names_stay_what_they_are_and_are_shown_in_one_line(tmp_path: Path) -> None:
    put(
        tmp_path,
        "banana/new\nline.png",
        "banana/tab\t,quote'\".png",
        "banana/茶碗 🍵.png",
        "banana/-dash.png",
    )
    (tmp_path / "banana" / os.fsdecode(b"bytes_\xff.png")).write_bytes(b"x")
    files = {entry.path: entry.file for entry in listed(tmp_path).entries}
    assert files[b"banana/bytes_\xff.png"] == "banana/bytes_\\xff.png"
    assert files[b"banana/new\nline.png"] == "banana/new\\nline.png"
    assert len(files) == 5 and all(file.isprintable() for file in files.values())


def test_what_is_no_file_is_listed_without_being_opened(tmp_path: Path) -> None:
    put(tmp_path, "banana/a.png")
    folder = tmp_path / "banana"
    os.mkfifo(folder / "fifo.png")
    (folder / "self.png").symlink_to("self.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "good_link.png").symlink_to("a.png")
    (folder / "up").symlink_to("..")
    (folder / "directory.png").mkdir()
    found = listed(tmp_path)
    assert [entry.file for entry in found.entries] == ["banana/a.png", "banana/good_link.png"]
    assert {problem.file: problem.reason for problem in found.problems} == {
        "banana/dangling.png": "a link to nothing",
        "banana/fifo.png": "a named pipe, not a file",
        "banana/self.png": "cannot be reached (Too many levels of symbolic links)",
    }
    assert found.ignored == {"link to a folder that holds it": 1, "empty folder": 1}


def test_a_linked_folder_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "a.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "banana").symlink_to(tmp_path / "elsewhere")
    assert [file.shown for file in walk(tmp_path / "root").files] == ["banana/a.png"]


def test_an_unknown_folder_stops_the_run_with_a_suggestion(tmp_path: Path) -> None:
    put(tmp_path, "banana/a.png", "bananna/b.png")
    message = refused(tmp_path)
    assert "holds 1 unknown labels: 'bananna' (did you mean banana?)" in message
    assert "data.on_unknown=list" in message


def test_an_unknown_folder_can_be_listed_instead(tmp_path: Path) -> None:
    put(tmp_path, "banana/a.png", "bananna/b.png")
    found = listed(tmp_path, on_unknown="list")
    assert len(found.entries) == 1
    assert [(problem.file, problem.problem) for problem in found.problems] == [
        ("bananna/b.png", "unknown label")
    ]


def test_a_category_that_the_run_left_out_is_told_as_such(tmp_path: Path) -> None:
    put(tmp_path, "banana/a.png", "umbrella/b.png")
    assert "not among categories.names of this run" in refused(tmp_path)


def test_an_image_beside_the_folders_has_no_label(tmp_path: Path) -> None:
    assert "(image without a folder) lost.png" in refused(put(tmp_path, "banana/a.png", "lost.png"))


def test_the_layout_of_imagenet_d_is_recognised(tmp_path: Path) -> None:
    assert "Use data=imagenet_d" in refused(put(tmp_path, "background/banana/a.png"))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda root: root / "nothing", "does not exist"),
        (lambda root: put(root, "file") / "file", "is a file, not a folder"),
        (lambda root: root, "holds no files"),
    ],
)
def test_a_root_that_is_no_folder_of_images_is_refused(prepare: object, message: str, tmp_path: Path) -> None:
    assert message in refused(prepare(tmp_path))  # type: ignore[operator]


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.on_unreadable=skip is none of stop, list"):
        FolderDataset(root="x", on_unreadable="skip")


def test_a_label_file_says_what_each_file_shows(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    labels = tmp_path / "labels.csv"
    labels.write_text("file,category,kind,nuisance\na.png,Banana,background,beach-s\nb.png,t_shirt,,\n")
    first, second = listed(tmp_path, labels=str(labels)).entries
    assert (first.category, first.kind, first.nuisance) == ("banana", "background", "beach-s")
    assert (second.category, second.kind, second.nuisance) == ("t_shirt", "folder", "")


def test_a_label_file_that_lists_a_missing_or_repeated_file_is_told(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    labels = tmp_path / "labels.csv"
    labels.write_text("file,category\na.png,banana\ngone.png,banana\n")
    assert [problem.reason for problem in listed(tmp_path, labels=str(labels)).problems] == [
        "there is no such file"
    ]
    labels.write_text("file,category\na.png,banana\na.png,t_shirt\n")
    assert "lists a.png twice" in refused(tmp_path, labels=str(labels))
    labels.write_text("name,label\na.png,banana\n")
    assert "lacks the columns file, category" in refused(tmp_path, labels=str(labels))


def test_a_label_map_gives_other_names_to_categories(tmp_path: Path) -> None:
    put(tmp_path, "banane/a.png", "banana/b.png")
    found = listed(tmp_path, label_map={"banane": "banana"})
    assert {entry.category for entry in found.entries} == {"banana"}


@pytest.mark.parametrize("name", ["map.json", "map.csv", "map.yaml"])
def test_a_label_map_with_imagenet_ids_is_a_label_space_of_its_own(name: str, tmp_path: Path) -> None:
    put(tmp_path / "root", "dogs/a.png", "cats/b.png")
    texts = {
        "map.json": json.dumps({"dogs": [207, 208], "cats": "n02123045"}),
        "map.csv": "name,label\ndogs,207|208\ncats,n02123045\n",
        "map.yaml": "dogs: [207, 208]\ncats: n02123045\n",
    }
    (tmp_path / name).write_text(texts[name])
    dataset = FolderDataset(root=str(tmp_path / "root"), label_map=str(tmp_path / name))
    categories = dataset.categories(CATEGORIES)
    assert {category.name: category.imagenet_ids for category in categories} == {
        "dogs": (207, 208),
        "cats": (281,),
    }
    assert [entry.category for entry in dataset.listing(categories).entries] == ["cats", "dogs"]


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        ({"dogs": 1000}, "neither a category nor ImageNet ids"),
        ("gone.json", "cannot be read"),
        ({}, "holds no image"),
    ],
)
def test_a_wrong_label_map_is_refused(label_map: object, message: str, tmp_path: Path) -> None:
    put(tmp_path, "dogs/a.png")
    with pytest.raises(DataError, match=message):
        listed(tmp_path, label_map=label_map, on_unknown="list")


def test_a_label_file_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    put(tmp_path, "sub/a.png", "b.png")
    labels = tmp_path / "labels.csv"
    labels.write_bytes(
        "\ufeffFile;Category;Kind\r\nsub\\\\a.png;Banana;\r\nb.png ;t_shirt;mine\r\n;;\r\n".encode()
    )
    first, second = listed(tmp_path, labels=str(labels)).entries
    assert (first.file, first.category, first.kind) == ("b.png", "t_shirt", "mine")
    assert (second.file, second.category, second.kind) == ("sub/a.png", "banana", "folder")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png", "line 2 has 1 cells"),
        (",banana", "line 2, column file names no file"),
        ("a.png,", "1 unknown labels: '' (it has no label)"),
        ("a.png,banana,extra", "line 2 has 3 cells"),
        ("a.png,banana\n./a.png,banana", "line 3, column file lists a.png twice, as line 2 does"),
        ("a.png,banana\nb.png,BANANA", "holds 'banana' and 'BANANA', which both read as banana"),
        ("a.png,\xff", "is not UTF-8"),
    ],
)
def test_a_line_of_a_label_file_without_a_plain_meaning_is_named(
    line: str, message: str, tmp_path: Path
) -> None:
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "labels.csv").write_bytes(f"file,category\n{line}\n".encode("latin-1"))
    assert message in refused(tmp_path, labels=str(tmp_path / "labels.csv"))


def test_folders_that_differ_only_in_spelling_are_not_merged(tmp_path: Path) -> None:
    put(tmp_path, "t_shirt/a.png", "T-shirt/b.png")
    assert "holds 'T-shirt' and 't_shirt', which both read as t_shirt" in refused(tmp_path)
    assert len(listed(tmp_path, label_map={"t_shirt": "t_shirt", "T-shirt": "t_shirt"}).entries) == 2


def test_a_key_and_its_wordnet_id_are_one_category(tmp_path: Path) -> None:
    assert len(listed(put(tmp_path, "banana/a.png", "n07753592/b.png")).entries) == 2


def test_two_classes_that_differ_in_one_capital_stay_two(tmp_path: Path) -> None:
    put(tmp_path, "Cardigan/dog.png", "cardigan/jacket.png")
    found = listed(tmp_path, label_map={"Cardigan": 264, "cardigan": 474})
    assert {entry.file: entry.category for entry in found.entries} == {
        "Cardigan/dog.png": "Cardigan",
        "cardigan/jacket.png": "cardigan",
    }
    (tmp_path / "Cardigan").rename(tmp_path / "CARDIGAN")
    message = refused(tmp_path, label_map={"Cardigan": 264, "cardigan": 474})
    assert "'CARDIGAN' (it may mean Cardigan or cardigan: spell it exactly)" in message


def test_splits_are_never_merged(tmp_path: Path) -> None:
    above, below = tmp_path / "above", tmp_path / "below"
    put(above, "train/banana/a.png", "val/banana/b.png")
    assert "a split: name one, e.g. data.root=.../train" in refused(above)
    assert len(listed(above / "val").entries) == 1
    put(below, "banana/train/a.png", "banana/val/b.png")
    assert "holds the splits train, val below its categories" in refused(below)


def test_a_number_is_not_read_by_its_digits(tmp_path: Path) -> None:
    put(tmp_path, "-1/a.png", "1/b.png")
    message = refused(tmp_path, label_map={"1": "banana"})
    assert "holds 1 unknown labels: '-1' (a number without a name" in message


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("map.json", '{"a": 1, "a": 2}', "names 'a' twice in one object"),
        ("map.yaml", "a: 1\nb: 3\na: 2\n", "names 'a' twice"),
        ("map.csv", "name,label\na,1\na,2\n", "line 3, column name repeats 'a' of line 2"),
        ("map.csv", "name,label\na,\n", "line 2, column label is empty"),
        ("map.yaml", "no: 1\n", "holds the name False, which is no text"),
        ("map.yaml", "a: [1\n", "is no YAML"),
        ("map.json", '["tench", "goldfish"]', "holds no mapping of names to labels"),
        ("map.json", '{"a": true}', "neither a category nor ImageNet ids"),
        ("map.json", '{"a": null}', "neither a category nor ImageNet ids"),
        ("map.json", '{"a": 1.5}', "neither a category nor ImageNet ids"),
        ("map.json", '{"a": -1}', "neither a category nor ImageNet ids"),
        ("map.json", '{"0": "background", "1": "n01440764"}', "gives '0' the label 'background'"),
        ("map.json", '{"a": [207, 208], "b": 208}', "gives the ImageNet class 208 to 'a' and to 'b'"),
    ],
)
def test_a_label_map_that_is_not_plain_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    put(tmp_path / "root", "a/x.png", "b/y.png")
    (tmp_path / name).write_text(text)
    assert message in refused(tmp_path / "root", label_map=str(tmp_path / name))


def test_a_label_map_may_have_a_mark_and_whole_numbers_with_a_point(tmp_path: Path) -> None:
    put(tmp_path / "root", "dogs/a.png", "hounds/b.png")
    (tmp_path / "map.json").write_bytes(b"\xef\xbb\xbf" + b'{"dogs": [207.0, "208.0"], "hounds": [208, 207]}')
    found = listed(tmp_path / "root", label_map=str(tmp_path / "map.json"))
    assert {entry.category for entry in found.entries} == {"dogs"}


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "banana/a.png", "t_shirt/b.png")
    listdir = os.listdir

    def stale(path: bytes) -> list[bytes]:
        if path.endswith(b"t_shirt"):
            raise OSError(116, "Stale file handle")
        return listdir(path)

    monkeypatch.setattr("os.listdir", stale)
    (problem,) = listed(tmp_path).problems
    assert (problem.file, problem.reason) == ("t_shirt", "this folder cannot be listed (Stale file handle)")


def test_a_file_listed_by_its_whole_path_and_by_its_name_is_one_file(tmp_path: Path) -> None:
    put(tmp_path / "images", "a.png")
    labels = tmp_path / "labels.csv"
    labels.write_text(f"file,category\n{tmp_path / 'images' / 'a.png'},banana\na.png,banana\n")
    assert "lists a.png twice, as line 2 does" in refused(tmp_path / "images", labels=str(labels))


def test_a_tree_of_a_thousand_folders_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1100):
        os.mkdir("d")
        os.chdir("d")
    Path("a.png").touch()
    found = [file.path.count(b"/") for file in walk(tmp_path).files]
    os.chdir(tmp_path)
    subprocess.run(
        ["rm", "-rf", "d"], check=True
    )  # Python's own rmtree, which cleans up after pytest, is recursive
    assert found == [1100]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("010: banana", "line 1: 010 is 8 to YAML"),
        ("dog: 010", "line 1: 010 is 8 to YAML"),
        ("dog: 1_0", "line 1: 1_0 is 10 to YAML"),
        ("dog: 12:30", "line 1: 12:30 is 750 to YAML"),
        ("dog: 0x10", "line 1: 0x10 is 16 to YAML"),
        ("!!map [a, b]", "line 1 holds no mapping where it says so"),
        ("dog: !!python/object/apply:os.getcwd []", "is no YAML: could not determine a constructor"),
    ],
)
def test_a_number_that_yaml_reads_as_another_one_is_refused(line: str, reason: str, tmp_path: Path) -> None:
    put(tmp_path / "images", "dog/a.png")
    (tmp_path / "map.yaml").write_text(line + "\n")
    assert reason in refused(tmp_path / "images", label_map=str(tmp_path / "map.yaml"))


def test_a_label_that_a_spreadsheet_rounded_and_a_label_without_end_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "images", "dog/a.png")
    (tmp_path / "map.csv").write_text("name,label\ndog,2e2\n")
    assert "'2e2', which is neither" in refused(tmp_path / "images", label_map=str(tmp_path / "map.csv"))
    lines = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    (tmp_path / "map.yaml").write_text("\n".join(lines) + "\n")
    assert len(refused(tmp_path / "images", label_map=str(tmp_path / "map.yaml"))) < 500
