"""A model whose scoring leaves images out: in every table its n, and what it has right, are of the images that count.

16 images of two categories and two nuisances with four seeds, and 4 of the control arm:

    0-3 c0 background, 4-7 c0 texture, 8-11 c1 background, 12-15 c1 texture, 16-17 c0 neutral, 18-19 c1 neutral
"""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from imagenetd.reports.accuracy import AccuracyReport
from imagenetd.reports.arms import arms_of, pair_sums_by_seed
from imagenetd.reports.calibration import CalibrationReport
from imagenetd.reports.causes import CausesReport
from imagenetd.reports.compare import ComparisonReport
from imagenetd.reports.confirmation import TOGETHER, ConfirmationReport
from imagenetd.reports.decomposition import DecompositionReport
from imagenetd.reports.design import Design
from imagenetd.reports.evidence import Evidence, ModelEvidence, Twins
from imagenetd.reports.html.gallery import groups
from imagenetd.reports.mixed_effects import MixedEffectsReport
from imagenetd.reports.neighbours import failures_of
from imagenetd.reports.report_set import Report
from imagenetd.reports.selection import SelectionReport
from imagenetd.reports.slices import SlicesReport, halves_of
from imagenetd.reports.trackers.tracked import confusions, curves
from imagenetd.scoring.statistics.variance import variance_components
from imagenetd.stages.record import own_accuracies
from tests.simulated import evidence, grid, model

IMAGES = grid(num_categories=2, nuisances={"background": 1, "texture": 1}, num_seeds=4, num_neutral=2)


def but(*places: int) -> np.ndarray:
    """Return true for all images but these."""
    return ~np.isin(np.arange(20), places)


S = model("s", but(0, 1, 2, 5, 8), IMAGES, role="surrogate", counted=but(8))
T = model("t", but(0, 1, 2, 6, 9, 17), IMAGES, counted=but(0, 5, 16))
U = model("u", but(0, 1, 5, 9, 10), IMAGES)


def given(*models: ModelEvidence) -> Evidence:
    """Images 0, 1, 2 and 5 are mined; of their twins t has two of three right and leaves the last out."""
    found = evidence(IMAGES, models or (S, T, U))
    assert np.flatnonzero(found.sets["mined"]).tolist() == [0, 1, 2, 5]
    right = {"s": [False, True, True, False], "t": [True, True, False, True], "u": [True] * 4}
    counted = {"s": [True, False, True, True], "t": [True, True, True, False], "u": [True] * 4}
    return dataclasses.replace(
        found,
        twins=Twins(
            np.array([0, 1, 2, 5]),
            {name: np.array(row) for name, row in right.items()},
            {name: np.array(row) for name, row in counted.items()},
        ),
    )


REPORTS: tuple[Report, ...] = (
    AccuracyReport(min_images=1),
    CalibrationReport(min_images=1),
    CausesReport(min_images=1),
    ComparisonReport(min_images=1),
    ConfirmationReport(min_images=1),
    DecompositionReport(),
    MixedEffectsReport(),
    SelectionReport(),
    SlicesReport(min_images=1),
)
TABLES = {
    f"{report.name}/{name}": table
    for report in REPORTS
    for name, table in report.report(given()).tables.items()
}


def row(table: str, **place: object) -> dict[str, Any]:
    """Return the one row of a table at a place."""
    rows = TABLES[table]
    for column, value in place.items():
        rows = rows[rows[column] == value]
    (found,) = rows.to_dict("records")
    return {str(name): value for name, value in found.items()}


@pytest.mark.parametrize(
    ("kind", "images", "right"),
    [("all", 14, 10), ("background", 7, 4), ("texture", 7, 6), ("neutral", 3, 2)],
)
def test_totals(kind: str, images: int, right: int) -> None:
    found = row("accuracy/totals", set="pool", model="t", kind=kind)
    assert (found["num_images"], found["num_correct"], found["accuracy"]) == (images, right, right / images)


def test_nuisances_categories_and_cells() -> None:
    nuisance = row("accuracy/per_nuisance", set="pool", model="t", nuisance="background0")
    assert (nuisance["num_images"], nuisance["num_correct"]) == (7, 4)
    category = row("accuracy/per_category", set="pool", model="t", category="c0")
    assert (category["num_images"], category["num_correct"]) == (6, 3)
    assert TABLES["accuracy/per_cell"]["correct_t"].tolist()[:4] == [1, 2, 3, 4]


def test_ranks_are_of_the_images_that_count_for_each_model() -> None:
    t, u = (row("comparison/ranks", set="pool", kind="all", model=name) for name in "tu")
    assert (t["num_images"], t["accuracy"], t["rank"]) == (14, 10 / 14, 1)
    assert (u["num_images"], u["accuracy"], u["rank"]) == (16, 11 / 16, 2)
    mined = row("comparison/ranks", set="mined", kind="all", model="t")
    assert (mined["num_images"], mined["num_categories"], mined["accuracy"]) == (2, 1, 0.0)


def test_pairs_are_of_the_images_that_count_for_both() -> None:
    found = row("comparison/pairs", set="pool")
    names = ("num_images", "both_right", "only_a", "only_b", "both_wrong")
    assert [found[name] for name in names] == [14, 9, 1, 2, 2]
    assert found["difference"] == pytest.approx(-1 / 14)
    assert found["mcnemar_p"] == 1.0  # of three images two for one side
    alike = row("comparison/error_consistency", set="pool", model_a="s", model_b="t")
    assert alike["num_images"] == 13
    # Right of 13: s 11, t 9, both 9.
    assert alike["agreement"] == pytest.approx(1 - 11 / 13 - 9 / 13 + 2 * 9 / 13)


def test_calibration_is_of_the_images_that_count() -> None:
    whole = row("calibration/per_set", set="pool", model="t")
    assert (whole["num_images"], whole["accuracy"]) == (14, 10 / 14)
    assert whole["ece"] == pytest.approx(0.9 - 10 / 14)
    nuisance = row("calibration/per_nuisance", model="t", nuisance="background0")
    assert (nuisance["num_images"], nuisance["accuracy"]) == (7, 4 / 7)
    (bin_,) = (row("calibration/reliability", set=name, model="t") for name in ("mined",))
    assert (bin_["num_images"], bin_["accuracy"]) == (2, 0.0)


def test_what_every_target_fails_is_asked_where_all_of_them_count() -> None:
    found = row("causes/always_fail", nuisance="background0")
    assert (found["num_images"], found["num_all_fail"], found["share"]) == (7, 2, 2 / 7)
    texture = row("causes/always_fail", nuisance="texture0")
    assert (texture["num_images"], texture["num_all_fail"]) == (7, 0)


def test_variance_is_of_the_images_that_count() -> None:
    expected = variance_components(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[3.0, 3.0], [4.0, 4.0]]))
    for component in ("category", "nuisance", "seed"):
        found = row("causes/variance", model="t", kind="all", component=component)
        assert found["variance"] == pytest.approx(float(getattr(expected, component)))


def test_wrong_answers_are_those_of_images_that_count() -> None:
    found = row("causes/confusions", category="c0", nuisance="background0")
    assert (found["num_answers"], found["num_images"], found["share"]) == (4, 4, 4 / 7)
    alone = row("causes/confusions_by_category", model="t", category="c0")
    assert (alone["num_answers"], alone["num_images"], alone["share"]) == (3, 6, 0.5)
    assert row("causes/nature", model="t", kind="all", nature="unknown")["num_all_failures"] == 4


def test_arms_and_pairs_of_seeds() -> None:
    arms = {
        name: (row("decomposition/arms", model="t", arm=name)) for name in ("neutral", "nuisance", "mined")
    }
    counts = {name: (arm["num_images"], arm["num_correct"], arm["accuracy"]) for name, arm in arms.items()}
    assert counts == {"neutral": (3, 2, 2 / 3), "nuisance": (14, 10, 10 / 14), "mined": (2, 0, 0.0)}
    design = Design(given())
    assert arms_of(design, 1)["nuisance"].accuracy == 10 / 14
    # c0: the neutral image of seed 0 and one of seed 1 with a nuisance are left out.
    assert pair_sums_by_seed(design, 1, "pool").tolist() == [[1, 0, 1, 0], [1, 1, 2, 2], [1, 1, 2, 1]]
    assert row("decomposition/arrows", model="t", start="neutral", end="nuisance")["num_pairs"] == 3


def test_halves_of_slices() -> None:
    errors, images = halves_of(Design(given()), T)[:, :, :, :2]
    assert images.tolist() == [[[1, 2], [2, 2]], [[2, 1], [2, 2]]]
    assert errors.tolist() == [[[1, 1], [0, 0]], [[1, 0], [1, 0]]]


def test_curves_over_subsets_of_surrogates() -> None:
    t = row("selection/subsets", target="t")
    assert (t["num_mined"], t["num_judged"], t["num_correct"], t["accuracy"]) == (4, 2, 0, 0.0)
    u = row("selection/subsets", target="u")
    assert (u["num_mined"], u["num_judged"], u["num_correct"], u["accuracy"]) == (4, 4, 1, 0.25)
    pool = row("selection/curve", target="t", num_surrogates=0)
    assert (pool["mean_num_mined"], pool["mean_num_judged"], pool["accuracy"]) == (16, 14, 10 / 14)


def test_persistence_transfer_and_roles() -> None:
    base = {
        name: row("selection/persistence", failure_of=name)["base_rate"] for name in ("t", "all surrogates")
    }
    assert base == {"t": 4 / 14, "all surrogates": 4 / 15}
    found = row("selection/transfer", source="s", destination="t")
    assert (found["num_images"], found["num_source_failures"], found["failure_rate"]) == (13, 2, 4 / 13)
    assert found["failure_rate_given_source"] == 1.0
    role = row("selection/roles", model="t")
    assert (role["num_pool"], role["pool_accuracy"], role["num_mined"]) == (14, 10 / 14, 2)


def test_twins_pool_and_mined_images_of_the_confirmation() -> None:
    found = row("confirmation/twins", model="t", kind="all")
    names = ("num_pool", "num_mined", "mined_accuracy", "num_twins", "twins_correct", "twins_accuracy")
    assert [found[name] for name in names] == [14, 2, 0.0, 3, 2, 2 / 3]
    assert found["pool_accuracy"] == 10 / 14
    assert found["returns"] == pytest.approx((10 / 14 - 2 / 3) / (10 / 14))
    together = row("confirmation/twins", model=TOGETHER, kind="all")
    assert [together[name] for name in names] == [15, 4, 0.0, 3, 1, 1 / 3]


def test_the_fit_of_mixed_effects_takes_the_images_that_count() -> None:
    components = TABLES["mixed_effects/components"]
    assert components.groupby("model")["num_images"].first().to_dict() == {"t": 14, "u": 16}


def test_what_is_drawn_logged_and_looked_up() -> None:
    found = given()
    (curve,) = curves(found)
    assert curve.lines["t"] == (10 / 14, 0.0) and curve.lines["share of all 16 images"] == (1.0, 4 / 16)
    assert confusions(found)[0].title == "t on 2 accepted images (counts of these images)"
    assert np.flatnonzero(groups(found)[2].members).tolist() == [6, 9, 10, 17]
    assert failures_of(dataclasses.replace(found, sets={"pool": but()})) == [1, 2, 6, 9, 17]
    assert [T.is_right(place) for place in range(4)] == [None, False, False, True]


def test_accuracies_that_a_dataset_makes_its_own_numbers_of() -> None:
    record = IMAGES.assign(model="t", correct_zero=pd.array(but(1, 2, 6, 9, 17), "boolean"))
    record.loc[[0, 5, 16], "correct_zero"] = pd.NA
    found = own_accuracies(record, {"t": "zero"}).set_index("nuisance")
    assert found.loc["background0", ["num_images", "num_correct"]].tolist() == [7, 4]
    assert found.loc["background0", "accuracy"] == 4 / 7


def _scrambled(one: ModelEvidence) -> ModelEvidence:
    """Return the model with other answers to what does not count."""
    return dataclasses.replace(
        one,
        correct=np.where(one.counted, one.correct, True),
        predicted=np.where(one.counted, one.predicted, 7).astype(np.int32),
        confidence=np.where(one.counted, one.confidence, np.float32(0.1)),
    )


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.name)
def test_no_table_depends_on_the_answers_that_do_not_count(report: Report) -> None:
    other = report.report(given(*map(_scrambled, (S, T, U)))).tables
    for name, table in other.items():
        pd.testing.assert_frame_equal(table, TABLES[f"{report.name}/{name}"])


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.name)
def test_images_that_count_for_nobody_are_as_if_they_were_not_there(report: Report) -> None:
    random = np.random.default_rng(3)
    images = grid(num_seeds=6, num_neutral=3)
    right = {
        name: random.random(len(images)) < share
        for name, share in zip("prst", (0.7, 0.6, 0.7, 0.5), strict=True)
    }
    roles = {"p": "surrogate", "r": "surrogate", "s": "target", "t": "target"}
    sure, counted = random.random(len(images)).astype(np.float32), random.random(len(images)) < 0.8
    left = images[counted].reset_index(drop=True)
    whole = evidence(
        images,
        [model(n, right[n], images, role=roles[n], confidence=sure, counted=counted) for n in roles],
    )
    fewer = evidence(
        left, [model(n, right[n][counted], left, role=roles[n], confidence=sure[counted]) for n in roles]
    )
    for name, table in report.report(fewer).tables.items():
        found = report.report(whole).tables[name]
        sizes = [column for column in found if name == "per_cell" and column.startswith("num_")]
        sizes += [
            column for column in found if column == "mean_num_mined"
        ]  # of a set, whoever counts its images
        pd.testing.assert_frame_equal(found.drop(columns=sizes), table.drop(columns=sizes))
