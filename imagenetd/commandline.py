"""Between Hydra and the pipeline: short spellings, one-line errors, exit codes, and what a sweep remembers."""

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from imagenetd.config.mistakes import explain, name_empty_groups
from imagenetd.config.schema import CONF_DIR
from imagenetd.config.spelling import in_order, spell_out
from imagenetd.errors import ConfigError, UserError

NO_PREFLIGHT = ("--help", "-h", "--hydra-help", "--version", "--shell-completion", "-sc", "--info", "-i")
SHOWS = ("--cfg", "-c=", "--info", "--package")
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
        if "imagenetd.stages.workers.team.work" in sys.modules:
            sys.modules["imagenetd.stages.workers.team.work"].abandon()
        print("Interrupted. Finished work is kept: the same command goes on from here.", file=sys.stderr)
        raise SystemExit(130) from None
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


def fail(error: UserError) -> None:
    """Print a user's error on standard error and leave with code 1."""
    from imagenetd.store.console import complain

    complain(error)
    raise SystemExit(1)


def _follows(config: Any, arguments: Sequence[str]) -> bool:
    """Tell whether srun or torchrun started this process to work for another, and if so, work until there is no more.

    A follower never enters Hydra, so it has no folder and no log of its own.
    """
    from imagenetd.stages.workers.team.place import is_follower

    shows_only = any(argument.startswith(("--cfg", "-c", "--info", "--package")) for argument in arguments)
    if config.trainer.launcher.value == "local" or shows_only or not is_follower():
        return False
    from imagenetd.stages.workers.team.work import follow

    follow(config.trainer, Path(config.paths.output_dir))
    return True


def check_overrides(arguments: Sequence[str]) -> Any:
    """Compose every job of the command line once, so that a mistake is told in one line before Hydra starts.

    Returns:
        The first job's Config.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from imagenetd.stages.preflight import check_folders, check_values
    from imagenetd.store.files import restrict_new_files
    from imagenetd.store.folders import make_folder, require_room

    overrides, is_sweep, conf_dir, config_name = _parse(arguments)
    name_empty_groups(overrides)
    shows_only = any(argument.startswith(SHOWS) for argument in arguments)
    places: dict[Path, int] = {}
    GlobalHydra.instance().clear()
    first: Any = None
    try:
        with initialize_config_dir(str(conf_dir), version_base="1.3"):
            for number, job in enumerate(_jobs(overrides) if is_sweep else [overrides]):
                settings = compose(config_name, overrides=job, return_hydra_config=True)
                _number_job(settings, number)
                config: Any = OmegaConf.to_object(_without_hydra(settings))
                if not shows_only:
                    place = check_folders(settings, config, is_sweep=is_sweep)
                    if place is not None and places.setdefault(place, number) != number:
                        raise ConfigError(
                            f"hydra.sweep.subdir gives jobs {places[place]} and {number} the same folder, {place}. "
                            "Put ${hydra.job.num} into it."
                        )
                    check_values(config)
                first = first or config
        if not shows_only:
            restrict_new_files(first.paths.readable_by.value)
            require_room(make_folder(Path(first.paths.output_dir)))
    except UserError:
        raise
    except Exception as error:  # Hydra, OmegaConf and yaml each raise their own families
        raise ConfigError(explain(error)) from error
    finally:
        GlobalHydra.instance().clear()
    return first


def _number_job(settings: DictConfig, number: int) -> None:
    """Say what Hydra would say of a job, so that the folders that are named after it can be looked at."""
    from omegaconf import open_dict

    with open_dict(settings):
        settings.hydra.job.num = number
        settings.hydra.job.id = str(number)


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
        CONF_DIR.parent / args.config_path if args.config_path else CONF_DIR
    )  # as Hydra: from run.py on
    for option, folder in (("--config-path", conf_dir), ("--config-dir", args.config_dir)):
        if folder is not None and not os.path.isdir(folder):
            raise ConfigError(f"{option} {folder} is no folder. Name one with yaml files.")
    overrides = list(args.overrides)
    if args.config_dir is not None:
        overrides = _search_also(os.path.abspath(args.config_dir), overrides)
    return overrides, bool(args.multirun), conf_dir, args.config_name or "config"


def _search_also(folder: str, overrides: list[str]) -> list[str]:
    """Return the overrides with the folder of `--config-dir` before those of hydra.searchpath, where Hydra puts it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    given = [one for one in overrides if one.startswith("hydra.searchpath=")]
    paths = [f"file://{folder}"]
    for override in OverridesParser.create().parse_overrides(given):
        value = override.value()
        paths += value if isinstance(value, list) else [str(value)]
    quoted = ",".join(f'"{path}"' for path in paths)
    return [*(one for one in overrides if one not in given), f"hydra.searchpath=[{quoted}]"]


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

    from imagenetd.store.console import complain
    from imagenetd.store.files import restrict_new_files

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
    from imagenetd.stages.workers.team.place import is_follower

    if settings.trainer.launcher.value == "local" or not is_follower():
        return False
    from imagenetd.stages.workers.team.work import follow

    config: Any = OmegaConf.to_object(settings)
    follow(config.trainer, Path(config.paths.output_dir))
    return True


def _run(settings: DictConfig, overrides: list[str]) -> dict[str, Any]:
    """Return how the job ended."""
    from imagenetd.pipeline import run_pipeline
    from imagenetd.stages.workers.team.place import num_tasks_beside
    from imagenetd.store.console import say
    from imagenetd.store.system_errors import explained_below

    plain: Any = OmegaConf.to_container(settings, resolve=True, enum_to_str=True)
    config: Any = OmegaConf.to_object(settings)
    if config.trainer.launcher.value != "local":
        from imagenetd.stages.workers.team.work import lead

        lead(config.trainer, Path(config.paths.output_dir))
    elif (count := num_tasks_beside()) > 1:
        say(
            f"One of {count} processes of a launcher, each with a run of its own. To share one: trainer=slurm."
        )
    with explained_below(Path(config.paths.output_dir)):
        outcome = run_pipeline(config, plain_config=plain, overrides=overrides)
    say(str(outcome.folder))
    return {"status": outcome.status, "folder": str(outcome.folder.absolute())}


def _remember(folder: Path, job: dict[str, Any]) -> None:
    from imagenetd.store.folders import write_record

    write_record(folder / JOB_FILE, job)
