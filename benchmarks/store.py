"""What checksums cost when stored logits are read: the check alone against reading without it.

    python -m benchmarks.store --images 100000 --classes 1000

Prints one JSON object in the last line. `check_share` is the time of checking a part's seal as a share of reading the
part (from the page cache) and decoding it; `page_checksum_share` is the same for Parquet's own page checksums, which
are written but not asked for. Medians of interleaved repetitions.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imagenetd.images.pool import part_name
from imagenetd.store.folders import write_table_atomic
from imagenetd.store.seals import check_parquet

IMAGES_PER_PART = 5_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_parts(Path(folder), options.images, options.classes)
        size_mb = sum(path.stat().st_size for path in paths) / 2**20
        rounds = [measure(paths) for _ in range(options.rounds)]
    read, check, pages = (statistics.median(times) for times in zip(*rounds, strict=True))
    result = {
        "size_mb": round(size_mb),
        "read_s": round(read, 3),
        "check_s": round(check, 4),
        "check_share": round(check / read, 4),
        "page_checksum_share": round((pages - read) / read, 4),
    }
    print(json.dumps(result))


def measure(paths: list[Path]) -> tuple[float, float, float]:
    """Return the seconds of reading, of checking, and of reading with Parquet's own checksums, over all parts."""
    read = check = pages = 0.0
    for path in paths:
        read += seconds(lambda path=path: pq.read_table(pa.BufferReader(path.read_bytes())))
        data = path.read_bytes()
        check += seconds(lambda data=data: check_parquet(data))
        pages += seconds(
            lambda path=path: pq.read_table(
                pa.BufferReader(path.read_bytes()), page_checksum_verification=True
            )
        )
    return read, check, pages


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def write_parts(folder: Path, num_images: int, num_classes: int) -> list[Path]:
    """Write random logits as the stage predict does."""
    random = np.random.default_rng(0)
    paths = []
    for number in range(-(-num_images // IMAGES_PER_PART)):
        count = min(IMAGES_PER_PART, num_images - number * IMAGES_PER_PART)
        logits = random.normal(size=(count, num_classes)).astype(np.float32)
        flat = pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), num_classes)
        ids = pa.array([f"{index:016x}" for index in range(count)])
        path = folder / part_name(number)
        write_table_atomic(path, pa.table({"image_id": ids, "logits": flat, "seconds": np.zeros(count)}))
        paths.append(path)
    return paths


if __name__ == "__main__":
    main()
