"""What every classifier can do: name itself exactly, say what it lacks, turn images into logits."""

import abc
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenetd.config.groups import Options
from imagenetd.config.ranges import Batch
from imagenetd.errors import ModelError
from imagenetd.models.relations import data_names
from imagenetd.records import Identity, LabelSpace, MissingFile, ModelFacts
from imagenetd.words.imagenet import NUM_CLASSES
from imagenetd.words.vocabulary import Category

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from PIL import Image
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class About(Options):
    """What the tables must know about a model besides its logits."""

    family: str
    """Models of one family make similar mistakes."""
    training_data: list[str] | str | None = None
    """Names of the data sets that the weights have seen; null: unknown."""
    batch_size: Batch = 64
    """Images of one step."""


class Classifier(abc.ABC):
    """A model that gives each image one logit for each class of its label space.

    Building one is cheap: nothing is imported, read or downloaded before the first call that needs it.
    """

    name: str
    """In messages."""
    family: str
    """Models of one family make similar mistakes, e.g. `clip`, `resnet`."""
    training_data: tuple[str, ...] = ()
    """Names of the data sets that the weights have seen, e.g. `imagenet-1k`; empty: unknown. Changes no result."""
    batch_size: int
    """Images of one step; it changes no more than rounding."""
    cache_dir: Path | None = None
    """Folder for what a model needs to compute only once, e.g. zero-shot heads; set by who runs it."""

    def describe(self, name: str, about: About) -> None:
        """Take over name, family, training data and batch size."""
        self.name, self.family, self.batch_size = name, about.family, about.batch_size
        self.training_data = data_names(about.training_data)

    @abc.abstractmethod
    def missing_files(self, option: str) -> list[MissingFile]:
        """Return what `load` would look for in vain; `option` is this model's place in the config."""

    def library_asked(self) -> str:
        """Return the library without which `missing_files` has no answer, and which takes long to read; empty: none."""
        return ""

    @abc.abstractmethod
    def identity(self, categories: Sequence[Category]) -> Identity:
        """Return, as plain values, all that changes the logits; ModelError for a model without weights.

        It stays the same when a download fills the cache; `provenance` has the hash of what was loaded.
        """

    @abc.abstractmethod
    def label_space(self, categories: Sequence[Category]) -> LabelSpace:
        """Return the classes, and which of them are right for each category."""

    @abc.abstractmethod
    def load(self, categories: Sequence[Category], device: "torch.device") -> None:
        """Read the weights and move them to `device`; a dual encoder also makes its zero-shot head."""

    @abc.abstractmethod
    def provenance(self) -> ModelFacts:
        """Return what was loaded: file, sha256, preprocessing and library version (after `load`)."""

    @abc.abstractmethod
    def transform(self, image: "Image.Image") -> 'Float[Tensor, "3 h w"]':
        """Return the image as the network wants it: resized, cropped and normalised (after `load`)."""

    @abc.abstractmethod
    def logits(self, batch: 'Float[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images classes"]':
        """Return float32 logits, without gradients (after `load`)."""

    def preprocessing_key(self) -> str:
        """Return what `transform` depends on (after `load`): models with the same key share its tensors."""
        options = self.provenance().get("preprocessing")
        own = f"{type(self).__module__}.{type(self).__name__}"
        return f"{own} {json.dumps(options, sort_keys=True)}" if options else f"{own} of {self.name}"

    def columns(self) -> dict[str, list[Any]]:
        """Return what is kept beside the logits, for all rows since the last call; nothing, for most models."""
        return {}


def imagenet_label_space(categories: Sequence[Category]) -> LabelSpace:
    """Return the 1,000 classes of ImageNet, any ImageNet id of a category being right."""
    accepted = {category.name: category.imagenet_ids for category in categories}
    return LabelSpace("imagenet-1k", "any-of-ids", NUM_CLASSES, accepted)


def closed_label_space(name: str, keys: Sequence[str], categories: Sequence[Category]) -> LabelSpace:
    """Return the label space of a model whose classes are categories of the vocabulary.

    Args:
        name: Of the model, for messages.
        keys: Category keys in the order of the model's outputs.
        categories: What the run asks for; the model may know more.
    """
    unknown = [category.name for category in categories if category.name not in keys]
    if unknown:
        raise ModelError(
            f"{name} does not know {', '.join(unknown)}: it was trained on {', '.join(keys)}. "
            "Choose among these with categories.names=[...], or another model."
        )
    accepted: dict[str, tuple[int, ...]] = {
        category.name: (keys.index(category.name),) for category in categories
    }
    return LabelSpace(f"closed-{len(keys)}", "closed-set", len(keys), accepted, tuple(keys))
