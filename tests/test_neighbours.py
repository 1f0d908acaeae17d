"""The report `neighbours` with the tiny world's own dual encoder and its own pictures as reference."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from imagenetd.config.schema import CONF_DIR, register
from imagenetd.errors import ConfigError
from imagenetd.reports.evidence import Evidence
from imagenetd.reports.neighbours import NeighboursReport, nearest_neighbours
from imagenetd.reports.report_set import build_reports
from tests.simulated import grid, model

register()
COLOURS = {"banana": (250, 220, 40), "mug": (40, 60, 200), "sock": (20, 150, 60)}


def _spec(reference: Path, choice: str = "tiny_clip") -> Any:
    options = ["report=neighbours", f"target@report.model={choice}", f"report.reference={reference}"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=options).report, resolve=True)


def _picture(category: str, shade: int) -> Image.Image:
    """Stripes in the category's colour: other pictures of it are shades."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[::4] = np.clip(np.array(COLOURS[category]) - shade, 0, 255)
    return Image.fromarray(pixels)


def _given() -> Evidence:
    images = grid(num_categories=3, nuisances={"texture": 1}, num_seeds=2)
    images["category"] = images["category"].map(dict(zip(("c0", "c1", "c2"), COLOURS, strict=True)))
    plain = images.assign(category="c0")
    fails = np.array([True, False, True, False, False, False])
    sets = {"pool": np.ones(6, bool), "mined": fails, "accepted": fails}
    return Evidence(
        images,
        (model("t", ~fails, plain),),
        sets,
        1,
        read_image=lambda index: _picture(images["category"].iloc[index], 10),
    )


def test_the_nearest_photographs_of_a_failure_are_listed(tmp_path: Path) -> None:
    for category in COLOURS:
        (tmp_path / category).mkdir()
        for shade in (0, 14):
            _picture(category, shade).save(tmp_path / category / f"{shade}.png")
    report = build_reports(_spec(tmp_path)).reports["neighbours"]
    result = report.report(_given())
    table = result.tables["neighbours"]
    assert len(table) == 2 * 3 and table["place"].tolist() == [1, 2, 3] * 2
    nearest = table[table["place"] == 1]
    assert nearest["reference_category"].tolist() == nearest["category"].tolist() == ["banana", "mug"]
    assert table["similarity"].between(-1, 1.0001).all() and nearest["similarity"].min() > 0.9
    assert "100% [34, 100] of 2 failures" in result.findings[0]


def test_neighbours_are_sorted_by_cosine_similarity() -> None:
    features, reference = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]])
    nearest, similarity = nearest_neighbours(features, reference, 2)
    assert nearest.tolist() == [[1, 2]] and similarity.tolist() == [[1.0, 0.6]]


def test_a_folder_without_photographs_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no photographs"):
        NeighboursReport(reference=str(tmp_path)).report(_given())


def test_a_classifier_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mug").mkdir()
    _picture("mug", 0).save(tmp_path / "mug" / "a.png")
    report = build_reports(_spec(tmp_path, "tiny_resnet")).reports["neighbours"]
    with pytest.raises(ConfigError, match="needs a dual encoder"):
        report.report(_given())


def test_a_reference_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "mug").mkdir()
    (tmp_path / "mug" / "broken.png").write_bytes(b"no picture")
    report = build_reports(_spec(tmp_path)).reports["neighbours"]
    with pytest.raises(ConfigError, match="broken.png cannot be read"):
        report.report(_given())


def test_folders_of_the_reference_may_be_called_by_display_name_or_wordnet_id(tmp_path: Path) -> None:
    for folder, category in {"Banana": "banana", "n03063599": "mug"}.items():
        (tmp_path / folder).mkdir()
        _picture(category, 0).save(tmp_path / folder / "a.BMP", "BMP")
    table = build_reports(_spec(tmp_path)).reports["neighbours"].report(_given()).tables["neighbours"]
    assert set(table["reference_category"]) == {"banana", "mug"}
    assert table["is_prompted_category"].sum() == 2  # each failure has one photograph of its own category


def test_a_reference_without_any_known_category_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holidays").mkdir()
    _picture("mug", 0).save(tmp_path / "holidays" / "a.png")
    with pytest.raises(ConfigError, match="holds the folders holidays, of which none is called by"):
        NeighboursReport(reference=str(tmp_path)).report(_given())
