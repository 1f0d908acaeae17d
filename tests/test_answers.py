"""The parser's traps, and the arithmetic behind a two-choice question."""

import numpy as np
import pytest

from imagenetd.models.answers import OUTCOMES, answer_space, clean, parse_answer, parse_as_reference, phrases
from imagenetd.models.questions import ordered_options, rival_categories
from imagenetd.words.vocabulary import choose_categories, clip_name, load_categories


@pytest.mark.parametrize(
    ("text", "offered", "outcome"),
    [
        ("The main object is a can opener.", ["pen", "can_opener"], "can_opener"),
        ("It is a pen.", ["pen", "can_opener"], "pen"),
        ("I see an opened tin", ["pen", "can_opener"], "neither"),
        ("A pillow", ["pill_bottle", "pillow"], "pillow"),
        ("pill bottle", ["pill_bottle", "pillow"], "pill_bottle"),
        ("a drying rack for plates", ["plate", "drying_rack_for_plates"], "drying_rack_for_plates"),
        ("a plate", ["plate", "drying_rack_for_plates"], "plate"),
        ("A drying rack for plates.", ["plate", "mug"], "neither"),  # it is another object, not a plate
        ("weight scale", ["weight_exercise", "weight_scale"], "weight_scale"),
        ("weight (exercise)", ["weight_exercise", "weight_scale"], "weight_exercise"),
        ("A weight", ["weight_exercise", "weight_scale"], "weight_exercise"),
        ("a bathroom scale", ["weight_exercise", "weight_scale"], "weight_scale"),
        ("a tea cup", ["mug", "tea_cup"], "tea_cup"),
        ("a dress shoe", ["dress_shoe_men", "running_shoe"], "dress_shoe_men"),
        ("T-SHIRT!", ["t_shirt", "sweater"], "t_shirt"),
        ("Coffee or French press", ["coffee_or_french_press", "mug"], "coffee_or_french_press"),
        ("binder (closed)", ["binder_closed", "envelope"], "binder_closed"),
        ("The computer mouse", ["computer_mouse", "keyboard"], "computer_mouse"),
    ],
)
def test_a_whole_phrase_is_taken_the_longest_first(text: str, offered: list[str], outcome: str) -> None:
    assert parse_answer(text, offered) == outcome
    assert parse_answer(text, offered[::-1]) == outcome


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Several mugs", "mug"),
        ("two paint brushes", "paintbrush"),
        ("Loaves of something: bread loaves", "bread_loaf"),
    ],
)
def test_plurals_count(text: str, outcome: str) -> None:
    assert parse_answer(text, ["mug", "paintbrush", "bread_loaf"]) == outcome


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("It is not a mug, but a vase.", "vase"),
        ("A vase rather than a mug", "vase"),
        ("This isn't a mug. It is a vase.", "vase"),
        ("neither a mug nor a vase", "neither"),
        ("There is no mug", "neither"),
    ],
)
def test_a_negated_option_does_not_count(text: str, outcome: str) -> None:
    assert parse_answer(text, ["mug", "vase"]) == outcome


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("mug, vase", "both"),
        ("A mug or a vase", "both"),
        ("A cat", "neither"),
        ("yes", "neither"),
        ("", "refused"),
        ("I'm sorry, I cannot tell.", "refused"),
        ("I am not sure", "refused"),
        ("I'm not sure, but it looks like a mug", "mug"),
    ],
)
def test_an_answer_that_names_no_single_option_has_an_outcome_of_its_own(text: str, outcome: str) -> None:
    assert parse_answer(text, ["mug", "vase"]) == outcome


def test_a_word_with_several_meanings_counts_for_the_only_one_that_is_offered() -> None:
    assert parse_answer("a bottle", ["wine_bottle", "mug"]) == "wine_bottle"
    assert parse_answer("a bottle", ["wine_bottle", "beer_bottle"]) == "neither"
    assert parse_answer("a bottle of wine", ["wine_bottle", "beer_bottle"]) == "wine_bottle"


def test_every_category_is_understood_by_its_own_name_among_all_others() -> None:
    everything = list(load_categories())
    for key, category in load_categories().items():
        assert parse_answer(f"This is a {clip_name(category)}.", everything) == key


def test_every_alias_list_is_of_a_category_and_no_phrase_is_repeated_in_it() -> None:
    meant = {key for keys in phrases().values() for key in keys}
    assert meant == set(load_categories())
    assert all(phrase == clean(phrase) for phrase in phrases())


@pytest.mark.parametrize(
    ("text", "offered", "outcome"),
    [
        ("a can opener", ["pen", "can_opener"], "both"),
        ("a pillow", ["pill_bottle", "pillow"], "pillow"),
        ("a drying rack for plates", ["plate", "drying_rack_for_plates"], "both"),
        ("a weight scale", ["weight_exercise", "weight_scale"], "both"),
        ("MUG", ["mug", "vase"], "mug"),
        ("not a mug", ["mug", "vase"], "mug"),
        ("a cat", ["mug", "vase"], "neither"),
    ],
)
def test_the_reference_scoring_looks_for_substrings(text: str, offered: list[str], outcome: str) -> None:
    assert parse_as_reference(text, offered) == outcome


def test_the_rival_is_the_top_1_or_the_top_2_where_the_top_1_is_right() -> None:
    logits = np.array([[5.0, 1.0, 3.0], [1.0, 5.0, 3.0], [1.0, 3.0, 5.0]])
    rivals = rival_categories(logits, np.array([0, 0, 0]), np.eye(3, dtype=bool))
    assert rivals.tolist() == [2, 1, 2]


def test_a_category_with_several_classes_is_as_likely_as_its_best_class() -> None:
    accepted = np.array(
        [[True, False, False, False], [False, True, True, False], [False, False, False, True]]
    )
    logits = np.array([[9.0, 0.0, 4.0, 3.0]])
    assert rival_categories(logits, np.array([0]), accepted).tolist() == [1]


def test_the_option_order_depends_on_image_and_seed_and_not_on_the_right_answer() -> None:
    orders = {
        seed: [ordered_options(["mug", "vase"], image_id=f"i{n}", seed=seed)[0] for n in range(400)]
        for seed in (0, 1)
    }
    swapped = [ordered_options(["vase", "mug"], image_id=f"i{n}", seed=0)[0] for n in range(400)]
    assert swapped == orders[0] != orders[1]
    assert 160 < orders[0].count("mug") < 240  # 8 standard deviations


def test_the_outcomes_are_classes_that_are_never_right() -> None:
    space = answer_space(choose_categories(["mug", "vase"]), question="two-choice", leaves_out=False)
    assert space.class_names == ("mug", "vase", *OUTCOMES)
    assert space.accepted == {"mug": (0,), "vase": (1,)}
    assert (space.num_classes, space.chance, space.regime) == (5, 0.5, "two-choice")
    listed = answer_space(choose_categories(["mug", "vase"]), question="full-list", leaves_out=True)
    assert (listed.chance, listed.regime, listed.leaves_out) == (0.5, "full-list-answered", True)
