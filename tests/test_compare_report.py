"""The report `comparison` on simulated models."""

import numpy as np
import pytest

from imagenetd.reports.compare import ComparisonReport
from imagenetd.reports.evidence import ModelEvidence
from tests.simulated import evidence, grid, model

IMAGES = grid(num_categories=8, num_seeds=6, num_neutral=2)
RANDOM = np.random.default_rng(0)


def _model(name: str, rate: float, role: str = "target", regime: str = "zero-shot") -> ModelEvidence:
    return model(name, RANDOM.random(len(IMAGES)) < rate, IMAGES, role=role, regime=regime)


S, GOOD, BAD, CLOSED = (
    _model("s", 0.5, "surrogate"),
    _model("good", 0.9),
    _model("bad", 0.5),
    _model("closed", 0.7, regime="closed-set"),
)
TABLES = ComparisonReport().report(evidence(IMAGES, [S, GOOD, BAD, CLOSED])).tables


def test_a_pair_has_the_counts_of_its_four_fields() -> None:
    row = TABLES["pairs"].query("set == 'pool' and model_a == 'good' and model_b == 'bad'").iloc[0]
    counted = (IMAGES["kind"] != "neutral").to_numpy()
    a, b = GOOD.correct[counted], BAD.correct[counted]
    fields = row[["both_right", "only_a", "only_b", "both_wrong"]].tolist()
    assert fields == [(a & b).sum(), (a & ~b).sum(), (~a & b).sum(), (~a & ~b).sum()]
    assert row["difference"] == pytest.approx(a.mean() - b.mean())
    assert row["is_different"] and row["low_by_category"] > 0 and row["low_by_cell"] > 0


def test_surrogates_are_never_ranked_but_their_mistakes_are_compared() -> None:
    assert set(TABLES["ranks"]["model"]) == {"good", "bad", "closed"}
    assert not {"s"} & set(TABLES["pairs"][["model_a", "model_b"]].to_numpy().ravel())
    assert "s" in set(TABLES["error_consistency"]["model_a"])


def test_models_that_choose_among_the_same_classes_are_ranked_together() -> None:
    assert TABLES["ranks"]["label_space"].unique().tolist() == ["closed-set or zero-shot, 12 classes"]
    pool = TABLES["ranks"].query("set == 'pool' and kind == 'all'")
    assert pool["model"].tolist() == ["good", "closed", "bad"]
    assert pool["rank"].tolist() == [1, 2, 3] and pool["rank_low"].tolist() == [1, 2, 3]


def test_models_of_other_label_spaces_are_never_compared() -> None:
    import dataclasses

    other = dataclasses.replace(GOOD, name="other", class_names=(*GOOD.class_names, "more"))
    result = ComparisonReport().report(evidence(IMAGES, [S, GOOD, other]))
    assert result.tables["pairs"].empty and result.tables["ranks"]["rank"].eq(1).all()
    assert "No two targets share a label space" in result.findings[0]


def test_an_empty_set_gives_no_rows() -> None:
    perfect = model("s", np.ones(len(IMAGES), bool), IMAGES, role="surrogate")
    tables = ComparisonReport().report(evidence(IMAGES, [perfect, GOOD, BAD])).tables
    assert set(tables["ranks"]["set"]) == {"pool"}


def test_a_pair_that_differs_in_one_category_alone_is_told_apart_on_these_categories_only() -> None:
    counted = (IMAGES["category"] == "c0").to_numpy()
    a = np.random.default_rng(3).random(len(IMAGES)) < 0.8
    worse = model("worse", a & ~counted, IMAGES)
    result = ComparisonReport().report(evidence(IMAGES, [S, model("same", a, IMAGES), worse]))
    row = result.tables["pairs"].query("set == 'pool'").iloc[0]
    assert row["is_different_these_categories"] and not row["is_different"]
    assert row["low_by_category"] < 0 < row["high_by_category"]
    assert result.summary["num_different_for"] == "other categories"


def test_the_widest_of_many_pairs_has_an_interval_for_all_at_once() -> None:
    pairs = TABLES["pairs"].query("set == 'pool'")
    assert (pairs["low_simultaneous"] < pairs["low_by_category"]).all()
    assert (pairs["high_simultaneous"] > pairs["high_by_category"]).all()


def test_a_kappa_of_few_mistakes_is_withheld_and_says_why() -> None:
    correct = np.ones(len(IMAGES), bool)
    correct[:3] = False
    tables = ComparisonReport().report(evidence(IMAGES, [S, model("sure", correct, IMAGES), GOOD])).tables
    row = (
        tables["error_consistency"].query("set == 'pool' and model_a == 'sure' and model_b == 'good'").iloc[0]
    )
    assert np.isnan(row["kappa"]) and np.isnan(row["kappa_low"])
    assert row["note"] == "not measurable: fewer than 5 mistakes or right answers of one of the two"
