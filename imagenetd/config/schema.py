"""The guard of the yaml files: a dataclass tree, registered once, that refuses what they must not say."""

import enum
import inspect
import pkgutil
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from imagenetd.config.qc import PlanningConfig as PlanningConfig
from imagenetd.config.qc import QcConfig as QcConfig
from imagenetd.config.qc import QcMethod as QcMethod
from imagenetd.config.ranges import (
    Count,
    OneOf,
    Range,
    Seed,
    check_fields,
    check_value,
    plain_type,
)
from imagenetd.errors import ConfigError, nearest
from imagenetd.store.remote import local_folder, place_of

CONF_DIR = Path(__file__).resolve().parents[2] / "conf"
PRECISIONS = (None, "32", "32-true", "bf16-mixed", "16-mixed")
"""Lightning's `true` precisions convert only the parts of a module, and a module here has its models in a list."""


class StageName(enum.Enum):
    """The stages in their order."""

    prompts = "prompts"
    generate = "generate"
    predict = "predict"
    plan = "plan"
    mine = "mine"
    confirm = "confirm"
    qc = "qc"
    evaluate = "evaluate"
    report = "report"
    export = "export"


@dataclass(slots=True)
class CategoriesConfig:
    """Which objects."""

    names: Any = MISSING
    """Keys of the vocabulary, or `all`."""


@dataclass(slots=True)
class NuisancesConfig:
    """Which nuisances, each kind a list of raw names or a word list of the vocabulary such as `texture.csv`."""

    background: Any = MISSING
    texture: Any = MISSING
    material: Any = MISSING


@dataclass(slots=True)
class PromptsConfig:
    """How a category and a nuisance become a sentence."""

    template_version: str = MISSING
    """Stands in every row; change it with the templates."""
    background: Any = MISSING
    """A template, or a list of them that take turns over the seed indices; so for every kind."""
    texture: Any = MISSING
    material: Any = MISSING
    neutral: Any = MISSING
    include_neutral: bool = MISSING
    """Also make the control arm: images of each category without a nuisance."""
    paired_noise: bool = MISSING
    """With the control arm: images of one category and seed index start from the same noise."""
    num_names: Annotated[int, Range(1, 3)] = 1
    """Names of each category that take turns, where it has so many; for templates with `{phrase}`."""
    category_tokens: dict[str, str] = field(default_factory=dict)
    """Category -> the word that stands for it in prompts, e.g. of a textual inversion."""


@dataclass(slots=True)
class MiningConfig:
    """Which images count as hard."""

    min_failures: Count | None = MISSING
    """k of k-of-n: at least so many surrogates must be wrong. null: all of them, as in the paper."""
    confirm: bool = MISSING
    """Also draw another seed of every mined prompt: the confirmation set, which no model chose."""


@dataclass(slots=True)
class StoreConfig:
    """How images lie on disk."""

    images_per_shard: Annotated[int, Range(1, 1_000_000)] = MISSING
    """Upper bound; small pools get smaller shards so that several processes can share them."""


@dataclass(slots=True)
class TrainerConfig:
    """How Lightning runs generation and prediction; only `precision` changes a result."""

    accelerator: Annotated[str, OneOf(("cpu", "gpu", "cuda", "mps", "auto"))] = MISSING
    devices: Annotated[int, Range(1, 1024)] = MISSING
    """Processes of this machine, each with a GPU of its own where there are GPUs."""
    precision: Annotated[str | None, OneOf(PRECISIONS)] = MISSING
    """Of the classifiers; the generator has its own `dtype`."""
    channels_last: bool = MISSING
    compile: bool = MISSING
    num_threads: Annotated[int, Range(1, 1024)] = MISSING
    """CPU threads of each process."""
    num_workers: Annotated[int, Range(0, 1024)] = MISSING
    """Further processes, for each process, that read, decode and resize images; 0: the process does so itself."""
    usd_per_hour: Annotated[float, Range(0, 1_000_000)] | None = MISSING
    """What an hour of one process costs, with its GPU; null: not known."""


class Readers(enum.Enum):
    """Who may read what a run writes."""

    owner = "owner"
    group = "group"
    umask = "umask"


@dataclass(slots=True)
class PathsConfig:
    """Where things lie."""

    output_dir: str = MISSING
    """Runs, pools and predictions."""
    run_dir: str | None = None
    """Folder of this run; null: output_dir/<name>-<key>."""
    cache_dir: str | None = None
    """Where copies of object stores lie; null: the user's cache folder."""
    cache_gb: Annotated[float, Range(0, 1_000_000)] = 50.0
    """Shards that the object store has as well may take so much room here."""
    readable_by: Readers = Readers.owner
    """Who may read new files: `owner`; `group`, who may also write, to share pools; `umask`: as the shell says."""

    def folder(self) -> Path:
        """Return the folder in which stages work: `output_dir`, or its local copy where that is a URL."""
        return local_folder(self.output_dir, self.cache_dir, self.cache_gb)


@dataclass(slots=True)
class Config:
    """One run of the factory."""

    stages: list[StageName] = MISSING
    seed: Seed = MISSING
    num_images_per_cell: Annotated[int, Range(1, 1_000_000)] = MISSING
    categories: CategoriesConfig = field(default_factory=CategoriesConfig)
    nuisances: NuisancesConfig = field(default_factory=NuisancesConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    data: Any = MISSING
    generator: Any = MISSING
    surrogates: Any = MISSING
    target: Any = MISSING
    targets: Any = MISSING
    mining: MiningConfig = field(default_factory=MiningConfig)
    qc: QcConfig = field(default_factory=QcConfig)
    planning: PlanningConfig = field(default_factory=PlanningConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    executor: Any = MISSING
    """Who starts the workers of the long stages."""
    report: Any = MISSING
    export: Any = MISSING
    logger: Any = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)
    name: str = MISSING
    """Names the run's folder and its row in W&B."""


def register() -> None:
    """Make the schema known to Hydra under the name `schema`, and where the notes of a run on an object store lie."""
    OmegaConf.register_new_resolver(
        "local_folder", lambda url, cache_dir=None: str(place_of(url, cache_dir)), replace=True
    )
    ConfigStore.instance().store(name="schema", node=Config)


def check_config(config: Config) -> None:
    """Raise ConfigError for numbers out of their ranges, and for names and numbers that contradict each other."""
    check_fields(config)
    name = config.name
    if not name or "/" in name or name in (".", "..") or len(name.encode()) > 200 or not name.isprintable():
        raise ConfigError(
            f"name={name[:60]!r} names the run's folder: it must have 1 to 200 letters, none of them a slash or unseen."
        )


def build(spec: Any, *, option: str) -> Any:
    """Call the `_target_` of a plug-in with its arguments, after checking their names and types.

    Args:
        spec: Mapping with `_target_` and the constructor's arguments.
        option: Where it stands in the config, for messages, e.g. `generator`.
    """
    if not isinstance(spec, dict) or "_target_" not in spec:
        raise ConfigError(
            f"{option} has no _target_: it names no class to build. Choose one with {option}=NAME."
        )
    factory, arguments = check_spec(spec, option=option)
    return factory(**arguments)


def check_spec(spec: Any, *, option: str) -> tuple[Any, dict[str, Any]]:
    """Return class and arguments of a plug-in, or raise ConfigError when the one cannot take the others."""
    arguments = {key: value for key, value in spec.items() if key != "_target_"}
    try:
        factory = pkgutil.resolve_name(str(spec["_target_"]))
    except Exception as error:  # whatever the module of somebody else raises
        reason = " ".join(str(error).split())
        raise ConfigError(f"{option}._target_={spec['_target_']} cannot be imported: {reason}") from error
    if not callable(factory):
        raise ConfigError(
            f"{option}._target_={spec['_target_']} is a {type(factory).__name__}, nothing to be built."
        )
    _check_arguments(factory, arguments, option)
    return factory, arguments


def _check_arguments(factory: Any, arguments: dict[str, Any], option: str) -> None:
    """Raise ConfigError for an argument that is unknown, missing, or of the wrong type."""
    parameters = inspect.signature(factory).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name, value in arguments.items():
        if value == "???":
            raise ConfigError(f"{option}.{name} must be given: {option}.{name}=VALUE")
        if name not in parameters:
            if takes_any:
                continue
            close = nearest(name, parameters)
            hint = f"did you mean {option}.{close}?" if close else f"it takes {', '.join(parameters)}."
            raise ConfigError(f"{option}.{name} is not an option of {option}: {hint}")
        if not _fits(value, parameters[name].annotation):
            raise ConfigError(
                f"{option}.{name}={value!r} is a {type(value).__name__}, "
                f"but {_spelt(parameters[name].annotation)} is needed."
            )
        check_value(value, parameters[name].annotation, f"{option}.{name}")
    for name, parameter in parameters.items():
        if (
            parameter.default is parameter.empty
            and name not in arguments
            and parameter.kind is not parameter.VAR_KEYWORD
        ):
            raise ConfigError(f"{option}.{name} is missing: give {option}.{name}=VALUE")


def _fits(value: Any, annotation: Any) -> bool:
    """Tell whether a yaml value can stand where the annotation is (only plain types are checked)."""
    annotation = plain_type(annotation)
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in typing.get_args(annotation))
    if annotation is type(None) or annotation is None:
        return value is None
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation in (str, bool):
        return isinstance(value, annotation)
    if origin in (list, tuple, dict) or annotation in (list, tuple, dict):
        inner = typing.get_args(annotation)
        if (origin or annotation) is dict:
            return isinstance(value, dict) and all(
                _fits(entry, inner[1]) for entry in value.values() if inner
            )
        return isinstance(value, list | tuple) and all(_fits(entry, inner[0]) for entry in value if inner)
    return True


def _spelt(annotation: Any) -> str:
    annotation = plain_type(annotation)
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join("null" if choice is type(None) else _spelt(choice) for choice in inner)
    if inner and isinstance(typing.get_origin(annotation), type):
        return f"{typing.get_origin(annotation).__name__}[{', '.join(_spelt(choice) for choice in inner)}]"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
