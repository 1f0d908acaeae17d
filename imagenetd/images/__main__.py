"""Check a pool, unpack it to ordinary files, or read the prompts of a run.

python -m imagenetd.images verify runs/pools/KEY
python -m imagenetd.images prompts runs/prompts/KEY --where category=jeans kind=texture
python -m imagenetd.images unpack runs/pools/KEY images --where kind=texture category=mug --limit 100
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from imagenetd.config.ranges import Range, check_value
from imagenetd.errors import ConfigError, StoreError, UserError
from imagenetd.images.check import PoolFinding, check_pool, forget_shard
from imagenetd.images.pool import PROMPTS_FILE, part_name, read_layout, read_prompts
from imagenetd.images.shards import shard_name
from imagenetd.images.unpack import choose_rows, open_pool, unpack_pool
from imagenetd.store.console import console, fail
from imagenetd.store.folders import StageFolder
from imagenetd.store.numerals import counted
from imagenetd.words.faults import count_faults, faults_of

SHOWN_PROBLEMS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the commands; a user's mistake is one line and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="python -m imagenetd.images",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="read every image: hash, size, decoding; each id once")
    unpack = commands.add_parser(
        "unpack", help="write images as files, with metadata.csv for generator=folder"
    )
    for command in (verify, unpack):
        command.add_argument("pool", help="folder of the pool, e.g. runs/pools/KEY")
    prompts = commands.add_parser("prompts", help="print prompts, and how many break a rule of English")
    prompts.add_argument("pool", help="folder of the prompts, e.g. runs/prompts/KEY")
    verify.add_argument("--threads", type=int, default=1, help="shards read at a time (default: 1)")
    verify.add_argument(
        "--delete-damaged", action="store_true", help="delete damaged shards; the next run makes them anew"
    )
    unpack.add_argument("out", help="folder that is written")
    for command, what in ((unpack, "images"), (prompts, "prompts")):
        command.add_argument(
            "--where", nargs="+", default=[], metavar="COLUMN=VALUE", help=f"only these {what}"
        )
    unpack.add_argument("--limit", type=int, default=None, help="only the first so many")
    prompts.add_argument("--limit", type=int, default=20, help="so many, spread evenly (default: 20)")
    options = parser.parse_args(arguments)
    try:
        for name in ("pool", "out"):
            if getattr(options, name, None) == "":
                raise ConfigError(
                    f"The name of the folder {name.upper()} is empty. Give it, e.g. runs/pools/KEY."
                )
        options.pool = Path(options.pool)
        if not options.pool.is_dir():
            raise StoreError(f"{options.pool} is no folder. Name the folder of a pool, e.g. runs/pools/KEY.")
        if options.command == "verify":
            verify_command(options.pool, num_threads=options.threads, deletes=options.delete_damaged)
        elif options.command == "prompts":
            prompts_command(options.pool, options.where, limit=options.limit)
        else:
            unpack_command(options.pool, Path(options.out), options.where, limit=options.limit)
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        print(
            "Interrupted. Files that are written stay: the same command goes on from here.", file=sys.stderr
        )
        raise SystemExit(130) from None


def verify_command(folder: Path, *, num_threads: int, deletes: bool) -> None:
    """Check a pool and say what is wrong with it."""
    check_value(num_threads, Annotated[int, Range(1, 1024)], "--threads")
    started = time.perf_counter()
    with _bar() as bar:
        task = bar.add_task("verify", total=read_layout(folder).num_images)
        finding = check_pool(folder, num_threads=num_threads, progress=lambda count: bar.advance(task, count))
    seconds = time.perf_counter() - started
    damaged = [finding.shard for finding in finding.damaged]
    if deletes and damaged:
        with StageFolder(folder, "generate", "", max_wait_s=0).locked():
            for shard in damaged:
                forget_shard(folder, shard)
    for line in describe(finding, deleted=deletes):
        print(line)
    if not finding.is_whole:
        raise StoreError(_remedy(finding, folder, deleted=deletes))
    size = sum(shard.num_bytes for shard in finding.shards) / 2**20
    state = (
        "finished" if finding.is_finished else f"{len(finding.missing_shards)} shards are still to be made"
    )
    print(
        f"{finding.num_images:,} images in {len(finding.shards)} shards: each id once, every hash right, every image "
        f"decodes ({state}; {size:,.1f} MB in {seconds:.1f} s)"
    )


def describe(finding: PoolFinding, *, deleted: bool) -> list[str]:
    """Return one line for each shard in which something is wrong."""
    lines = []
    for shard in finding.damaged:
        shown = "; ".join(shard.problems[:SHOWN_PROBLEMS])
        more = len(shard.problems) - SHOWN_PROBLEMS
        done = "deleted: " if deleted else ""
        lines.append(f"{done}{shard_name(shard.shard)}: {shown}{f'; and {more} more' if more > 0 else ''}")
    if finding.is_finished:
        lines += [f"{shard_name(n)} or {part_name(n)} is missing" for n in finding.missing_shards]
    return lines


def _remedy(finding: PoolFinding, folder: Path, *, deleted: bool) -> str:
    num_lost = finding.layout.num_images - finding.num_images
    if finding.num_repeated:
        return f"{folder} lists {finding.num_repeated} images more than once. Delete {folder}/manifest and run again."
    if deleted or not finding.damaged:
        return f"{folder} lacks {num_lost} images. Run the command that began it: only these are made anew."
    return (
        f"{len(finding.damaged)} shards of {folder} are damaged. Delete them with --delete-damaged and run the command "
        "that began the pool: only their images are made anew."
    )


def unpack_command(folder: Path, out: Path, where: Sequence[str], *, limit: int | None) -> None:
    """Write a pool, or a slice of it, as files."""
    wanted = _conditions(where)
    check_value(limit, Annotated[int, Range(1, 10**12)] | None, "--limit")
    pool = open_pool(folder)
    rows = choose_rows(pool.table, wanted, limit=limit)
    with _bar() as bar:
        task = bar.add_task("unpack", total=len(rows))
        metadata = unpack_pool(pool, rows, out, progress=lambda count: bar.advance(task, count))
    print(f"{len(rows):,} images -> {out}")
    print(f"read them back with generator=folder generator.root={out} generator.metadata={metadata}")


def prompts_command(folder: Path, where: Sequence[str], *, limit: int) -> None:
    """Print prompts of a run, and how many of them break which rule of English."""
    check_value(limit, Annotated[int, Range(1, 10**12)], "--limit")
    if not (folder / PROMPTS_FILE).is_file():
        raise StoreError(
            f"{folder} holds no {PROMPTS_FILE}. Name a folder below prompts/, as stages=[prompts] prints it."
        )
    table = read_prompts(folder / PROMPTS_FILE).table.to_pandas()
    rows = choose_rows(table, _conditions(where), limit=None, title="prompt table")
    texts = rows["text"].drop_duplicates()
    for place in np.unique(np.linspace(0, len(texts) - 1, min(limit, len(texts))).astype(int)):
        found = faults_of(texts.iloc[place])
        print(texts.iloc[place] + (f"   <- {', '.join(found)}" if found else ""))
    counts = count_faults(texts)
    broken = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count and name != "any")
    print(
        f"{len(texts):,} different prompts of {counted(len(rows), 'image')}; {counts['any']:,} of them break a rule "
        f"of English{f' ({broken})' if broken else ''}"
    )


def _conditions(where: Sequence[str]) -> dict[str, str]:
    for condition in where:
        if "=" not in condition:
            raise ConfigError(f"--where {condition} is no condition. Write COLUMN=VALUE, e.g. kind=texture.")
    return dict(condition.partition("=")[::2] for condition in where)


def _bar() -> Progress:
    screen = console()
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*parts, console=screen, transient=True, disable=not screen.is_terminal)


if __name__ == "__main__":
    main()
