"""What the frame costs: generation and prediction against plain loops over the same models, and starting again.

    python -m benchmarks.loop --images 192

Prints one JSON object in the last line; a ratio of 1 means that the frame costs nothing.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from imagenetd.config.schema import CONF_DIR, build, register
from imagenetd.pipeline import run_pipeline
from imagenetd.stages.run import Run
from imagenetd.stages.setup import Setup, make_setup

ROOT = CONF_DIR.parent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=192, help="images of the pool (default: 192)")
    num_images = parser.parse_args().images
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    register()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), num_images)))


def measure(folder: Path, num_images: int) -> dict[str, Any]:
    """Return the ratios."""
    cells = [
        "nuisances.background=[beach-s,street-s]",
        "nuisances.texture=[striped]",
        "nuisances.material=[wood]",
    ]
    options = [*cells, "logger=none", "report.plot=false", f"num_images_per_cell={max(1, num_images // 48)}"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        composed = compose(
            "config", overrides=[*options, f"paths.output_dir={folder / 'runs'}", "name=bench"]
        )
    config: Any = OmegaConf.to_object(composed)
    plan = make_setup(config)
    outcome = run_pipeline(config, plain_config={})
    seconds = {result.stage: result.seconds for result in outcome.results}
    generate = plain_generation(plan)
    predict = plain_prediction(Run(plan), config)
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        *options,
        f"paths.output_dir={folder / 'runs'}",
        "name=bench",
    ]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return {
        "images": len(plan.images.rows),
        "generate_images_per_s": round(len(plan.images.rows) / seconds["generate"], 2),
        "generate_speed_ratio_to_plain_diffusers": round(generate / seconds["generate"], 3),
        "predict_speed_ratio_to_plain_loop": round(predict / seconds["predict"], 3),
        "other_stages_share": round(
            (sum(seconds.values()) - seconds["generate"] - seconds["predict"]) / sum(seconds.values()), 4
        ),
        "seconds_to_start_again_when_all_is_done": round(time.perf_counter() - started, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def plain_generation(plan: Setup) -> float:
    """Return the seconds of a hand-written loop over diffusers: same batches, steps and precision, nothing written."""
    import diffusers

    from imagenetd.images.generators.diffusers import DiffusersGenerator

    generator = plan.images.generator
    assert isinstance(generator, DiffusersGenerator)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
        str(generator.source.folder()), torch_dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    size = generator.unit_size
    batches = [plan.images.rows[first : first + size] for first in range(0, len(plan.images.rows), size)]

    def loop() -> None:
        for rows in batches:
            pipeline(
                [row.text for row in rows],
                num_inference_steps=generator.sampling.num_inference_steps,
                guidance_scale=generator.sampling.guidance_scale,
                height=generator.height_px,
                width=generator.width_px,
                generator=[torch.Generator().manual_seed(row.index) for row in rows],
            )

    return timed(loop)


def plain_prediction(made: Run, config: Any) -> float:
    """Return the seconds of a hand-written loop over the same models and images: decode, transform, forward."""
    specs = [*config.surrogates.values(), config.target, config.qc.gate]
    classifiers = [build(spec, option="model") for spec in specs]
    for classifier in classifiers:
        classifier.load(made.setup.categories, torch.device("cpu"))
    total = made.pool.layout.num_images

    @torch.inference_mode()
    def loop() -> None:
        for classifier in classifiers:
            for first in range(0, total, classifier.batch_size):
                indices = range(first, min(first + classifier.batch_size, total))
                classifier.logits(
                    torch.stack([classifier.transform(made.pool.read_image(index)) for index in indices])
                )

    return timed(loop)


def timed(loop: Callable[[], None]) -> float:
    """Return the seconds of one call."""
    started = time.perf_counter()
    loop()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
