"""What the model adapters cost: chat models against plain generation, and zero-shot heads computed against kept.

    python -m benchmarks.models --images 64

Prints one JSON object in the last line; a ratio of 1 means that the adapter costs nothing. All weights are random:
only time counts.
"""

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_model

from imagenetd.models.answers import parse_answer
from imagenetd.models.open_clip import OpenClipClassifier
from imagenetd.models.vqa import VqaClassifier
from imagenetd.words.vocabulary import load_categories
from tests.tiny_chat import save_tiny_llava

CPU = torch.device("cpu")
CATEGORIES = tuple(load_categories().values())
NUM_REPEATS = 3
BATCH = 16


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=64, help="images for the chat model (default: 64)")
    num_images = parser.parse_args().images
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure_chat(Path(folder) / "chat", num_images) | measure_head(Path(folder))))


def measure_chat(folder: Path, num_images: int) -> dict[str, Any]:
    """Return images/s of the adapter as a ratio to transformers' own calls on the same questions and images."""
    model = VqaClassifier(
        model=str(save_tiny_llava(folder, width=256, num_layers=6)), question="full-list", max_new_tokens=16
    )
    model.load(CATEGORIES[:12], CPU)
    pixels = np.random.default_rng(0).integers(0, 256, (num_images, 96, 96, 3), dtype=np.uint8)
    images = [Image.fromarray(array) for array in pixels]
    tensors = [model.transform(image) for image in images]
    ids, labels = [f"i{n}" for n in range(num_images)], [CATEGORIES[n % 12].name for n in range(num_images)]
    questions = [model.ask(model.options(*pair)) for pair in zip(ids, labels, strict=True)]
    processor, network = model._processor, model._model

    def adapter() -> None:
        for first in range(0, num_images, BATCH):
            part = slice(first, first + BATCH)
            model.interview(tensors[part], ids[part], labels[part])

    def plain() -> None:
        for first in range(0, num_images, BATCH):
            texts = [model._prompted(question) for question in questions[first : first + BATCH]]
            pictures = [[image] for image in images[first : first + BATCH]]
            inputs = processor(images=pictures, text=texts, return_tensors="pt", padding=True)
            with torch.inference_mode():
                tokens = network.generate(**inputs, max_new_tokens=16, do_sample=False)
            processor.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    ours, theirs = interleaved(adapter, plain)
    started = time.perf_counter()
    for label in labels:
        parse_answer(
            f"The main object in this image is a {label.replace('_', ' ')}.", list(load_categories())
        )
    return {
        "chat_images_per_s": round(num_images / ours, 2),
        "chat_speed_ratio_to_plain_generation": round(theirs / ours, 3),
        "parse_ms_per_answer": round(1000 * (time.perf_counter() - started) / num_images, 3),
    }


def measure_head(folder: Path) -> dict[str, Any]:
    """Return how much sooner a dual encoder is ready when its head of 113 categories is kept already."""
    import open_clip

    torch.manual_seed(0)
    network = open_clip.create_model("ViT-S-32-alt", pretrained=None)
    save_model(network, str(folder / "clip.safetensors"))

    def ready(cache: Path | None) -> Callable[[], None]:
        def load() -> None:
            model = OpenClipClassifier(
                architecture="ViT-S-32-alt", checkpoint=str(folder / "clip.safetensors")
            )
            model.cache_dir = cache
            model.load(CATEGORIES, CPU)

        return load

    ready(folder / "heads")()
    kept, made = interleaved(ready(folder / "heads"), ready(None))
    return {"seconds_to_load_with_kept_head": round(kept, 3), "kept_head_speedup": round(made / kept, 2)}


def interleaved(first: Callable[[], None], second: Callable[[], None]) -> tuple[float, float]:
    """Return the median seconds of two functions that are called in turn, after one call each."""
    first(), second()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(NUM_REPEATS):
        for function, times in zip((first, second), seconds, strict=True):
            started = time.perf_counter()
            function()
            times.append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


if __name__ == "__main__":
    main()
