"""Stage 8: one set of images in the formats that other tools read."""

import time
from pathlib import Path

import pyarrow as pa

from imagenetd.errors import ConfigError, DamagedError
from imagenetd.records import Record, StageResult
from imagenetd.reports.exports.benchmark import Benchmark
from imagenetd.reports.exports.export import Export, build_exports
from imagenetd.stages.exported_set import make_benchmark
from imagenetd.stages.run import Run
from imagenetd.stages.setup import Setup
from imagenetd.store.console import say
from imagenetd.store.folders import (
    LOCK_FILE,
    STAGE_FILE,
    StageFolder,
    content_key,
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


FORMAT_VERSION = 1
"""Part of the key of every export: written another way, it is written again."""


def export(run: Run) -> StageResult:
    """Write every format that the config names and that is not done, and say where it lies and how it is read."""
    total, seconds, skipped = 0, 0.0, True
    made: dict[str, Benchmark] = {}
    keys: dict[str, str] = {}
    for name, wanted in build_exports(run.setup.config.export).items():
        folder = _folder(run.setup, name, wanted)
        _refuse_foreign(folder.path, name)
        with folder.locked():
            record, remark = _done(folder)
            if record is None:
                skipped = False
                if wanted.set not in made:
                    made[wanted.set] = make_benchmark(run, wanted.set)
                record = _write(wanted, made[wanted.set], folder)
        say(f"  {name:<10} {record['num_images']:,} {wanted.set} images -> {folder.path}{remark}")
        say(f"  {'':<10} read it with {record['read']}")
        total, seconds, keys[name] = total + record["num_images"], seconds + record["seconds"], folder.key
    return StageResult(
        stage="export",
        key=content_key({"stage": "export", "formats": keys}),
        folder=str(run.setup.folders["report"].path),
        num_items=total,
        unit="exported images",
        seconds=seconds,
        is_skipped=skipped,
    )


def _folder(setup: Setup, name: str, export: Export) -> StageFolder:
    spec = {option: value for option, value in setup.config.export[name].items() if option != "to"}
    identity = {
        "stage": f"export {name}",
        "evaluate": setup.folders["evaluate"].key,
        "name": setup.config.name,
        "spec": spec,
        "version": FORMAT_VERSION,
    }
    key = content_key(identity)
    home = setup.folders["report"].path / "exports" / f"{name}-{key[:8]}"
    return StageFolder(Path(export.to) if export.to else home, f"export.{name}", key)


def _done(folder: StageFolder) -> tuple[Record | None, str]:
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


def _write(export: Export, benchmark: Benchmark, folder: StageFolder) -> Record:
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
