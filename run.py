"""Make a benchmark of hard images and measure a model on it: `python run.py surrogates=four_clip target=vit_l`."""

import sys

from imagenetd.store import interrupts

sys.excepthook = interrupts.end_quietly  # also while the libraries below are read

import contextlib  # noqa: E402
import os  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Iterator, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import hydra  # noqa: E402
from omegaconf import DictConfig, OmegaConf  # noqa: E402

from imagenetd.config.help import help_text  # noqa: E402
from imagenetd.config.schema import CONF_DIR, register  # noqa: E402
from imagenetd.config.spelling import in_order, spell_out  # noqa: E402
from imagenetd.errors import UserError  # noqa: E402

NO_PREFLIGHT = ("--help", "-h", "--hydra-help", "--version", "--shell-completion", "-sc", "--info", "-i")


def main() -> None:
    """Check the command line, run Hydra, and leave with code 1 after any error."""
    interrupts.end_on_sigterm()
    sys.argv[1:] = in_order([spell_out(argument) for argument in sys.argv[1:]])
    try:
        if sys.argv[1:] in (["--help"], ["-h"]):
            print(help_text(CONF_DIR))
            return
        config = None
        if not any(argument in NO_PREFLIGHT for argument in sys.argv[1:]):
            from imagenetd.stages.preflight import check_overrides

            config = check_overrides(sys.argv[1:])
        if config is None or not _follows(config, sys.argv[1:]):
            run()
    except UserError as error:
        from imagenetd.store.console import fail

        fail(error)
    except BrokenPipeError:  # the reader of the output, such as `head`, has seen enough
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # else Python complains once more at its end
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        told, code = interrupts.last_word()
        print(told, file=sys.stderr)
        raise SystemExit(code) from None
    finally:
        if "imagenetd.reports.sweep" in sys.modules:
            _end_sweep()


def _end_sweep() -> None:
    """Show the comparison also when the launcher itself ended in an error, and leave with code 1 when a job failed."""
    from imagenetd.reports.sweep import ComparisonCallback, show_comparison

    sweep, ComparisonCallback.unfinished = ComparisonCallback.unfinished, None
    if sweep is not None:
        show_comparison(sweep)
    elif ComparisonCallback.num_failed_jobs:
        raise SystemExit(1)


def _follows(config: Any, arguments: Sequence[str]) -> bool:
    """Tell whether srun or torchrun started this process to work for another, and if so, work until there is no more.

    A follower never enters Hydra, so it has no folder and no log of its own.
    """
    from imagenetd.stages.executors.place import is_follower

    shows_only = any(argument.startswith(("--cfg", "-c", "--info", "--package")) for argument in arguments)
    return not shows_only and is_follower() and _worked_for_another(config)


def _worked_for_another(config: Any) -> bool:
    """Tell whether the executor makes this process work for another one; if so, the work is done."""
    from imagenetd.stages.executors.executor import Executor, executor_of

    executor = executor_of(config)
    if type(executor).follow is Executor.follow:
        return False
    executor.follow(config)
    return True


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def run(settings: DictConfig) -> None:
    """Run one job of Hydra; in a sweep an error ends this job alone, and the sweep ends with code 1."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from imagenetd.store.console import complain, fail, say
    from imagenetd.store.files import restrict_new_files
    from imagenetd.store.remote import shown

    restrict_new_files(settings.paths.readable_by.value)  # a launcher may have started this process elsewhere
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    if Path(
        hydra_config.runtime.cwd
    ).is_dir():  # not on another machine of a launcher that has no such folder
        # Every path of a config is meant from the folder of the command, also with hydra.job.chdir=true: the preflight
        # read it so, and jobs of a sweep share their pools.
        os.chdir(hydra_config.runtime.cwd)
    overrides = list(hydra_config.overrides.task)
    is_sweep = hydra_config.mode == RunMode.MULTIRUN
    job: dict[str, Any] = {
        "number": int(hydra_config.job.num) if is_sweep else 0,
        "overrides": overrides,
    }
    from imagenetd.stages.executors.place import is_follower

    # a submitit job of several tasks: the others have no command line of their own
    if is_follower() and _worked_for_another(OmegaConf.to_object(settings)):
        return
    try:
        _remember(folder, {**job, "error": "it ended without a word: killed, or out of memory"})
        from imagenetd.pipeline import run_pipeline

        plain: Any = OmegaConf.to_container(settings, resolve=True, enum_to_str=True)
        config: Any = OmegaConf.to_object(settings)
        with _led(config):
            outcome = run_pipeline(config, plain_config=plain, overrides=overrides)
        say(shown(outcome.folder))
        job |= {"status": outcome.status, "folder": str(outcome.folder.absolute())}
    except UserError as error:
        job["error"] = str(error)
        if not is_sweep:
            with contextlib.suppress(UserError):  # on a full disk there is no room for a note
                _remember(folder, job)
            fail(error)
        complain(error)
    except Exception as error:  # one job of a sweep must not take the table of the others with it
        if not is_sweep:
            raise
        job["error"] = " ".join(f"{type(error).__name__}: {error}".split())
        traceback.print_exc()
    with contextlib.suppress(UserError):
        _remember(folder, job)


@contextlib.contextmanager
def _led(config: Any) -> Iterator[None]:
    """Lead the other processes of this launch, if there are any; an error of the output folder's disk is one line."""
    from imagenetd.stages.executors.executor import executor_of
    from imagenetd.store.system_errors import explained_below

    with executor_of(config).leading(config), explained_below(config.paths.folder()):
        yield


def _remember(folder: Path, job: dict[str, Any]) -> None:
    from imagenetd.reports.run_folder import JOB_FILE
    from imagenetd.store.folders import write_record

    write_record(folder / JOB_FILE, job)


if __name__ == "__main__":
    register()
    main()
