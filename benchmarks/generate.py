"""What the frame costs in generation: against plain diffusers, over two processes, and when it resumes.

    python -m benchmarks.generate                        the embedded model, on one thread
    python -m benchmarks.generate --rounds 5 --images 128 --resume-images 100000

Rounds alternate between the sides that are compared, so that the load of the machine falls on all of them; a ratio is
that of the medians. The last line is one JSON object.
"""

import argparse
import dataclasses
import json
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from imagenetd.config.schema import CONF_DIR, register
from imagenetd.images.generators.diffusers import DiffusersGenerator
from imagenetd.images.generators.generator import Generator, Picture, noise_seed
from imagenetd.images.pool import part_name, read_layout
from imagenetd.images.shards import shard_name
from imagenetd.pipeline import run_pipeline
from imagenetd.records import Prompt
from imagenetd.stages.generate import generate
from imagenetd.stages.prompts import prompts
from imagenetd.stages.run import Run
from imagenetd.stages.setup import make_setup
from imagenetd.store.folders import StageFolder, content_key

DEVICE = "cpu"


class Loaded(DiffusersGenerator):
    """A generator that stays loaded, so that a round measures the work alone, and whose calls are timed."""

    calls_s = 0.0

    def load(self, device: str) -> None:
        """Load at the first call only."""
        if self._pipeline is None:
            super().load(device)

    def close(self) -> None:
        """Stay loaded."""

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        """Generate, and add what the library's own call took to `calls_s`."""
        started = time.perf_counter()
        pictures = super().generate(rows, noise_seeds)
        self.calls_s += time.perf_counter() - started
        return pictures


class Dot(Generator):
    """Images of 8 px that cost next to nothing, for the store alone."""

    def __init__(self, unit_size: int) -> None:
        self.unit_size = unit_size
        self.height_px = self.width_px = 8

    def identity(self) -> dict[str, Any]:
        """Return its name."""
        return {"generator": "dot"}

    def load(self, device: str) -> None:
        """Nothing to load."""

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        """Return one colour for each seed."""
        return [Picture(np.full((8, 8, 3), seed % 251, dtype=np.uint8)) for seed in noise_seeds]


@dataclass
class Round:
    """What one round took: by the clock, and of the processor (which the load of the machine touches less)."""

    clock_s: float
    processor_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each side (default: 3)")
    parser.add_argument("--images", type=int, default=96, help="images of a round (default: 96)")
    parser.add_argument(
        "--resume-images", type=int, default=100_000, help="finished images of the pool that is resumed"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    register()
    with tempfile.TemporaryDirectory() as folder:
        found = against_diffusers(Path(folder), num_images=options.images, num_rounds=options.rounds)
        found |= resume(Path(folder), num_images=options.resume_images)
    found["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(found))


def composed(folder: Path, *overrides: str) -> Any:
    """Return a config of the first two stages on the tiny world's words."""
    fixed = ["logger=none", "name=bench", "stages=[prompts,generate]", f"paths.output_dir={folder}"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return OmegaConf.to_object(compose("config", overrides=[*fixed, *overrides]))


def against_diffusers(folder: Path, *, num_images: int, num_rounds: int) -> dict[str, Any]:
    """Compare a run of one process, a run of two, and a hand-written loop: same batches, steps, precision, weights."""
    each = max(1, num_images // 48)
    words = ["nuisances.background=[beach-s,street-s]", "nuisances.texture=[striped]"]
    config = composed(folder / "runs", *words, "nuisances.material=[wood]", f"num_images_per_cell={each}")
    plan = make_setup(config)
    assert plan.images.rows is not None and isinstance(plan.images.generator, DiffusersGenerator)
    spec = {name: value for name, value in config.generator.items() if name != "_target_"}
    generator = Loaded(**spec)
    generator.load(DEVICE)
    prompts(Run(plan))
    loop = plain_loop(plan.images.generator, list(plan.images.rows), key=content_key(plan.images.identity))
    sides: dict[str, list[Round]] = {"one": [], "two": [], "plain": []}
    shares = []
    for warm_up in (
        lambda: loop(1),
        lambda: run(StageFolder(folder / "warm", "generate", "w"), plan, Dot(16), config),
    ):
        warm_up()  # the first call of either side imports and allocates
    for number in range(num_rounds):
        sides["plain"].append(timed(lambda: loop(len(plan.images.rows or ()))))
        for name, devices in (("one", 1), ("two", 2)):
            config.trainer.devices, generator.calls_s = devices, 0.0
            pool = StageFolder(folder / f"{name}-{number}", "generate", f"{name}{number}")
            sides[name].append(timed(lambda pool=pool: run(pool, plan, generator, config)))  # type: ignore[misc]
            if name == "one":
                shares.append(1 - generator.calls_s / sides[name][-1].clock_s)
    clock = {name: statistics.median(r.clock_s for r in rounds) for name, rounds in sides.items()}
    processor = {name: statistics.median(r.processor_s for r in rounds) for name, rounds in sides.items()}
    return {
        "images": len(plan.images.rows),
        "rounds": num_rounds,
        "plain_images_per_s": round(len(plan.images.rows) / clock["plain"], 2),
        "images_per_s": round(len(plan.images.rows) / clock["one"], 2),
        "ratio_to_plain_diffusers": round(clock["plain"] / clock["one"], 3),
        "ratio_in_processor_time": round(processor["plain"] / processor["one"], 3),
        "share_outside_the_generator": round(statistics.median(shares), 4),
        "two_process_speedup": round(clock["one"] / clock["two"], 2),
    }


def run(folder: StageFolder, plan: Any, generator: Generator, config: Any) -> None:
    """Run the generation stage into an empty folder."""
    images = dataclasses.replace(plan.images, folder=folder, generator=generator)
    generate(Run(dataclasses.replace(plan, config=config, images=images)))


def plain_loop(generator: DiffusersGenerator, rows: list[Prompt], *, key: str) -> Callable[[int], None]:
    """Return what a user of diffusers writes: batches of prompts, one generator for each image, PNG files."""
    import diffusers

    pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
        str(generator.source.folder()),
        torch_dtype=getattr(torch, generator.source.dtype),
        use_safetensors=True,
    ).to(DEVICE)
    pipeline.set_progress_bar_config(disable=True)

    def loop(count: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for first in range(0, count, generator.unit_size):
                batch = rows[first : min(first + generator.unit_size, count)]
                images = pipeline(
                    [row.text for row in batch],
                    num_inference_steps=generator.sampling.num_inference_steps,
                    guidance_scale=generator.sampling.guidance_scale,
                    height=generator.height_px,
                    width=generator.width_px,
                    generator=[torch.Generator().manual_seed(noise_seed(key, row)) for row in batch],
                ).images
                for row, image in zip(batch, images, strict=True):
                    image.save(f"{folder}/{row.index}.png")

    return loop


def resume(folder: Path, *, num_images: int) -> dict[str, Any]:
    """Finish a pool of small images, take its last shard away, and measure what a new start needs besides making it."""
    each = max(1, -(-num_images // 240))
    config = composed(folder / "resume", f"num_images_per_cell={each}")
    config.generator = {"_target_": "benchmarks.generate.Dot", "unit_size": 64}
    started = time.perf_counter()
    pool = Path(run_pipeline(config, plain_config={}).folder)
    made_s = time.perf_counter() - started
    layout = read_layout(pool)
    last = layout.num_shards - 1
    for path in (
        pool / "shards" / shard_name(last),
        pool / "manifest" / part_name(last),
        pool / "stage.json",
    ):
        path.unlink()
    started = time.perf_counter()
    run_pipeline(config, plain_config={})
    resumed_s = time.perf_counter() - started
    started = time.perf_counter()
    run_pipeline(config, plain_config={})
    skipped_s = time.perf_counter() - started
    share = len(layout.images(last)) / layout.num_images
    return {
        "resume_images": layout.num_images,
        "store_images_per_s": round(layout.num_images / made_s, 1),
        "resume_overhead_s": round(resumed_s - share * made_s, 2),
        "start_when_all_is_done_s": round(skipped_s, 2),
    }


def timed(work: Callable[[], object]) -> Round:
    """Return what a call took."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return Round(time.perf_counter() - clock, time.process_time() - processor)


if __name__ == "__main__":
    main()
