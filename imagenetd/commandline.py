"""Between Hydra and the pipeline: short spellings, one-line errors, exit codes, and what a sweep remembers."""

import contextlib
import io
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from imagenetd.config import CONF_DIR
from imagenetd.errors import ConfigError, UserError
from imagenetd.mistakes import explain, name_empty_groups
from imagenetd.spelling import in_order, spell_out

NO_PREFLIGHT = ("--help", "-h", "--hydra-help", "--version", "--shell-completion", "-sc", "--info", "-i")
MAX_PREFLIGHT_JOBS = 256
JOB_FILE = "job.json"


def main(task: Callable[[], Any]) -> None:
    """Check the command line, run Hydra, and leave with code 1 after any error."""
    sys.argv[1:] = in_order([spell_out(argument) for argument in sys.argv[1:]])
    try:
        config = None
        if not any(argument in NO_PREFLIGHT for argument in sys.argv[1:]):
            config = check_overrides(sys.argv[1:])
        if config is None or not _follows(config, sys.argv[1:]):
            task()
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        if "imagenetd.team.work" in sys.modules:
            sys.modules["imagenetd.team.work"].abandon()
        print("Interrupted. Finished work is kept: the same command goes on from here.", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        if "imagenetd.sweep" in sys.modules:
            _end_sweep()


def _end_sweep() -> None:
    """Show the comparison also when the launcher itself ended in an error, and leave with code 1 when a job failed."""
    from imagenetd.sweep import ComparisonCallback, show_comparison

    sweep, ComparisonCallback.unfinished = ComparisonCallback.unfinished, None
    if sweep is not None:
        show_comparison(sweep)
    elif ComparisonCallback.num_failed_jobs:
        raise SystemExit(1)


def fail(error: UserError) -> None:
    """Print a user's error on standard error and leave with code 1."""
    from imagenetd.console import complain

    complain(error)
    raise SystemExit(1)


def _follows(config: Any, arguments: Sequence[str]) -> bool:
    """Tell whether srun or torchrun started this process to work for another, and if so, work until there is no more.

    A follower never enters Hydra, so it has no folder and no log of its own.
    """
    from imagenetd.team.place import is_follower

    shows_only = any(argument.startswith(("--cfg", "-c", "--info", "--package")) for argument in arguments)
    if config.trainer.launcher.value == "local" or shows_only or not is_follower():
        return False
    from imagenetd.team.work import follow

    follow(config.trainer, Path(config.paths.output_dir))
    return True


def check_overrides(arguments: Sequence[str]) -> Any:
    """Compose every job of the command line once, so that a mistake is told in one line before Hydra starts.

    Returns:
        The first job's Config.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    overrides, is_sweep, conf_dir, config_name = _parse(arguments)
    name_empty_groups(overrides)
    GlobalHydra.instance().clear()
    first: Any = None
    try:
        with initialize_config_dir(str(conf_dir), version_base="1.3"):
            for job in _jobs(overrides) if is_sweep else [overrides]:
                composed_all = compose(config_name, overrides=job, return_hydra_config=True)
                composed = _without_hydra(composed_all)
                config: Any = OmegaConf.to_object(composed)
                _check_folders(composed_all, is_sweep)
                first = first or config
    except UserError:
        raise
    except Exception as error:  # Hydra, OmegaConf and yaml each raise their own families
        raise ConfigError(explain(error)) from error
    finally:
        GlobalHydra.instance().clear()
    return first


def _check_folders(composed: DictConfig, is_sweep: bool) -> None:
    """Refuse folders that cannot be written; Hydra's own attempts would end in a traceback."""
    from imagenetd.files import restrict_new_files
    from imagenetd.store import make_folder, require_room

    restrict_new_files(composed.paths.readable_by.value)
    if not composed.paths.output_dir:
        raise ConfigError("paths.output_dir is empty. Name a folder for the results.")
    require_room(make_folder(Path(composed.paths.output_dir)))
    if is_sweep:
        make_folder(Path(composed.hydra.sweep.dir).parent, option="hydra.sweep.dir")


def _parse(arguments: Sequence[str]) -> tuple[list[str], bool, Path, str]:
    from hydra._internal.utils import get_args_parser

    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            args = get_args_parser().parse_args(list(arguments))
    except SystemExit as error:
        reason = told.getvalue().strip().rpartition("error: ")[2]
        raise ConfigError(f"{reason}. See python run.py --help.") from error
    conf_dir = (
        Path(args.config_dir or args.config_path or CONF_DIR).resolve() if args.config_path else CONF_DIR
    )
    return list(args.overrides), bool(args.multirun), conf_dir, args.config_name or "config"


def _jobs(overrides: Sequence[str]) -> list[list[str]]:
    """Expand a sweep as Hydra's basic sweeper does; other sweepers choose their own values."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    if any(override.key_or_group == "hydra/sweeper" for override in parsed):
        return [list(overrides)]
    batches = BasicSweeper.split_arguments(parsed, max_batch_size=MAX_PREFLIGHT_JOBS)
    return [list(job) for job in batches[0]] if batches else [list(overrides)]


def _without_hydra(settings: DictConfig) -> DictConfig:
    from hydra.core.hydra_config import HydraConfig

    HydraConfig.instance().set_config(settings)
    plain = settings.copy()
    OmegaConf.set_struct(plain, False)
    plain.pop("hydra")
    return plain


def run_job(settings: DictConfig) -> None:
    """Run one job of Hydra; in a sweep an error ends this job alone, and the sweep ends with code 1."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from imagenetd.console import complain
    from imagenetd.files import restrict_new_files

    restrict_new_files(settings.paths.readable_by.value)  # a launcher may have started this process elsewhere
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    overrides = list(hydra_config.overrides.task)
    is_sweep = hydra_config.mode == RunMode.MULTIRUN
    job: dict[str, Any] = {
        "number": int(hydra_config.job.num) if is_sweep else 0,
        "overrides": overrides,
    }
    if _works_for_another(settings):
        return
    try:
        _remember(folder, {**job, "error": "it ended without a word: killed, or out of memory"})
        job |= _run(settings, overrides)
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


def _works_for_another(settings: DictConfig) -> bool:
    """Take part in a submitit job of several tasks, whose other tasks have no command line of their own."""
    from imagenetd.team.place import is_follower

    if settings.trainer.launcher.value == "local" or not is_follower():
        return False
    from imagenetd.team.work import follow

    config: Any = OmegaConf.to_object(settings)
    follow(config.trainer, Path(config.paths.output_dir))
    return True


def _run(settings: DictConfig, overrides: list[str]) -> dict[str, Any]:
    """Return how the job ended."""
    from imagenetd.console import say
    from imagenetd.pipeline import run_pipeline
    from imagenetd.system_errors import explained_below
    from imagenetd.team.place import num_tasks_beside

    plain: Any = OmegaConf.to_container(settings, resolve=True, enum_to_str=True)
    config: Any = OmegaConf.to_object(settings)
    if config.trainer.launcher.value != "local":
        from imagenetd.team.work import lead

        lead(config.trainer, Path(config.paths.output_dir))
    elif (count := num_tasks_beside()) > 1:
        say(
            f"One of {count} processes of a launcher, each with a run of its own. To share one: trainer=slurm."
        )
    with explained_below(Path(config.paths.output_dir)):
        outcome = run_pipeline(config, plain_config=plain, overrides=overrides)
    say(str(outcome.folder))
    return {"status": outcome.status, "folder": str(outcome.folder)}


def _remember(folder: Path, job: dict[str, Any]) -> None:
    from imagenetd.store import write_record

    write_record(folder / JOB_FILE, job)
