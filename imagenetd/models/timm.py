"""Image classifiers of the timm library."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from imagenetd.config.ranges import Batch, Megabytes, Pixels, Range
from imagenetd.errors import ModelError
from imagenetd.models.classifier import closed_label_space
from imagenetd.models.network import Checkpoint, NetworkClassifier, Preprocessing, check_label_offset
from imagenetd.models.relations import data_names
from imagenetd.models.repositories import repository
from imagenetd.models.state_dicts import StateDict
from imagenetd.models.timm_weights import TimmWeights, registered
from imagenetd.models.weights import plain
from imagenetd.records import LabelSpace, MissingFile
from imagenetd.store.folders import file_sha256
from imagenetd.store.hub import fetch, missing_file
from imagenetd.words.vocabulary import Category

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

IMAGENET = "imagenet"
OWN = "own"
_NUM_IMAGENET = 1000
_PREPROCESSING = ("input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std")


@final
class TimmClassifier(NetworkClassifier):
    """A timm model with its own preprocessing.

    Args:
        architecture: Name in timm, with or without the tag of its weights, e.g. `resnet50.a1_in1k`.
        checkpoint: Local weights, instead of the hub's: a file, a folder as timm saves it (config.json and
            weights), or `package:...`.
        checkpoint_entry: Which part of a checkpoint to read, e.g. `state_dict`; null: averaged weights first.
        checkpoint_source: Where a checkpoint that must be given can be found, for the message without one.
        pretrained: False refuses the hub's weights, so that a checkpoint must be given.
        revision: Branch, tag or commit of the weights on the hub; null: `main`.
        classes: What the outputs mean: `imagenet` (the 1,000 classes), `own` (`label_names` of the checkpoint's
            config.json are category keys), or a list of category keys.
        label_offset: 1 for a head with a background class before the first, as TensorFlow's; it is cut off.
        model_kwargs: Arguments of timm's constructor, e.g. `pad_type`.
        input_size_px: Side of the square that the network sees; null: the model's own, as below.
        crop_pct: Part of the resized image that is kept.
        interpolation: `bilinear`, `bicubic`, ...
        mean: Subtracted from each channel, in 0..1.
        std: Divides each channel.
        batch_size: Images of one step.
        family: Models of one family make similar mistakes.
        training_data: Names of the data sets that the weights have seen; null: unknown.
        size_mb: Size of the download, for the message when the hub cannot be asked.
        name: In messages; null: the architecture.
    """

    def __init__(
        self,
        *,
        architecture: str,
        checkpoint: str | None = None,
        checkpoint_entry: str | None = None,
        checkpoint_source: str | None = None,
        pretrained: bool = True,
        revision: str | None = None,
        classes: str | list[str] = IMAGENET,
        label_offset: Annotated[int, Range(0, 1)] = 0,
        model_kwargs: dict[str, Any] | None = None,
        input_size_px: Pixels | None = None,
        crop_pct: Annotated[float, Range(0, 2, open_low=True)] | None = None,
        interpolation: str | None = None,
        mean: list[Annotated[float, Range(-1000, 1000)]] | None = None,
        std: list[Annotated[float, Range(0, 1000, open_low=True)]] | None = None,
        batch_size: Batch = 64,
        family: str = "timm",
        training_data: list[str] | str | None = None,
        size_mb: Megabytes | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or architecture
        self.weights = TimmWeights(
            architecture, checkpoint, pretrained, revision, self.name, checkpoint_source
        )
        self.architecture, self.classes, self.model_kwargs = architecture, classes, dict(model_kwargs or {})
        self.checkpoint = Checkpoint(checkpoint, checkpoint_entry, self.name)
        self.label_offset = check_label_offset(label_offset, name=self.name)
        asked = Preprocessing(input_size_px, crop_pct, interpolation, mean, std)
        self._overrides = asked.asked(name=self.name)
        self.batch_size, self.family, self.size_mb = batch_size, family, size_mb
        self.training_data = data_names(training_data)

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the weights if neither a local checkpoint, nor the cache, nor the hub has them."""
        here = f"{option}.checkpoint=PATH"
        if self.weights.local_path() is not None:
            return []
        missing = missing_file(self.weights.hub_file(), size_mb=self.size_mb, option=here)
        return [missing] if missing else []

    def library_asked(self) -> str:
        """Return timm where only timm can tell which repository holds the weights."""
        weights = self.weights
        is_known = weights.checkpoint is not None or repository("timm", self.architecture) is not None
        return "" if is_known else "timm"

    def identity(self, categories: Sequence[Category]) -> dict[str, Any]:
        """Return architecture, weights, preprocessing and meaning of the outputs."""
        cfg = self._checked_description()
        path = self.weights.local_path()
        return {
            "adapter": "timm",
            "architecture": self.architecture,
            **self.checkpoint.identity(path, otherwise="" if path else self.weights.hub_file().spelt()),
            "model_kwargs": self._model_args(),
            "preprocessing": self._preprocessing(cfg),
            "classes": IMAGENET if self.classes == IMAGENET else list(self._class_keys()),
            "precision": "float32",
        } | ({"label_offset": self.label_offset} if self.label_offset else {})

    def label_space(self, categories: Sequence[Category]) -> LabelSpace:
        """Return 1,000 classes, any ImageNet id of a category being right, or the model's own categories."""
        if self.classes == IMAGENET:
            accepted = {category.name: category.imagenet_ids for category in categories}
            return LabelSpace("imagenet-1k", "any-of-ids", _NUM_IMAGENET, accepted)
        return closed_label_space(self.name, self._class_keys(), categories)

    def load(self, categories: Sequence[Category], device: "torch.device") -> None:
        """Read the weights into a float32 network, head included."""
        import timm.data

        self.label_space(categories)  # refuses unknown categories before the weights are read
        cfg = self._checked_description()
        path = self.weights.local_path() or fetch(self.weights.hub_file(), option="checkpoint=PATH")
        network, read = self._build(path, cfg)
        data = timm.data.resolve_data_config(args=self._overrides, pretrained_cfg=self._preprocessing(cfg))
        self._transform = timm.data.create_transform(**data, is_training=False)
        place = f"{self.name}: {path}"
        self.settle(network, device, place=place)
        self.try_out(device, place=place)
        self._provenance = {
            "file": str(path),
            "sha256": file_sha256(path),
            **read,
            "preprocessing": plain(data),
            "library": f"timm {timm.__version__}",
        }

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

    def _build(self, path: Path, cfg: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the network with all weights from the file, and what was read; or raise ModelError."""
        import timm

        asked = {"num_classes": self._num_classes() + self.label_offset, **self._model_args()}
        try:
            network = timm.create_model(self.architecture, pretrained=False, **asked)
        except Exception as error:  # each architecture has its own errors
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ModelError(
                f"{self.name}: timm cannot make {self.architecture} with model_kwargs={self._model_args()}: {reason}"
            ) from error
        found = self.read(path, network, architecture=self.architecture)
        offset = self._check_head(found.tensors, cfg, path)
        told = found.told() | (
            {"label_offset": offset + self.label_offset} if offset + self.label_offset else {}
        )
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        if offset == 0 and all(
            name in found.tensors and found.tensors[name].shape == shape
            for name, shape in shapes.items()
            if not name.endswith("num_batches_tracked")
        ):
            self.put(found, network, path, architecture=self.architecture)
            return network, told
        return self._converted(found, path, asked, offset), told

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
                self.architecture, pretrained=True, pretrained_cfg_overlay=overlay, **asked
            )
        except Exception as error:
            raise self.misfit(error, found, path, architecture=self.architecture) from error
        model.pretrained_cfg.pop("state_dict", None)  # else the weights stay in memory twice
        return model

    def _check_head(self, state: dict[str, Any], cfg: dict[str, Any], path: Path) -> int:
        """Refuse a head of another size; return how many of its classes come before the first of ours."""
        head = cfg.get("classifier") or registered(self.architecture).get("classifier")
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

    def _checked_description(self) -> dict[str, Any]:
        """Return timm's description of the weights; refuse those known to have no head, or another one."""
        cfg = self.weights.description()
        is_bare_file = self.weights.checkpoint is not None and self.weights.folder_config() is None
        found = cfg.get("num_classes", _NUM_IMAGENET)
        if is_bare_file or found == self._num_classes() + self.label_offset:
            return cfg  # of a bare file, `load` counts the classes
        what = "no classifier head" if not found else f"{found} classes"
        raise ModelError(
            f"{self.name}: the weights have {what}, but classes={self.classes} needs {self._num_classes()}. "
            "Choose weights that were trained with this head; it is never filled with random numbers."
        )

    def _num_classes(self) -> int:
        return _NUM_IMAGENET if self.classes == IMAGENET else len(self._class_keys())

    def _class_keys(self) -> tuple[str, ...]:
        """Return the category keys of the outputs, in order."""
        if not isinstance(self.classes, str):
            return tuple(self.classes)
        if self.classes != OWN:
            raise ModelError(
                f"{self.name}: classes={self.classes} is none of {IMAGENET}, {OWN}, [CATEGORY,...]."
            )
        config = self.weights.folder_config() or {}
        labels = config.get("label_names") or config.get("pretrained_cfg", {}).get("label_names")
        if not labels:
            raise ModelError(
                f"{self.name}: classes=own needs `label_names` in the config.json beside the weights, which "
                f"checkpoint={self.weights.checkpoint} lacks. Add it, or give classes=[...]."
            )
        return tuple(labels)

    def _model_args(self) -> dict[str, Any]:
        return {**(self.weights.folder_config() or {}).get("model_args", {}), **self.model_kwargs}

    def _preprocessing(self, cfg: dict[str, Any]) -> dict[str, Any]:
        """Return the model's own values, with those that the config overrides."""
        return plain({key: cfg[key] for key in _PREPROCESSING if cfg.get(key) is not None} | self._overrides)
