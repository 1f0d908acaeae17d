"""The report `accuracy` on simulated models."""

import numpy as np
import pytest

from imagenetd.reports.accuracy import AccuracyReport
from tests.simulated import evidence, grid, model

IMAGES = grid(num_categories=6, nuisances={"background": 4, "texture": 2}, num_seeds=5, num_neutral=5)


def _worse_on(word: str, rate: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(0)
    correct = random.random(len(IMAGES)) < 0.9
    hit = (IMAGES["nuisance"] == word).to_numpy()
    correct[hit] = random.random(hit.sum()) < rate
    return correct


GIVEN = evidence(
    IMAGES,
    [
        model("s", _worse_on("texture1"), IMAGES, role="surrogate"),
        model("t", _worse_on("background2"), IMAGES),
    ],
)
TABLES = AccuracyReport().report(GIVEN).tables


def test_totals_leave_the_control_arm_out_and_give_it_a_row() -> None:
    totals = TABLES["totals"].set_index(["set", "model", "kind"])
    assert totals.loc[("pool", "t", "all"), "num_images"] == 6 * 6 * 5
    assert totals.loc[("pool", "t", "neutral"), "num_images"] == 30
    assert totals.loc[("mined", "t", "neutral"), "num_images"] == 0


def test_a_nuisance_that_is_worse_than_the_rest_is_called_worse() -> None:
    rows = TABLES["per_nuisance"].query("set == 'pool' and model == 't'").set_index("nuisance")
    assert rows["q_rest"].idxmin() == "background2" and rows.loc["background2", "is_worse"]
    assert rows.query("kind == 'background' and nuisance != 'background2'")["is_worse"].sum() == 0
    assert rows.loc["background2", "rank_from_worst"] == 1
    assert rows.loc["background2", "vs_neutral"] < -0.8 and rows.loc["background2", "q_neutral"] < 0.001


def test_a_slice_below_the_minimum_is_not_ranked_and_not_tested() -> None:
    rows = TABLES["per_nuisance"].query("set == 'mined' and model == 't'")
    small = rows[rows["num_images"] < 5]
    assert len(small) and not small["is_ranked"].any()
    assert small[["rank_from_worst", "p_rest", "q_rest"]].isna().all(axis=None)


def test_cells_hold_the_sizes_of_the_sets_and_the_right_answers_of_each_model() -> None:
    cells = TABLES["per_cell"]
    assert len(cells) == 6 * 6 + 6
    assert cells["num_pool"].eq(5).all() and cells["num_mined"].sum() == GIVEN.sets["mined"].sum()
    assert cells["correct_t"].sum() == GIVEN.models[1].correct.sum()
    names = [
        name.removeprefix("correct_")
        for name in cells
        if name.startswith("correct_") and name != "correct_for"
    ]
    for one in names:  # no number without its ends
        low, mean, high = (cells[f"shrunken_{one}{end}"] for end in ("_low", "", "_high"))
        assert ((low < high) & (low <= mean) & (mean <= high)).all()


def test_categories_have_rows_for_every_model_and_set() -> None:
    assert len(TABLES["per_category"]) == 3 * 2 * 6
    pool = TABLES["per_category"].query("set == 'pool' and model == 't' and category == 'c0'").iloc[0]
    assert (
        pool["num_images"] == 30 and 0 <= pool["wilson_low"] <= pool["accuracy"] <= pool["wilson_high"] <= 1
    )


def test_the_findings_name_the_worst_nuisance() -> None:
    assert any("background2" in finding for finding in AccuracyReport().report(GIVEN).findings)


def test_a_pool_of_one_image_gives_tables() -> None:
    images = IMAGES.head(1)
    tables = AccuracyReport().report(evidence(images, [model("t", np.array([True]), images)])).tables
    assert tables["totals"].query("set == 'pool' and kind == 'all'")["accuracy"].tolist() == [1.0]
    assert tables["per_nuisance"]["p_rest"].isna().all()


def test_intervals_are_ordered() -> None:
    rows = TABLES["per_nuisance"].query("num_images > 0")
    assert (rows["shrunken_low"] <= rows["shrunken"]).all() and (
        rows["shrunken"] <= rows["shrunken_high"]
    ).all()
    assert rows["detectable_difference"].between(0, 1).all()
    assert rows["detectable_difference"].iloc[0] == pytest.approx(
        2.8016
        * np.sqrt(2 * rows["accuracy"].iloc[0] * (1 - rows["accuracy"].iloc[0]) / rows["num_images"].iloc[0]),
        rel=1e-3,
    )
