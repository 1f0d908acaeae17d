"""What the reports say about models that can fail to answer, on hand-made evidence."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from imagenetd.models.answers import OUTCOMES
from imagenetd.records import LabelSpace
from imagenetd.reports.calibration import CalibrationReport
from imagenetd.reports.coverage import CoverageReport, with_coverage
from imagenetd.reports.evidence import Evidence, ModelEvidence
from imagenetd.reports.html.figures import run_figures
from imagenetd.reports.report_set import ReportSet
from tests.simulated import evidence, grid, model

NAMES = ("c0", "c1", *OUTCOMES)


def asked(images: pd.DataFrame, predicted: list[int]) -> ModelEvidence:
    answers = np.resize(np.array(predicted, np.int32), len(images))
    label = images["category"].str[1:].astype(int).to_numpy()
    ones = np.ones(len(images), np.float32)
    right, counted = answers == label, np.ones(len(images), bool)
    return ModelEvidence("chat", "target", "vqa", "two-choice", 0.5, NAMES, answers, right, ones, counted)


def made(predicted: list[int], kind: str = "background") -> Evidence:
    images = grid(num_categories=2, nuisances={kind: 1}, num_seeds=3)  # c0 c0 c0 c1 c1 c1
    return evidence(images, [asked(images, predicted), model("net", np.ones(6, bool), images)])


def test_every_outcome_is_counted_and_unclear_answers_are_wrong() -> None:
    (table,) = CoverageReport().report(made([0, 1, 2, 1, 3, 4])).tables.values()
    row = table[(table["set"] == "pool") & (table["kind"] == "all")].iloc[0]
    assert set(table["model"]) == {"chat"}
    assert (row["refused"], row["both"], row["neither"], row["num_answered"]) == (1, 1, 1, 3)
    assert (row["num_images"], row["num_correct"]) == (6, 2)
    assert row["accuracy"] == pytest.approx(2 / 6) and row["accuracy_answered"] == pytest.approx(2 / 3)


def test_a_model_that_never_answers_has_no_accuracy_of_those_answered() -> None:
    found = CoverageReport().report(made([4]))
    assert found.summary["chat"]["pool"]["coverage"] == 0
    assert found.findings[0].endswith(
        "a clear answer on 0.0% [0, 39] of 6 images (0 refused, 0 both, 6 neither): right on 0.0% [0, 39] of all, none "
        "answered; for these categories."
    )


def test_a_data_set_has_a_kind_of_its_own() -> None:
    shown = made([0], kind="folder")
    (table,) = CoverageReport().report(shown).tables.values()
    assert list(table[table["set"] == "pool"]["kind"]) == ["all", "folder"]
    assert run_figures(shown, (), min_images=1)


def test_words_have_no_confidence_to_be_calibrated() -> None:
    found = CalibrationReport(min_images=1).report(made([0]))
    assert set(found.tables["per_set"]["model"]) == {"net"}
    alone = made([0])
    alone = dataclasses.replace(alone, models=alone.models[:1])
    assert CalibrationReport().report(alone).tables == {}


def test_coverage_is_reported_only_where_a_model_can_fail_to_answer() -> None:
    plain = LabelSpace("x", "zero-shot", 2, {"c0": (0,)})
    chat = dataclasses.replace(plain, outcomes=OUTCOMES)
    assert with_coverage(ReportSet(None), [plain]).reports == {}
    assert list(with_coverage(ReportSet(None), [plain, chat]).reports) == ["coverage"]
