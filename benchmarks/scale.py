"""What a large pool costs the process that runs it and its workers: `python -m benchmarks.scale --rows 10000000`.

Prompts are those of the full vocabulary, several images a cell. No image is made: what is measured is what grows with
the number of rows (the prompt table, a worker's slice of it, the list of what is missing) and with that of the shards
(claims by several processes that have nothing else to do). The last line is one JSON object.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

from imagenetd.images.pool import (
    Layout,
    make_layout,
    missing_numbers,
    open_prompts_by_shard,
    part_name,
    prompts_of_shard,
    write_prompts_by_shard,
)
from imagenetd.stages.workers.board import Board, Hand, Pulse, Seat
from imagenetd.words.prompt_table import Cell, PromptTable, tabulate
from imagenetd.words.vocabulary import choose_categories, choose_nuisances

NULL_SHARDS = 10_000


def peak_mb() -> float:
    """Return the most memory that this process has held; getrusage would count what its parent held before exec."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) / 1024


def prompts(num_rows: int) -> PromptTable:
    """Return so many rows of the full vocabulary, in as many images a cell as that needs."""
    categories = choose_categories("all")
    words = choose_nuisances({kind: [f"{kind}.csv"] for kind in ("background", "texture", "material")})
    cells = [
        Cell(category.name, word.kind.value, word.name, (f"a photo of {category.display}, {word.display}",))
        for category in categories
        for word in words
    ]
    each = -(-num_rows // len(cells))
    made = tabulate(cells, template_version="v1", seed=0, num_images_per_cell=each, is_paired=False)
    return PromptTable(made.table.slice(0, num_rows))


def slice_of_a_worker(path: Path, layout: Layout) -> dict[str, float]:
    """Return what a worker needs to open the table and read a shard of it, in a process of its own."""
    queue = multiprocessing.get_context("spawn").Queue()
    process = multiprocessing.get_context("spawn").Process(target=_read_slice, args=(path, layout, queue))
    process.start()
    found: dict[str, float] = queue.get()
    process.join()
    return found


def _read_slice(path: Path, layout: Layout, queue: "multiprocessing.Queue[dict[str, float]]") -> None:
    started = time.perf_counter()
    file = open_prompts_by_shard(path)
    opened = time.perf_counter()
    assert len(prompts_of_shard(file, layout.num_shards // 2, layout, path)) == layout.images_per_shard
    queue.put(
        {"open_s": opened - started, "shard_s": time.perf_counter() - opened, "worker_peak_mb": peak_mb()}
    )


def _work(folder: Path, number: int, count: int) -> None:
    """Take shards and store each as an empty part, until none is missing."""

    def missing() -> list[int]:
        return missing_numbers(folder, part_name, NULL_SHARDS)

    board, seat = Board(folder), Seat(number=number, count=count, name=str(number))
    with Pulse(board, seat) as pulse:
        hand = Hand(
            board,
            pulse,
            missing=missing,
            is_missing=lambda shard: not (folder / part_name(shard)).exists(),
            lost_after_s=60,
        )
        for shards in hand.rounds():
            for shard in shards:
                (folder / part_name(shard)).touch()


def shards_per_s(num_workers: int) -> float:
    """Return how many shards without any work several processes take in a second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Board(folder).open()
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=_work, args=(folder, n, num_workers)) for n in range(num_workers)]
        started = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds = time.perf_counter() - started
        assert not missing_numbers(folder, part_name, NULL_SHARDS)
    return NULL_SHARDS / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    speed = shards_per_s(options.workers)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "prompts.parquet"
        started = time.perf_counter()
        rows = prompts(options.rows)
        made_s = time.perf_counter() - started
        layout = make_layout(len(rows), unit_size=16, max_images_per_shard=512)
        started = time.perf_counter()
        write_prompts_by_shard(path, rows, layout)
        written_s = time.perf_counter() - started
        size_mb = path.stat().st_size / 2**20
        for shard in range(layout.num_shards):
            (path.parent / part_name(shard)).touch()
        started = time.perf_counter()
        assert not missing_numbers(path.parent, part_name, layout.num_shards)
        listing_s = time.perf_counter() - started
        worker = slice_of_a_worker(path, layout)
    found = {
        "rows": len(rows),
        "shards": layout.num_shards,
        "prompts_s": made_s,
        "write_s": written_s,
        "table_mb": size_mb,
        "driver_peak_mb": peak_mb(),
        "resume_listing_s": listing_s,
        "shards_per_s": speed,
        **worker,
    }
    for key, value in found.items():
        print(f"{key:<18} {value:,.3f}" if isinstance(value, float) else f"{key:<18} {value:,}")
    print(json.dumps({key: round(value, 4) for key, value in found.items()}))


if __name__ == "__main__":
    main()
