"""Between Hydra and the pipeline: short spellings, one-line errors, exit codes, and what a sweep remembers."""

import dataclasses
import difflib
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from imagenetd.errors import ConfigError, UserError

CONF_DIR = Path(__file__).resolve().parent.parent / "conf"
NO_PREFLIGHT = ("--help", "-h", "--hydra-help", "--version", "--shell-completion", "-sc", "--info", "-i")
MAX_PREFLIGHT_JOBS = 256
JOB_FILE = "job.json"


def spell_out(argument: str) -> str:
    """Turn a list of words given to a vocabulary group into the option behind it.

    >>> spell_out("categories=[banana,mug]"), spell_out("categories=tiny")
    ('categories.names=[banana,mug]', 'categories=tiny')
    """
    return re.sub(r"^categories=(?=\[)", "categories.names=", argument)


def main(task: Callable[[], Any]) -> None:
    """Check the command line, run Hydra, and leave with code 1 after any error."""
    sys.argv[1:] = [spell_out(argument) for argument in sys.argv[1:]]
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
    from imagenetd.sweep import ComparisonCallback

    if ComparisonCallback.num_failed_jobs:
        raise SystemExit(1)


def fail(error: UserError) -> None:
    """Print a user's error on standard error and leave with code 1."""
    print(f"error: {error}", file=sys.stderr)
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

    from imagenetd.store import make_folder

    overrides, is_sweep, conf_dir, config_name = _parse(arguments)
    GlobalHydra.instance().clear()
    first: Any = None
    try:
        with initialize_config_dir(str(conf_dir), version_base="1.3"):
            for job in _jobs(overrides) if is_sweep else [overrides]:
                composed = _without_hydra(compose(config_name, overrides=job, return_hydra_config=True))
                config: Any = OmegaConf.to_object(composed)
                make_folder(Path(config.paths.output_dir))  # Hydra's own attempt would end in a traceback
                first = first or config
    except UserError:
        raise
    except Exception as error:  # Hydra, OmegaConf and yaml each raise their own families
        raise ConfigError(explain(error)) from error
    finally:
        GlobalHydra.instance().clear()
    return first


def _parse(arguments: Sequence[str]) -> tuple[list[str], bool, Path, str]:
    from hydra._internal.utils import get_args_parser

    args = get_args_parser().parse_args(list(arguments))
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


def explain(error: BaseException) -> str:
    """Return what is wrong with a config in one line: the option, what was found, what to do."""
    text = " ".join(str(error).split())
    chain = f"{text} {' '.join(str(error.__cause__).split())}" if error.__cause__ else text
    if found := re.search(r"Could not (?:find|load) '([\w@/.]+)/([^'/]+)'", chain):
        group, choice = found.groups()
        return f"{group}={choice} is not a choice of {group}. {_choices(group, choice)}"
    if found := re.search(r"Could not override '([^']+)'", chain):
        return f"{found[1]} is not an option. {_nearest_option(found[1])}"
    if found := re.search(
        r"Key '([^']+)' (?:is not in struct|not in '\w+')(?:.*?full_key: ([\w.]+))?", chain
    ):
        name = found[2] or found[1]
        return f"{name} is not an option. {_nearest_option(name)}"
    if found := re.search(r"'(\w*)Config' object has no attribute '(\w+)'", chain):
        name = found[2] if not found[1] else f"{found[1].lower()}.{found[2]}"
        return f"{name} is not an option. {_nearest_option(name)}"
    if found := re.search(r"field '([\w.]+)' is not Optional", chain):
        return f"{found[1]}=null: this option needs a value."
    if found := re.search(
        r"(Value '.*?' of type '\w+' .*?|Invalid value '.*?'.*?) full_key: ([\w.\[\]]+)", chain
    ):
        return f"{found[2]}: {found[1].strip()}. Give a value of the right type."
    if found := re.search(r"(.*?) full_key: ([\w.\[\]]+)", chain):
        return f"{found[2]}: {found[1].strip()}"
    return text or type(error).__name__


def _choices(group: str, choice: str) -> str:
    known = sorted(path.stem for path in (CONF_DIR / group.split("@")[0]).glob("*.yaml"))
    if not known:
        return f"There is no group {group}; see python run.py --help."
    close = difflib.get_close_matches(choice, known, n=1)
    hint = f"Did you mean {group}={close[0]}? " if close else ""
    return f"{hint}Choices: {', '.join(known)}."


def _nearest_option(name: str) -> str:
    from imagenetd.config import Config

    known = [field.name for field in dataclasses.fields(Config)]
    for field in dataclasses.fields(Config):
        if dataclasses.is_dataclass(field.type):
            known += [f"{field.name}.{inner.name}" for inner in dataclasses.fields(field.type)]
    for path in CONF_DIR.glob("*/*.yaml"):
        known += [
            f"{path.parent.name}.{key}" for key in re.findall(r"^(\w+):", path.read_text(), re.MULTILINE)
        ]
    close = difflib.get_close_matches(name.lstrip("+~"), known, n=1, cutoff=0.6)
    return (
        f"Did you mean {close[0]}?" if close else "See python run.py --help, or --cfg job for every option."
    )


def run_job(settings: DictConfig) -> None:
    """Run one job of Hydra; in a sweep an error ends this job alone, and the sweep ends with code 1."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    overrides = list(hydra_config.overrides.task)
    is_sweep = hydra_config.mode == RunMode.MULTIRUN
    job: dict[str, Any] = {
        "number": int(hydra_config.job.num) if is_sweep else 0,
        "overrides": overrides,
    }
    try:
        outcome = _run(settings, overrides)
        if outcome is None:
            return
        job |= outcome
    except UserError as error:
        job["error"] = str(error)
        _remember(folder, job)
        if not is_sweep:
            fail(error)
        print(f"error: {error}", file=sys.stderr)
    else:
        _remember(folder, job)


def _run(settings: DictConfig, overrides: list[str]) -> dict[str, Any] | None:
    """Return how the job ended; None in a process that only worked for another."""
    from imagenetd.console import say
    from imagenetd.pipeline import run_pipeline

    plain: Any = OmegaConf.to_container(settings, resolve=True, enum_to_str=True)
    config: Any = OmegaConf.to_object(settings)
    from imagenetd.team.place import is_follower, num_tasks_beside

    if config.trainer.launcher.value == "local":
        if (count := num_tasks_beside()) > 1:
            say(
                f"One of {count} processes of a launcher, each with a run of its own. To share one: trainer=slurm."
            )
    else:
        from imagenetd.team.work import follow, lead

        if is_follower():  # a task of a submitit job: it has no command line of its own
            follow(config.trainer, Path(config.paths.output_dir))
            return None
        lead(config.trainer, Path(config.paths.output_dir))
    outcome = run_pipeline(config, plain_config=plain, overrides=overrides)
    say(str(outcome.folder))
    return {"status": outcome.status, "folder": str(outcome.folder)}


def _remember(folder: Path, job: dict[str, Any]) -> None:
    from imagenetd.store import write_text_atomic

    write_text_atomic(folder / JOB_FILE, json.dumps(job, indent=1))
