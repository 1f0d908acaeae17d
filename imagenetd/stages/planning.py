"""What a config asks for, built and checked before any work: words, prompts, models, keys and folders."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagenetd.config.schema import Config, StageName, build
from imagenetd.errors import ConfigError
from imagenetd.images.adopt import Adopted, adopt
from imagenetd.images.datasets.dataset import Dataset
from imagenetd.images.generators.generator import Generator
from imagenetd.models.classifier import Classifier
from imagenetd.stages.choices import (
    check_choices,
    chosen_nuisances,
    confirms,
    has_dataset,
    judges_images,
    mined_from,
    model_specs,
    needs_models,
)
from imagenetd.stages.keys import PlannedModel as PlannedModel
from imagenetd.stages.keys import model_folders
from imagenetd.stages.missing_files import require_files
from imagenetd.stages.plan_votes import VotesPlan, refuse_families
from imagenetd.stages.references import bind_references
from imagenetd.store.folders import StageFolder, content_key, content_key_of_rows
from imagenetd.words.prompt_table import PromptTable
from imagenetd.words.prompts import build_prompts
from imagenetd.words.vocabulary import VOCABULARY_VERSION, Category, choose_categories


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
    votes: VotesPlan | None = None
    """Where people's answers lie, when quality control asks people."""
    calibration: tuple[Path, ...] = ()
    """Folders of the human votes that calibrate the gate."""

    def with_present_votes(self) -> "Plan":
        """Return the plan with the keys that follow from the votes that have come in until now."""
        pool = self.folders["generate"].key
        keyed = model_folders(self.config, pool, self.models, self.min_failures)
        folders = self.folders | keyed.folders
        return dataclasses.replace(self, folders=folders, votes=keyed.votes, calibration=keyed.calibration)

    @property
    def mines(self) -> bool:
        """Some images are mined."""
        return self.min_failures > 0

    @property
    def judges(self) -> bool:
        """Mined images go through quality control."""
        return self.mines and judges_images(self.config)

    @property
    def confirms(self) -> bool:
        """Another seed of every mined prompt is drawn and shown to the models."""
        return confirms(self.config, self.min_failures)

    def of_role(self, *roles: str) -> list[PlannedModel]:
        """Return the models that play one of these parts."""
        return [model for model in self.models if model.role in roles]


def make_plan(config: Config) -> Plan:
    """Build and check everything that a config names; a UserError before any work is worth hours after it."""
    check_choices(config)
    categories = choose_categories(config.categories.names)
    adopted = _adopted_data(config, categories)
    categories = adopted.categories if adopted else categories
    generator: Generator | None = None if adopted else build(config.generator, option="generator")
    knows_truth = generator is not None and generator.shown_category([]) is not None
    specs = model_specs(config, knows_truth=knows_truth) if needs_models(config) else []
    built = [(one.name, one.role, one.option, _classifier(one.spec, one.option)) for one in specs]
    min_failures = mined_from(config, specs)
    if min_failures and confirms(config, min_failures):
        _refuse_unrepeatable(generator)
    needs_images = needs_models(config) or StageName.generate in config.stages
    if needs_images:
        require_files(generator, [(classifier, option) for _, _, option, classifier in built])
    bind_references(built, categories)
    models = tuple(PlannedModel(*part, part[3].identity(categories)) for part in built)
    _refuse_double_roles(models)
    refuse_families((m.name, m.role, m.option, m.classifier.family) for m in models)
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
    plan = Plan(config, categories, rows, generator, identity, models, min_failures, folders, adopted)
    return plan.with_present_votes() if models else plan


def _adopted_data(config: Config, chosen: Sequence[Category]) -> Adopted | None:
    """Return the dataset that a config names, listed and hashed; None when the run generates its images."""
    if not has_dataset(config):
        return None
    dataset = build(config.data, option="data")
    if not isinstance(dataset, Dataset):
        raise ConfigError(
            f"data._target_={config.data['_target_']} gives a {type(dataset).__name__}, not a Dataset."
        )
    return adopt(dataset, chosen, Path(config.paths.output_dir))


def _refuse_unrepeatable(generator: Generator | None) -> None:
    """Raise ConfigError where no second image of a prompt can be drawn."""
    if generator is None or generator.prompts() is not None:
        raise ConfigError(
            "mining.confirm draws another seed of every mined prompt, and these images were made elsewhere. "
            "Set mining.confirm=false, or choose a generator that draws."
        )


def _rows(config: Config, categories: Sequence[Category]) -> PromptTable:
    return build_prompts(
        categories,
        chosen_nuisances(config),
        config.prompts,
        seed=config.seed,
        num_images_per_cell=config.num_images_per_cell,
        include_neutral=config.prompts.include_neutral,
    )


def _classifier(spec: Any, option: str) -> Classifier:
    classifier = build(spec, option=option)
    if not isinstance(classifier, Classifier):
        raise ConfigError(
            f"{option}._target_={spec['_target_']} gives a {type(classifier).__name__}, not a Classifier. "
            f"Use target=custom and {option}.module={spec['_target_']} for a model of your own."
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
        if name in StageName.__members__:
            raise ConfigError(
                f"A model is called {name}, as a stage is. Give it another name, e.g. {name}_model."
            )
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
    return generated_folders(root, rows, identity)


def generated_folders(root: Path, rows: PromptTable, identity: dict[str, Any]) -> dict[str, StageFolder]:
    """Return the folders of prompts and of the pool that a generator makes of them.

    Args:
        root: `paths.output_dir`.
        rows: One for each image.
        identity: Of the generator.
    """
    prompts = content_key_of_rows({"stage": "prompts", "vocabulary": VOCABULARY_VERSION}, rows.as_json())
    pool = content_key({"stage": "generate", "prompts": prompts, "generator": identity})
    return {
        "prompts": StageFolder(root / "prompts" / prompts, "prompts", prompts),
        "generate": StageFolder(root / "pools" / pool, "generate", pool),
    }
