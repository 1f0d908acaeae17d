"""Image classifiers of the timm library."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from imagenetd.config.groups import takes_options
from imagenetd.errors import ModelError
from imagenetd.models.classifier import About
from imagenetd.models.network import LabelOffset, NetworkClassifier
from imagenetd.models.preprocessing import Preprocessing
from imagenetd.models.state_dicts import StateDict
from imagenetd.models.timm_weights import TimmWeights, registered
from imagenetd.models.weights import plain
from imagenetd.records import Identity, ModelFacts
from imagenetd.words.imagenet import NUM_CLASSES
from imagenetd.words.vocabulary import Category

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

IMAGENET = "imagenet"
OWN = "own"
_PREPROCESSING = ("input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std")


@final
class TimmClassifier(NetworkClassifier):
    """A timm model with its own preprocessing.

    Args:
        source: Architecture and weights.
        preprocessing: What differs from the model's own.
        classes: What the outputs mean: `imagenet` (the 1,000 classes), `own` (`label_names` of the checkpoint's
            config.json are category keys), or a list of category keys.
        label_offset: 1 for a head with a background class before the first, as TensorFlow's; it is cut off.
        about: Family, training data, batch size.
    """

    adapter = library = "timm"

    @takes_options
    def __init__(
        self,
        *,
        source: TimmWeights,
        preprocessing: Preprocessing,
        classes: str | list[str] = IMAGENET,
        label_offset: LabelOffset = 0,
        about: About = About(family="timm"),  # noqa: B008 - it is frozen
    ) -> None:
        super().__init__(source, about, label_offset=label_offset)
        self.classes, self.asked = classes, preprocessing

    def own_identity(self, categories: Sequence[Category]) -> Identity:
        """Return architecture and meaning of the outputs."""
        self._description()
        keys = self.class_keys()
        return {
            "architecture": self.source.architecture,
            "model_kwargs": self.source.arguments(),
            "classes": IMAGENET if keys is None else list(keys),
            "precision": "float32",
        }

    def preprocessing(self) -> Identity:
        """Return the model's own values, with those that the config overrides."""
        cfg = self.source.description()
        return self.asked.over({key: cfg[key] for key in _PREPROCESSING if cfg.get(key) is not None})

    def make_transform(self, network: Any) -> tuple[Any, ModelFacts]:
        """Return timm's own preprocessing."""
        import timm.data

        data = timm.data.resolve_data_config(args=self.asked.over({}), pretrained_cfg=self.preprocessing())
        return timm.data.create_transform(**data, is_training=False), plain(data)

    def logits(self, batch: 'Float[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images classes"]':
        """Return the outputs of the head."""
        try:
            return super().logits(batch)
        except AssertionError as error:  # a transformer with a fixed grid of patches
            raise self._size_error(error) from error

    def try_out(self, device: "torch.device", *, place: str) -> None:
        """Show the network a few pictures; ModelError for a size that it cannot take, or without an effect."""
        try:
            super().try_out(device, place=place)
        except AssertionError as error:
            raise self._size_error(error) from error

    def _size_error(self, error: AssertionError) -> ModelError:
        return ModelError(f"{self.name}: {error} Change input_size_px, or model_kwargs.img_size.")

    def build(self, path: Path | None) -> tuple[Any, ModelFacts]:
        """Return the network with all weights from the file, and what was read; or raise ModelError."""
        import timm

        assert path is not None
        cfg = self._description()
        asked = {"num_classes": self._num_classes() + self.label_offset, **self.source.arguments()}
        try:
            network = timm.create_model(self.source.architecture, pretrained=False, **asked)
        except Exception as error:  # each architecture has its own errors
            raise self.source.cannot_make(error, "timm", self.source.arguments()) from error
        found = self.read(path, network)
        skipped = self._check_head(found.tensors, cfg, path)
        offset = {"label_offset": skipped + self.label_offset} if skipped + self.label_offset else {}
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        if skipped == 0 and all(
            name in found.tensors and found.tensors[name].shape == shape
            for name, shape in shapes.items()
            if not name.endswith("num_batches_tracked")
        ):
            self.put(found, network, path)
        else:
            network = self._converted(found, path, asked, skipped)
        return network, found.told() | offset

    def _converted(self, found: StateDict, path: Path, asked: dict[str, Any], offset: int) -> Any:
        """Return a network filled by timm's own loader, which converts other layouts of an architecture."""
        import timm

        # timm drops a head of another size without a word, hence the check before.
        overlay = {
            "state_dict": found.tensors,
            "num_classes": asked["num_classes"],
            "custom_load": False,
            "label_offset": offset,
        }
        try:
            model = timm.create_model(
                self.source.architecture, pretrained=True, pretrained_cfg_overlay=overlay, **asked
            )
        except Exception as error:
            raise self.misfit(error, found, path) from error
        model.pretrained_cfg.pop("state_dict", None)  # else the weights stay in memory twice
        return model

    def _check_head(self, state: dict[str, Any], cfg: dict[str, Any], path: Path) -> int:
        """Refuse a head of another size; return how many of its classes come before the first of ours."""
        head = cfg.get("classifier") or registered(self.source.architecture).get("classifier")
        first = head[0] if isinstance(head, list | tuple) else head
        weight = state.get(f"{first}.weight")
        offset = cfg.get("label_offset") or 0
        if weight is None or len(weight) == self._num_classes() + self.label_offset:
            return 0
        if len(weight) == self._num_classes() + offset:
            return offset
        advice = "Correct `classes`, or choose another file."
        if len(weight) == self._num_classes() + 1 and not self.label_offset:
            advice = "If a background class comes first, as in TensorFlow's networks, set label_offset=1."
        raise ModelError(
            f"{self.name}: conf says {self._num_classes()} classes (classes={self.classes}), "
            f"but {path} holds {len(weight)}. {advice}"
        )

    def _description(self) -> dict[str, Any]:
        """Return timm's description of the weights; refuse those known to have no head, or another one."""
        cfg = self.source.description()
        is_bare_file = self.source.checkpoint is not None and self.source.folder_config() is None
        found = cfg.get("num_classes", NUM_CLASSES)
        if is_bare_file or found == self._num_classes() + self.label_offset:
            return cfg  # of a bare file, `load` counts the classes
        what = "no classifier head" if not found else f"{found} classes"
        raise ModelError(
            f"{self.name}: the weights have {what}, but classes={self.classes} needs {self._num_classes()}. "
            "Choose weights that were trained with this head; it is never filled with random numbers."
        )

    def _num_classes(self) -> int:
        keys = self.class_keys()
        return NUM_CLASSES if keys is None else len(keys)

    def class_keys(self) -> Sequence[str] | None:
        """Return the category keys of the outputs, in order; None for the 1,000 classes of ImageNet."""
        if self.classes == IMAGENET:
            return None
        if not isinstance(self.classes, str):
            return tuple(self.classes)
        if self.classes != OWN:
            raise ModelError(
                f"{self.name}: classes={self.classes} is none of {IMAGENET}, {OWN}, [CATEGORY,...]."
            )
        config = self.source.folder_config() or {}
        labels = config.get("label_names") or config.get("pretrained_cfg", {}).get("label_names")
        if not labels:
            raise ModelError(
                f"{self.name}: classes=own needs `label_names` in the config.json beside the weights, which "
                f"checkpoint={self.source.checkpoint} lacks. Add it, or give classes=[...]."
            )
        return tuple(labels)
