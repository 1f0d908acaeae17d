"""What a config says about images that exist already, and about the models to be tested on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imagenetd.config.schema import Config, StageName, build
from imagenetd.errors import ConfigError
from imagenetd.images.adopt import Adopted, adopt
from imagenetd.images.datasets.dataset import Dataset
from imagenetd.words.vocabulary import Category


def has_dataset(config: Config) -> bool:
    """Tell whether the images are those of a dataset, not made by this run."""
    if not isinstance(config.data, dict) or "_target_" not in config.data:
        raise ConfigError(
            "data has no _target_. Choose images with data=NAME, e.g. data=pool or data=folder."
        )
    return config.data["_target_"] is not None


def adopted_data(config: Config, chosen: Sequence[Category]) -> Adopted | None:
    """Return the dataset that a config names, listed and hashed; None when the run generates its images."""
    if not has_dataset(config):
        return None
    dataset = build(config.data, option="data")
    if not isinstance(dataset, Dataset):
        raise ConfigError(
            f"data._target_={config.data['_target_']} gives a {type(dataset).__name__}, not a Dataset."
        )
    return adopt(dataset, chosen, Path(config.paths.output_dir))


def mines_images(config: Config, num_surrogates: int) -> bool:
    """Tell whether shared failures are mined: not in a plain evaluation, which has no surrogates."""
    return num_surrogates > 0 or bool({StageName.mine, StageName.confirm, StageName.qc} & set(config.stages))


def confirms(config: Config, min_failures: int) -> bool:
    """Tell whether another seed of every mined prompt is drawn."""
    return min_failures > 0 and (config.mining.confirm or StageName.confirm in config.stages)


def judges_images(config: Config) -> bool:
    """Tell whether mined images go through quality control; on a dataset only when the stage is asked for."""
    return not has_dataset(config) or StageName.qc in config.stages


def target_specs(config: Config) -> list[tuple[str, str, str, Any]]:
    """Return name, role, option and spec of `target` and of every model of the set `targets`."""
    targets = config.targets or {}
    if not isinstance(targets, dict):
        raise ConfigError(f"targets={targets} is not a set of models. Choose one, e.g. targets=all_tiny.")
    parts = []
    if config.target is not None:
        parts.append((name_of(config.target, "target"), "target", "target", config.target))
    for name, spec in targets.items():
        if spec != config.target:  # the same model in both places is tested once
            parts.append((str(name), "target", f"targets.{name}", spec))
    if not parts:
        raise ConfigError("target and targets are empty: no model is tested. Choose one with target=NAME.")
    return parts


def name_of(spec: Any, option: str) -> str:
    """Return what a model is called: its name, or else its architecture, the folder it lies in, or its code."""
    named = None
    if isinstance(spec, dict):
        place = Path(str(spec.get("model") or spec.get("module") or "")).name
        named = spec.get("name") or spec.get("architecture") or place
    if not named or named == "???":
        raise ConfigError(
            f"{option} has no name. Choose a model with {option}=NAME, or give {option}.name=NAME."
        )
    return str(named)
