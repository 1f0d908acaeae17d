"""A command looked at as a whole before anything is written: values, plug-ins, and every folder that it names."""

import contextlib
import dataclasses
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from imagenetd.config.mistakes import explain, name_empty_groups
from imagenetd.config.overrides import jobs_of, number_job, parse_arguments, without_hydra
from imagenetd.config.schema import Config, check_spec
from imagenetd.errors import ConfigError, UserError
from imagenetd.records import Spec
from imagenetd.store.object_store import is_remote
from imagenetd.store.system_errors import refusal

SHOWS = ("--cfg", "-c=", "--info", "--package")
"""Flags of Hydra that print a config and run nothing."""
MAX_LETTERS = 10_000
"""Of one text of a config; a longer one is a file given by mistake."""
SPECS = (
    "data",
    "generator",
    "surrogates",
    "target",
    "targets",
    "export",
    "logger",
    "qc.gate",
    "qc.oracle",
)


def check_overrides(arguments: Sequence[str]) -> Any:
    """Compose every job of the command line once, so that a mistake is told in one line before Hydra starts.

    Returns:
        The first job's Config.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from imagenetd.store import remote
    from imagenetd.store.files import restrict_new_files
    from imagenetd.store.folders import make_folder, require_room

    overrides, is_sweep, conf_dir, config_name = parse_arguments(arguments)
    name_empty_groups(overrides)
    shows_only = any(argument.startswith(SHOWS) for argument in arguments)
    places: dict[Path, int] = {}
    GlobalHydra.instance().clear()
    first: Any = None
    try:
        with initialize_config_dir(str(conf_dir), version_base="1.3"):
            for number, job in enumerate(jobs_of(overrides) if is_sweep else [overrides]):
                settings = compose(config_name, overrides=job, return_hydra_config=True)
                number_job(settings, number)
                config: Any = OmegaConf.to_object(without_hydra(settings))
                if not shows_only:
                    place = check_folders(settings, config, is_sweep=is_sweep)
                    if place is not None and places.setdefault(place, number) != number:
                        raise ConfigError(
                            f"hydra.sweep.subdir gives jobs {places[place]} and {number} the same folder, {place}. "
                            "Put ${hydra.job.num} into it."
                        )
                    check_values(config, is_sweep=is_sweep)
                first = first or config
        if not shows_only:
            restrict_new_files(first.paths.readable_by.value)
            remote.check(first.paths.folder())
            require_room(make_folder(first.paths.folder()))
    except UserError:
        raise
    except Exception as error:  # Hydra, OmegaConf and yaml each raise their own families
        raise ConfigError(explain(error)) from error
    finally:
        GlobalHydra.instance().clear()
    return first


def check_values(config: Config, *, is_sweep: bool = False) -> None:
    """Raise ConfigError for a text, a number or a plug-in that cannot be meant.

    Args:
        config: Of one job.
        is_sweep: Some pairs of axes cannot be, e.g. more failures than surrogates: that job fails, the others go on.
    """
    for option, text in _texts(dataclasses.asdict(config), ""):
        if len(text) > MAX_LETTERS:
            raise ConfigError(f"{option} has {len(text):,} letters, but at most {MAX_LETTERS:,} are taken.")
        if text == "???":
            raise ConfigError(f"{option} must be given: {option}=VALUE")
        if "\0" in text:
            raise ConfigError(
                f"{option} holds a NUL character, which no file or model can be called. Take it out."
            )
    for option in SPECS:
        value: Any = config
        for name in option.split("."):
            value = getattr(value, name)
        for where, spec in _specs(value, option):
            check_spec(spec, option=where)
    from imagenetd.stages.choices import check_choices, mined_from, model_specs, needs_models

    check_choices(config)
    if not is_sweep and needs_models(config):
        mined_from(config, model_specs(config))


def _texts(value: Any, option: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield option, value
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            where = f"{option}.{name}" if option else str(name)
            yield from _texts(str(name), where[:200])
            yield from _texts(entry, where[:200])
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry, option)


def _specs(value: Any, option: str) -> Iterator[tuple[str, Spec]]:
    """Yield every plug-in below a value: a model in a set, a report, the inner generator of another one."""
    if not isinstance(value, dict):
        return
    if value.get("_target_"):
        yield option, value
    for name, entry in value.items():
        yield from _specs(entry, f"{option}.{name}")


def check_folders(settings: DictConfig, config: Config, *, is_sweep: bool) -> Path | None:
    """Raise UserError for a folder that cannot be made; nothing is left behind.

    Returns:
        Where Hydra will keep the notes of this job of a sweep; None for a single run or where only Hydra knows.
    """
    if not config.paths.output_dir:
        raise ConfigError("paths.output_dir is empty. Name a folder for the results.")
    option = "paths.cache_dir" if is_remote(config.paths.output_dir) else "paths.output_dir"
    places = [(option, str(config.paths.folder())), ("paths.run_dir", config.paths.run_dir)]
    if not is_sweep:
        places.append(("hydra.run.dir", _chosen(settings, "hydra.run.dir")))
    else:
        places.append(("hydra.sweep.dir", _chosen(settings, "hydra.sweep.dir")))
    for option, place in places:
        if place is not None:
            require_possible(place, option=option)
    if not is_sweep or (subdir := _chosen(settings, "hydra.sweep.subdir")) is None:
        return None
    if not subdir.strip() or Path(subdir).is_absolute() or ".." in Path(subdir).parts:
        raise ConfigError(
            f"hydra.sweep.subdir={subdir!r} must name a folder below hydra.sweep.dir, e.g. ${{hydra.job.num}}."
        )
    require_possible(str(Path(str(places[-1][1])) / subdir), option="hydra.sweep.subdir")
    return Path(str(places[-1][1])) / subdir


def _chosen(settings: DictConfig, option: str) -> str | None:
    """Return a place that Hydra has been told, None where it depends on what only a started job knows."""
    try:
        value = OmegaConf.select(settings, option)
    except OmegaConfBaseException as error:
        if "MissingMandatoryValue" in repr(error) or "InterpolationToMissing" in repr(error):
            return None
        raise ConfigError(f"{option} cannot be resolved: {str(error).splitlines()[0]}") from error
    if value is None or isinstance(value, str) and not value.strip():
        raise ConfigError(f"{option} is empty. Name a folder.")
    return str(value)


def require_possible(place: str, *, option: str) -> None:
    """Raise UserError where a folder can neither be used nor made; what is made to find out is taken away again."""
    if not place.strip():
        raise ConfigError(f"{option} is empty. Name a folder.")
    if "\0" in place:
        raise ConfigError(f"{option} holds a NUL character, which no folder can be called. Take it out.")
    folder = Path(place).absolute()
    made: list[Path] = []
    try:
        for part in [*reversed(folder.parents), folder]:
            if not part.is_dir():
                part.mkdir()
                made.append(part)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if made == [] and not _takes_files(folder):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return  # told, with what is needed, by those who write
        shown = place if len(place) <= 200 else f"{place[:200]}..."
        raise refusal(error, Path(shown), option=option) from error
    finally:
        for part in reversed(made):
            with contextlib.suppress(OSError):  # another process may have put something there
                part.rmdir()


def _takes_files(folder: Path) -> bool:
    """Tell whether a file can be made in a folder: in some, such as /proc, nobody can, whatever the permissions say."""
    probe = folder / f".imagenetd-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return True
