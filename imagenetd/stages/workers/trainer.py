"""The Lightning loop of one process: how it starts, which tasks it takes, and what it ends with."""

import contextlib
import errno
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenetd import errors
from imagenetd.config.schema import TrainerConfig
from imagenetd.errors import ConfigError, WorkerError
from imagenetd.stages.workers.units import no_memory

if TYPE_CHECKING:
    import lightning


@dataclass(frozen=True, slots=True, kw_only=True)
class LongStage:
    """What a process needs in order to take part in a stage that a GPU works on."""

    module: "lightning.LightningModule"
    """Writes its own results to disk."""
    config: TrainerConfig
    stage: str
    """Title of the progress bar."""
    num_items: int
    """What the progress bar counts, over all processes."""
    folder: Path
    """Locked by this run; processes on other machines hold a part of the lock."""
    precision: str | None = None
    """Of Lightning."""


def make_trainer(
    long: LongStage, *, devices: int | list[int], strategy: Any, callbacks: Sequence[Any] = ()
) -> "lightning.Trainer":
    """Return a trainer that predicts and does nothing else; ConfigError when it cannot start."""
    import torch
    from lightning import Trainer
    from lightning.pytorch.plugins.environments import LightningEnvironment
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from imagenetd.stages.workers.progress import StageProgress, quieten

    config = long.config
    torch.set_num_threads(config.num_threads)
    quieten()
    try:
        return Trainer(
            accelerator=config.accelerator,
            devices=devices,
            strategy=strategy,
            precision=long.precision,  # type: ignore[arg-type]
            plugins=[
                LightningEnvironment()
            ],  # inside a SLURM job Lightning would take srun's processes for its own
            logger=False,
            callbacks=[StageProgress(long.stage, long.num_items), *callbacks],
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


@contextlib.contextmanager
def errors_in_one_line(module: "lightning.LightningModule") -> Iterator[None]:
    """Stop the module when its loop is left early; what a process of this machine ended with is raised here."""
    from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

    try:
        yield
    except (RuntimeError, OSError, MemoryError) as error:
        getattr(module, "stop", lambda: None)()
        lost = _lost_loader(error)
        if lost is None:
            raise
        raise lost from error
    except ProcessRaisedException as error:
        raise _own_error(error) from error
    except ProcessExitedException as error:
        how = f"by {error.signal_name}" if error.signal_name else f"with code {error.exit_code}"
        raise WorkerError(
            f"Process {error.error_index} of this run was ended {how} (out of memory?). What it had finished is kept: "
            "the same command, with any number of processes, goes on from here."
        ) from error
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


def tasks_of(trainer: "lightning.Trainer", tasks: Sequence[int]) -> Iterator[int]:
    """Yield the tasks of this process: a fixed share on one machine, the next that nobody has taken in a team."""
    take = getattr(trainer.strategy, "take", None)
    if take is None:
        yield from tasks[trainer.global_rank :: trainer.world_size]
        return
    while (task := take()) is not None:
        yield task


def _own_error(error: Exception) -> Exception:
    """Return the UserError that a spawned process ended with, or the error as it is."""
    last = str(error).strip().splitlines()[-1]
    found = re.match(r"imagenetd\.errors\.(\w+): (.*)", last)
    return getattr(errors, found[1])(found[2]) if found else _lost_loader(error) or error


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
