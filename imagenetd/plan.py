"""What a config asks for, built and checked before any work: words, prompts, models, keys and folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagenetd.config import Config, QcMethod, StageName, build
from imagenetd.data_plan import adopted_data, judges_images, mines_images, name_of, target_specs
from imagenetd.errors import ConfigError
from imagenetd.exports.export import build_exports
from imagenetd.generators.generator import Generator
from imagenetd.mining import resolve_min_failures
from imagenetd.missing import require_files
from imagenetd.models.classifier import Classifier
from imagenetd.prompt_table import PromptTable
from imagenetd.prompts import build_prompts
from imagenetd.reports.report import build_reports
from imagenetd.stages.adopt import Adopted
from imagenetd.store import StageFolder, content_key, content_key_of_rows
from imagenetd.vocabulary import VOCABULARY_VERSION, Category, choose_categories, choose_nuisances

RECORD_VERSION = 2
"""Of what the stage evaluate writes: 2 has regimes and the record of every image."""
NEEDS_MODELS = set(StageName) - {StageName.prompts, StageName.generate}


@dataclass(frozen=True)
class PlannedModel:
    """A classifier and the part it plays."""

    name: str
    role: str
    """`surrogate`, `target` or `gate`."""
    option: str
    """Where it stands in the config, e.g. `surrogates.clip_rn50`."""
    classifier: Classifier
    identity: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A checked config: every object built, every key known, no work done."""

    config: Config
    categories: tuple[Category, ...]
    rows: PromptTable | None
    """None when the images are those of a dataset."""
    generator: Generator | None
    """None when the images are those of a dataset."""
    generator_identity: dict[str, Any]
    models: tuple[PlannedModel, ...]
    min_failures: int
    folders: dict[str, StageFolder]
    """Stage -> its folder; predictions under the names of the models. A dataset's is under `generate`."""
    adopted: Adopted | None = None
    """The dataset; None when the run generates its images."""

    @property
    def mines(self) -> bool:
        """Some images are mined."""
        return self.min_failures > 0

    @property
    def judges(self) -> bool:
        """Mined images go through quality control."""
        return self.mines and judges_images(self.config)

    def of_role(self, *roles: str) -> list[PlannedModel]:
        """Return the models that play one of these parts."""
        return [model for model in self.models if model.role in roles]


def make_plan(config: Config) -> Plan:
    """Build and check everything that a config names; a UserError before any work is worth hours after it."""
    if not config.stages:
        raise ConfigError("stages is empty: nothing is to be done. Name at least one, e.g. stages=[prompts].")
    if StageName.report in config.stages:
        build_reports(config.report)  # a mistake in its options is told now, not after hours
    if StageName.export in config.stages:
        build_exports(config.export)
    categories = choose_categories(config.categories.names)
    adopted = adopted_data(config, categories)
    categories = adopted.categories if adopted else categories
    generator: Generator | None = None if adopted else build(config.generator, option="generator")
    needs_models = bool(NEEDS_MODELS & set(config.stages))
    parts = _model_specs(config) if needs_models else []
    built = [(name, role, option, _classifier(spec, option)) for name, role, option, spec in parts]
    num_surrogates = sum(role == "surrogate" for _, role, _, _ in built)
    min_failures = 0
    if needs_models and mines_images(config, num_surrogates):
        min_failures = resolve_min_failures(config.mining.min_failures, num_surrogates=num_surrogates)
    needs_images = needs_models or StageName.generate in config.stages
    if needs_images:
        require_files(generator, [(classifier, option) for _, _, option, classifier in built])
    models = tuple(PlannedModel(*part, part[3].identity(categories)) for part in built)
    _refuse_double_roles(models)
    rows: PromptTable | None = None
    if generator is not None:
        rows = generator.prompts() or _rows(config, categories)
        choose_categories(rows.distinct("category"))
        if needs_images:
            generator.refuse_unknown(rows.one_of_each_cell())
    for model in models:
        model.classifier.label_space(
            categories
        )  # a category that a model does not know is told now, not after hours
    identity = generator.identity() if generator and needs_images else {}
    folders = _image_folders(config, rows, identity, adopted)
    if models:
        folders |= _model_folders(config, folders["generate"].key, models, min_failures)
    return Plan(config, categories, rows, generator, identity, models, min_failures, folders, adopted)


def _rows(config: Config, categories: Sequence[Category]) -> PromptTable:
    kinds = ("background", "texture", "material")
    nuisances = choose_nuisances({kind: getattr(config.nuisances, kind) for kind in kinds})
    return build_prompts(
        categories,
        nuisances,
        config.prompts,
        seed=config.seed,
        num_images_per_cell=config.num_images_per_cell,
        include_neutral=config.prompts.include_neutral,
    )


def _model_specs(config: Config) -> list[tuple[str, str, str, Any]]:
    """Return name, role, option and spec of every model of the config."""
    surrogates = config.surrogates or {}
    if not isinstance(surrogates, dict):
        raise ConfigError(
            f"surrogates={surrogates} is not a set of models. Choose one, e.g. surrogates=four_tiny."
        )
    parts = [(name, "surrogate", f"surrogates.{name}", spec) for name, spec in surrogates.items()]
    parts += target_specs(config)
    if config.qc.method is QcMethod.auto and judges_images(config):
        if not config.qc.gate:
            raise ConfigError(
                "qc=auto needs a gate, and qc.gate is empty. Choose one with target@qc.gate=NAME."
            )
        parts.append((name_of(config.qc.gate, "qc.gate"), "gate", "qc.gate", config.qc.gate))
    return parts


def _classifier(spec: Any, option: str) -> Classifier:
    classifier = build(spec, option=option)
    if not isinstance(classifier, Classifier):
        raise ConfigError(
            f"{option}._target_={spec['_target_']} gives a {type(classifier).__name__}, not a Classifier."
        )
    return classifier


def _refuse_double_roles(models: Sequence[PlannedModel]) -> None:
    """A surrogate is never reported as a target, and a gate is neither (paper, section 3.2)."""
    seen: dict[str, PlannedModel] = {}
    for model in models:
        other = seen.setdefault(content_key(model.identity), model)
        if other is not model:
            raise ConfigError(
                f"{model.option} and {other.option} are the same model ({other.name}). A {other.role} cannot also be a "
                f"{model.role}: its accuracy would be decided by the selection. Choose another {model.role}."
            )
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"Two models are called {name}. Give one another name, e.g. target.name={name}_b."
            )


def _image_folders(
    config: Config, rows: PromptTable | None, identity: dict[str, Any], adopted: Adopted | None
) -> dict[str, StageFolder]:
    """Return the folders of the images: prompts and pool, or the dataset in place of the pool."""
    root = Path(config.paths.output_dir)
    if adopted is not None:
        return {"generate": StageFolder(root / "datasets" / adopted.key, "data", adopted.key)}
    assert rows is not None
    prompts = content_key_of_rows({"stage": "prompts", "vocabulary": VOCABULARY_VERSION}, rows.as_json())
    pool = content_key({"stage": "generate", "prompts": prompts, "generator": identity})
    return {
        "prompts": StageFolder(root / "prompts" / prompts, "prompts", prompts),
        "generate": StageFolder(root / "pools" / pool, "generate", pool),
    }


def _model_folders(
    config: Config, pool: str, models: Sequence[PlannedModel], min_failures: int
) -> dict[str, StageFolder]:
    """Chain the keys: each is the hash of what changes the stage's result and of the keys of its inputs."""
    root = Path(config.paths.output_dir)
    folders: dict[str, StageFolder] = {}
    precision = {"precision": config.trainer.precision} if config.trainer.precision else {}
    predictions = {
        m.name: content_key({"stage": "predict", "pool": pool, "model": m.identity, **precision})
        for m in models
    }
    for name, key in predictions.items():
        folder = f"{name.replace('/', '_')}-{key[:8]}"
        folders[name] = StageFolder(root / "predictions" / pool / folder, f"predict {name}", key)
    by_role = {
        role: [predictions[m.name] for m in models if m.role == role]
        for role in ("surrogate", "target", "gate")
    }
    mine = content_key(
        {"stage": "mine", "surrogates": sorted(by_role["surrogate"]), "min_failures": min_failures}
    )
    qc = content_key(
        {
            "stage": "qc",
            "mine": mine,
            "method": config.qc.method.value,
            "gate": by_role["gate"],
            "min_confidence": config.qc.min_confidence if by_role["gate"] else None,
        }
    )
    chosen = qc if min_failures and judges_images(config) else mine if min_failures else None
    evaluate = content_key(
        {
            "stage": "evaluate",
            "qc": chosen,
            "models": {m.name: predictions[m.name] for m in models},
            "record": RECORD_VERSION,
        }
    )
    report = content_key(
        {"stage": "report", "evaluate": evaluate, "report": config.report, "name": config.name}
    )
    folders |= {
        "mine": StageFolder(root / "mined" / mine, "mine", mine),
        "qc": StageFolder(root / "qc" / qc, "qc", qc),
        "evaluate": StageFolder(root / "scores" / evaluate, "evaluate", evaluate),
    }
    run_dir = Path(config.paths.run_dir) if config.paths.run_dir else root / f"{config.name}-{report[:8]}"
    folders["report"] = StageFolder(run_dir, "report", report)
    return folders
