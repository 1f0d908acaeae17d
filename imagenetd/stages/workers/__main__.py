"""Take shards of the work that a run has ordered in a folder, beside other workers, until all are taken.

python -m imagenetd.stages.workers runs/pools/KEY --task 3 --tasks 8

The scripts of executor=slurm_array start it: a run must have opened the work, and what is made is merged by that run.
"""

import argparse
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from imagenetd.errors import ConfigError, StoreError, UserError
from imagenetd.stages.workers.board import Board, Seat, node_name
from imagenetd.stages.workers.opening import work_at
from imagenetd.stages.workers.work import ORDER_FILE
from imagenetd.store.console import fail, say
from imagenetd.store.locks import working_in
from imagenetd.store.numerals import counted

LOST_AFTER_S = 120.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Work; what goes wrong is one line and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="python -m imagenetd.stages.workers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder", help="of a stage with order.json, e.g. runs/pools/KEY or runs/predictions/KEY"
    )
    parser.add_argument("--task", type=int, default=0, help="number of this worker, from 0 (default: 0)")
    parser.add_argument("--tasks", type=int, default=1, help="how many workers there are (default: 1)")
    parser.add_argument("--submission", default="", help="work for this submission alone, as its scripts say")
    parser.add_argument(
        "--waits", action="store_true", help="stay until all is stored, to make up for workers that are lost"
    )
    options = parser.parse_args(arguments)
    try:
        _work(Path(options.folder), options)
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        print("Interrupted. Finished work is kept.", file=sys.stderr)
        raise SystemExit(130) from None


def _work(folder: Path, options: argparse.Namespace) -> None:
    if not 0 <= options.task < options.tasks <= 10_000_000:
        raise ConfigError(
            f"--task {options.task} of --tasks {options.tasks} cannot be: tasks are numbered from 0, one less than "
            "there are."
        )
    if not (folder / ORDER_FILE).is_file():
        raise StoreError(
            f"{folder} has no {ORDER_FILE}: no run has ordered work there. Name the folder of a pool or of predictions."
        )
    name = f"{options.task}-{secrets.token_hex(4)}"
    seat = Seat(number=options.task, count=options.tasks, name=name)
    board = Board(folder)
    with working_in(folder):  # whoever takes the board away waits until this is over
        if board.name is None or board.name != options.submission:
            say(f"{folder} has no work for this worker: it is done, or another run has it now")
            return
        work_at(folder, seat, lost_after_s=LOST_AFTER_S, waits=options.waits)
        sign = board.signs().get(name)
    if sign is None:
        return
    if sign.error_kind:
        raise UserError(sign.error)
    say(
        f"worker {options.task} of {options.tasks} on {node_name()} took {counted(sign.num_shards, 'shard')}, "
        f"{counted(sign.num_items, 'image')}"
    )


if __name__ == "__main__":
    main()
