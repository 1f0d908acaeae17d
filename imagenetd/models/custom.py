"""A model of the user's own: any class or function that gives something which maps images to logits."""

import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, final

from imagenetd.config.groups import takes_options
from imagenetd.errors import ConfigError, ModelError
from imagenetd.models.checkpoint import Checkpoint
from imagenetd.models.class_order import IMAGENET, read_class_order
from imagenetd.models.classifier import About
from imagenetd.models.network import LabelOffset, NetworkClassifier
from imagenetd.models.preprocessing import REFERENCE, Preprocessing, resized_and_cropped, steps
from imagenetd.models.weights import first_line
from imagenetd.records import Identity, ModelFacts
from imagenetd.store.folders import file_sha256
from imagenetd.words.vocabulary import Category

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class OwnCode(Checkpoint):
    """Code of the user that makes a network, and the state dict that fills it."""

    module: str
    """Dotted path of a class or function, e.g. `mypackage.MyModel`; what it returns maps "images 3 h w" to "images
    classes": a torch module, or any callable."""
    kwargs: dict[str, Any] | None = None
    """Arguments of `module`."""
    transform: str | None = None
    """Dotted path of a function from a PIL image to a tensor "3 h w"; null: the preprocessing of the config."""
    loads_own_weights: bool = False
    """True: `module` returns a trained model, and no checkpoint is needed."""
    version: str | None = None
    """Change it when the model changes and neither its source file, kwargs nor checkpoint does."""

    @property
    def network(self) -> str:
        """The dotted path."""
        return self.module

    def lacks_weights(self) -> str | None:
        """Return why the network would be random; None for code that brings its weights."""
        if self.loads_own_weights:
            return None
        return (
            "no checkpoint: the network would be random. Set checkpoint=PATH, or loads_own_weights=true when "
            f"{self.module} returns a trained model."
        )

    def loaded(self, path: Path | None) -> ModelFacts:
        """Return file and hash of the weights, or else of the code."""
        if path is not None:
            return super().loaded(path)
        return {"file": self.module, "sha256": _source_sha256(self.found(self.module))}

    def found(self, dotted: str) -> Callable[..., Any]:
        """Return what a dotted path names."""
        from hydra.utils import get_object

        try:
            return get_object(dotted)
        except Exception as error:  # hydra wraps whatever the import raises
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"{self.called}: {dotted} cannot be imported ({reason}). Install it, or put its folder on PYTHONPATH."
            ) from error


@final
class CustomClassifier(NetworkClassifier):
    """Whatever `module` makes, called on batches of preprocessed images.

    Args:
        source: Code and weights.
        preprocessing: Where `transform` is null: what differs from torchvision's first weights of ImageNet-1k.
        classes: `imagenet` (1,000 outputs, WordNet ids sorted), a file that names the 1,000 outputs one a line (WordNet
            id or number), or a list of category keys (a closed set).
        label_offset: 1 for outputs with a background class before the first, as TensorFlow's; it is cut off.
        about: Family, training data, batch size.
    """

    adapter, library = "custom", "torch"

    @takes_options
    def __init__(
        self,
        *,
        source: OwnCode,
        preprocessing: Preprocessing,
        classes: str | list[str] = IMAGENET,
        label_offset: LabelOffset = 0,
        about: About = About(family="custom"),  # noqa: B008 - it is frozen
    ) -> None:
        super().__init__(source, about, label_offset=label_offset)
        self.classes, self._steps = classes, steps(preprocessing.over(REFERENCE))
        self._order: Tensor | None = None

    def class_keys(self) -> Sequence[str] | None:
        """Return the category keys of a closed set."""
        return None if isinstance(self.classes, str) else self.classes

    def own_identity(self, categories: Sequence[Category]) -> Identity:
        """Return the path and source of the code, its arguments, and the meaning of the outputs."""
        self.source.path()
        order = read_class_order(self.classes, name=self.name)
        source = self.source
        return {
            "module": [source.module, dict(source.kwargs or {}), _source_sha256(source.found(source.module))],
            "version": source.version,
            "classes": list(order) if order else self.classes,
        }

    def preprocessing(self) -> Identity:
        """Return the steps, or path and source of the user's transform."""
        path = self.source.transform
        if path is None:
            return self._steps
        return {"transform": path, "source": _source_sha256(self.source.found(path))}

    def make_transform(self, network: Any) -> tuple[Any, ModelFacts]:
        """Return the user's transform, or else the steps of the config."""
        path = self.source.transform
        made = resized_and_cropped(**self._steps) if path is None else self.source.found(path)
        return made, self.preprocessing()

    def build(self, path: Path | None) -> tuple[Any, ModelFacts]:
        """Return what the user's code makes, its weights read where a checkpoint is given."""
        import torch

        module, kwargs = self.source.module, self.source.kwargs or {}
        try:
            model = self.source.found(module)(**kwargs)
        except Exception as error:  # code of the user
            self._refuse(error, f"{module}({kwargs}) cannot be made")
        read: ModelFacts = {"label_offset": self.label_offset} if self.label_offset else {}
        if isinstance(model, torch.nn.Module):
            return model, read | (self.fill(path, model).told() if path is not None else {})
        if path is not None or not callable(model):
            what = f"a {type(model).__name__}, which is no torch module"
            raise ModelError(f"{self.name}: {module} gives {what}. Return one, or leave checkpoint out.")
        return model, read

    def settle(self, network: Any, device: "torch.device", *, place: str) -> None:
        """Take a torch module into use once its weights are sound; another callable as it is."""
        import torch

        if isinstance(network, torch.nn.Module):
            super().settle(network, device, place=place)
        else:
            self._model, self._tail = network, None

    def prepare(self, categories: Sequence[Category], device: "torch.device", path: Any) -> ModelFacts:
        """Read the order of the outputs."""
        import torch

        order = read_class_order(self.classes, name=self.name)
        self._order = torch.tensor(order, device=device).argsort() if order else None
        return {}

    def try_out(self, device: "torch.device", *, place: str) -> None:
        """Show the network a few pictures; what the user's code ends with is one line."""
        if self._tail is None:
            return
        try:
            super().try_out(device, place=place)
        except ModelError:
            raise
        except Exception as error:  # code of the user
            self._refuse(error, f"{self.source.module} fails on images of its own transform")

    def logits(self, batch: 'Float[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images classes"]':
        """Return the outputs in the order of the label space."""
        import torch

        try:
            with torch.inference_mode():
                output = self._model(batch) if self._tail is None else self._tail.run(batch)
        except Exception as error:  # code of the user
            self._refuse(error, f"{self.source.module} fails on images of shape {list(batch.shape)}")
        return self.as_logits(output, len(batch))

    def as_logits(self, output: Any, num_images: int) -> 'Float[Tensor, "images classes"]':
        """Return the logits in what the user's code gives, in the order of the label space."""
        import torch

        output = getattr(output, "logits", output)
        if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != num_images:
            found = (
                f"shape {list(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
            )
            raise ModelError(
                f"{self.name}: {self.source.module} gives {found} where images x classes is needed."
            )
        output = output[:, self.label_offset :]
        if self._order is not None and output.shape[1] == len(self._order):
            output = output[:, self._order]
        return output.float()

    def _refuse(self, error: Exception, what: str) -> NoReturn:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ModelError(
            f"{self.name}: {what}: {first_line(error)} ({place.filename}:{place.lineno})"
        ) from error


def _source_sha256(thing: Any) -> str | None:
    """Return the hash of the file that holds some code; None for what has no Python source."""
    try:
        source = inspect.getsourcefile(thing)
    except TypeError:
        return None
    return file_sha256(Path(source)) if source and Path(source).is_file() else None
