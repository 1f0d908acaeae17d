"""Right and wrong under every regime, from logits small enough to be checked by hand."""

import csv
import math

import numpy as np
import pandas as pd
import pytest

from imagenetd.records import LabelSpace
from imagenetd.scoring.answer_table import Answers, Scoring, answer_rows
from imagenetd.scoring.counts import count_answers
from imagenetd.scoring.image_record import marks_of, model_record, regime_rows, regimes_of
from imagenetd.scoring.labelspaces import (
    choice_scores,
    hits,
    margin,
    regimes,
    top_choices,
    two_choice_correct,
)
from imagenetd.words.imagenet import class_category, load_classes
from imagenetd.words.near_synonyms import LENIENT_FILE, load_near_synonyms
from imagenetd.words.vocabulary import load_categories

SPACE = LabelSpace("toy", "any-of-ids", 8, {"clock": (0, 1), "mug": (2,), "cup": (3,)})
"""Classes 4 to 7 belong to no category."""
LENIENT = {"mug": (3,)}


def record(probabilities: list[list[float]], categories: list[str], **columns: list[str]) -> pd.DataFrame:
    images = pd.DataFrame({"file": [f"{n}.png" for n in range(len(categories))], "category": categories})
    images = images.assign(**{"kind": "folder", "nuisance": "", **columns})
    logits = np.log(np.array(probabilities, dtype=np.float32))
    scoring = Scoring.of(SPACE, images, lenient=LENIENT)
    answers = Answers(scoring, answer_rows(logits, images, scoring))
    marks = marks_of("m", "target", answers)
    counts = count_answers(images, marks, {"pool": np.ones(len(images), bool)})
    frame = model_record("m", "target", answers, images)
    frame.attrs["rows"] = regime_rows(counts, {"m": regimes_of(scoring)})
    return frame


def test_each_regime_decides_between_its_own_choices() -> None:
    #        clock     mug  cup  others
    frame = record(
        [
            [
                0.20,
                0.20,
                0.25,
                0.01,
                0.31,
                0.01,
                0.01,
                0.01,
            ],  # best of all: 4; of the ids: mug; summed: clock
            [0.01, 0.01, 0.20, 0.70, 0.02, 0.02, 0.02, 0.02],  # cup, which lenient accepts for mug
        ],
        ["clock", "mug"],
    )
    assert frame["correct_any-of-ids"].tolist() == [False, False]
    assert frame["correct_restricted"].tolist() == [False, False]
    assert frame["correct_summed"].tolist() == [True, False]
    assert frame["correct_lenient"].tolist() == [False, True]
    assert frame["pred1"].tolist() == ["4", "3"]
    assert frame["pred1_name"].tolist() == ["class 4", "cup"]
    assert frame["margin"].tolist() == pytest.approx([math.log(0.31 / 0.25), math.log(0.7 / 0.2)], abs=1e-5)


def test_an_image_counts_once_and_compat_counts_it_once_for_each_of_its_ids() -> None:
    frame = record([[0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05]] * 2, ["clock", "mug"])
    rows = frame.attrs["rows"].set_index("regime")
    assert frame["compat_top5_hits"].tolist() == [2, 1]
    assert rows.loc["any-of-ids", "top5"] == 1.0
    assert rows.loc["compat", "top5"] == 1.5
    assert rows.loc["compat", "top1"] == rows.loc["any-of-ids", "top1"] == 0.5


def test_every_row_says_its_regime_and_its_chance() -> None:
    frame = record([[0.125] * 8] * 2, ["clock", "mug"])
    rows = frame.attrs["rows"].set_index("regime")
    assert rows["chance"].to_dict() == pytest.approx(
        {
            "any-of-ids": (2 / 8 + 1 / 8) / 2,
            "restricted": (2 / 4 + 1 / 4) / 2,
            "summed": 1 / 3,
            "lenient": (2 / 8 + 2 / 8) / 2,
            "compat": (2 / 8 + 1 / 8) / 2,
        }
    )
    assert rows["num_choices"].to_dict()["restricted"] == 4


def test_kinds_have_rows_of_their_own_and_the_control_arm_is_not_in_the_total() -> None:
    probabilities = [[0.9, *[0.1 / 7] * 7]] * 3
    frame = record(probabilities, ["clock", "mug", "clock"], kind=["texture", "background", "neutral"])
    rows = frame.attrs["rows"]
    own = rows[rows["regime"] == "any-of-ids"].set_index("kind")
    assert own["num_images"].to_dict() == {"all": 2, "texture": 1, "background": 1, "neutral": 1}
    assert own["num_correct"].to_dict() == {"all": 1, "texture": 1, "background": 0, "neutral": 1}


def test_two_choices_are_between_the_category_and_its_rival_where_one_is_named() -> None:
    probabilities = [[0.2, 0.1, 0.25, 0.01, 0.44, *[0.0001] * 3]] * 3
    frame = record(probabilities, ["clock", "mug", "clock"], rival=["mug", "clock", ""])
    rows = frame.attrs["rows"].set_index("regime")
    assert frame["correct_two-choice"].tolist() == [True, False, pd.NA]
    assert (rows.loc["two-choice", "num_images"], rows.loc["two-choice", "chance"]) == (2, 0.5)


def test_a_model_that_knows_only_the_categories_has_one_regime() -> None:
    space = LabelSpace("zero-shot-2", "zero-shot", 2, {"mug": (0,), "cup": (1,)}, ("mug", "cup"))
    images = pd.DataFrame({"file": ["a"], "category": ["cup"], "kind": "folder", "nuisance": ""})
    scoring = Scoring.of(space, images, lenient={})
    rows = answer_rows(np.array([[1.0, 2.0]], np.float32), images, scoring)
    frame, found = model_record("m", "target", Answers(scoring, rows), images), regimes_of(scoring)
    assert list(found) == ["zero-shot"]
    assert frame[["pred1", "pred2", "pred1_name"]].iloc[0].tolist() == ["cup", "mug", "cup"]
    assert "top5_zero-shot" not in frame  # of two choices, five are always right


def test_of_equal_logits_the_first_class_goes_before() -> None:
    logits = np.zeros((1, 4), dtype=np.float32)
    assert top_choices(logits, 3).tolist() == [[0, 1, 2]]
    assert margin(logits).tolist() == [0.0]
    assert not two_choice_correct(logits, np.array([0]), np.array([1]))[0]


def test_summing_is_exact_where_a_probability_vanishes() -> None:
    logits = np.array([[1000.0, -1000.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    summed = regimes(SPACE, ["clock"], lenient={})[2]
    assert choice_scores(logits, summed).argmax(axis=1).tolist() == [0]
    low = logits - 5000.0  # no constant of the image changes an answer
    assert choice_scores(low, summed).tolist() == choice_scores(logits, summed).tolist()


def test_no_image_at_all_gives_no_row_that_claims_something() -> None:
    assert hits(np.zeros((0, 5), np.int64), np.zeros(0, np.int64), np.eye(5, dtype=bool)).shape == (0,)


def test_the_lenient_list_adds_named_classes_with_reasons_and_repeats_none() -> None:
    with open(LENIENT_FILE, newline="") as stream:
        rows = list(csv.DictReader(stream))
    known = load_categories()
    for row in rows:
        index = int(row["imagenet_id"])
        assert index not in known[row["category"]].imagenet_ids
        assert row["class"] == load_classes()[index].name and len(row["reason"]) > 10
    pairs = [(row["category"], row["imagenet_id"]) for row in rows]
    assert len(set(pairs)) == len(pairs)
    assert load_near_synonyms()["sunglasses"] == (836,)


def test_the_thousand_classes_are_sorted_by_their_wordnet_ids() -> None:
    classes = load_classes()
    assert [entry.id for entry in classes] == list(range(1000))
    assert [entry.wnid for entry in classes] == sorted({entry.wnid for entry in classes})
    assert (classes[0].wnid, classes[409].name, classes[999].name) == (
        "n01440764",
        "analog clock",
        "toilet tissue",
    )
    assert class_category(409).imagenet_ids == (409,)
