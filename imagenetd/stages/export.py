"""Stage 8: one set of images in the formats that other tools read."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from imagenetd.errors import ConfigError, DamagedError
from imagenetd.records import StageResult
from imagenetd.reports.exports.benchmark import Benchmark
from imagenetd.reports.exports.export import Export
from imagenetd.store.folders import (
    LOCK_FILE,
    STAGE_FILE,
    StageFolder,
    read_listed,
    require_space,
    size_of,
    write_table_atomic,
)
from imagenetd.store.locks import WORKERS

FILES_FILE = ".files.parquet"
"""Lists every file of an export with its size."""
OVERHEAD = 1.2
"""Space that an export needs, in sizes of its images."""


def write_exports(
    exports: Mapping[str, tuple[Export, StageFolder]],
    benchmark: Callable[[str], Benchmark],
    *,
    run_folder: Path,
    key: str,
    say: Callable[[str], None],
) -> StageResult:
    """Write every format that is not done, and say of each where it lies and how it is read.

    Args:
        exports: Name of the format -> the export and its folder.
        benchmark: Gives a set of images by its name.
        run_folder: Of the run, for the result.
        key: Of all exports together.
        say: Prints a line.
    """
    total, seconds, skipped = 0, 0.0, True
    for name, (export, folder) in exports.items():
        _refuse_foreign(folder.path, name)
        with folder.locked():
            record, remark = _done(folder)
            if record is None:
                skipped = False
                record = _write(export, benchmark(export.set), folder)
        say(f"  {name:<10} {record['num_images']:,} {export.set} images -> {folder.path}{remark}")
        say(f"  {'':<10} read it with {record['read']}")
        total, seconds = total + record["num_images"], seconds + record["seconds"]
    return StageResult(
        stage="export",
        key=key,
        folder=str(run_folder),
        num_items=total,
        unit="exported images",
        seconds=seconds,
        is_skipped=skipped,
    )


def _done(folder: StageFolder) -> tuple[dict[str, Any] | None, str]:
    """Return the record of a whole export, else None and why it is written again: every file must have its size."""
    record = folder.done()
    if record is None:
        return None, ""
    path = folder.path / FILES_FILE
    try:
        listed = read_listed(folder.path, FILES_FILE)
        columns = (listed["file"].to_pylist(), listed["size"].to_pylist())
    except (DamagedError, KeyError):
        return None, f" ({path.name} was damaged: written again)"
    lost = [name for name, size in zip(*columns, strict=True) if size_of(folder.path / name) != size]
    if not lost:
        return record, ""
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return None, f" ({lost[0]}{more} was gone or of another size: written again)"


def _list_files(folder: Path) -> None:
    """Write the sizes of all files of an export, so that a lost one is noticed."""
    own = {STAGE_FILE, FILES_FILE, LOCK_FILE, WORKERS}
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [path for path in paths if str(path.relative_to(folder)) not in own]
    names = [str(path.relative_to(folder)) for path in files]
    sizes = [size_of(path) for path in files]
    write_table_atomic(folder / FILES_FILE, pa.table({"file": pa.array(names, pa.string()), "size": sizes}))


def _write(export: Export, benchmark: Benchmark, folder: StageFolder) -> dict[str, Any]:
    started = time.perf_counter()
    if benchmark.images.empty:
        raise ConfigError(
            f"{folder.stage}.set={export.set} holds no image in this run. Choose another set, e.g. pool."
        )
    require_space(folder.path, int(OVERHEAD * benchmark.num_bytes))
    read = export.write(benchmark, folder.path)
    record = {
        "num_images": len(benchmark.images),
        "read": read,
        "seconds": time.perf_counter() - started,
    }
    _list_files(folder.path)
    folder.finish(record, [FILES_FILE])
    return record


def _refuse_foreign(path: Path, name: str) -> None:
    """A folder of the user's that holds something else is never written into."""
    ours = (path / STAGE_FILE).exists() or (path / LOCK_FILE).exists()
    if path.is_dir() and not ours and any(path.iterdir()):
        raise ConfigError(
            f"export.{name}.to={path} is not empty and holds no export. Name a new or an empty folder."
        )
