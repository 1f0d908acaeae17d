"""The Lightning loop of one worker: how it starts, and what it ends with."""

import contextlib
import errno
import re
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagenetd.config.schema import TrainerConfig
from imagenetd.errors import ConfigError, WorkerError
from imagenetd.stages.workers.board import Seat
from imagenetd.stages.workers.work import Counter, Work, no_memory

if TYPE_CHECKING:
    import lightning


@dataclass(frozen=True, slots=True)
class Loop:
    """A Lightning loop that is ready: `trainer.predict(module)` runs it."""

    trainer: "lightning.Trainer"
    module: "lightning.LightningModule"


@contextlib.contextmanager
def loop_of(work: Work, shards: Iterable[int], seat: Seat, counter: Counter) -> Iterator[Loop]:
    """Give the loop over some shards of a work, on the device of a seat.

    Workers share no collective operation, so none can hang: each is a world of its own.

    Args:
        work: What is done.
        shards: Asked for one at a time.
        seat: Of this worker.
        counter: Is told what is finished.

    Raises:
        ConfigError: The trainer cannot start.
        StoppedError: The work was called off.
        WorkerError: A process that reads images was lost, or no memory was left.
    """
    import torch

    from imagenetd.stages.workers.progress import quieten

    torch.set_num_threads(work.trainer.num_threads)
    quieten()
    module = work.module(shards, seat)
    trainer = _make_trainer(work.trainer, seat, counter, work.precision)
    with errors_in_one_line(module):
        yield Loop(trainer, module)


def _make_trainer(
    config: TrainerConfig, seat: Seat, counter: Counter, precision: str | None
) -> "lightning.Trainer":
    from lightning import Trainer
    from lightning.pytorch.plugins.environments import LightningEnvironment
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from imagenetd.stages.workers.progress import CountItems

    try:
        return Trainer(
            accelerator=config.accelerator,
            devices=_devices(config, seat),
            strategy="auto",
            precision=precision,  # type: ignore[arg-type]
            plugins=[
                LightningEnvironment()
            ],  # inside a SLURM job Lightning would take srun's processes for its own
            logger=False,
            callbacks=[CountItems(counter)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (ValueError, RuntimeError, ModuleNotFoundError, MisconfigurationException) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"trainer.accelerator={config.accelerator} and trainer.devices={config.devices} cannot start: {reason}"
        ) from error


def _devices(config: TrainerConfig, seat: Seat) -> int | list[int]:
    """Return the device of a seat: the only GPU that the process sees, or the one of its number on this machine."""
    if config.accelerator == "cpu":
        return 1
    import torch

    count = torch.cuda.device_count()
    if seat.local and seat.local >= count:
        raise ConfigError(
            f"This machine has {count} GPUs, and worker {seat.number} is number {seat.local + 1} on it. Start {count} "
            "on each machine."
        )
    return [seat.local] if count > 1 else 1


@contextlib.contextmanager
def errors_in_one_line(module: "lightning.LightningModule") -> Iterator[None]:
    """Stop the module when its loop is left early; what a process of this machine ended with is raised here."""
    try:
        yield
    except (RuntimeError, OSError, MemoryError) as error:
        getattr(module, "stop", lambda: None)()
        lost = _lost_loader(error)
        if lost is None:
            raise
        raise lost from error
    except SystemExit as error:
        # Lightning turns Ctrl-C into an exit with code 1, and is deaf to a second one
        getattr(module, "stop", lambda: None)()
        if isinstance(error.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
        raise
    except BaseException:
        getattr(module, "stop", lambda: None)()  # threads that store what was made
        raise


def _lost_loader(error: Exception) -> WorkerError | None:
    """Return what to say where a process that reads images died, or none could be started; None for other errors."""
    kept = "What is finished is kept: the same command goes on from here."
    if found := re.search(r"DataLoader worker \(pid(?:\(s\))? ([0-9, ]+)\)\s+(.*)", str(error)):
        how = re.sub(
            r"is killed by signal: (.*?)\.?$", r"was ended by the signal \1", found[2].split(". ")[0]
        )
        return WorkerError(
            f"A process of this run that reads images (pid {found[1]}) {how.strip(' .')}: out of memory or of shared "
            f"memory, or somebody ended it. Use fewer with trainer.num_workers=0. {kept}"
        )
    if isinstance(error, MemoryError) or getattr(error, "errno", None) in (errno.ENOMEM, errno.EAGAIN):
        return no_memory()
    return None
