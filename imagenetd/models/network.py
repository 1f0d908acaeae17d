"""What every adapter of a torch network does the same way: identity, loading, preprocessing, logits."""

import abc
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from imagenetd.config.ranges import Range
from imagenetd.errors import ModelError
from imagenetd.models.checkpoint import Checkpoint
from imagenetd.models.classifier import About, Classifier, closed_label_space, imagenet_label_space
from imagenetd.models.state_dicts import StateDict, choose_weights, prefixes_of
from imagenetd.models.weight_files import open_weights
from imagenetd.models.weights import load_error
from imagenetd.records import Identity, LabelSpace, MissingFile, ModelFacts
from imagenetd.store.tensors import check_effect, check_kinds, check_numbers
from imagenetd.words.vocabulary import Category

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from PIL import Image
    from torch import Tensor

LabelOffset = Annotated[int, Range(0, 1)]
"""Outputs before the first class: 1 for the background class of TensorFlow's networks; they are cut off."""


class NetworkClassifier(Classifier):
    """A torch network whose weights come from one file: what timm, torchvision, open_clip and custom ones share.

    An adapter says what its library calls things: `own_identity`, `preprocessing`, `build`, `make_transform`.

    Args:
        source: Network and weights.
        about: Family, training data, batch size.
        label_offset: See LabelOffset.
    """

    adapter: ClassVar[str]
    """Part of the identity."""
    library: ClassVar[str]
    """Whose version stands in the provenance."""

    def __init__(self, source: Checkpoint, about: About, *, label_offset: int = 0) -> None:
        self.describe(source.called, about)
        self.source: Any = source
        self.label_offset = label_offset
        self._model: Any = None
        self._transform: Any = None
        self._tail: Any = None
        self._provenance: Mapping[str, Any] = {}

    @abc.abstractmethod
    def own_identity(self, categories: Sequence[Category]) -> Identity:
        """Return what changes the logits besides weights and preprocessing; refuses what cannot be built."""

    @abc.abstractmethod
    def preprocessing(self) -> Identity:
        """Return an image's way into the network, in plain values."""

    @abc.abstractmethod
    def build(self, path: Path | None) -> tuple[Any, ModelFacts]:
        """Return the network with all weights from the file, and what was read; or raise ModelError."""

    @abc.abstractmethod
    def make_transform(self, network: Any) -> tuple[Any, ModelFacts]:
        """Return the function from a PIL image to "3 h w", and what it does in plain values."""

    def class_keys(self) -> Sequence[str] | None:
        """Return the category keys of the outputs, in order; None for the 1,000 classes of ImageNet."""
        return None

    def prepare(self, categories: Sequence[Category], device: "torch.device", path: Any) -> ModelFacts:
        """Make what the logits need besides the network, and return what the provenance should say of it."""
        return {}

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return what `load` would look for in vain."""
        return self.source.missing_files(option)

    def library_asked(self) -> str:
        """Return the library without which `missing_files` has no answer, and which takes long to read; empty: none."""
        return self.source.library_asked()

    def identity(self, categories: Sequence[Category]) -> Identity:
        """Return network, weights, preprocessing, and what else changes the logits."""
        own = self.own_identity(categories)
        offset = {"label_offset": self.label_offset} if self.label_offset else {}
        preprocessing = {"preprocessing": self.preprocessing()}
        return {"adapter": self.adapter, **self.source.identity(), **own, **preprocessing, **offset}

    def label_space(self, categories: Sequence[Category]) -> LabelSpace:
        """Return 1,000 classes, any ImageNet id of a category being right, or the model's own categories."""
        keys = self.class_keys()
        if keys is None:
            return imagenet_label_space(categories)
        return closed_label_space(self.name, keys, categories)

    def load(self, categories: Sequence[Category], device: "torch.device") -> None:
        """Read the weights into a float32 network, and try it on a few pictures."""
        self.label_space(categories)  # refuses unknown categories before the weights are read
        path = self.source.fetched()
        network, read = self.build(path)
        self._transform, preprocessing = self.make_transform(network)
        place = f"{self.name}: {path or self.source.network}"
        self.settle(network, device, place=place)
        told = self.prepare(categories, device, path)
        self.try_out(device, place=place)
        self._provenance = {
            **self.source.loaded(path),
            **read,
            "preprocessing": preprocessing,
            "library": f"{self.library} {importlib.import_module(self.library).__version__}",
            **told,
        }

    def provenance(self) -> ModelFacts:
        """Return what was loaded."""
        return dict(self._provenance)

    def transform(self, image: "Image.Image") -> 'Float[Tensor, "3 h w"]':
        """Return the image as the network wants it: resized, cropped and normalised."""
        return self._transform(image.convert("RGB"))

    def logits(self, batch: 'Float[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images classes"]':
        """Return the outputs of the head in float32, from the last features on."""
        import torch

        with torch.inference_mode():
            return self.as_logits(self._tail.run(batch), len(batch))

    def as_logits(self, output: Any, num_images: int) -> 'Float[Tensor, "images classes"]':
        """Return the logits in what the network gives, without the outputs before the first class."""
        return output.float()[:, self.label_offset :]

    def network(self) -> "torch.nn.Module":
        """Return the loaded network itself, for training it further."""
        return self._model

    def read(self, path: Path, network: "torch.nn.Module") -> StateDict:
        """Return the weights in a file that a network has the places for, checked; it is not filled yet."""
        place = f"{self.name}: {path}"
        own = network.state_dict()
        try:
            shapes = {name: tuple(value.shape) for name, value in own.items()}
            found = choose_weights(
                open_weights(path), path, shapes=shapes, entry=self.source.checkpoint_entry
            )
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from error
        except OSError as error:
            raise load_error(error, name=self.name, path=path, architecture=self.source.network) from error
        check_kinds(found.tensors, own, place=place)
        return found

    def fill(self, path: Path, network: "torch.nn.Module") -> StateDict:
        """Read a file into a network, every weight of it, or raise ModelError."""
        found = self.read(path, network)
        self.put(found, network, path)
        return found

    def put(self, found: StateDict, network: "torch.nn.Module", path: Path) -> None:
        """Give a network the weights; ModelError unless each has its place and each place its weights."""
        try:
            network.load_state_dict(found.tensors)
        except Exception as error:  # each format has its own errors
            raise self.misfit(error, found, path) from error

    def misfit(self, error: Exception, found: StateDict, path: Path) -> ModelError:
        """Return the line that says why weights do not fit, with the prefixes of their names."""
        prefixes = prefixes_of(list(found.tensors))
        return load_error(
            error, name=self.name, path=path, architecture=self.source.network, prefixes=prefixes
        )

    def settle(self, network: "torch.nn.Module", device: "torch.device", *, place: str) -> None:
        """Take a filled network into use, once its weights are finite and have an effect."""
        from imagenetd.models.precision import PreciseTail

        check_numbers(network.named_parameters(), place=place)
        running = ((name, value) for name, value in network.named_buffers() if "running_" in name)
        check_numbers(((name, value) for name, value in running if value.ndim == 1), place=place)
        self._model = network.to(device).eval().requires_grad_(False)
        self._tail = PreciseTail(self.seeing())

    def seeing(self) -> "torch.nn.Module":
        """Return the part that sees images; a dual encoder has another one."""
        return self._model

    def try_out(self, device: "torch.device", *, place: str) -> None:
        """Show the network a few pictures of patches; ModelError when it answers the same to all."""
        import torch

        batch = torch.stack([self.transform(image) for image in patches()]).to(device)
        with torch.inference_mode():
            self._tail.watch(batch)
        check_effect(self.logits(batch), place=place)


def patches() -> "list[Image.Image]":
    """Return a few pictures of coloured patches that nothing but a dead network answers alike."""
    import numpy as np
    from PIL import Image

    drawn = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize((256, 256), Image.Resampling.NEAREST) for pixels in drawn]
