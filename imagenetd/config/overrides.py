"""What stands on a command line, composed as Hydra will compose it."""

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from imagenetd.config.schema import CONF_DIR
from imagenetd.errors import ConfigError

MAX_PREFLIGHT_JOBS = 256


def parse_arguments(arguments: Sequence[str]) -> tuple[list[str], bool, Path, str]:
    """Return the overrides, whether they are a sweep, the folder of the yaml files, and the config's name."""
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


def jobs_of(overrides: Sequence[str]) -> list[list[str]]:
    """Expand a sweep as Hydra's basic sweeper does; other sweepers choose their own values."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    if any(override.key_or_group == "hydra/sweeper" for override in parsed):
        return [list(overrides)]
    batches = BasicSweeper.split_arguments(parsed, max_batch_size=MAX_PREFLIGHT_JOBS)
    return [list(job) for job in batches[0]] if batches else [list(overrides)]


def number_job(settings: DictConfig, number: int) -> None:
    """Say what Hydra would say of a job, so that the folders that are named after it can be looked at."""
    from omegaconf import open_dict

    with open_dict(settings):
        settings.hydra.job.num = number
        settings.hydra.job.id = str(number)


def without_hydra(settings: DictConfig) -> DictConfig:
    """Return a job's own options, with what they take from Hydra's resolved."""
    from hydra.core.hydra_config import HydraConfig

    HydraConfig.instance().set_config(settings)
    plain = settings.copy()
    OmegaConf.set_struct(plain, False)
    plain.pop("hydra")
    return plain
