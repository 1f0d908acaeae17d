"""What reading images costs an evaluation: end to end against the forward alone, and several models in one run.

    python -m benchmarks.evaluate --images 192 --workers 1

Prints one JSON object in the last line. `end_to_end_share` is the images per second of a whole prediction (reading,
decoding, resizing, forward, writing) as a share of the same network's forward on tensors that are ready in memory; 1
means that the loader costs nothing. `shared_decode_speedup` is the time of one run for each model divided by that of
one run with all of them. Both are medians of interleaved repetitions.
"""

import argparse
import io
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from imagenetd.config.schema import CONF_DIR, build, register
from imagenetd.stages.generate import generate
from imagenetd.stages.predict import predict
from imagenetd.stages.run import Run
from imagenetd.stages.setup import make_setup
from imagenetd.words.vocabulary import choose_categories

CATEGORIES = choose_categories("all")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=192, help="images (default: 192)")
    parser.add_argument("--workers", type=int, default=1, help="loader workers (default: 1)")
    parser.add_argument("--architecture", default="resnet50", help="timm model (default: resnet50)")
    parser.add_argument("--models", type=int, default=3, help="models of one run (default: 3)")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repetitions (default: 3)")
    asked = parser.parse_args()
    register()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), asked)))


def measure(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Return the ratios."""
    photographs(folder / "photos", asked.images)
    models = [random_model(folder, asked.architecture, seed) for seed in range(asked.models)]
    small = [random_model(folder, "test_resnet", seed) for seed in range(asked.models)]
    shares, speedups, rates = [], [], []
    for repeat in range(asked.repeats):
        runs = folder / f"runs-{repeat}"
        forward = forward_seconds(models[0], asked.images)
        whole = predict_seconds(folder / "photos", runs / "whole", models[:1], asked.workers)
        shares.append(forward / whole)
        rates.append(asked.images / whole)
        alone = [
            predict_seconds(folder / "photos", runs / f"one-{n}", [model], asked.workers)
            for n, model in enumerate(small)
        ]
        speedups.append(sum(alone) / predict_seconds(folder / "photos", runs / "all", small, asked.workers))
    return {
        "architecture": asked.architecture,
        "images": asked.images,
        "workers": asked.workers,
        "images_per_s": round(statistics.median(rates), 2),
        "end_to_end_share": round(statistics.median(shares), 3),
        "end_to_end_shares": [round(share, 3) for share in shares],
        "models_of_one_run": asked.models,
        "shared_decode_speedup": round(statistics.median(speedups), 3),
        "shared_decode_speedups": [round(speedup, 3) for speedup in speedups],
    }


def photographs(root: Path, count: int) -> None:
    """Write JPEG files of a photograph's size and detail, 500 x 375 pixels."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = root / CATEGORIES[number % len(CATEGORIES)].name / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((500, 375))
        fine = rng.normal(0, 12, (375, 500, 3))
        pixels = np.clip(np.asarray(coarse, dtype=np.float64) + fine, 0, 255).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=90)
        path.write_bytes(stream.getvalue())


def random_model(folder: Path, architecture: str, seed: int) -> dict[str, Any]:
    """Return the spec of a classifier with random weights in a file: speed does not depend on what they are."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    path = folder / f"{architecture}-{seed}.safetensors"
    save_file(timm.create_model(architecture, num_classes=1000).state_dict(), path)
    return {
        "_target_": "imagenetd.models.timm.TimmClassifier",
        "architecture": architecture,
        "checkpoint": str(path),
        "name": f"{architecture}_{seed}",
        "batch_size": 32,
        "input_size_px": 224,
    }


def forward_seconds(spec: dict[str, Any], num_images: int) -> float:
    """Return the time of the network alone, on tensors in memory and in batches of the same size."""
    model = build(spec, option="target")
    model.load(CATEGORIES, torch.device("cpu"))
    batch = torch.randn(model.batch_size, 3, 224, 224)
    sizes = [min(model.batch_size, num_images - first) for first in range(0, num_images, model.batch_size)]
    model.logits(batch[:2])
    started = time.perf_counter()
    for size in sizes:
        model.logits(batch[:size])
    return time.perf_counter() - started


def predict_seconds(root: Path, runs: Path, models: Sequence[dict[str, Any]], workers: int) -> float:
    """Return the time of a whole prediction; weights are loaded and files are hashed before."""
    options = [
        "data=folder",
        f"data.root={root}",
        "stages=[predict]",
        "name=bench",
        "logger=none",
        f"paths.output_dir={runs}",
    ]
    options += ["trainer.devices=1", "trainer.num_threads=1", f"trainer.num_workers={workers}"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config: Any = OmegaConf.to_object(compose("config", overrides=options))
    config.surrogates, config.target = {}, None
    config.targets = {model["name"]: model for model in models}
    run = Run(make_setup(config))
    generate(run)
    started = time.perf_counter()
    predict(run)
    return time.perf_counter() - started - sum(loading_seconds(model) for model in models)


def loading_seconds(spec: dict[str, Any]) -> float:
    """Return the time that reading the weights takes once, which every run pays whatever its images."""
    started = time.perf_counter()
    build(spec, option="target").load(CATEGORIES, torch.device("cpu"))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
