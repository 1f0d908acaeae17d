"""A model of the user's own: any class or function that gives something which maps images to logits."""

import inspect
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, final

from imagenetd.config.ranges import Batch, Pixels, Range
from imagenetd.errors import ConfigError, ModelError
from imagenetd.models.class_order import IMAGENET, read_class_order
from imagenetd.models.classifier import closed_label_space
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
    from jaxtyping import Float
    from torch import Tensor

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@final
class CustomClassifier(NetworkClassifier):
    """Whatever `module` makes, called on batches of preprocessed images.

    Args:
        module: Dotted path of a class or function, e.g. `mypackage.MyModel`; what it returns maps "images 3 h w" to
            "images classes": a torch module, or any callable.
        kwargs: Arguments of `module`.
        checkpoint: State dict for the torch module (safetensors, or a torch file of plain tensors).
        checkpoint_entry: Which part of a checkpoint to read, e.g. `state_dict`; null: averaged weights first.
        label_offset: 1 for outputs with a background class before the first, as TensorFlow's; it is cut off.
        loads_own_weights: True: `module` returns a trained model, and no checkpoint is needed.
        version: Change it when the model changes and neither its source file, kwargs nor checkpoint does.
        classes: `imagenet` (1,000 outputs, WordNet ids sorted), a file that names the 1,000 outputs one a line (WordNet
            id or number), or a list of category keys (a closed set).
        transform: Dotted path of a function from a PIL image to a tensor "3 h w"; null: as below.
        input_size_px: Side of the square that the network sees.
        crop_pct: Part of the resized image that is kept.
        interpolation: `bilinear`, `bicubic`, `nearest`.
        mean: Subtracted from each channel, in 0..1.
        std: Divides each channel.
        batch_size: Images of one step.
        family: Models of one family make similar mistakes.
        training_data: Names of the data sets that the weights have seen; null: unknown.
        name: In messages; null: the module.
    """

    def __init__(
        self,
        *,
        module: str,
        kwargs: dict[str, Any] | None = None,
        checkpoint: str | None = None,
        checkpoint_entry: str | None = None,
        label_offset: Annotated[int, Range(0, 1)] = 0,
        loads_own_weights: bool = False,
        version: str | None = None,
        classes: str | list[str] = IMAGENET,
        transform: str | None = None,
        input_size_px: Pixels = 224,
        crop_pct: Annotated[float, Range(0, 2, open_low=True)] = 0.875,
        interpolation: str = "bilinear",
        mean: list[Annotated[float, Range(-1000, 1000)]] | None = None,
        std: list[Annotated[float, Range(0, 1000, open_low=True)]] | None = None,
        batch_size: Batch = 64,
        family: str = "custom",
        training_data: list[str] | str | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or module
        self.module, self.kwargs = module, dict(kwargs or {})
        self.checkpoint = Checkpoint(checkpoint, checkpoint_entry, self.name)
        self.label_offset = check_label_offset(label_offset, name=self.name)
        self.loads_own_weights, self.version, self.classes = loads_own_weights, version, classes
        self.transform_path, self.batch_size, self.family = transform, batch_size, family
        self.training_data = data_names(training_data)
        self._preprocessing: dict[str, Any] = {
            "input_size_px": input_size_px,
            "resize_px": int(input_size_px / crop_pct) if crop_pct > 0 else 0,
            "interpolation": interpolation,
            "mean": list(mean or MEAN),
            "std": list(std or STD),
        }
        Preprocessing(input_size_px, crop_pct, interpolation, mean, std).asked(name=self.name)
        self._order: Tensor | None = None

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return nothing: the code and the weights are local, and `identity` refuses a model without them."""
        return []

    def identity(self, categories: Sequence[Category]) -> dict[str, Any]:
        """Return the path and source of the code, its arguments, weights, preprocessing and meaning of the outputs."""
        path = self._path()
        order = read_class_order(self.classes, name=self.name)
        return {
            "adapter": "custom",
            "module": [self.module, self.kwargs, _source_sha256(self._found(self.module))],
            **self.checkpoint.identity(path, otherwise="its own"),
            "version": self.version,
            "classes": list(order) if order else self.classes,
            "preprocessing": self._described(),
        } | ({"label_offset": self.label_offset} if self.label_offset else {})

    def label_space(self, categories: Sequence[Category]) -> LabelSpace:
        """Return 1,000 classes, any ImageNet id of a category being right, or the model's own categories."""
        if not isinstance(self.classes, str):
            return closed_label_space(self.name, self.classes, categories)
        accepted = {category.name: category.imagenet_ids for category in categories}
        return LabelSpace("imagenet-1k", "any-of-ids", NUM_CLASSES, accepted)

    def load(self, categories: Sequence[Category], device: "torch.device") -> None:
        """Make the model, and read its weights where a checkpoint is given."""
        import torch

        path = self._path()
        try:
            model = self._found(self.module)(**self.kwargs)
        except Exception as error:  # code of the user
            self._refuse(error, f"{self.module}({self.kwargs}) cannot be made")
        order = read_class_order(self.classes, name=self.name)
        self._order = torch.tensor(order, device=device).argsort() if order else None
        self._transform = self._make_transform()
        read: dict[str, Any] = {"label_offset": self.label_offset} if self.label_offset else {}
        if isinstance(model, torch.nn.Module):
            if path is not None:
                read |= self.fill(path, model, architecture=self.module).told()
            self.settle(model, device, place=f"{self.name}: {path or self.module}")
            self.try_out(device, place=f"{self.name}: {path or self.module}")
        elif path is not None or not callable(model):
            what = f"a {type(model).__name__}, which is no torch module"
            raise ModelError(f"{self.name}: {self.module} gives {what}. Return one, or leave checkpoint out.")
        else:
            self._model, self._tail = model, None
        self._provenance = {
            "file": str(path) if path else self.module,
            "sha256": file_sha256(path) if path else _source_sha256(self._found(self.module)),
            **read,
            "preprocessing": self._described(),
            "library": f"torch {torch.__version__}",
        }

    def try_out(self, device: "torch.device", *, place: str) -> None:
        """Show the network a few pictures; what the user's code ends with is one line."""
        try:
            super().try_out(device, place=place)
        except ModelError:
            raise
        except Exception as error:  # code of the user
            self._refuse(error, f"{self.module} fails on images of its own transform")

    def logits(self, batch: 'Float[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images classes"]':
        """Return the outputs in the order of the label space."""
        import torch

        try:
            with torch.inference_mode():
                output = self._model(batch) if self._tail is None else self._tail.run(batch)
        except Exception as error:  # code of the user
            self._refuse(error, f"{self.module} fails on images of shape {list(batch.shape)}")
        return self.as_logits(output, len(batch))

    def as_logits(self, output: Any, num_images: int) -> 'Float[Tensor, "images classes"]':
        """Return the logits in what the user's code gives, in the order of the label space."""
        import torch

        output = getattr(output, "logits", output)
        if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != num_images:
            found = (
                f"shape {list(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
            )
            raise ModelError(f"{self.name}: {self.module} gives {found} where images x classes is needed.")
        output = output[:, self.label_offset :]
        if self._order is not None and output.shape[1] == len(self._order):
            output = output[:, self._order]
        return output.float()

    def _described(self) -> dict[str, Any]:
        if self.transform_path is None:
            return self._preprocessing
        return {"transform": self.transform_path, "source": _source_sha256(self._found(self.transform_path))}

    def _make_transform(self) -> Any:
        if self.transform_path is not None:
            return self._found(self.transform_path)
        return resized_and_cropped(**self._preprocessing)

    def _path(self) -> Path | None:
        path = self.checkpoint.path()
        if path is None and not self.loads_own_weights:
            raise ModelError(
                f"{self.name}: no checkpoint: the network would be random. Set checkpoint=PATH, or "
                f"loads_own_weights=true when {self.module} returns a trained model."
            )
        return path

    def _found(self, dotted: str) -> Callable[..., Any]:
        from hydra.utils import get_object

        try:
            return get_object(dotted)
        except Exception as error:  # hydra wraps whatever the import raises
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"{self.name}: {dotted} cannot be imported ({reason}). Install it, or put its folder on PYTHONPATH."
            ) from error

    def _refuse(self, error: Exception, what: str) -> NoReturn:
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ModelError(f"{self.name}: {what}: {reason} ({place.filename}:{place.lineno})") from error


def _source_sha256(thing: Any) -> str | None:
    """Return the hash of the file that holds some code; None for what has no Python source."""
    try:
        source = inspect.getsourcefile(thing)
    except TypeError:
        return None
    return file_sha256(Path(source)) if source and Path(source).is_file() else None
