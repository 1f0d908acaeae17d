"""Accuracies and intervals, checked by hand or against published numbers."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imagenetd.records import Score
from imagenetd.scoring.counts import (
    Mark,
    accuracy_by,
    count_answers,
    joint_mark,
    rate_of,
    score_rows,
    tally,
    without_control,
)
from imagenetd.scoring.statistics.intervals import wilson_interval
from tests import simulated
from tests.test_pipeline import config, run


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


def test_wilson_interval_covers_at_its_rate() -> None:
    random = np.random.default_rng(0)
    num_correct = random.binomial(60, 0.3, size=20_000)
    low, high = wilson_interval(num_correct, np.full(20_000, 60))
    assert 0.93 < ((low <= 0.3) & (high >= 0.3)).mean() < 0.97


KINDS = ["texture", "background", "background", "background", "neutral"]
NUISANCES = ["grid", "beach-s", "beach-s", "street-s", ""]
SETS = {"pool": np.ones(5, bool), "mined": np.array([False, True, False, True, False])}


IMAGES = pd.DataFrame(
    {"kind": KINDS, "nuisance": NUISANCES, "category": ["mug", "mug", "sock", "mug", "mug"]}
)
RIGHT, ALL_COUNT = np.array([True, False, True, False, True]), np.ones(5, bool)
NET = Mark("net", "target", "any-of-ids", RIGHT, ALL_COUNT, np.array([3, 0, 1, 1, 0]))


def _scores() -> dict[tuple[str, str, str], Score]:
    rows = score_rows(count_answers(IMAGES, [NET], SETS))
    return {(row.set, row.kind, row.nuisance): row for row in rows}


def test_counts_have_a_row_for_each_set_and_cell_also_without_images() -> None:
    table = count_answers(IMAGES, [NET], SETS)
    columns = ["set", "kind", "nuisance", "category", "num_images", "num_correct", "num_top5"]
    assert table[columns].astype(object).fillna(-1).to_numpy().tolist() == [
        ["pool", "texture", "grid", "mug", 1, 1, 3],
        ["pool", "background", "beach-s", "mug", 1, 0, 0],
        ["pool", "background", "beach-s", "sock", 1, 1, 1],
        ["pool", "background", "street-s", "mug", 1, 0, 1],
        ["pool", "neutral", "", "mug", 1, 1, 0],
        ["mined", "texture", "grid", "mug", 0, 0, -1],
        ["mined", "background", "beach-s", "mug", 1, 0, -1],
        ["mined", "background", "beach-s", "sock", 0, 0, -1],
        ["mined", "background", "street-s", "mug", 1, 0, -1],
        ["mined", "neutral", "", "mug", 0, 0, -1],
    ]


def test_an_image_that_does_not_count_is_neither_an_image_nor_right() -> None:
    table = count_answers(IMAGES, [replace(NET, counted=~RIGHT)], {"pool": ALL_COUNT})
    assert (table["num_images"].tolist(), table["num_correct"].tolist()) == ([0, 1, 0, 1, 0], [0] * 5)


def test_regimes_beside_the_models_own_are_counted_over_the_pool_and_are_no_scores() -> None:
    marks = [NET, replace(NET, regime="lenient", correct=ALL_COUNT, is_own=False)]
    table = count_answers(IMAGES, marks, SETS)
    assert table[["regime", "set"]].drop_duplicates().to_numpy().tolist() == [
        ["any-of-ids", "pool"],
        ["any-of-ids", "mined"],
        ["lenient", "pool"],
    ]
    alone = score_rows(count_answers(IMAGES, [NET], SETS))
    assert [str(row) for row in score_rows(table)] == [str(row) for row in alone]


def test_accuracy_of_a_group_is_that_of_its_images() -> None:
    found = accuracy_by(count_answers(IMAGES, [NET], SETS), ["set", "category"])
    assert found[["set", "category", "num_images", "num_correct"]].to_numpy().tolist() == [
        ["pool", "mug", 4, 2],
        ["pool", "sock", 1, 1],
        ["mined", "mug", 2, 0],
        ["mined", "sock", 0, 0],
    ]
    assert found["accuracy"].fillna(-1).tolist() == [0.5, 1.0, 0.0, -1.0]
    assert found["wilson_low"].round(4).tolist() == [0.15, 0.2065, 0.0, 0.0]


def test_totals_leave_the_control_arm_out() -> None:
    counts = without_control(count_answers(IMAGES, [NET], {"pool": ALL_COUNT}))
    found = accuracy_by(counts, ["model"])
    assert found[["num_images", "num_correct", "num_top5"]].to_numpy().tolist() == [[4, 2, 5]]


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


def test_answers_to_another_number_of_images_are_refused() -> None:
    with pytest.raises((ValueError, TypeError)):
        count_answers(IMAGES, [replace(NET, correct=np.ones(4, bool))], SETS)


def test_groups_that_are_no_cells_hold_the_images_that_count() -> None:
    right = np.array([True, True, False, False, True])
    marks = [
        Mark("a", "", "", right, ALL_COUNT),
        Mark("b", "", "", right, np.array([True, False, True, False, True])),
    ]
    found = tally(marks, np.array([0, 0, 0, 2, 2]), 4)
    assert found.num_images.tolist() == [[3, 0, 2, 0], [2, 0, 1, 0]]
    assert found.num_correct.tolist() == [[2, 0, 1, 0], [1, 0, 1, 0]]
    assert found.num_wrong.tolist() == [[1, 0, 1, 0], [1, 0, 0, 0]]
    some = tally(marks, np.array([0, 0, 0, 2, 2]), 4, among=np.array([True, True, False, False, False]))
    assert (some.num_images.tolist(), some.num_correct.tolist()) == ([[2, 0, 0, 0], [1, 0, 0, 0]],) * 2
    assert tally([], np.array([0, 1]), 2).num_images.shape == (0, 2)


def test_models_together_fail_where_enough_do_and_count_what_counts_for_all() -> None:
    marks = [
        Mark("a", "", "", np.array([True, False, False, False]), np.ones(4, bool)),
        Mark("b", "", "", np.array([False, True, False, False]), np.array([True, True, True, False])),
    ]
    assert joint_mark("all", "", marks, least=2).correct.tolist()[:3] == [True, True, False]
    assert joint_mark("all", "", marks, least=1).correct.tolist()[:3] == [False, False, False]
    assert joint_mark("all", "", marks, least=2).counted.tolist() == [True, True, True, False]


def test_the_rate_of_no_image_is_unknown() -> None:
    found = rate_of(np.array([1, 0]), np.array([2, 0]))
    assert found.value[0] == 0.5 and math.isnan(found.value[1])
    assert (round(found.low[0], 4), round(found.high[0], 4)) == (0.0945, 0.9055)
    assert (found.low[1], found.high[1]) == (0.0, 1.0)


def _sums(table: pd.DataFrame, *by: str) -> dict[tuple[str, ...], tuple[int, int]]:
    grouped = table.groupby(list(by), observed=True)[["num_images", "num_correct"]].sum()
    return {
        tuple(place if isinstance(place, tuple) else (place,)): (n, right)
        for place, n, right in grouped.itertuples(name=None)
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    """The run folder, its counts, and the same counts made by hand of every image's record."""
    folder = tmp_path_factory.mktemp("runs")
    outcome = run(config(folder))
    (evaluate,) = (folder / "scores").iterdir()
    counts = pd.read_parquet(evaluate / "counts.parquet")
    record = pd.read_parquet(evaluate / "per_image.parquet")
    by_hand = record.assign(num_images=1, num_correct=record["correct_closed-set"].astype(int))
    return (
        outcome.folder,
        counts.astype({"model": str, "kind": str, "nuisance": str, "category": str}),
        by_hand,
    )


def test_the_counts_of_a_run_are_those_of_its_images(
    finished: tuple[Path, pd.DataFrame, pd.DataFrame],
) -> None:
    _, counts, by_hand = finished
    cell = ("model", "kind", "nuisance", "category")
    assert _sums(counts[counts["set"] == "pool"], *cell) == _sums(by_hand, *cell)


def test_every_table_of_a_run_shows_sums_of_its_counts(
    finished: tuple[Path, pd.DataFrame, pd.DataFrame],
) -> None:
    folder, counts, _ = finished
    of_set = _sums(counts, "model", "set")
    summary = json.loads((folder / "summary.json").read_text())
    shown = {
        (model, name): (numbers["num_images"], numbers["num_correct"])
        for model, entry in summary["models"].items()
        for name, numbers in entry["accuracy"].items()
    }
    assert shown == of_set
    by_nuisance = _sums(counts[counts["set"] == "pool"], "model", "kind", "nuisance")
    wide = pd.read_csv(folder / "tables" / "per_nuisance.csv")
    wide = wide.rename(columns={"pool_num_images": "num_images", "pool_num_correct": "num_correct"})
    assert _sums(wide, "model", "kind", "nuisance") == {k: v for k, v in by_nuisance.items() if k[0] == "t"}
    for name, by in (
        ("per_nuisance", ("kind", "nuisance")),
        ("per_category", ("category",)),
        ("totals", ("kind",)),
    ):
        table = pd.read_csv(folder / "tables" / "accuracy" / f"{name}.csv")
        table = table[table["kind"] != "all"] if name == "totals" else table
        assert _sums(table, "set", "model", *by) == _sums(counts, "set", "model", *by), name
    regimes = pd.read_csv(folder / "tables" / "regimes.csv").query("kind == 'all'")
    assert _sums(regimes, "model") == _sums(counts[counts["set"] == "pool"], "model")
    roles = pd.read_csv(folder / "tables" / "selection" / "roles.csv")
    seen = zip(
        roles["model"],
        roles["num_mined"],
        (roles["num_mined"] * roles["mined_accuracy"]).round(),
        strict=True,
    )
    assert {(model, "mined"): (n, right) for model, n, right in seen} == {
        place: sums for place, sums in of_set.items() if place[1] == "mined"
    }


def test_scores_of_a_full_benchmark_take_seconds_not_minutes() -> None:
    random = np.random.default_rng(0)
    nuisances = [f"word-{code}" for code in random.integers(0, 547, 62_000)]
    correct = random.random((20, 62_000)) < 0.5
    models = [(f"model-{row}", "target") for row in range(20)]
    sets = {"pool": np.ones(62_000, bool), "mined": correct[0]}
    start = time.process_time()
    rows = simulated.scores(
        correct, models=models, kinds=["texture"] * 62_000, nuisances=nuisances, sets=sets
    )
    assert len(rows) == 20 * 2 * (1 + 1 + 547)
    assert time.process_time() - start < 5  # 0.2 s on a free core
