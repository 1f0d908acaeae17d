"""What the reports cost: 62,000 images x 20 models from stored predictions, and mining by bit patterns against pandas.

    python -m benchmarks.report

Makes a pool of the full vocabulary's size with simulated logits in a temporary folder (about 600 MB), then times, in
one process and one thread: the first reading of the logits (once in the life of a prediction), and what every later
report costs: evidence, all standard reports, all CSV files. Prints one JSON object in the last line.
"""

import argparse
import itertools
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from imagenetd.config.schema import CONF_DIR
from imagenetd.images.pool import Layout, Pool, part_name
from imagenetd.records import LabelSpace
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.report_set import ReportSet, build_reports
from imagenetd.reports.tables import write_csv
from imagenetd.scoring.counts import Mark, rate_of, tally
from imagenetd.scoring.mining import shared_failures
from imagenetd.scoring.predictions import keep_answers, read_through, scoring_of, subject
from imagenetd.scoring.statistics.subsets import choose_subsets, failure_codes, is_mined
from imagenetd.stages.gathering import StoredModel, gather_evidence
from imagenetd.store.folders import StageFolder, write_table_atomic
from imagenetd.words.vocabulary import choose_nuisances, load_categories

FAMILIES = ("clip", "clip", "resnet", "vit", "swin")
NUM_SURROGATES, IMAGES_PER_SHARD = 4, 4096


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=62_000, help="images of the pool (default: 62000)")
    parser.add_argument("--models", type=int, default=20, help="models (default: 20)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), arguments.images, arguments.models)))


def measure(folder: Path, num_images: int, num_models: int) -> dict[str, Any]:
    """Return times, memory and the ratio to pandas."""
    random = np.random.default_rng(0)
    images = image_table(num_images)
    pool = Pool(folder, "bench", Layout(num_images, 16, IMAGES_PER_SHARD), images)
    models = [store_model(pool, number, random) for number in range(num_models)]
    first_reading, _ = timed(lambda: [read_once(pool, n, model) for n, model in enumerate(models)])
    before = peak_memory_mb()

    def gather(sets: dict[str, np.ndarray]) -> Any:
        return gather_evidence(pool, models, sets, min_failures=NUM_SURROGATES)

    correct = np.stack([model.correct for model in gather({}).models])
    sets = sets_of(correct[:NUM_SURROGATES], images, random)
    chosen = standard_reports()
    seconds, results = timed(lambda: run_reports(chosen, gather(sets), folder / "tables"))
    packed, pandas = mining_seconds(correct[:8], correct[8:12])
    return {
        f"seconds_{num_images}x{num_models}": round(seconds["wall"], 2),
        f"cpu_seconds_{num_images}x{num_models}": round(seconds["cpu"], 2),
        "seconds_to_read_the_logits_once": round(first_reading["wall"], 2),
        "cpu_seconds_to_read_the_logits_once": round(first_reading["cpu"], 2),
        "peak_memory_mb": round(peak_memory_mb()),
        "memory_before_the_reports_mb": round(before),
        "num_tables": sum(len(result.tables) for result in results),
        "num_rows": sum(len(table) for result in results for table in result.tables.values()),
        "packed_mining_speedup": round(pandas / packed, 1),
        "packed_mining_seconds": round(packed, 3),
        "pandas_mining_seconds": round(pandas, 3),
    }


def run_reports(chosen: ReportSet, evidence: Evidence, folder: Path) -> list[ReportResult]:
    """Compute all reports and write their tables, as the stage does."""
    results = [report.report(evidence) for report in chosen.reports.values()]
    for result in results:
        for name, table in result.tables.items():
            write_csv(table, folder / result.name / f"{name}.csv")
    return results


def image_table(num_images: int) -> pd.DataFrame:
    """Return the images of every category with every nuisance of the vocabulary, then neutral ones and more seeds."""
    words = choose_nuisances(
        {"background": "background.csv", "texture": "texture.csv", "material": "material.csv"}
    )
    cells = [(str(word.kind), word.name) for word in words]
    names = list(load_categories())
    rows = [(name, kind, word, 0) for name in names for kind, word in cells]
    rows += [(name, "neutral", "", seed) for seed in range(2) for name in names]
    seeds = itertools.count(1)
    while len(rows) < num_images:
        seed = next(seeds)
        rows += [(name, kind, word, seed) for name in names for kind, word in cells]
    table = pd.DataFrame(rows[:num_images], columns=["category", "kind", "nuisance", "seed_index"])
    table["image_id"] = [f"{number:016x}" for number in range(num_images)]
    table["text"] = "a photo"
    return table


def read_once(pool: Pool, number: int, model: StoredModel) -> None:
    """Read the logits of a model as the stage `predict` does at its end."""
    found = read_through(model.folder, pool, scoring_of(model.space, pool), model_key=str(number))
    keep_answers(StageFolder(model.folder, "predict", str(number)), {}, found, pool)


def store_model(pool: Pool, number: int, random: np.random.Generator) -> StoredModel:
    """Write the logits of one simulated model in the form in which predictions are stored."""
    names = tuple(load_categories())
    label = pd.factorize(pool.table["category"])[0]
    difficulty = np.random.default_rng(7).normal(0, 1.5, len(label))
    folder = pool.folder / f"model_{number}"
    for shard in range(pool.layout.num_shards):
        rows = pool.layout.images(shard)
        logits = random.normal(0, 1, (len(rows), len(names))).astype(np.float32)
        logits[np.arange(len(rows)), label[rows.start : rows.stop]] += 3 - difficulty[rows.start : rows.stop]
        flat = pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel(), pa.float32()), len(names))
        ids = pa.array(pool.shard_rows(shard)["image_id"].tolist(), pa.string())
        columns = {"image_id": ids, "logits": flat, "seconds": np.zeros(len(rows))}
        of = subject(str(number), pool.key)
        write_table_atomic(folder / part_name(shard), pa.table(columns), of=of)
    space = LabelSpace(
        "bench", "zero-shot", len(names), {name: (index,) for index, name in enumerate(names)}, names
    )
    role = "surrogate" if number < NUM_SURROGATES else "target"
    return StoredModel(f"model_{number}", role, FAMILIES[number % len(FAMILIES)], folder, space)


def sets_of(
    surrogates: np.ndarray, images: pd.DataFrame, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Mine with the surrogates; nine of ten images show their object."""
    mined = (
        shared_failures(surrogates, min_failures=NUM_SURROGATES) & (images["kind"] != "neutral").to_numpy()
    )
    valid = random.random(len(images)) < 0.9
    everything = np.ones(len(images), bool)
    return {"pool": everything, "pool_accepted": valid, "mined": mined, "accepted": mined & valid}


def standard_reports() -> ReportSet:
    """Return what `report=standard` runs."""
    lines = yaml.safe_load((CONF_DIR / "report" / "standard.yaml").read_text())["defaults"]
    names = [line.split("@")[0] for line in lines if isinstance(line, str) and "@reports." in line]
    specs = {name: yaml.safe_load((CONF_DIR / "report" / f"{name}.yaml").read_text()) for name in names}
    return build_reports({"reports": specs})


def mining_seconds(surrogates: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Time the accuracies on every set that eight surrogates mine with any k: by bit patterns, and with pandas."""
    subsets, min_failures = choose_subsets(len(surrogates), max_rows=1024, seed=0)

    def packed() -> np.ndarray:
        found, place = np.unique(failure_codes(surrogates), return_inverse=True)
        marks = [Mark("", "", "", right, np.ones_like(right)) for right in targets]
        counts, chosen = (
            tally(marks, place, len(found)),
            is_mined(found, subsets, min_failures).astype(np.int64),
        )
        return np.nan_to_num(rate_of(chosen @ counts.num_correct.T, chosen @ counts.num_images.T).value)

    def naive() -> np.ndarray:
        wrong = pd.DataFrame(~surrogates.T)
        right = pd.DataFrame(targets.T)
        rows = []
        for bits, k in zip(subsets.tolist(), min_failures.tolist(), strict=True):
            chosen = [index for index in wrong.columns if bits >> index & 1]
            rows.append(right[wrong[chosen].sum(axis=1) >= k].mean().fillna(0).to_numpy())
        return np.array(rows)

    times: dict[str, list[float]] = {"packed": [], "naive": []}
    for _ in range(3):  # interleaved, so that a busy machine slows both
        fast, first = timed(packed)
        slow, second = timed(naive)
        assert np.allclose(first, second)
        times["packed"].append(fast["cpu"])
        times["naive"].append(slow["cpu"])
    return float(np.median(times["packed"])), float(np.median(times["naive"]))


def timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Return wall and CPU seconds of one call, and what it returned."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = work()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}, made


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
