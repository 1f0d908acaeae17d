"""The confirmation set: which prompts are drawn again, what is counted on them, and where none can be drawn."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imagenetd.errors import ConfigError, StoreError
from imagenetd.images.pool import twin_prompts
from imagenetd.pipeline import Outcome
from imagenetd.reports.confirmation import TOGETHER, ConfirmationReport
from imagenetd.reports.evidence import Evidence, Twins
from imagenetd.stages.stored import TWINS_FILE
from imagenetd.store.folders import write_table_atomic
from tests.simulated import evidence, grid, model
from tests.test_pipeline import config, run, summary

ROW = {
    **{
        "index": 17,
        "text": "a mug made of wood",
        "template_version": "v1",
        "category": "mug",
        "kind": "material",
    },
    **{"nuisance": "wood", "seed": 5, "seed_index": 2, "template_index": 1, "pair": "", "image_id": "aa"},
}


def test_a_twin_is_the_image_that_a_pool_of_twice_the_size_holds_next() -> None:
    (twin,) = twin_prompts(pd.DataFrame([ROW]), num_images_per_cell=4)
    assert (twin.index, twin.seed, twin.seed_index) == (0, 5, 6)
    assert (twin.text, twin.template_index) == ("a mug made of wood", 1)


def test_a_twin_of_an_image_with_paired_noise_has_the_noise_of_its_own_pair() -> None:
    (twin,) = twin_prompts(pd.DataFrame([ROW | {"pair": "mug/5/2"}]), num_images_per_cell=4)
    assert twin.pair == "mug/5/6"


def test_twins_of_different_mined_images_are_different_images() -> None:
    mined = pd.DataFrame([ROW | {"seed_index": number} for number in range(4)])
    assert [twin.seed_index for twin in twin_prompts(mined, num_images_per_cell=4)] == [4, 5, 6, 7]


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run(config(folder, "mining.confirm=true", "report=standard", "report.html=null"))


def test_the_targets_are_shown_on_one_twin_for_every_mined_image(confirmed: tuple[Path, Outcome]) -> None:
    found = summary(confirmed[1])
    assert found["mined"] > 0
    assert found["targets"]["t"]["confirmation"]["n"] == found["mined"]
    assert found["reports"]["confirmation"]["t"]["num_twins"] == found["mined"]


def test_no_twin_is_an_image_of_the_pool(confirmed: tuple[Path, Outcome]) -> None:
    folder, outcome = confirmed
    (twins,) = folder.glob(f"confirmed/*/{TWINS_FILE}")
    table = pd.read_parquet(twins)
    pool = pd.read_parquet(Path(summary(outcome)["folders"]["generate"]) / "manifest.parquet")
    assert set(table["image_id"]) <= set(pool["image_id"])
    assert not set(table["twin_id"]) & set(pool["image_id"])
    assert table["twin_id"].is_unique


def test_a_twin_has_the_pixels_that_a_pool_of_twice_the_size_gives_it(
    confirmed: tuple[Path, Outcome], tmp_path: Path
) -> None:
    folder, _ = confirmed
    (twins,) = folder.glob(f"confirmed/*/{TWINS_FILE}")
    asked = set(pd.read_parquet(twins)["twin_id"])
    (own,) = [
        path
        for path in folder.glob("pools/*")
        if len(pd.read_parquet(path / "manifest.parquet")) == len(asked)
    ]
    run(config(tmp_path, "num_images_per_cell=12", "stages=[prompts,generate]"))
    (large,) = tmp_path.glob("pools/*")
    hashes = [
        pd.read_parquet(path / "manifest.parquet").set_index("image_id")["sha256"].to_dict()
        for path in (own, large)
    ]
    assert asked == set(hashes[0])
    assert {name: hashes[1][name] for name in asked} == hashes[0]


def test_a_finished_confirmation_is_not_drawn_again(confirmed: tuple[Path, Outcome]) -> None:
    folder, _ = confirmed
    again = run(config(folder, "mining.confirm=true", "report=standard", "report.html=null"))
    assert all(result.is_skipped for result in again.results)


def test_a_run_without_the_option_has_no_confirmation_set(tmp_path: Path) -> None:
    found = summary(run(config(tmp_path)))
    assert "confirmation" not in found["targets"]["t"]
    assert not (tmp_path / "confirmed").exists()


def test_twins_of_other_mined_images_are_refused(tmp_path: Path) -> None:
    run(config(tmp_path, "mining.confirm=true", "stages=[prompts,generate,predict,mine]"))
    (path,) = tmp_path.glob(f"confirmed/*/{TWINS_FILE}")
    write_table_atomic(path, pq.read_table(path)[::-1])
    with pytest.raises(StoreError, match="not about the mined images"):
        run(config(tmp_path, "mining.confirm=true"))


def test_images_made_elsewhere_cannot_be_drawn_again(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "images.csv").write_text("file,category,kind,nuisance\na.png,mug,material,wood\n")
    with pytest.raises(ConfigError, match="made elsewhere"):
        run(
            config(
                tmp_path / "runs",
                "generator=folder",
                f"generator.root={tmp_path / 'images'}",
                f"generator.metadata={tmp_path / 'images.csv'}",
                "mining.confirm=true",
            )
        )


IMAGES = grid(num_categories=2, nuisances={"texture": 2}, num_seeds=5)


def _given(*, again: list[bool], surrogate_again: list[bool]) -> Evidence:
    """20 images; the surrogate and the target fail on the first 4, which are mined; the target also on the fifth."""
    wrong = np.arange(20) < 4
    models = [
        model("s", ~wrong, IMAGES, role="surrogate"),
        model("t", ~(np.arange(20) < 5), IMAGES),
    ]
    found = evidence(IMAGES, models)
    twins = Twins(
        np.arange(4),
        {"s": np.array(surrogate_again), "t": np.array(again)},
        {"s": np.ones(4, dtype=bool), "t": np.ones(4, dtype=bool)},
    )
    return dataclasses.replace(found, twins=twins, min_failures=1)


def test_the_share_of_the_drop_that_comes_back_is_counted() -> None:
    """Pool 75%, mined 0%, twins 50%: 25 of the 75 points are lost on another seed, too."""
    result = ConfirmationReport().report(
        _given(again=[True, True, False, False], surrogate_again=[False] * 4)
    )
    (row,) = result.tables["twins"].query("model == 't' and kind == 'all'").to_dict("records")
    assert (row["pool_accuracy"], row["mined_accuracy"], row["twins_accuracy"]) == (0.75, 0.0, 0.5)
    assert row["returns"] == pytest.approx(1 / 3)
    assert (row["twins_low"], row["twins_high"]) == pytest.approx(
        (0.1500, 0.8500), abs=1e-4
    )  # Wilson, 2 of 4
    assert (row["returns_low"], row["returns_high"]) == pytest.approx((-0.1333, 0.8), abs=1e-3)
    assert row["population"] == "other seeds"


def test_surrogates_that_fail_together_again_are_counted_with_an_interval() -> None:
    result = ConfirmationReport(min_images=4).report(
        _given(again=[True] * 4, surrogate_again=[False, True, True, True])
    )
    (row,) = result.tables["twins"].query(f"model == '{TOGETHER}' and kind == 'all'").to_dict("records")
    assert 1 - row["twins_accuracy"] == pytest.approx(0.25)
    assert result.findings[-1] == (
        "1 surrogate fails again on 25% [5, 70] of 4 twins of mined images (other seeds), on 20% of the pool."
    )


def test_a_twin_that_is_not_counted_changes_nothing() -> None:
    given = _given(again=[True, True, True, False], surrogate_again=[False] * 4)
    assert given.twins is not None
    counted = dict(given.twins.counted) | {"t": np.array([True, True, True, False])}
    result = ConfirmationReport().report(
        dataclasses.replace(given, twins=dataclasses.replace(given.twins, counted=counted))
    )
    (row,) = result.tables["twins"].query("model == 't' and kind == 'all'").to_dict("records")
    assert (row["num_twins"], row["twins_accuracy"]) == (3, 1.0)


def test_without_twins_the_report_is_empty() -> None:
    found = ConfirmationReport().report(evidence(IMAGES, [model("t", np.ones(20, dtype=bool), IMAGES)]))
    assert (len(found.tables["twins"]), found.findings) == (0, ())
    assert json.dumps(dict(found.summary)) == "{}"
