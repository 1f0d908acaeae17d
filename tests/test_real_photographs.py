"""Really trained classifiers on real photographs, against their recorded predictions; and files that break loaders.

The photographs are no part of the repository: the tests run where the folder `../shared/real` lies beside it.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from imagenetd.config.schema import build, register
from imagenetd.images.adopt import adopt, open_images
from imagenetd.images.datasets.folder import FolderDataset
from imagenetd.pipeline import run_pipeline
from imagenetd.scoring.answer_table import Answers, Scoring, answer_rows
from imagenetd.scoring.counts import count_answers
from imagenetd.scoring.image_record import marks_of, model_record, regime_rows, regimes_of
from imagenetd.stages.workers.loading import Chunk, image_loader
from imagenetd.store.folders import StageFolder
from imagenetd.words.near_synonyms import load_near_synonyms
from imagenetd.words.vocabulary import choose_categories
from tests.test_evaluate import config

register()
REAL = Path(__file__).parents[2] / "shared" / "real"
CATEGORIES = choose_categories("all")
REFERENCE = {
    "mobilenetv2_100_tfqat": (82.4, 96.8, 103.2),
    "mobilenetv1_100_tfqat": (83.2, 97.6, 104.8),
    "squeezenet1_1_fp16": (52.0, 74.4, 80.0),
}
pytestmark = pytest.mark.skipif(
    not REAL.is_dir(), reason="the photographs are not part of the repository: ../shared/real is not there"
)


def target(name: str) -> dict[str, Any]:
    """Return the spec of a recorded classifier; its preprocessing stands in the manifest beside it."""
    spec = {
        "architecture": name.rpartition("_")[0],
        "checkpoint": str(REAL / "checkpoints" / f"{name}.safetensors"),
    }
    if name.startswith("squeezenet"):
        return {"_target_": "imagenetd.models.torchvision.TorchvisionClassifier", **spec}
    kwargs = {"model_kwargs": {"pad_type": "same"}}
    return {"_target_": "imagenetd.models.timm.TimmClassifier", **spec, **kwargs}


@pytest.mark.parametrize("name", REFERENCE)
def test_a_recorded_classifier_agrees_with_its_record_image_by_image(name: str, tmp_path: Path) -> None:
    adopted = adopt(FolderDataset(root=str(REAL / "imagenet113")), CATEGORIES, tmp_path)
    images = open_images(StageFolder(tmp_path / "data", "data", adopted.key), adopted)
    model = build(target(name), option="target")
    model.load(CATEGORIES, torch.device("cpu"))
    shards = range(images.layout.num_shards)
    parts = [images.layout.images(shard) for shard in shards]
    chunks = [Chunk(shard, part.start, part.stop, True) for shard, part in zip(shards, parts, strict=True)]
    transforms = {shard: {"own": model.transform} for shard in shards}
    loader = image_loader(images, iter(chunks), transforms, num_workers=0)
    logits = torch.cat([model.logits(batch.inputs["own"]) for batch in loader]).numpy()
    scoring = Scoring.of(model.label_space(CATEGORIES), images.table, lenient=load_near_synonyms())
    answers = Answers(scoring, answer_rows(logits, images.table, scoring))
    frame = model_record("m", "target", answers, images.table)
    counts = count_answers(
        images.table, marks_of("m", "target", answers), {"pool": images.table["index"].to_numpy() >= 0}
    )

    recorded = pd.read_csv(REAL / "predictions" / f"{name}.csv").query("set == 'imagenet113'")
    recorded = recorded.assign(image=recorded["category"] + "/" + recorded["file"])
    both = frame.merge(recorded, on="image", suffixes=("", "_recorded"), validate="one_to_one")
    assert len(both) == len(recorded) == 125
    clear = both[both["margin12"] >= 0.05]
    assert (clear["pred1"].astype(int) == clear["pred1_recorded"]).all()
    assert (both["margin"] - both["margin12"]).abs().max() < 0.01
    rows = regime_rows(counts, {"m": regimes_of(scoring)}).set_index("regime")
    found = (rows.loc["any-of-ids", "top1"], rows.loc["any-of-ids", "top5"], rows.loc["compat", "top5"])
    assert [round(100 * share, 1) for share in found] == list(REFERENCE[name])


def test_of_files_that_break_loaders_each_is_evaluated_or_listed_with_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    command = [sys.executable, str(REAL / "make_bad.py"), str(folder / "mug"), str(REAL / "imagenet113")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (folder / "bad_manifest.json").unlink()
    made = config(folder, tmp_path / "runs")
    outcome = run_pipeline(made, plain_config={"seed": 0})
    listed = pd.read_csv(outcome.folder / "unreadable.csv").set_index("file")["reason"].to_dict()
    evaluated = set(pd.read_csv(outcome.folder / "per_image.csv")["image"])
    expected = json.loads((REAL / "bad_expectations.json").read_text())
    for name, entry in expected.items():
        shown = "mug/" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
        if entry["expect"] == "error":
            assert shown in listed, f"{name} is not listed"
        elif entry["expect"].startswith("ok") and not name.startswith("bomb"):
            assert shown in evaluated, f"{name} is not evaluated: {listed.get(shown)}"
    assert listed["mug/fifo.jpg"] == "a named pipe, not a file"
    assert "decompression bomb" in listed["mug/bomb_12000x12000_1bit.png"]
    assert all(reason and "\n" not in reason for reason in listed.values())
    assert json.loads((outcome.folder / "summary.json").read_text())["data"]["unreadable"] == len(listed)


def test_a_recorded_classifier_under_another_name_is_told_in_one_line(tmp_path: Path) -> None:
    made = config(REAL / "imagenet113", tmp_path, "categories.names=all")
    made.target = target("mobilenetv1_100_tfqat") | {"architecture": "mobilenetv2_100"}
    with pytest.raises(Exception, match="does not hold weights of mobilenetv2_100") as caught:
        run_pipeline(made, plain_config={})
    assert "\n" not in str(caught.value)
