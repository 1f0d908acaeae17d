"""What it costs to hand a benchmark on: each export against a plain copy of its files, the page against plain tables.

    python -m benchmarks.share [--images 4835]

4,835 images are as many as ImageNet-D has. The images are noise of 64 x 64 pixels: the work besides copying does not
depend on their size. The page covers 61,811 images and 20 models. The last line is one JSON object.
"""

import argparse
import functools
import json
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from imagenetd.reports.evidence import Evidence, ModelEvidence
from imagenetd.reports.exports.benchmark import COLUMNS, Benchmark, Provenance, file_name
from imagenetd.reports.exports.export import Export
from imagenetd.reports.exports.fiftyone import FiftyOneExport
from imagenetd.reports.exports.folder import FolderExport
from imagenetd.reports.exports.huggingface import HuggingFaceExport
from imagenetd.reports.exports.webdataset import WebDatasetExport
from imagenetd.reports.html.report import HtmlReport

CATEGORIES = tuple(f"category{index:03d}" for index in range(113))
NUISANCES = [f"nuisance{index:03d}" for index in range(547)]
KINDS = np.array(["background"] * 468 + ["texture"] * 47 + ["material"] * 32)
REPEATS = 3
EXPORTS: dict[str, Callable[..., Export]] = {
    "folder": FolderExport,
    "hf": HuggingFaceExport,
    "webdataset": WebDatasetExport,
    "fiftyone": FiftyOneExport,
}


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images", type=int, default=4835, help="of an export (default: 4835, as ImageNet-D has)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = exports(arguments.images, Path(folder))
    found |= page()
    found["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(found))


def exports(count: int, folder: Path) -> dict[str, float]:
    """Return for each format its time as a ratio to a copy of the same images, fastest of some turns each."""
    made = benchmark(count)
    source = folder / "source"
    for position, name in enumerate(made.images["file"]):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(made.read_bytes(position))
    times: dict[str, list[float]] = {}
    for turn in range(REPEATS):
        times.setdefault("copy", []).append(
            _timed(lambda t=turn: shutil.copytree(source, folder / f"copy{t}"))
        )
        for name, kind in EXPORTS.items():
            export = kind(set="pool", to=None, licence=None)
            work = functools.partial(export.write, made, folder / f"{name}{turn}")
            times.setdefault(name, []).append(_timed(work))
    best = {name: min(values) for name, values in times.items()}
    print(pd.Series(best, name="seconds").round(3).to_string())
    return {f"{name}_to_copy": round(best[name] / best["copy"], 2) for name in EXPORTS} | {
        "copy_seconds": round(best["copy"], 3)
    }


def page() -> dict[str, float]:
    """Return the time of the HTML page of a full-size benchmark, as a ratio to pandas' own HTML of its cells."""
    given = evidence(num_models=20)
    picture = Image.fromarray(np.zeros((768, 768, 3), dtype=np.uint8))
    cells = given.images.groupby(["category", "kind", "nuisance"], sort=False).size().reset_index()
    for model in given.models:
        cells[model.name] = 0.5
    text = ""

    def write() -> None:
        nonlocal text
        text = HtmlReport().page(SUMMARY, given, [], lambda position: picture)

    seconds = min(_timed(write) for _ in range(REPEATS))
    plain = min(_timed(lambda: cells.to_html()) for _ in range(REPEATS))
    print(
        f"page {seconds:.2f} s, {len(text) / 2**20:.2f} MB; pandas' table of {len(cells):,} cells {plain:.2f} s"
    )
    return {
        "page_seconds": round(seconds, 2),
        "page_to_pandas_html": round(seconds / plain, 2),
        "page_mb": round(len(text) / 2**20, 2),
    }


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def evidence(num_models: int) -> Evidence:
    """Return random answers on one image of every cell of ImageNet-D."""
    rng = np.random.default_rng(0)
    category, nuisance = np.divmod(np.arange(len(CATEGORIES) * len(NUISANCES)), len(NUISANCES))
    count = len(category)
    images = pd.DataFrame(
        {
            "image_id": [f"{index:016x}" for index in range(count)],
            "category": np.array(CATEGORIES)[category],
            "kind": KINDS[nuisance],
            "nuisance": np.array(NUISANCES)[nuisance],
            "seed_index": 0,
            "text": "a photo of something",
        }
    )
    models = []
    for index in range(num_models):
        right = rng.random(count) < 0.6
        role = "surrogate" if index < 4 else "target"
        predicted = np.where(right, category, (category + 1) % len(CATEGORIES))
        models.append(
            ModelEvidence(
                *(f"m{index}", role, "fake", "closed-set", 0.01, CATEGORIES),
                *(predicted, right, rng.random(count), np.ones(count, bool)),
            )
        )
    mined = ~np.any([model.correct for model in models[:4]], axis=0)
    return Evidence(
        images, tuple(models), {"pool": np.ones(count, bool), "mined": mined, "accepted": mined}, 4
    )


def benchmark(count: int) -> Benchmark:
    """Return so many images of noise with the answers of five models."""
    import io

    given = evidence(num_models=5)
    rows = given.images.iloc[:count]
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, format="PNG")
    data = stream.getvalue()
    plain = {name: "x" for name in COLUMNS} | {"imagenet_ids": "1 2", "num_failures": 4, "width_px": 64}
    flags = {"height_px": 64, "seed": 0, "is_mined": True, "is_accepted": True, "is_easy": False}
    names = rows[["kind", "category", "image_id"]].itertuples(index=False, name=None)
    images = pd.DataFrame(plain | flags, index=rows.index).assign(
        file=[file_name(*row) for row in names],
        **{name: rows[name] for name in ("image_id", "category", "kind", "nuisance", "seed_index")},
    )
    models = tuple(
        ModelEvidence(
            *(m.name, m.role, m.family, m.regime, m.chance, m.class_names),
            *(m.predicted[:count], m.correct[:count], m.confidence[:count], m.counted[:count]),
        )
        for m in given.models
    )
    made = Provenance(
        {"generator": "noise"},
        True,
        4,
        {"method": "none"},
        dict.fromkeys(("pool", "mined", "accepted", "easy"), count),
        {},
        {"imagenetd": "0"},
        (),
    )
    same = (["a"] * count, ["b"] * count)
    return Benchmark(
        "bench",
        "pool",
        images[list(COLUMNS)],
        models,
        (),
        made,
        len(data) * count,
        lambda position: data,
        lambda name: same,
    )


SUMMARY: dict[str, Any] = {
    "name": "bench",
    "num_images": {"pool": 61811, "mined": 1000, "accepted": 1000},
    "mining": {"min_failures": 4, "num_surrogates": 4},
    "targets": {},
    **{"overrides": [], "seed": 0, "generator": "", "keys": {}, "seconds": {}, "versions": {}, "config": {}},
}

if __name__ == "__main__":
    main()
