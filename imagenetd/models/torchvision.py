"""Image classifiers of torchvision with local weights."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from imagenetd.errors import ModelError
from imagenetd.imagenet import NUM_CLASSES
from imagenetd.models.card import card_preprocessing
from imagenetd.models.classifier import Classifier
from imagenetd.models.hub import resolve_local
from imagenetd.models.weights import find_weights, load_error
from imagenetd.ranges import Batch, Pixels, Range
from imagenetd.records import LabelSpace, MissingFile
from imagenetd.relations import data_names
from imagenetd.store import file_sha256
from imagenetd.vocabulary import Category

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from PIL import Image
    from torch import Tensor

REFERENCE = {
    "input_size": [3, 224, 224],
    "crop_pct": 0.875,
    "interpolation": "bilinear",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
"""What torchvision's first weights of ImageNet-1k were trained and tested with."""


@final
class TorchvisionClassifier(Classifier):
    """An ImageNet-1k classifier of torchvision.

    Args:
        architecture: Name in torchvision, e.g. `squeezenet1_1`.
        checkpoint: Local weights: a safetensors file, or a torch file of plain tensors.
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
        self.architecture, self.checkpoint = architecture, checkpoint
        self.model_kwargs = dict(model_kwargs or {})
        self.batch_size, self.family = batch_size, family
        self.training_data = data_names(training_data)
        asked = {
            "input_size": None if input_size_px is None else [3, input_size_px, input_size_px],
            "crop_pct": crop_pct,
            "interpolation": interpolation,
            "mean": mean,
            "std": std,
        }
        self._overrides = {key: value for key, value in asked.items() if value is not None}
        self._model: Any = None
        self._transform: Any = None
        self._provenance: dict[str, Any] = {}

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return nothing: weights are local, and `identity` refuses a model without them."""
        return []

    def identity(self, categories: Sequence[Category]) -> dict[str, Any]:
        """Return architecture, weights and preprocessing."""
        self._check_architecture()
        return {
            "adapter": "torchvision",
            "architecture": self.architecture,
            "weights": f"sha256:{file_sha256(self._path())}",
            "model_kwargs": self.model_kwargs,
            "preprocessing": self._preprocessing(),
            "precision": "float32",
        }

    def label_space(self, categories: Sequence[Category]) -> LabelSpace:
        """Return 1,000 classes, any ImageNet id of a category being right."""
        accepted = {category.name: category.imagenet_ids for category in categories}
        return LabelSpace("imagenet-1k", "any-of-ids", NUM_CLASSES, accepted)

    def load(self, categories: Sequence[Category], device: "torch.device") -> None:
        """Read the weights into a float32 network."""
        import torchvision
        from torchvision import transforms

        path = self._path()
        self._model = self._build(path).to(device).eval().requires_grad_(False)
        options = self._preprocessing()
        size = options["input_size"][-1]
        interpolation = transforms.InterpolationMode(options["interpolation"])
        self._transform = transforms.Compose(
            [
                transforms.Resize(int(size / options["crop_pct"]), interpolation, antialias=True),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize(options["mean"], options["std"]),
            ]
        )
        self._provenance = {
            "file": str(path),
            "sha256": file_sha256(path),
            "preprocessing": options,
            "library": f"torchvision {torchvision.__version__}",
        }

    def provenance(self) -> dict[str, Any]:
        """Return what was loaded."""
        return dict(self._provenance)

    def transform(self, image: "Image.Image") -> 'Float[Tensor, "3 h w"]':
        """Resize the shorter side, crop the centre and normalise."""
        return self._transform(image.convert("RGB"))

    def logits(self, batch: 'Float[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images classes"]':
        """Return the network's outputs."""
        import torch

        with torch.inference_mode():
            return self._model(batch).float()

    def _preprocessing(self) -> dict[str, Any]:
        return REFERENCE | card_preprocessing(self._path(), name=self.name) | self._overrides

    def _path(self) -> Path:
        if self.checkpoint is None:
            raise ModelError(
                f"{self.name}: a torchvision model needs local weights. Give checkpoint=PATH, or choose a timm model."
            )
        path = resolve_local(self.checkpoint)
        if path is None:
            raise ModelError(
                f"{self.name}: checkpoint={self.checkpoint} does not exist (read from {Path.cwd()})."
            )
        return find_weights(path, preferred=("model.safetensors",), name=self.name)

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

    def _build(self, path: Path) -> Any:
        """Return the network with all weights from the file, or raise ModelError."""
        from timm.models import load_state_dict
        from torchvision import models

        try:
            state = load_state_dict(str(path), weights_only=True)
            model = models.get_model(self.architecture, weights=None, **self.model_kwargs)
            model.load_state_dict(state)
        except Exception as error:  # each format has its own errors
            raise load_error(error, name=self.name, path=path, architecture=self.architecture) from error
        return model
