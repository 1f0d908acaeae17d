"""Stage 1: the prompt table."""

import time
from collections.abc import Sequence

from imagenetd.pool import prompt_table, read_prompts
from imagenetd.records import Prompt, StageResult
from imagenetd.store import StageFolder, write_table_atomic


def write_prompts(folder: StageFolder, rows: Sequence[Prompt], *, waiting: object) -> StageResult:
    """Write `prompts.parquet`, one row for each image to be made, unless it is there."""
    with folder.locked(waiting):
        record = folder.done()
        skipped = record is not None and (folder.path / "prompts.parquet").is_file()
        if record is None or not skipped:
            started = time.perf_counter()
            write_table_atomic(folder.path / "prompts.parquet", prompt_table(rows))
            record = {"num_prompts": len(rows), "seconds": time.perf_counter() - started}
            folder.finish(record)
        stored = read_prompts(folder.path / "prompts.parquet")
    counts = {
        kind: sum(row.kind == kind for row in stored) for kind in dict.fromkeys(row.kind for row in stored)
    }
    return StageResult(
        "prompts",
        folder.key,
        str(folder.path),
        len(stored),
        "prompts",
        record["seconds"],
        skipped,
        counts=counts,
    )
