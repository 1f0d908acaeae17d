"""Whatever report: a number with ends says for which population they stand and on how many images, and has a width."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from imagenetd.reports.accuracy import AccuracyReport
from imagenetd.reports.calibration import CalibrationReport
from imagenetd.reports.causes import CausesReport
from imagenetd.reports.compare import ComparisonReport
from imagenetd.reports.decomposition import DecompositionReport
from imagenetd.reports.mixed_effects import MixedEffectsReport
from imagenetd.reports.report_set import Report
from imagenetd.reports.selection import SelectionReport
from imagenetd.reports.slices import SlicesReport
from imagenetd.scoring.image_record import REGIME_COLUMNS, with_ends
from imagenetd.store.numerals import counted, percent_interval
from tests.simulated import evidence, grid, model

REPORTS = (
    *(AccuracyReport(), CalibrationReport(min_images=5), CausesReport(), ComparisonReport()),
    *(DecompositionReport(), MixedEffectsReport(), SelectionReport(num_draws=50), SlicesReport(min_images=4)),
)
NO_INTERVALS = {"rank_low", "rank_high", "bin_low", "bin_high"}
"""Ends of whole ranks and edges of bins."""


def _tables(report: Report) -> Iterator[tuple[str, pd.DataFrame]]:
    images = grid(num_categories=6, num_seeds=4, num_neutral=2)
    random = np.random.default_rng(3)
    steep = random.random(len(images))
    models = [
        model(f"s{n}", random.random(len(images)) < 0.3 + 0.5 * steep, images, role="surrogate")
        for n in (1, 2)
    ]
    models += [model(name, random.random(len(images)) < 0.4 + 0.5 * steep, images) for name in ("t", "u")]
    models.append(model("perfect", np.ones(len(images), bool), images))
    yield from report.report(evidence(images, models)).tables.items()


def _ends(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    for low in [column for column in table if re.search(r"(^|_)low(_|$)", str(column))]:
        high = re.sub(r"(^|_)low(_|$)", r"\1high\2", str(low))
        if high in table and low not in NO_INTERVALS:
            yield str(low), high


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.name)
def test_every_interval_has_a_width_a_population_and_a_count(report: Report) -> None:
    num_intervals = 0
    for name, table in _tables(report):
        for low, high in _ends(table):
            num_intervals += 1
            known = table[[low, high]].dropna()
            assert (known[low] < known[high]).all(), (name, low)
            says = [column for column in table if str(column).endswith("_for") or column == "population"]
            assert says, (name, low)
            assert any(str(column).startswith(("num_", "mean_num_")) for column in table), (name, low)
    assert num_intervals


def test_an_interval_never_loses_its_width_by_rounding() -> None:
    assert percent_interval(0.654, 0.766) == "[65, 77]"
    assert percent_interval(0.99602, 1.0) == "[99.6, 100]"
    assert percent_interval(0.0, 0.00004) == "[0, 0.004]"
    assert percent_interval(-0.0001, 0.123, digits=1, signed=True) == "[+0.0, +12.3]"  # never -0.0
    assert percent_interval(float("nan"), 1.0) == "[-]"


def test_one_image_is_no_plural() -> None:
    assert (counted(1, "image"), counted(1200, "image"), counted(0, "image")) == (
        "1 image",
        "1,200 images",
        "0 images",
    )


def test_a_top_five_accuracy_has_ends_and_the_public_scripts_sum_has_none() -> None:
    row = {
        "model": "t",
        "role": "target",
        "regime": "any-of-ids",
        "num_choices": 1000,
        "chance": 0.001,
        "kind": "all",
    }
    row |= {
        "num_images": 122,
        "num_correct": 60,
        "top1": 60 / 122,
        "wilson_low": 0.4,
        "wilson_high": 0.6,
        "top5": 1.0,
    }
    table = pd.DataFrame([row, row | {"regime": "compat", "top5": 1.2}])[list(REGIME_COLUMNS)]
    found = with_ends(table)
    assert found["top5_low"].tolist() == pytest.approx([0.9695, float("nan")], abs=1e-4, nan_ok=True)
    assert found["top5_high"].tolist() == pytest.approx([1.0, float("nan")], nan_ok=True)
    assert set(found["interval_for"]) == {"these categories"}
