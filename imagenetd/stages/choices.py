"""What a config chooses, before anything is built: whose images, which models in which parts, and so which stages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagenetd.config.qc import PEOPLE, QcMethod, check_together
from imagenetd.config.schema import Config, StageName, check_config, check_spec
from imagenetd.errors import ConfigError
from imagenetd.records import NUISANCE_KINDS, Spec, Word
from imagenetd.reports.exports.export import build_exports
from imagenetd.reports.report_set import build_reports
from imagenetd.scoring.mining import resolve_min_failures
from imagenetd.store.object_store import is_remote
from imagenetd.words.prompts import check_templates
from imagenetd.words.vocabulary import choose_categories, choose_nuisances

WITHOUT_MODELS = {StageName.prompts, StageName.generate}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that a config names, and the part it plays."""

    name: str
    role: str
    """`surrogate`, `target`, `gate`, or `oracle`: the truth of simulated workers, in no table."""
    option: str
    """Where it stands in the config, e.g. `surrogates.clip_rn50`."""
    spec: Any
    """Class and arguments."""


def check_choices(config: Config) -> None:
    """Raise UserError for choices that hold nothing, contradict each other, or name words that nobody knows."""
    if not config.stages:
        raise ConfigError("stages is empty: nothing is to be done. Name at least one, e.g. stages=[prompts].")
    check_config(config)
    check_together(config.qc)
    check_spec(config.executor, option="executor")
    _check_store(config)
    if StageName.report in config.stages:
        build_reports(config.report)  # a mistake in its options is told now, not after hours
    if StageName.export in config.stages:
        build_exports(config.export)
    choose_categories(config.categories.names)
    if not has_dataset(config):
        chosen_nuisances(config)
        check_templates(config.prompts)
    if needs_models(config):
        model_specs(config)


def _check_store(config: Config) -> None:
    """Raise ConfigError for what an object store cannot do: its results have one writer, and no person writes there."""
    config.paths.folder()  # a URL that is none
    others = {"paths.run_dir": config.paths.run_dir, "paths.cache_dir": config.paths.cache_dir}
    others |= {f"export.{name}.to": spec.get("to") for name, spec in (config.export or {}).items() if spec}
    for option, place in others.items():
        if "://" in str(place):
            raise ConfigError(f"{option} is a URL. Only paths.output_dir may be one; {option} is a folder.")
    if not is_remote(config.paths.output_dir):
        return
    if config.paths.run_dir is not None:
        raise ConfigError(
            "paths.run_dir names a folder, but paths.output_dir lies in an object store, where the run belongs: leave "
            "paths.run_dir=null."
        )
    target = str(config.executor["_target_"])
    if not target.endswith(".LocalExecutor"):
        raise ConfigError(
            f"executor={target.rpartition('.')[2]} has workers that meet in files of paths.output_dir, and an object "
            "store has no such files. Choose executor=local, or a folder that all machines see."
        )
    if config.qc.method in PEOPLE:
        raise ConfigError(
            f"qc={config.qc.method.value} asks people, whose votes are files that change while they vote; an object "
            "store has no such files. Choose a folder for paths.output_dir, or qc=auto."
        )


def has_dataset(config: Config) -> bool:
    """Tell whether the images are those of a dataset, not made by this run."""
    if not isinstance(config.data, dict) or "_target_" not in config.data:
        raise ConfigError(
            "data has no _target_. Choose images with data=NAME, e.g. data=pool or data=folder."
        )
    return config.data["_target_"] is not None


def mined_from(config: Config, models: Sequence[ModelSpec]) -> int:
    """Return how many surrogates must fail on a mined image; 0 for a plain evaluation, which mines none."""
    num_surrogates = sum(model.role == "surrogate" for model in models)
    if num_surrogates or {StageName.mine, StageName.confirm, StageName.qc} & set(config.stages):
        return resolve_min_failures(config.mining.min_failures, num_surrogates=num_surrogates)
    return 0


def confirms(config: Config, min_failures: int) -> bool:
    """Tell whether another seed of every mined prompt is drawn."""
    return min_failures > 0 and (config.mining.confirm or StageName.confirm in config.stages)


def judges_images(config: Config) -> bool:
    """Tell whether mined images go through quality control; on a dataset only when the stage is asked for."""
    return not has_dataset(config) or StageName.qc in config.stages


def needs_models(config: Config) -> bool:
    """Tell whether a stage is asked for that shows the images to models."""
    return bool(set(config.stages) - WITHOUT_MODELS)


def chosen_nuisances(config: Config) -> tuple[Word, ...]:
    """Return the nuisances of every kind."""
    return choose_nuisances({kind.value: getattr(config.nuisances, kind.value) for kind in NUISANCE_KINDS})


def model_specs(config: Config, *, knows_truth: bool = True) -> list[ModelSpec]:
    """Return every model of a config: surrogates, targets, and what quality control needs.

    Args:
        config: None of its models is built.
        knows_truth: The generator knows what its images show; else `simulated` needs an oracle.
    """
    found = [
        ModelSpec(name, "surrogate", f"surrogates.{name}", spec)
        for name, spec in _set(config.surrogates, "surrogates", "four_tiny").items()
    ]
    found += _targets(config)
    if judges_images(config):
        found += _judges(config, knows_truth=knows_truth)
    return found


def _set(chosen: Any, option: str, example: str) -> dict[str, Spec]:
    if chosen and not isinstance(chosen, dict):
        raise ConfigError(f"{option}={chosen} is not a set of models. Choose one, e.g. {option}={example}.")
    return chosen or {}


def _targets(config: Config) -> list[ModelSpec]:
    found = []
    if config.target is not None:
        found.append(ModelSpec(name_of(config.target, "target"), "target", "target", config.target))
    for name, spec in _set(config.targets, "targets", "all_tiny").items():
        if spec != config.target:  # the same model in both places is tested once
            found.append(ModelSpec(str(name), "target", f"targets.{name}", spec))
    if not found:
        raise ConfigError("target and targets are empty: no model is tested. Choose one with target=NAME.")
    return found


def _judges(config: Config, *, knows_truth: bool) -> list[ModelSpec]:
    qc, found = config.qc, []
    if qc.method is QcMethod.none:
        return []
    if qc.method is QcMethod.auto and not qc.gate:
        raise ConfigError("qc=auto needs a gate, and qc.gate is empty. Choose one with target@qc.gate=NAME.")
    if qc.gate:
        found.append(ModelSpec(name_of(qc.gate, "qc.gate"), "gate", "qc.gate", qc.gate))
    if qc.method is QcMethod.simulated and not knows_truth:
        if not qc.oracle:
            raise ConfigError(
                "qc=simulated needs the truth, which this generator does not know, and qc.oracle is empty. "
                "Choose an independent model with target@qc.oracle=NAME."
            )
        found.append(ModelSpec(name_of(qc.oracle, "qc.oracle"), "oracle", "qc.oracle", qc.oracle))
    return found


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
