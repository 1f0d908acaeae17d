from collections import Counter
from pathlib import Path

import pytest
import yaml

from imagenetd.errors import VocabularyError
from imagenetd.records import Kind, Word
from imagenetd.words.vocabulary import (
    Category,
    choose_categories,
    choose_nuisances,
    clean_nuisance,
    clip_name,
    load_categories,
    read_words,
)

BRODEN = {kind: f"{kind}.csv" for kind in ("background", "texture", "material")}


def test_there_are_113_categories_in_the_original_order() -> None:
    keys = list(load_categories())
    assert len(keys) == 113
    assert keys[:3] == ["alarm_clock", "backpack", "banana"]
    assert keys[-1] == "wok"


def test_the_125_imagenet_ids_are_disjoint_and_of_the_1000() -> None:
    ids = [number for category in load_categories().values() for number in category.imagenet_ids]
    assert len(ids) == len(set(ids)) == 125
    assert min(ids) >= 0 and max(ids) <= 999


def test_nine_categories_have_several_imagenet_ids() -> None:
    several = {name: len(c.imagenet_ids) for name, c in load_categories().items() if len(c.imagenet_ids) > 1}
    assert several == {
        "alarm_clock": 2,
        "bicycle": 2,
        "chair": 3,
        "helmet": 2,
        "pen": 3,
        "skirt": 3,
        "still_camera": 2,
        "tie": 2,
        "wheel": 2,
    }


def test_near_synonyms_of_imagenet_stay_rejected() -> None:
    known = load_categories()
    assert known["sunglasses"].imagenet_ids == (837,)
    assert known["laptop_open"].imagenet_ids == (620,)
    assert known["monitor"].imagenet_ids == (664,)


def test_there_are_468_backgrounds_47_textures_and_32_materials() -> None:
    counts = Counter(word.kind for word in choose_nuisances(BRODEN))
    assert counts == {Kind.BACKGROUND: 468, Kind.TEXTURE: 47, Kind.MATERIAL: 32}


def test_the_547_cleaned_nuisances_are_distinct_words() -> None:
    displays = [word.display for word in choose_nuisances(BRODEN)]
    assert len(set(displays)) == 547
    assert all(
        display == display.strip() and "_" not in display and "  " not in display for display in displays
    )


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("t_shirt", "t shirt"),
        ("binder_closed", "binder (closed)"),
        ("coffee_or_french_press", "coffee or french press"),
        ("mixing_or_salad_bowl", "mixing or salad bowl"),
        ("dress_shoe_men", "dress shoe (men)"),
        ("wine_bottle", "wine bottle"),
    ],
)
def test_category_names_are_those_of_the_published_clip_prompt(key: str, expected: str) -> None:
    category = load_categories()[key]
    assert category.display == expected
    assert clip_name(category) == expected


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("background", "street-s", "street"),
        ("background", "forest-broadleaf-s", "broadleaf forest"),
        ("background", "desert-sand-s", "sand desert"),
        ("background", "swimming_pool-outdoor-s", "outdoor swimming pool"),
        ("background", "dinette-vehicle-s", "vehicle dinette"),
        ("background", "theater-indoor_procenium-s", "indoor proscenium theater"),
        ("background", "wine_cellar-barrel_storage-s", "wine cellar barrel storage"),
        ("background", "car_interior-backseat-s", "car backseat"),
        ("background", "temple-east_asia-s", "east asian temple"),
        ("background", "waterfall-fan-s", "fan waterfall"),
        ("background", "bow_window-indoor-s", "indoor bow window"),
        ("background", "flight_of_stairs-urban-s", "urban flight of stairs"),
        ("background", "lean-to-s", "lean-to"),
        ("background", "elevator-door-s", "elevator door"),
        ("background", "elevator-freight_elevator-s", "freight elevator"),
        ("background", "covered_bridge-interior-s", "covered bridge interior"),
        ("background", "childs_room-s", "child's room"),
        ("texture", "polka-dotted", "polka-dotted"),
        ("material", "plastic-opaque", "opaque plastic"),
        ("material", "painted", "painted material"),
        ("material", "wood", "wood"),
    ],
)
def test_each_kind_of_nuisance_is_cleaned_by_its_own_rule(kind: str, raw: str, expected: str) -> None:
    assert clean_nuisance(kind, raw) == expected


def test_categories_keep_the_asked_order() -> None:
    assert [c.name for c in choose_categories(["mug", "banana"])] == ["mug", "banana"]


def test_all_means_every_category() -> None:
    assert len(choose_categories("all")) == 113


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "categories is empty"),
        (["mug", "banana", "mug"], "holds 'mug' twice"),
        (["tea_pot"], "Did you mean teapot?"),
        (["T shirt"], "Did you mean t_shirt?"),
        (["xylophone"], "none of the 113"),
        ("banana", r"Write categories=\[banana\]"),
    ],
)
def test_wrong_categories_are_refused(names: list[str] | str, message: str) -> None:
    with pytest.raises(VocabularyError, match=message):
        choose_categories(names)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ({}, "nuisances is empty"),
        ({"background": [], "texture": [], "material": []}, "nuisances is empty"),
        ({"texture": ["grid", "striped", "grid"]}, "holds 'grid' twice"),
        ({"texture": ["grid"], "material": ["grid"]}, "in two kinds, texture .* and material"),
        ({"background": ["fire-s"], "material": ["fire"]}, "in two kinds, background .* and material"),
        ({"background": ["beach-s", "beach"]}, "both read 'beach'"),
        ({"style": ["cubist"]}, "has the kind 'style'"),
        ({"texture": [True]}, "which is no name"),
        ({"texture": ["  "]}, "which is no name"),
        ({"texture": 3}, "neither a list"),
        ({"texture": None}, "neither a list"),
        ({"texture": "textures.csv"}, "cannot be read .*background.csv, material.csv, texture.csv"),
        ({"texture": "README.md"}, "a column `name` is needed"),
    ],
)
def test_wrong_nuisances_are_refused_in_one_line(specs: dict[str, list[str] | str], message: str) -> None:
    with pytest.raises(VocabularyError, match=message) as error:
        choose_nuisances(specs)
    assert "\n" not in str(error.value)


def test_a_word_list_of_the_users_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weather.csv"
    path.write_text("code,name\n1,fog\n2,heavy_rain\n")
    assert choose_nuisances({"background": str(path)}) == (
        Word(Kind.BACKGROUND, "fog", "fog"),
        Word(Kind.BACKGROUND, "heavy_rain", "heavy rain"),
    )


def test_an_empty_word_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nothing.csv"
    path.write_text("code,name\n")
    with pytest.raises(VocabularyError, match="holds no words"):
        read_words(str(path), "texture")


def test_a_word_list_without_a_header_does_not_lose_its_first_word(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("1,fog\n2,rain\n")
    with pytest.raises(VocabularyError, match="first line `code,name`"):
        read_words(str(path), "background")


def test_the_tiny_world_draws_12_categories_and_20_nuisances_of_the_vocabulary(
    tiny_categories: tuple[Category, ...], tiny_nuisances: tuple[Word, ...]
) -> None:
    assert len(tiny_categories) == 12
    assert Counter(word.kind for word in tiny_nuisances) == {
        Kind.BACKGROUND: 8,
        Kind.TEXTURE: 6,
        Kind.MATERIAL: 6,
    }
    assert set(tiny_nuisances) <= set(choose_nuisances(BRODEN))


@pytest.mark.parametrize(
    ("choice", "count"),
    [("broden", 547), ("background", 468), ("texture", 47), ("material", 32), ("tiny", 20)],
)
def test_every_shipped_nuisance_choice_is_readable(root: Path, choice: str, count: int) -> None:
    specs = yaml.safe_load((root / f"conf/nuisances/{choice}.yaml").read_text())
    assert list(specs) == ["background", "texture", "material"]
    assert len(choose_nuisances(specs)) == count


def test_every_shipped_category_choice_is_readable(root: Path) -> None:
    for path in (root / "conf/categories").glob("*.yaml"):
        assert choose_categories(yaml.safe_load(path.read_text())["names"])
