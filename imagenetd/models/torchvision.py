"""Image classifiers of torchvision with local weights."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from imagenetd.config.ranges import Batch, Pixels, Range
from imagenetd.errors import ModelError
from imagenetd.models.card import card_preprocessing
from imagenetd.models.network import (
    Checkpoint,
    NetworkClassifier,
    Preprocessing,
    check_label_offset,
    resized_and_cropped,
)
from imagenetd.models.relations import data_names
from imagenetd.records import LabelSpace, MissingFile
from imagenetd.store.folders import file_sha256
from imagenetd.words.imagenet import NUM_CLASSES
from imagenetd.words.vocabulary import Category

if TYPE_CHECKING:
    import torch

REFERENCE = {
    "input_size": [3, 224, 224],
    "crop_pct": 0.875,
    "interpolation": "bilinear",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
"""What torchvision's first weights of ImageNet-1k were trained and tested with."""


@final
class TorchvisionClassifier(NetworkClassifier):
    """An ImageNet-1k classifier of torchvision.

    Args:
        architecture: Name in torchvision, e.g. `squeezenet1_1`.
        checkpoint: Local weights: a safetensors file, or a torch file of plain tensors.
        checkpoint_entry: Which part of a checkpoint to read, e.g. `state_dict`; null: averaged weights first.
        label_offset: 1 for a head with a background class before the first, as TensorFlow's; it is cut off.
        model_kwargs: Arguments of torchvision's constructor.
        input_size_px: Side of the square that the network sees; null: as the manifest beside the checkpoint says, or
            else 224; likewise for the next four.
        crop_pct: Part of the resized image that is kept: the shorter side is resized to input_size_px / crop_pct.
        interpolation: `bilinear` or `bicubic`, with antialiasing as Pillow does it.
        mean: Subtracted from each channel, in 0..1.
        std: Divides each channel.
        batch_size: Images of one step.
        family: Models of one family make similar mistakes.
        training_data: Names of the data sets that the weights have seen; null: unknown.
        name: In messages; null: the architecture.
    """

    def __init__(
        self,
        *,
        architecture: str,
        checkpoint: str | None = None,
        checkpoint_entry: str | None = None,
        label_offset: Annotated[int, Range(0, 1)] = 0,
        model_kwargs: dict[str, Any] | None = None,
        input_size_px: Pixels | None = None,
        crop_pct: Annotated[float, Range(0, 2, open_low=True)] | None = None,
        interpolation: str | None = None,
        mean: list[Annotated[float, Range(-1000, 1000)]] | None = None,
        std: list[Annotated[float, Range(0, 1000, open_low=True)]] | None = None,
        batch_size: Batch = 64,
        family: str = "torchvision",
        training_data: list[str] | str | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or architecture
        self.architecture, self.model_kwargs = architecture, dict(model_kwargs or {})
        self.checkpoint = Checkpoint(checkpoint, checkpoint_entry, self.name)
        self.label_offset = check_label_offset(label_offset, name=self.name)
        self.batch_size, self.family = batch_size, family
        self.training_data = data_names(training_data)
        asked = Preprocessing(input_size_px, crop_pct, interpolation, mean, std)
        self._overrides = asked.asked(name=self.name)

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return nothing: weights are local, and `identity` refuses a model without them."""
        return []

    def identity(self, categories: Sequence[Category]) -> dict[str, Any]:
        """Return architecture, weights and preprocessing."""
        self._check_architecture()
        return {
            "adapter": "torchvision",
            "architecture": self.architecture,
            **self.checkpoint.identity(self._path(), otherwise=""),
            "model_kwargs": self.model_kwargs,
            "preprocessing": self._preprocessing(),
            "precision": "float32",
        } | ({"label_offset": self.label_offset} if self.label_offset else {})

    def label_space(self, categories: Sequence[Category]) -> LabelSpace:
        """Return 1,000 classes, any ImageNet id of a category being right."""
        accepted = {category.name: category.imagenet_ids for category in categories}
        return LabelSpace("imagenet-1k", "any-of-ids", NUM_CLASSES, accepted)

    def load(self, categories: Sequence[Category], device: "torch.device") -> None:
        """Read the weights into a float32 network."""
        import torchvision

        path = self._path()
        network = self._made()
        found = self.fill(path, network, architecture=self.architecture)
        options = self._preprocessing()
        size = options["input_size"][-1]
        self._transform = resized_and_cropped(
            input_size_px=size,
            resize_px=int(size / options["crop_pct"]),
            interpolation=options["interpolation"],
            mean=options["mean"],
            std=options["std"],
        )
        place = f"{self.name}: {path}"
        self.settle(network, device, place=place)
        self.try_out(device, place=place)
        offset = {"label_offset": self.label_offset} if self.label_offset else {}
        self._provenance = {
            "file": str(path),
            "sha256": file_sha256(path),
            **found.told(),
            **offset,
            "preprocessing": options,
            "library": f"torchvision {torchvision.__version__}",
        }

    def _preprocessing(self) -> dict[str, Any]:
        return REFERENCE | card_preprocessing(self._path(), name=self.name) | self._overrides

    def _path(self) -> Path:
        path = self.checkpoint.path()
        if path is None:
            raise ModelError(
                f"{self.name}: a torchvision model needs local weights. Give checkpoint=PATH, or choose a timm model."
            )
        return path

    def _check_architecture(self) -> None:
        from torchvision import models

        known = models.list_models(module=models)
        if self.architecture not in known:
            close = difflib.get_close_matches(self.architecture, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "torchvision.models.list_models() has the names."
            raise ModelError(f"architecture={self.architecture} is no classifier of torchvision: {hint}")
        interpolation = self._preprocessing()["interpolation"]
        if interpolation not in ("bilinear", "bicubic", "nearest"):
            raise ModelError(
                f"{self.name}: interpolation={interpolation} is none of bilinear, bicubic, nearest."
            )

    def _made(self) -> Any:
        """Return the network without weights, with an output for each class; or raise ModelError."""
        from torchvision import models

        size = {"num_classes": NUM_CLASSES + self.label_offset} if self.label_offset else {}
        try:
            return models.get_model(self.architecture, weights=None, **(size | self.model_kwargs))
        except Exception as error:  # each architecture has its own errors
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ModelError(
                f"{self.name}: torchvision cannot make {self.architecture} with model_kwargs={self.model_kwargs}: "
                f"{reason}"
            ) from error
