"""Measure the shipped generator: is what the prompt asks for in the picture?

python -m experiments.tiny_world.measure_generator --images-per-cell 4

Runs the pipeline with the options of conf/generator/tiny.yaml over every cell (12 categories x 20 nuisances), asks
the judge and the gate, writes experiments/tiny_world/generator_scores.json and a contact sheet.
"""

import argparse
import json
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Bool, UInt8
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from experiments.tiny_world.generator_model import GENERATOR_FOLDER, IMAGE_PX
from experiments.tiny_world.tokenizer import caption
from imagenetd.images.tiny_world import BACKGROUNDS, CATEGORIES, NUISANCES
from imagenetd.images.tiny_world.referee import load_referee

ROOT = Path(__file__).resolve().parents[2]
SCORES = Path(__file__).with_name("generator_scores.json")
SHEET = ROOT / "docs/images/tiny_generated.png"
BATCH_SIZE = 48


@dataclass(frozen=True, slots=True)
class Cell:
    """What one image should show, as positions in CATEGORIES and NUISANCES."""

    category: int
    nuisance: int

    @property
    def kind(self) -> str:
        """Kind of the nuisance."""
        return NUISANCES[self.nuisance][0]

    @property
    def prompt(self) -> str:
        """The caption that asks for it."""
        return caption(CATEGORIES[self.category], NUISANCES[self.nuisance])


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the pipeline is called."""

    num_inference_steps: int
    guidance_scale: float
    dtype: str = "float32"


def all_cells(images_per_cell: int) -> list[Cell]:
    """Every category with every nuisance; the first 240 are one image of each, row by row of the contact sheet."""
    pairs = [Cell(row, column) for row in range(len(CATEGORIES)) for column in range(len(NUISANCES))]
    return pairs * images_per_cell


def shipped_sampling() -> Sampling:
    """The options of conf/generator/tiny.yaml."""
    shipped = yaml.safe_load((ROOT / "conf/generator/tiny.yaml").read_text())
    return Sampling(shipped["num_inference_steps"], shipped["guidance_scale"], shipped["dtype"])


def load_pipeline(folder: Path = GENERATOR_FOLDER, *, dtype: str = "float32") -> Any:
    """The folder through diffusers' own loader."""
    from diffusers import StableDiffusionPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = StableDiffusionPipeline.from_pretrained(
            folder, torch_dtype=getattr(torch, dtype), use_safetensors=True
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generate(
    pipeline: Any, cells: list[Cell], sampling: Sampling, *, first_seed: int = 0
) -> UInt8[Tensor, "images 3 size size"]:
    """One image a cell, each from its own seed."""
    images = []
    for start in range(0, len(cells), BATCH_SIZE):
        part = cells[start : start + BATCH_SIZE]
        images.append(
            pipeline(
                prompt=[cell.prompt for cell in part],
                generator=[torch.Generator().manual_seed(first_seed + start + i) for i in range(len(part))],
                num_inference_steps=sampling.num_inference_steps,
                guidance_scale=sampling.guidance_scale,
                height=IMAGE_PX,
                width=IMAGE_PX,
                output_type="np",
            ).images
        )
    pixels = torch.from_numpy(np.concatenate(images)).permute(0, 3, 1, 2)
    return (pixels * 255).round().to(torch.uint8)


def judge_nuisance(
    images: UInt8[Tensor, "images 3 size size"], cells: list[Cell]
) -> tuple[Bool[np.ndarray, " images"], Bool[np.ndarray, " images"]]:
    """Whether the judge sees the prompted category, and the prompted nuisance, in each image."""
    seen = {name: head.numpy() for name, head in load_referee().judge(images).items()}
    nuisance = np.array([cell.nuisance for cell in cells])
    is_place = nuisance < len(BACKGROUNDS)
    found = np.where(is_place, seen["background"], seen["appearance"] - 1 + len(BACKGROUNDS))
    return seen["category"] == np.array([cell.category for cell in cells]), found == nuisance


def gate_category(
    images: UInt8[Tensor, "images 3 size size"], cells: list[Cell]
) -> Bool[np.ndarray, " images"]:
    """Whether the gate, an independent oracle of the category, sees the prompted one."""
    from experiments.tiny_world.classifier_networks import load_exported
    from experiments.tiny_world.recipes import RECIPES

    gate = load_exported(next(recipe for recipe in RECIPES if recipe.name == "tiny_gate")).eval()
    with torch.no_grad():
        logits = [gate(part.float() / 127.5 - 1) for part in images.split(128)]
    return torch.cat(logits).argmax(1).numpy() == np.array([cell.category for cell in cells])


def contact_sheet(
    images: Iterable[UInt8[Tensor, "3 size size"]], *, columns: int, zoom: int = 2
) -> Image.Image:
    """Images row by row with thin white gaps, enlarged without smoothing."""
    tiles = [image.permute(1, 2, 0).numpy() for image in images]
    step = IMAGE_PX + 2
    sheet = np.full((-(-len(tiles) // columns) * step, columns * step, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        sheet[row * step : row * step + IMAGE_PX, column * step : column * step + IMAGE_PX] = tile
    picture = Image.fromarray(sheet)
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def summarise(
    cells: list[Cell], has_category: Bool[np.ndarray, " images"], has_nuisance: Bool[np.ndarray, " images"]
) -> dict[str, dict[str, float]]:
    """Shares of images that show the category and the nuisance: per kind, per nuisance, per category."""

    def shares(chosen: Bool[np.ndarray, " images"]) -> dict[str, float]:
        return {
            "images": int(chosen.sum()),
            "category": round(float(has_category[chosen].mean()), 4),
            "nuisance": round(float(has_nuisance[chosen].mean()), 4),
        }

    kinds = np.array([cell.kind for cell in cells])
    rows = {kind: shares(kinds == kind) for kind in dict.fromkeys(kinds.tolist())}
    for index, (_, name) in enumerate(NUISANCES):
        rows[name] = shares(np.array([cell.nuisance == index for cell in cells]))
    for index, name in enumerate(CATEGORIES):
        rows[name] = shares(np.array([cell.category == index for cell in cells]))
    return {"all": shares(np.ones(len(cells), bool)), **rows}


def print_scores(rows: dict[str, dict[str, float]]) -> None:
    """Show the shares as a table."""
    table = Table("", "images", "category seen", "nuisance seen")
    for name, row in rows.items():
        table.add_row(name, str(row["images"]), f"{row['category']:.1%}", f"{row['nuisance']:.1%}")
    Console().print(table)


def main() -> None:
    """Generate, judge, write scores and sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shipped = shipped_sampling()
    parser.add_argument("--images-per-cell", type=int, default=4)
    parser.add_argument("--steps", type=int, default=shipped.num_inference_steps)
    parser.add_argument("--guidance", type=float, default=shipped.guidance_scale)
    parser.add_argument("--dtype", default=shipped.dtype, choices=("float32", "bfloat16"))
    parser.add_argument("--scores", type=Path, default=SCORES, help="JSON file to write")
    parser.add_argument("--sheet", type=Path, default=SHEET, help="contact sheet to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    sampling = Sampling(args.steps, args.guidance, args.dtype)
    cells = all_cells(args.images_per_cell)
    pipeline = load_pipeline(dtype=sampling.dtype)
    start = time.process_time()
    images = generate(pipeline, cells, sampling)
    milliseconds = 1000 * (time.process_time() - start) / len(cells)
    has_category, has_nuisance = judge_nuisance(images, cells)
    rows = summarise(cells, has_category, has_nuisance)
    print_scores(rows)
    gate = round(float(gate_category(images, cells).mean()), 4)
    print(f"the gate sees the category in {gate:.1%}; {milliseconds:.0f} ms of processor time an image")
    args.sheet.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(images[: len(CATEGORIES) * len(NUISANCES)], columns=len(NUISANCES)).save(args.sheet)
    report = {
        "steps": sampling.num_inference_steps, "guidance": sampling.guidance_scale, "dtype": sampling.dtype,
        "gate_category": gate, "milliseconds": round(milliseconds), "judge": rows,
    }  # fmt: skip
    args.scores.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
