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
TABLES = ComparisonReport(num_draws=200).report(evidence(IMAGES, [S, GOOD, BAD, CLOSED])).tables


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
    result = ComparisonReport(num_draws=50).report(evidence(IMAGES, [S, GOOD, other]))
    assert result.tables["pairs"].empty and result.tables["ranks"]["rank"].eq(1).all()
    assert "No two targets share a label space" in result.findings[0]


def test_an_empty_set_gives_no_rows() -> None:
    perfect = model("s", np.ones(len(IMAGES), bool), IMAGES, role="surrogate")
    tables = ComparisonReport(num_draws=50).report(evidence(IMAGES, [perfect, GOOD, BAD])).tables
    assert set(tables["ranks"]["set"]) == {"pool"}
