"""Stage 1: the prompt table."""

import shutil
import time
from collections.abc import Mapping

from imagenetd.config.schema import StageName
from imagenetd.images.pool import PROMPTS_FILE, make_layout, read_prompts
from imagenetd.records import Prompt, StageResult
from imagenetd.stages.estimate import Means, cost_lines, known_speed
from imagenetd.stages.executors.executor import executor_of
from imagenetd.stages.run import Run
from imagenetd.store import remote
from imagenetd.store.folders import STAGE_FILE, content_key, read_stage_file, write_table_atomic
from imagenetd.words.prompt_table import PromptTable, arrow_schema


def prompts(run: Run) -> StageResult:
    """Write `prompts.parquet`, one row for each image to be made, unless it is there.

    Where nothing else is asked for, the result also says what the images will cost.
    """
    folder, rows = run.setup.folders["prompts"], run.setup.images.rows
    assert rows is not None, "a dataset has no prompts"
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
    counts = stored.counts("kind")
    asks_for_cost = run.setup.config.stages == [StageName.prompts]
    return StageResult(
        stage="prompts",
        key=folder.key,
        folder=str(folder.path),
        num_items=len(stored),
        unit="prompts",
        seconds=record["seconds"],
        is_skipped=skipped,
        note=remark,
        counts=counts,
        details=_cost(run, stored, counts) if asks_for_cost else (),
        last_word=f"python -m imagenetd.images prompts {folder.path}" if asks_for_cost else "",
    )


def _cost(run: Run, table: PromptTable, counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return lines that say what the images will cost, from what this generator's pools took; it is not loaded."""
    config, generator = run.setup.config, run.setup.images.generator
    assert generator is not None, "a dataset has no prompts"
    output_dir = config.paths.folder()
    remote.pull(output_dir / "pools", name=STAGE_FILE)
    pools = {path.parent.name: path for path in (output_dir / "pools").glob(f"*/{STAGE_FILE}")}
    records = {name: read_stage_file(path) or {} for name, path in pools.items()}
    key = content_key(generator.identity()) if records else ""
    speed = known_speed(
        {name: record for name, record in records.items() if record.get("generator") == key},
        images_per_s=generator.images_per_s,
        num_pixels=generator.num_pixels,
    )
    firsts = {row.kind: row.text for row in reversed(table.one_of_each_cell())}
    lines = cost_lines(
        counts,
        speed,
        Means(
            layout=make_layout(
                len(table), unit_size=generator.unit_size, max_images_per_shard=config.store.images_per_shard
            ),
            num_processes=executor_of(config).num_workers(config),
            free_bytes=shutil.disk_usage(run.setup.folders["prompts"].path).free,
            usd_per_hour=config.trainer.usd_per_hour,
        ),
        examples=[firsts[kind] for kind in counts],
    )
    return tuple(lines)
