"""Accuracies and intervals, checked by hand or against published numbers."""

import math
import time

import numpy as np
import pytest

from imagenetd.records import Score
from imagenetd.scoring.metrics import accuracy, score_rows
from imagenetd.scoring.statistics.intervals import wilson_interval


def _interval(num_correct: int, num_images: int) -> tuple[float, float]:
    low, high = wilson_interval(np.array([num_correct]), np.array([num_images]))
    return round(float(low[0]), 4), round(float(high[0]), 4)


def test_wilson_interval_equals_published_values() -> None:
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3.
    assert _interval(81, 263) == (0.2553, 0.3662)
    assert _interval(15, 148) == (0.0624, 0.1605)
    assert _interval(0, 20) == (0.0, 0.1611)
    assert _interval(1, 29) == (0.0061, 0.1718)


def test_wilson_interval_ends_exactly_at_zero_and_one() -> None:
    low, high = wilson_interval(np.array([0, 8]), np.array([8, 8]))
    assert low[0] == 0.0
    assert high[1] == 1.0


def test_without_images_accuracy_is_unknown_and_the_interval_is_everything() -> None:
    low, high = wilson_interval(np.array([0]), np.array([0]))
    assert (low[0], high[0]) == (0.0, 1.0)
    assert math.isnan(accuracy(np.array([0]), np.array([0]))[0])


def test_wilson_interval_covers_at_its_rate() -> None:
    random = np.random.default_rng(0)
    num_correct = random.binomial(60, 0.3, size=20_000)
    low, high = wilson_interval(num_correct, np.full(20_000, 60))
    assert 0.93 < ((low <= 0.3) & (high >= 0.3)).mean() < 0.97


KINDS = ["texture", "background", "background", "background", "neutral"]
NUISANCES = ["grid", "beach-s", "beach-s", "street-s", ""]
SETS = {"pool": np.ones(5, bool), "mined": np.array([False, True, False, True, False])}


def _scores() -> dict[tuple[str, str, str], Score]:
    correct = np.array([[True, False, True, False, True]])
    rows = score_rows(correct, models=[("net", "target")], kinds=KINDS, nuisances=NUISANCES, sets=SETS)
    return {(row.set, row.kind, row.nuisance): row for row in rows}


def test_scores_count_images_and_hits_of_each_slice() -> None:
    counts = {key: (row.num_correct, row.num_images) for key, row in _scores().items()}
    assert counts == {
        ("pool", "all", "all"): (2, 4),
        ("pool", "background", "all"): (1, 3),
        ("pool", "texture", "all"): (1, 1),
        ("pool", "neutral", "all"): (1, 1),
        ("pool", "background", "beach-s"): (1, 2),
        ("pool", "background", "street-s"): (0, 1),
        ("pool", "texture", "grid"): (1, 1),
        ("mined", "all", "all"): (0, 2),
        ("mined", "background", "all"): (0, 2),
        ("mined", "texture", "all"): (0, 0),
        ("mined", "neutral", "all"): (0, 0),
        ("mined", "background", "beach-s"): (0, 1),
        ("mined", "background", "street-s"): (0, 1),
        ("mined", "texture", "grid"): (0, 0),
    }


def test_scores_carry_accuracy_interval_model_and_role() -> None:
    row = _scores()["pool", "background", "beach-s"]
    assert (row.model, row.role, row.accuracy) == ("net", "target", 0.5)
    assert (round(row.wilson_low, 4), round(row.wilson_high, 4)) == (0.0945, 0.9055)


def test_a_slice_without_images_keeps_its_row() -> None:
    row = _scores()["mined", "texture", "grid"]
    assert math.isnan(row.accuracy)
    assert (row.wilson_low, row.wilson_high) == (0.0, 1.0)


def test_scores_keep_the_order_of_models_sets_kinds_and_prompts() -> None:
    slices = [(row.kind, row.nuisance) for row in _scores().values() if row.set == "pool"]
    assert slices == [
        ("all", "all"),
        ("background", "all"),
        ("texture", "all"),
        ("neutral", "all"),
        ("background", "beach-s"),
        ("background", "street-s"),
        ("texture", "grid"),
    ]


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        score_rows(
            np.ones((1, 2), bool), models=[("net", "target")], kinds=["texture"] * 2, nuisances=[""], sets={}
        )


def test_scores_of_a_full_benchmark_take_seconds_not_minutes() -> None:
    random = np.random.default_rng(0)
    nuisances = [f"word-{code}" for code in random.integers(0, 547, 62_000)]
    correct = random.random((20, 62_000)) < 0.5
    models = [(f"model-{row}", "target") for row in range(20)]
    sets = {"pool": np.ones(62_000, bool), "mined": correct[0]}
    start = time.process_time()
    rows = score_rows(correct, models=models, kinds=["texture"] * 62_000, nuisances=nuisances, sets=sets)
    assert len(rows) == 20 * 2 * (1 + 1 + 547)
    assert time.process_time() - start < 5  # 0.2 s on a free core
