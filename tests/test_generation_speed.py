"""The study of generation speed: the published sizes, and the script itself on a hundredth of them."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from experiments.generation_speed import measure
from experiments.generation_speed.architectures import ARCHITECTURES, Size


@pytest.mark.parametrize(
    ("name", "millions"),
    [("sd21", {"unet": 865.9, "text_encoder": 340.4}), ("sdxl", {"unet": 2567.5, "text_encoder_2": 694.7})],
)
@pytest.mark.filterwarnings("ignore")  # of the libraries, about a network without memory
def test_the_networks_have_the_published_number_of_parameters(name: str, millions: dict[str, float]) -> None:
    with torch.device("meta"):
        pipeline = ARCHITECTURES[name](Size(is_real=True))
    for part, expected in millions.items():
        count = sum(parameter.numel() for parameter in getattr(pipeline, part).parameters())
        assert count / 1e6 == pytest.approx(expected, abs=0.1)


@pytest.mark.filterwarnings("ignore")
def test_the_script_measures_both_and_writes_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--small", "--architectures", "sd21", "sdxl", "--batches", "2", "--compile", "none"]
    arguments = [*options, "--steps", "2", "--dtype", "float32", "--out", str(tmp_path / "result.csv")]
    monkeypatch.setattr(sys, "argv", ["measure", *arguments])
    measure.main()
    table = pd.read_csv(tmp_path / "result.csv")
    assert table["architecture"].tolist() == ["sd21", "sdxl"]
    assert (table["ratio_to_plain_diffusers"] > 0).all()
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["rows"][0]["images_per_s"] == pytest.approx(table["images_per_s"][0])
