"""Opening the work that a folder orders, in any process on any machine, and making one shard of it."""

import contextlib
import functools
import os
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imagenetd.config.schema import build
from imagenetd.errors import UserError, WorkerError
from imagenetd.stages.interviews import prepare_interviews
from imagenetd.stages.run import Run
from imagenetd.stages.setup import make_setup
from imagenetd.stages.workers.board import Board, Hand, Pulse, Seat, StoppedError
from imagenetd.stages.workers.trainer import loop_of
from imagenetd.stages.workers.units import GenerateWork
from imagenetd.stages.workers.work import ORDER_FILE, Counter, Work, read_order
from imagenetd.store.files import restrict_new_files
from imagenetd.store.folders import content_key, file_sha256
from imagenetd.store.locks import working_in

if TYPE_CHECKING:
    from imagenetd.stages.workers.predicting import PredictWork


def make_shard(run_folder: Path, shard: int) -> None:
    """Make the images of one shard: one tar and one part of the manifest, whole or not at all.

    Args:
        run_folder: Of a pool, with the order of a run: `pools/<key>`.
        shard: Its number.
    """
    do_shards(_opened(run_folder), [shard], Seat(), _Alone())


def predict_shard(run_folder: Path, model: str, shard: int) -> None:
    """Show the images of one shard to one model: one part with its logits, whole or not at all.

    Args:
        run_folder: Of the predictions of a pool, with the order of a run: `predictions/<key>`.
        model: One of those that the order names.
        shard: Its number.
    """
    do_shards(_opened(run_folder, model), [shard], Seat(), _Alone())


def open_work(folder: Path, *models: str) -> Work:
    """Return the work that was ordered in a folder, nothing loaded.

    Args:
        folder: With `order.json`.
        models: Those to be shown images, of those that the order names; none: all of them.

    Raises:
        StoreError: Nothing was ordered there.
        WorkerError: This machine would do something else, e.g. since it has other weights.
    """
    folder = folder.absolute()  # reading the order moves this process to where the run was started
    order = read_order(folder)
    config, facts = order.config, order.facts
    restrict_new_files(config.paths.readable_by.value)
    if order.stage == GenerateWork.stage:
        generator = build(config.generator, option="generator")
        key = content_key(generator.identity())
        _require_same(key, facts["generator"], "generator")
        return GenerateWork(generator, folder=folder, trainer=config.trainer, generator_key=key)
    first = Run(make_setup(config))
    run = first.twin_run if facts["is_of_twins"] else first
    assert run is not None, "only mined images have twins"
    _require_same(run.setup.images.key, facts["pool"], "pool")
    names = [name for name in facts["models"] if not models or name in models]
    if missing := set(models) - set(names):
        known = ", ".join(facts["models"])
        raise WorkerError(f"{folder / ORDER_FILE} names no model {missing.pop()}, but {known}.")
    prepare_interviews(run, names)
    return predict_work(run, names)


def _require_same(found: str, ordered: str, what: str) -> None:
    if found != ordered:
        raise WorkerError(
            f"This machine has another {what} ({found}) than the run that asks for work ({ordered}): other weights, "
            "another version of imagenetd, or another dataset. Make them the same and run again."
        )


def predict_work(run: Run, names: Sequence[str]) -> "PredictWork":
    """Return the work of showing a run's images to some of its models; those that are asked questions know theirs."""
    from imagenetd.stages.workers.predicting import PredictWork, ShownModel

    setup, shown = run.setup, []
    for model in setup.models:
        if model.name in names:
            folder = setup.folders[model.name]
            model.classifier.cache_dir = folder.path.parents[1] / "heads"
            shown.append(ShownModel(model.name, model.classifier, folder.path, folder.key))
    facts = {"is_of_twins": run.is_of_twins}
    return PredictWork(setup.images.by_shard(), shown, setup.categories, setup.config.trainer, facts=facts)


def do_shards(work: Work, shards: Iterable[int], seat: Seat, counter: Counter) -> None:
    """Make some shards and store them; what is loaded stays loaded.

    Args:
        work: What is done.
        shards: Asked for one at a time.
        seat: Of this worker.
        counter: Is told what is finished, and may end the work at a unit's edge.
    """
    if not work.needs_lightning:
        work.do_without_lightning(shards, seat, counter)
        return
    with loop_of(work, shards, seat, counter) as loop:
        loop.trainer.predict(loop.module, return_predictions=False)


class _Alone:
    """Nobody is told, and nobody calls the work off."""

    def advance(self, num_items: int, *, gpu_gib: float = 0.0) -> None:
        """Count nothing."""

    def check(self) -> None:
        """Go on."""


def _opened(folder: Path, *models: str) -> Work:
    """Return the work of a folder; the last one stays open, so that shard after shard needs its models once."""
    order = folder / ORDER_FILE
    return _open_once(folder.resolve(), file_sha256(order) if order.is_file() else "", *models)


@functools.lru_cache(maxsize=1)
def _open_once(folder: Path, order: str, *models: str) -> Work:
    return open_work(folder, *models)


def work_at(
    folder: Path, seat: Seat, *, lost_after_s: float, parent: int | None = None, waits: bool = True
) -> None:
    """Take shards of a folder's work until none is missing; what goes wrong stands in the sign of the worker.

    Args:
        folder: With `order.json` and an open board.
        seat: Of this worker.
        lost_after_s: A worker that gives no sign for so long is lost, and its shards are taken over.
        parent: Process that began the work on this machine; when it is gone, the work ends.
        waits: Stay until all is stored, to help out; else end when all is taken.
    """
    board = Board(folder)
    with contextlib.suppress(StoppedError), working_in(folder), Pulse(board, seat, parent=parent) as pulse:
        try:
            work = open_work(folder)
            take_shards(work, pulse, lost_after_s=lost_after_s, waits=waits)
        except UserError as error:
            pulse.fail(error)
        except StoppedError:
            raise
        except KeyboardInterrupt:  # the process that began the work hears it, too, and says so
            os._exit(130)
        except Exception as error:  # a fault of ours or of a plug-in: it would come again in another process
            traceback.print_exc()
            text = str(error).splitlines()[0] if str(error) else ""
            pulse.fail(WorkerError(f"A process of this run ended in {type(error).__name__}: {text}"))


def take_shards(work: Work, pulse: Pulse, *, lost_after_s: float, waits: bool = True) -> None:
    """Do the shards that nobody else takes."""
    hand = Hand(
        pulse.board, pulse, missing=work.missing, is_missing=work.is_missing, lost_after_s=lost_after_s
    )
    for shards in hand.rounds(waits=waits):
        do_shards(work, shards, pulse.seat, pulse)
    work.close()
