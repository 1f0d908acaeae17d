"""Stage 1: the prompt table."""

import shutil
import time
from pathlib import Path

from imagenetd.config.schema import Config
from imagenetd.images.generators.generator import Generator
from imagenetd.images.pool import PROMPTS_FILE, read_prompts
from imagenetd.records import Prompt, StageResult
from imagenetd.stages.estimate import cost_lines, known_speed
from imagenetd.store.folders import STAGE_FILE, StageFolder, content_key, read_stage_file, write_table_atomic
from imagenetd.words.prompt_table import PromptTable, arrow_schema


def write_prompts(folder: StageFolder, rows: PromptTable) -> StageResult:
    """Write `prompts.parquet`, one row for each image to be made, unless it is there."""
    with folder.locked():
        record, remark = folder.sound()
        skipped = record is not None
        if record is None:
            started = time.perf_counter()
            write_table_atomic(
                folder.path / PROMPTS_FILE, rows.table.cast(arrow_schema(Prompt)), of=folder.key
            )
            record = {"num_prompts": len(rows), "seconds": time.perf_counter() - started}
            folder.finish(record, [PROMPTS_FILE])
        stored = read_prompts(folder.path / PROMPTS_FILE)
    return StageResult(
        stage="prompts",
        key=folder.key,
        folder=str(folder.path),
        num_items=len(stored),
        unit="prompts",
        seconds=record["seconds"],
        is_skipped=skipped,
        note=remark,
        counts=stored.counts("kind"),
    )


def estimate_cost(result: StageResult, generator: Generator, config: Config) -> tuple[str, ...]:
    """Return lines that say what the images of a prompt table will cost, from what this generator's pools took.

    Args:
        result: Of this stage.
        generator: Not loaded, and not going to be.
        config: Says where the pools are, and over how many processes the work will be divided.
    """
    table = read_prompts(Path(result.folder) / PROMPTS_FILE)
    pools = Path(config.paths.output_dir) / "pools"
    records = {path.parent.name: read_stage_file(path) or {} for path in pools.glob(f"*/{STAGE_FILE}")}
    key = content_key(generator.identity()) if records else ""
    speed = known_speed(
        {name: record for name, record in records.items() if record.get("generator") == key},
        images_per_s=generator.images_per_s,
        num_pixels=generator.num_pixels,
    )
    firsts = {row.kind: row.text for row in reversed(table.one_of_each_cell())}
    lines = cost_lines(
        result.counts,
        speed,
        num_processes=(config.trainer.devices or 1) * (config.trainer.num_nodes or 1),
        free_bytes=shutil.disk_usage(result.folder).free,
        examples=[firsts[kind] for kind in result.counts],
    )
    return tuple(lines)
