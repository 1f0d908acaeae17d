"""Stage 1: the prompt table."""

import time

from imagenetd.pool import read_prompts
from imagenetd.prompt_table import PromptTable, arrow_schema
from imagenetd.records import Prompt, StageResult
from imagenetd.store import StageFolder, write_table_atomic


def write_prompts(folder: StageFolder, rows: PromptTable, *, waiting: object) -> StageResult:
    """Write `prompts.parquet`, one row for each image to be made, unless it is there."""
    with folder.locked(waiting):
        record = folder.done()
        skipped = record is not None and (folder.path / "prompts.parquet").is_file()
        if record is None or not skipped:
            started = time.perf_counter()
            write_table_atomic(folder.path / "prompts.parquet", rows.table.cast(arrow_schema(Prompt)))
            record = {"num_prompts": len(rows), "seconds": time.perf_counter() - started}
            folder.finish(record)
        stored = read_prompts(folder.path / "prompts.parquet")
    return StageResult(
        "prompts",
        folder.key,
        str(folder.path),
        len(stored),
        "prompts",
        record["seconds"],
        skipped,
        counts=stored.counts("kind"),
    )
