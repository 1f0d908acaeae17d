"""Images per second of SD 2.1 and SDXL with random weights: plain diffusers against imagenetd, batch by batch.

    python -m experiments.generation_speed.measure --architectures sd21 sdxl --batches 1 2 4 8 16 --compile none whole

On a GPU, bf16, the published sizes; `--small` tries the script on a CPU in a minute. Each number is the median of
repeats that alternate between the two, so a machine that slows down slows both. Prints one JSON object last.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments.generation_speed.architectures import ARCHITECTURES, save_random
from imagenetd.config.schema import CONF_DIR, build, register
from imagenetd.records import Prompt
from imagenetd.reports.tables import write_csv

FOLDER = Path(__file__).parent
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table."""

    architecture: str
    batch: int
    compile: str
    """How imagenetd compiles: `none`, `blocks` or `whole`; the plain loop is never compiled."""
    steps: int
    size_px: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured."""

    plain_images_per_s: float
    images_per_s: float
    ratio_to_plain_diffusers: float
    first_batch_s: float
    """Of imagenetd, compilation included."""
    peak_memory_gb: float | None
    """Of the device, with imagenetd alone on it; None on a CPU."""


def main() -> None:
    """Measure every combination and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--architectures", nargs="+", default=list(ARCHITECTURES), choices=list(ARCHITECTURES)
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument(
        "--compile", nargs="+", default=["none", "whole"], choices=["none", "blocks", "whole"]
    )
    parser.add_argument("--steps", type=int, default=20, help="denoising steps (default: 20)")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    parser.add_argument(
        "--small", action="store_true", help="a hundredth of the sizes, 64 px: tries the script"
    )
    parser.add_argument(
        "--weights", type=Path, help="where the random weights are kept (default: thrown away)"
    )
    parser.add_argument("--out", type=Path, default=FOLDER / "result.csv", help="the table")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    register()
    quieten()
    with tempfile.TemporaryDirectory() as folder:
        rows = sweep(arguments, arguments.weights or Path(folder))
    table = pd.DataFrame(rows)
    write_csv(table, arguments.out)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    print(json.dumps({"device": device_name(), "torch": torch.__version__, "rows": rows}))


def quieten() -> None:
    """Keep the libraries' own bars and advice off the terminal."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for log in (diffusers_logging, transformers_logging):
        log.set_verbosity_error()
        log.disable_progress_bar()


def sweep(arguments: argparse.Namespace, weights: Path) -> list[dict[str, Any]]:
    """Return one row for each architecture, batch and way to compile."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    for name in arguments.architectures:
        kind = "small" if arguments.small else "real"
        folder = save_random(
            name,
            weights / f"{name}-{kind}-{arguments.dtype}",
            is_real=not arguments.small,
            dtype=getattr(torch, arguments.dtype),
            device=device,
        )
        size_px = 64 if arguments.small else {"sd21": 768, "sdxl": 1024}[name]
        for batch in arguments.batches:
            for how in arguments.compile:
                setting = Setting(name, batch, how, arguments.steps, size_px, arguments.dtype)
                rows.append(asdict(setting) | asdict(measure(setting, folder, device)))
                print(rows[-1], flush=True)
    return rows


def measure(setting: Setting, folder: Path, device: str) -> Speed:
    """Return the speed of both, one after the other, repeat by repeat."""
    prompts = [
        Prompt(
            index, f"a photo of a mug in the street {index}", "v1", "mug", "background", "street", 0, index
        )
        for index in range(setting.batch)
    ]
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    generator = make_generator(setting, folder)
    generator.load(f"{device}:0" if device == "cuda" else device)
    seeds = list(range(setting.batch))
    first_s = seconds(lambda: generator.generate(prompts, seeds))  # kernels are chosen, graphs compiled
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
    plain = plain_pipeline(setting, folder, device)
    calls: list[Callable[[], Any]] = [
        lambda: call_plain(plain, setting, [row.text for row in prompts]),
        lambda: generator.generate(prompts, seeds),
    ]
    calls[0]()
    times = [[seconds(call) for call in calls] for _ in range(REPEATS)]
    plain_s, own_s = (statistics.median(column) for column in zip(*times, strict=True))
    generator.close()
    del generator, plain, calls
    gc.collect()
    return Speed(setting.batch / plain_s, setting.batch / own_s, plain_s / own_s, first_s, peak)


def make_generator(setting: Setting, folder: Path) -> Any:
    """Return what `generator=sd21` or `generator=sdxl` builds, on the random weights."""
    changes = {
        "model": folder,
        "variant": "null",
        "revision": "null",
        "dtype": setting.dtype,
        "num_inference_steps": setting.steps,
        "height_px": setting.size_px,
        "width_px": setting.size_px,
        "unit_size": setting.batch,
        "compile": setting.compile,
    }
    overrides = [
        f"generator={setting.architecture}",
        *(f"generator.{key}={value}" for key, value in changes.items()),
    ]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        spec = OmegaConf.to_container(compose("config", overrides=overrides).generator, resolve=True)
    return build(spec, option="generator")


def plain_pipeline(setting: Setting, folder: Path, device: str) -> Any:
    """Return the pipeline as anyone would load it."""
    import diffusers

    pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
        str(folder), torch_dtype=getattr(torch, setting.dtype)
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def call_plain(pipeline: Any, setting: Setting, texts: Sequence[str]) -> None:
    """Make one batch with one call, as in the documentation of diffusers."""
    guidance = {"sd21": 7.5, "sdxl": 5.0}[setting.architecture]
    pipeline(
        list(texts),
        num_inference_steps=setting.steps,
        guidance_scale=guidance,
        height=setting.size_px,
        width=setting.size_px,
        generator=[torch.Generator("cpu").manual_seed(number) for number in range(len(texts))],
        output_type="np",
    )


def seconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes; both end with pixels on the CPU, so the device is idle before and after."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def device_name() -> str:
    """Return what it was measured on."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
