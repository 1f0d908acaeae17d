"""What every adapter of a torch network does the same way: its preprocessing, its checkpoint, its identity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenetd.errors import ConfigError, ModelError
from imagenetd.models.classifier import Classifier
from imagenetd.models.preprocessing import check_preprocessing
from imagenetd.models.state_dicts import StateDict, choose_weights, prefixes_of
from imagenetd.models.weight_files import open_weights
from imagenetd.models.weights import find_weights, load_error
from imagenetd.store.folders import file_sha256
from imagenetd.store.hub import resolve_local
from imagenetd.store.tensors import check_effect, check_kinds, check_numbers

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from PIL import Image
    from torch import Tensor

READER = 2
"""Of torch files; 2 reads averaged weights first wherever they lie. Safetensors hold one set of weights."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a config says about an image's way into the network; None: as the weights say themselves."""

    input_size_px: int | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    def asked(self, *, name: str) -> dict[str, Any]:
        """Return what is not None under timm's names, checked; input_size is "3 h w"."""
        size = None if self.input_size_px is None else [3, self.input_size_px, self.input_size_px]
        values = {
            "input_size": size,
            "crop_pct": self.crop_pct,
            "interpolation": self.interpolation,
            "mean": self.mean and list(self.mean),
            "std": self.std and list(self.std),
        }
        found = {key: value for key, value in values.items() if value is not None}
        check_preprocessing(found, name=name)
        return found


def resized_and_cropped(
    *, input_size_px: int, resize_px: int, interpolation: str, mean: Sequence[float], std: Sequence[float]
) -> Any:
    """Return the function that resizes the shorter side, crops the centre and normalises, as torchvision does it."""
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.Resize(resize_px, transforms.InterpolationMode(interpolation), antialias=True),
            transforms.CenterCrop(input_size_px),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The place of a network's weights in the config."""

    spec: str | None
    """A file, a folder, `package:...`; None: the config names none."""
    entry: str | None
    """Which part of the file to read; None: averaged weights first, else the only ones that fit."""
    name: str
    """Of the model, in messages."""
    preferred: tuple[str, ...] = ("model.safetensors", "pytorch_model.bin")
    """File names to take when a folder holds several, best first."""

    def path(self) -> Path | None:
        """Return the file, None when the config names none; ModelError when it is not there."""
        if self.spec is None:
            return None
        path = resolve_local(self.spec)
        if path is None:
            raise ModelError(f"{self.name}: checkpoint={self.spec} does not exist (read from {Path.cwd()}).")
        return find_weights(path, preferred=self.preferred, name=self.name)

    def identity(self, path: Path | None, *, otherwise: str) -> dict[str, Any]:
        """Return the weights in plain values: the hash of a file, else what names them."""
        found: dict[str, Any] = {"weights": f"sha256:{file_sha256(path)}" if path else otherwise}
        if path is not None and path.suffix != ".safetensors":
            found["reader"] = READER
        if self.entry is not None:
            found["checkpoint_entry"] = self.entry
        return found


class NetworkClassifier(Classifier):
    """A torch network whose weights come from one file: what timm, torchvision, open_clip and custom ones share."""

    checkpoint: Checkpoint
    label_offset: int = 0
    """Outputs before the first class, e.g. 1 for the background of TensorFlow's networks; they are cut off."""

    _model: Any = None
    _transform: Any = None
    _tail: Any = None
    _provenance: Mapping[str, Any] = {}

    def provenance(self) -> dict[str, Any]:
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

    def read(self, path: Path, network: "torch.nn.Module", *, architecture: str) -> StateDict:
        """Return the weights in a file that a network has the places for, checked; it is not filled yet."""
        place = f"{self.name}: {path}"
        own = network.state_dict()
        try:
            shapes = {name: tuple(value.shape) for name, value in own.items()}
            found = choose_weights(open_weights(path), path, shapes=shapes, entry=self.checkpoint.entry)
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from error
        except OSError as error:
            raise load_error(error, name=self.name, path=path, architecture=architecture) from error
        check_kinds(found.tensors, own, place=place)
        return found

    def fill(self, path: Path, network: "torch.nn.Module", *, architecture: str) -> StateDict:
        """Read a file into a network, every weight of it, or raise ModelError."""
        found = self.read(path, network, architecture=architecture)
        self.put(found, network, path, architecture=architecture)
        return found

    def put(self, found: StateDict, network: "torch.nn.Module", path: Path, *, architecture: str) -> None:
        """Give a network the weights; ModelError unless each has its place and each place its weights."""
        try:
            network.load_state_dict(found.tensors)
        except Exception as error:  # each format has its own errors
            raise self.misfit(error, found, path, architecture=architecture) from error

    def misfit(self, error: Exception, found: StateDict, path: Path, *, architecture: str) -> ModelError:
        """Return the line that says why weights do not fit, with the prefixes of their names."""
        prefixes = prefixes_of(list(found.tensors))
        return load_error(error, name=self.name, path=path, architecture=architecture, prefixes=prefixes)

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


def check_label_offset(label_offset: int, *, name: str) -> int:
    """Return the number of outputs before the first class; ConfigError for one that cannot be meant."""
    if not 0 <= label_offset <= 1:
        raise ConfigError(
            f"{name}: label_offset={label_offset} must be 0, or 1 where a background class comes first."
        )
    return label_offset
