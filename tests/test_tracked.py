"""Confusions, curves and artifacts of a run, from hand-made evidence and folders."""

import dataclasses
from pathlib import Path

import numpy as np

from imagenetd.records import StageResult
from imagenetd.reports.trackers.tracked import artifacts, confusions, curves
from imagenetd.scoring.statistics.intervals import wilson_interval
from tests.test_html_report import evidence


def test_a_confusion_counts_the_accepted_images_of_each_target() -> None:
    (found,) = confusions(evidence())
    assert (found.name, found.title) == ("confusion/t", "t on 3 accepted images (counts of these images)")
    pairs = [(found.classes[a], found.classes[p]) for a, p in zip(found.actual, found.predicted, strict=True)]
    assert pairs == [("mug", "banana"), ("banana", "mug"), ("mug", "mug")]


def test_without_hard_images_the_confusion_is_that_of_the_pool() -> None:
    nothing = np.zeros(8, dtype=bool)
    (found,) = confusions(evidence(mined=nothing, accepted=nothing))
    assert (found.title, len(found.actual)) == ("t on 8 pool images (counts of these images)", 8)


def test_the_curve_has_accuracy_with_its_interval_and_share_for_every_k() -> None:
    (found,) = curves(evidence())
    assert found.xs == (0.0, 1.0, 2.0)
    assert found.title == "accuracy where at least k surrogates fail, for these categories"
    assert found.lines["t"] == (0.625, 0.6, 0.5)
    assert found.lines["share of all 8 images"] == (1.0, 0.625, 0.5)
    low, high = wilson_interval(np.array([5, 3, 2]), np.array([8, 5, 4]))
    assert found.lines["t, 95% low"] == tuple(low) and found.lines["t, 95% high"] == tuple(high)


def test_neither_curve_nor_confusion_counts_the_control_arm() -> None:
    given = evidence()
    neutral = given.images.assign(kind=["neutral", *given.images["kind"].iloc[1:]])
    (curve,) = curves(dataclasses.replace(given, images=neutral))
    assert "share of all 7 images" in curve.lines
    nothing = np.zeros(8, dtype=bool)
    given = dataclasses.replace(evidence(mined=nothing, accepted=nothing), images=neutral)
    assert len(confusions(given)[0].actual) == 7


def stage(name: str, key: str, folder: Path) -> StageResult:
    return StageResult(stage=name, key=key, folder=str(folder), num_items=1, unit="things", seconds=1.0)


def test_artifacts_are_named_after_their_keys_and_hold_what_the_level_says(tmp_path: Path) -> None:
    pool, predictions, qc = tmp_path / "pool", tmp_path / "predictions" / "p0", tmp_path / "qc"
    for path in (
        *(pool / "manifest.parquet", pool / "shards" / "shard-000000.tar"),
        *(predictions / "t-12345678" / "stage.json", predictions / "t-12345678" / "part-000000.parquet"),
        *(predictions / "other-34" / "stage.json", qc / "decisions.parquet", tmp_path / "summary.json"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    stages = [stage("generate", "aaaaaaaa11", pool), stage("predict", "bbbbbbbb22", predictions)]
    stages += [stage("mine", "dd", tmp_path), stage("qc", "cccccccc33", qc)]
    small = {a.name: a for a in artifacts(stages, ["t"], tmp_path, level="small")}
    assert {name: (a.type, sorted(a.files)) for name, a in small.items()} == {
        "pool-aaaaaaaa": ("pool", ["manifest.parquet"]),
        "predictions-t-12345678": ("predictions", ["stage.json"]),
        "benchmark-cccccccc": ("benchmark", ["decisions.parquet", "summary.json"]),
    }
    assert small["benchmark-cccccccc"].lineage["mine"] == "dd"
    everything = {a.name: sorted(a.files) for a in artifacts(stages, ["t"], tmp_path, level="all")}
    assert everything["pool-aaaaaaaa"] == ["manifest.parquet", "shards/shard-000000.tar"]
    assert everything["predictions-t-12345678"] == ["part-000000.parquet", "stage.json"]
    assert artifacts(stages, ["t"], tmp_path, level="none") == ()
