"""What a config asks for, built and checked before any work: words, prompts, models, keys and folders."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagenetd.config.schema import Config, StageName, build
from imagenetd.errors import ConfigError
from imagenetd.images.datasets.dataset import Dataset
from imagenetd.images.generators.generator import Generator
from imagenetd.images.source import DrawnImages, ImageSource, ListedImages, drawn_images, listed_images
from imagenetd.models.classifier import Classifier
from imagenetd.stages.choices import (
    ModelSpec,
    check_choices,
    chosen_nuisances,
    confirms,
    has_dataset,
    judges_images,
    mined_from,
    model_specs,
    needs_models,
)
from imagenetd.stages.keys import CastModel as CastModel
from imagenetd.stages.keys import Keyed, model_folders, prediction_folder
from imagenetd.stages.missing_files import require_files
from imagenetd.stages.qc_keys import PresentVotes
from imagenetd.stages.references import bind_references
from imagenetd.store.folders import StageFolder, content_key
from imagenetd.words.prompt_table import PromptTable
from imagenetd.words.prompts import build_prompts
from imagenetd.words.vocabulary import Category, choose_categories


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A checked config: every object built, every key known, no work done."""

    config: Config
    images: ImageSource
    models: tuple[CastModel, ...]
    min_failures: int
    """So many surrogates fail on a mined image; 0: none is mined."""
    folders: dict[str, StageFolder]
    """Stage -> its folder; predictions under the names of the models. That of the images is `images.folder`."""
    votes: PresentVotes | None
    """Where people's answers lie, when quality control asks people."""
    calibration: tuple[Path, ...]
    """Folders of the human votes that calibrate the gate."""

    def with_present_votes(self) -> "Setup":
        """Return the setup with the keys that follow from the votes that have come in until now."""
        keyed = model_folders(self.config, self.images.key, self.models, self.min_failures)
        folders = self.folders | keyed.folders
        return dataclasses.replace(self, folders=folders, votes=keyed.votes, calibration=keyed.calibration)

    def of_prompts(self, rows: PromptTable, models: Sequence[CastModel]) -> "Setup":
        """Return the setup that makes other images with the same generator, and shows them to some of the models."""
        generator, identity = self.images.generator, self.images.identity
        assert generator is not None, "make_setup refuses images that cannot be drawn again"
        root = self.config.paths.folder()
        images = drawn_images(root, generator, rows, identity=identity, categories=self.categories)
        folders = {model.name: prediction_folder(self.config, images.key, model) for model in models}
        return dataclasses.replace(
            self, images=images, models=tuple(models), folders=images.folders | folders
        )

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes of the benchmark."""
        return self.images.categories

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

    def of_role(self, *roles: str) -> list[CastModel]:
        """Return the models that play one of these parts."""
        return [model for model in self.models if model.role in roles]


def make_setup(config: Config) -> Setup:
    """Build and check everything that a config names; a UserError before any work is worth hours after it."""
    check_choices(config)
    generator: Generator | None = None if has_dataset(config) else build(config.generator, option="generator")
    knows_truth = generator is not None and generator.shown_category([]) is not None
    specs = model_specs(config, knows_truth=knows_truth) if needs_models(config) else []
    built = [(spec, _classifier(spec)) for spec in specs]
    needs_images = bool(specs) or StageName.generate in config.stages
    if needs_images:
        require_files(generator, built)
    images = _drawn(config, generator, needs_images=needs_images) if generator else _listed(config)
    min_failures = mined_from(config, specs)
    if confirms(config, min_failures) and not images.can_repeat:
        raise ConfigError(
            "mining.confirm draws another seed of every mined prompt, and these images were made elsewhere. "
            "Set mining.confirm=false, or choose a generator that draws."
        )
    models = _cast(built, images.categories)
    keyed = model_folders(config, images.key, models, min_failures) if models else Keyed({}, None, ())
    return Setup(
        config=config,
        images=images,
        models=models,
        min_failures=min_failures,
        folders=images.folders | keyed.folders,
        votes=keyed.votes,
        calibration=keyed.calibration,
    )


def _drawn(config: Config, generator: Generator, *, needs_images: bool) -> DrawnImages:
    """Return the images that a generator makes, of the words of the config or of prompts that it brings."""
    categories = choose_categories(config.categories.names)
    rows = generator.prompts() or _rows(config, categories)
    choose_categories(rows.distinct("category"))
    if needs_images:
        generator.refuse_unknown(rows.one_of_each_cell())
    identity = generator.identity() if needs_images else {}
    root = config.paths.folder()
    return drawn_images(root, generator, rows, identity=identity, categories=categories)


def _listed(config: Config) -> ListedImages:
    """Return the images of the dataset that a config names, listed and hashed."""
    dataset = build(config.data, option="data")
    if not isinstance(dataset, Dataset):
        raise ConfigError(
            f"data._target_={config.data['_target_']} gives a {type(dataset).__name__}, not a Dataset."
        )
    chosen = choose_categories(config.categories.names)
    return listed_images(config.paths.folder(), dataset, chosen)


def _rows(config: Config, categories: Sequence[Category]) -> PromptTable:
    return build_prompts(
        categories,
        chosen_nuisances(config),
        config.prompts,
        seed=config.seed,
        num_images_per_cell=config.num_images_per_cell,
    )


def _classifier(model: ModelSpec) -> Classifier:
    classifier = build(model.spec, option=model.option)
    if not isinstance(classifier, Classifier):
        place = model.spec["_target_"]
        raise ConfigError(
            f"{model.option}._target_={place} gives a {type(classifier).__name__}, not a Classifier. "
            f"Use target=custom and {model.option}.module={place} for a model of your own."
        )
    return classifier


def _cast(
    built: Sequence[tuple[ModelSpec, Classifier]], categories: Sequence[Category]
) -> tuple[CastModel, ...]:
    """Return the models with their identities; refuse what contradicts the part that one plays."""
    bind_references(built, categories)
    models = tuple(
        CastModel(spec.name, spec.role, spec.option, classifier, classifier.identity(categories))
        for spec, classifier in built
    )
    _refuse_double_roles(models)
    _refuse_families(models)
    for model in models:  # a category that a model does not know is told now, not after hours
        model.classifier.label_space(categories)
    return models


def _refuse_double_roles(models: Sequence[CastModel]) -> None:
    """A surrogate is never reported as a target, and a gate is neither (paper, section 3.2)."""
    seen: dict[str, CastModel] = {}
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


def _refuse_families(models: Sequence[CastModel]) -> None:
    """Raise ConfigError for a gate or oracle of the family of another model: it would share the mistakes."""
    for judge in models:
        if judge.role not in ("gate", "oracle"):
            continue
        for other in models:
            if other is not judge and other.classifier.family == judge.classifier.family:
                raise ConfigError(
                    f"{judge.option} ({judge.name}) and {other.option} ({other.name}) are both of the family "
                    f"{judge.classifier.family!r}: the {judge.role} would share the mistakes of a {other.role}. "
                    f"Choose a {judge.role} of another family with target@{judge.option}=NAME."
                )
