"""Image classifiers of torchvision with local weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from imagenetd.config.groups import takes_options
from imagenetd.errors import ModelError
from imagenetd.models.card import card_preprocessing
from imagenetd.models.checkpoint import Checkpoint
from imagenetd.models.classifier import About
from imagenetd.models.network import LabelOffset, NetworkClassifier
from imagenetd.models.preprocessing import REFERENCE, Preprocessing, resized_and_cropped, steps
from imagenetd.models.weights import nearest
from imagenetd.records import Identity, ModelFacts
from imagenetd.words.imagenet import NUM_CLASSES
from imagenetd.words.vocabulary import Category


@dataclass(frozen=True, kw_only=True)
class TorchvisionWeights(Checkpoint):
    """A network of torchvision, with local weights."""

    architecture: str
    """Name in torchvision, e.g. `squeezenet1_1`."""
    model_kwargs: dict[str, Any] | None = None
    """Arguments of torchvision's constructor."""

    @property
    def network(self) -> str:
        """The architecture."""
        return self.architecture

    def lacks_weights(self) -> str:
        """Return that no weights are known to torchvision without a file."""
        return "a torchvision model needs local weights. Give checkpoint=PATH, or choose a timm model."


@final
class TorchvisionClassifier(NetworkClassifier):
    """An ImageNet-1k classifier of torchvision.

    Args:
        source: Architecture and weights.
        preprocessing: What differs from the manifest beside the checkpoint, or else from torchvision's first weights.
        label_offset: 1 for a head with a background class before the first, as TensorFlow's; it is cut off.
        about: Family, training data, batch size.
    """

    adapter = library = "torchvision"

    @takes_options
    def __init__(
        self,
        *,
        source: TorchvisionWeights,
        preprocessing: Preprocessing,
        label_offset: LabelOffset = 0,
        about: About = About(family="torchvision"),  # noqa: B008 - it is frozen
    ) -> None:
        super().__init__(source, about, label_offset=label_offset)
        self.asked = preprocessing

    def own_identity(self, categories: Sequence[Category]) -> Identity:
        """Return the architecture, which torchvision has."""
        from torchvision import models

        architecture, known = self.source.architecture, models.list_models(module=models)
        if architecture not in known:
            hint = nearest(architecture, known, listing="torchvision.models.list_models()")
            raise ModelError(f"architecture={architecture} is no classifier of torchvision: {hint}")
        interpolation = self.preprocessing()["interpolation"]
        if interpolation not in ("bilinear", "bicubic", "nearest"):
            raise ModelError(
                f"{self.name}: interpolation={interpolation} is none of bilinear, bicubic, nearest."
            )
        return {
            "architecture": architecture,
            "model_kwargs": dict(self.source.model_kwargs or {}),
            "precision": "float32",
        }

    def preprocessing(self) -> Identity:
        """Return what torchvision's first weights want, in its place the manifest's, in its place the config's."""
        return self.asked.over(REFERENCE | card_preprocessing(self.source.path(), name=self.name))

    def make_transform(self, network: Any) -> tuple[Any, ModelFacts]:
        """Return torchvision's own steps."""
        options = self.preprocessing()
        return resized_and_cropped(**steps(options)), options

    def build(self, path: Path | None) -> tuple[Any, ModelFacts]:
        """Return the network with an output for each class, and what was read; or raise ModelError."""
        from torchvision import models

        assert path is not None
        offset = {"label_offset": self.label_offset} if self.label_offset else {}
        size = {"num_classes": NUM_CLASSES + self.label_offset} if offset else {}
        kwargs = dict(self.source.model_kwargs or {})
        try:
            network = models.get_model(self.source.architecture, weights=None, **(size | kwargs))
        except Exception as error:  # each architecture has its own errors
            raise self.source.cannot_make(error, "torchvision", kwargs) from error
        return network, self.fill(path, network).told() | offset
