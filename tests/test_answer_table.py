"""What is read of logits, once: small enough to be checked by hand; and that nothing reads them again."""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imagenetd.config.schema import StageName
from imagenetd.images.pool import read_layout
from imagenetd.records import LabelSpace
from imagenetd.scoring.answer_table import Answers, Scoring, answer_rows
from imagenetd.scoring.labelspaces import top_choices
from imagenetd.stages.setup import make_setup
from imagenetd.store.folders import StageFolder, read_sealed_record, write_record
from tests.test_pipeline import config, run, summary

THREE = LabelSpace("three", "any-of-ids", 4, {"mug": (0, 1), "sock": (2,)})
"""Class 3 belongs to no category."""


def answers(
    probabilities: Sequence[Sequence[float]], categories: list[str], space: LabelSpace = THREE
) -> Answers:
    images = pd.DataFrame({"category": categories})
    scoring = Scoring.of(space, images, lenient={})
    return Answers(scoring, answer_rows(np.log(np.array(probabilities, np.float32)), images, scoring))


def test_any_accepted_class_on_top_is_correct() -> None:
    found = answers(
        [[0.1, 0.6, 0.2, 0.1], [0.1, 0.2, 0.6, 0.1], [0.1, 0.6, 0.2, 0.1]], ["mug", "mug", "sock"]
    )
    assert found.correct.tolist() == [True, False, False]


def test_classes_confidence_and_margin_are_those_of_the_largest_logits() -> None:
    found = answers([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.15, 0.05]], ["mug", "sock"])
    assert found.predicted.tolist() == [3, 0]
    assert found.top.tolist() == [[3, 2, 1, 0], [0, 2, 1, 3]]
    assert found.confidence.tolist() == pytest.approx([0.4, 0.7])
    assert found.column("second_confidence").tolist() == pytest.approx([0.3, 0.15])
    assert found.column("margin").tolist() == pytest.approx([math.log(4 / 3), math.log(0.7 / 0.15)], rel=1e-5)


def test_the_probability_of_the_label_is_that_of_all_its_classes() -> None:
    found = answers([[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]], ["mug", "sock"])
    assert found.column("label_probability").tolist() == pytest.approx([0.3, 0.3])


def test_a_class_that_belongs_to_no_category_names_none_and_the_best_two_categories_follow_it() -> None:
    found = answers([[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.3, 0.1]], ["mug", "sock"])
    assert found.column("category").tolist() == [-1, 0]
    assert found.column("best_category").tolist() == [1, 0]
    assert found.column("second_category").tolist() == [0, 1]


def test_of_equal_logits_the_first_class_counts() -> None:
    space = LabelSpace("two", "closed-set", 2, {"mug": (0,), "sock": (1,)}, ("mug", "sock"))
    assert answers([[0.5, 0.5]] * 2, ["mug", "sock"], space).correct.tolist() == [True, False]


def test_no_images_give_no_answers() -> None:
    images = pd.DataFrame({"category": ["mug"]})
    scoring = Scoring.of(THREE, images, lenient={})
    rows = answer_rows(np.zeros((0, 4), np.float32), images.head(0), scoring)
    assert Answers(scoring, rows).correct.tolist() == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_refused(bad: float) -> None:
    images = pd.DataFrame({"category": ["mug", "mug"]})
    logits = np.array([[0.0, 1.0, 0.0, 0.0], [bad, 1.0, 0.0, 0.0]], dtype=np.float32)
    with pytest.raises(ValueError, match="1 of 2 images"):
        answer_rows(logits, images, Scoring.of(THREE, images, lenient={}))


def test_an_image_that_the_scoring_leaves_out_does_not_count() -> None:
    names = ("mug", "sock", "unclear")
    spaces = [
        LabelSpace("asked", "full-list", 3, {"mug": (0,), "sock": (1,)}, names, 0.5, ("unclear",), leaves)
        for leaves in (False, True)
    ]
    chances = [[0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]
    assert [answers(chances, ["mug", "sock"], space).counted.tolist() for space in spaces] == [
        [True, True],
        [False, True],
    ]


def test_another_label_space_is_another_scoring() -> None:
    images = pd.DataFrame({"category": ["mug"]})
    other = LabelSpace("three", "any-of-ids", 4, {"mug": (0, 3), "sock": (2,)})
    keys = {Scoring.of(space, images, lenient=near).key for space, near in ((THREE, {}), (other, {}))}
    keys.add(Scoring.of(THREE, images, lenient={"mug": (2,)}).key)
    assert len(keys) == 3


scores_with_ties = st.tuples(st.integers(1, 6), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.sampled_from([-np.inf, -2.0, 0.0, 0.5, 3.0]))
)


@settings(max_examples=100, deadline=None)
@given(scores_with_ties, st.integers(1, 6))
def test_the_best_choices_are_those_of_a_stable_sort(scores: np.ndarray, count: int) -> None:
    assert (top_choices(scores, count) == np.argsort(-scores, axis=1, kind="stable")[:, :count]).all()


OPENED: list[str] = []
_listening: list[bool] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event == "open" and isinstance(arguments[0], str | Path) and "r" in str(arguments[1]):
        OPENED.append(str(arguments[0]))


def opened_logits(folder: Path, **changes: Any) -> Counter[str]:
    """Run in this process; return how often each part of logits was opened for reading."""
    if not hasattr(_note, "stands"):
        sys.addaudithook(_note)
        _note.stands = True  # type: ignore[attr-defined]
    OPENED.clear()
    _listening.append(True)
    try:
        run(config(folder, "export=folder", **changes))
    finally:
        _listening.clear()
    return Counter(path for path in OPENED if "/predictions/" in path and "part-" in path)


EVERYTHING = [
    *(StageName.prompts, StageName.generate, StageName.predict, StageName.mine),
    *(StageName.qc, StageName.evaluate, StageName.report, StageName.export),
]


def test_a_run_reads_the_logits_of_a_model_once_and_later_stages_never(tmp_path: Path) -> None:
    opened = opened_logits(tmp_path, stages=EVERYTHING)
    made = make_setup(config(tmp_path))
    num_shards = read_layout(made.folders["generate"].path).num_shards
    assert sorted(opened.values()) == [1] * (len(made.models) * num_shards)
    for record in (*tmp_path.glob("scores/*/stage.json"), *tmp_path.glob("test-*/stage.json")):
        record.unlink()
    assert opened_logits(tmp_path, stages=EVERYTHING[3:]) == Counter()


def _as_before_the_table(folder: StageFolder) -> None:
    """Leave a finished folder of predictions as it was before answers were kept beside the logits."""
    record = read_sealed_record(folder.path / "stage.json")
    del record["answers"], record["files"]["answers.parquet"]
    write_record(folder.path / "stage.json", record)
    (folder.path / "answers.parquet").unlink()


def test_predictions_without_a_table_get_one_from_their_logits(tmp_path: Path) -> None:
    first = run(config(tmp_path))
    folder = make_setup(config(tmp_path)).folders["s0"]
    before = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}
    _as_before_the_table(folder)
    again = run(config(tmp_path))
    assert again.results[2].note == "answers read anew from the logits: s0; s1, s2, t already done"
    assert {name: (folder.path / name).read_bytes() for name in before} == before
    assert summary(again)["models"] == summary(first)["models"]


def test_a_later_stage_alone_reads_the_answers_from_logits_that_have_no_table(tmp_path: Path) -> None:
    first = summary(run(config(tmp_path)))
    _as_before_the_table(make_setup(config(tmp_path)).folders["t"])
    for path in tmp_path.glob("scores/*/stage.json"):
        path.unlink()
    again = run(config(tmp_path, stages=[StageName.evaluate, StageName.report]))
    assert summary(again)["models"] == first["models"]


def test_a_damaged_table_is_named_and_read_anew_without_predicting(tmp_path: Path) -> None:
    first = run(config(tmp_path))
    path = make_setup(config(tmp_path)).folders["s1"].path / "answers.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    parts = {part: part.stat().st_mtime_ns for part in path.parent.glob("part-*")}
    again = run(config(tmp_path))
    note = "answers.parquet was damaged or lost: made anew: s1"
    assert again.results[2].note == f"s0, s2, t already done; {note}"
    assert path.read_bytes() == whole
    assert {part: part.stat().st_mtime_ns for part in parts} == parts
    assert summary(again)["models"] == summary(first)["models"]
