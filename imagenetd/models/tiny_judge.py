"""The tiny world's judge as a classifier: the truth of simulated quality control, never a target."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from imagenetd.config.groups import takes_options
from imagenetd.images.tiny_world import CATEGORIES
from imagenetd.models.classifier import About, Classifier, closed_label_space
from imagenetd.models.weights import find_weights
from imagenetd.records import Identity, LabelSpace, MissingFile, ModelFacts
from imagenetd.store.folders import file_sha256
from imagenetd.store.hub import resolve_local
from imagenetd.words.vocabulary import Category

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from PIL import Image
    from torch import Tensor

SIZE_PX = 64
_WEIGHTS = ("model.safetensors",)


@final
class TinyJudge(Classifier):
    """The network that measured the tiny generator; it sees what a render shows, whatever the nuisance.

    Args:
        checkpoint: Folder with its config.json and weights, `package:...` for the shipped one.
        name: In messages.
        about: Family, training data, batch size.
    """

    @takes_options
    def __init__(
        self,
        *,
        checkpoint: str,
        name: str = "tiny_judge",
        about: About = About(family="judge"),  # noqa: B008 - it is frozen
    ) -> None:
        self.describe(name, about)
        self.checkpoint = checkpoint
        self._network: Any = None

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the folder when it is not there."""
        if resolve_local(self.checkpoint) is not None:
            return []
        return [MissingFile(self.checkpoint, None, f"{option}.checkpoint=PATH", "imagenetd itself")]

    def identity(self, categories: Sequence[Category]) -> Identity:
        """Return the hash of the weights."""
        return {"adapter": "tiny_judge", "weights": f"sha256:{file_sha256(self._weights())}"}

    def label_space(self, categories: Sequence[Category]) -> LabelSpace:
        """Return the tiny world's categories."""
        return closed_label_space(self.name, CATEGORIES, categories)

    def load(self, categories: Sequence[Category], device: "torch.device") -> None:
        """Read the weights."""
        from imagenetd.images.tiny_world.referee import load_referee

        self._network = load_referee(self._weights().parent).to(device)

    def provenance(self) -> ModelFacts:
        """Return file and hash."""
        path = self._weights()
        return {"file": path.name, "sha256": file_sha256(path), "size_px": SIZE_PX}

    def transform(self, image: "Image.Image") -> 'Float[Tensor, "3 h w"]':
        """Return pixels in -1..1 at the size that the network learned."""
        import numpy as np
        import torch

        resized = image if image.size == (SIZE_PX, SIZE_PX) else image.resize((SIZE_PX, SIZE_PX))
        pixels = torch.from_numpy(np.asarray(resized, dtype=np.float32) / 127.5 - 1)
        return pixels.permute(2, 0, 1).contiguous()

    def logits(self, batch: 'Float[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images classes"]':
        """Return the logits of the categories."""
        import torch

        with torch.inference_mode():
            return self._network(batch)["category"].float()

    def _weights(self) -> Path:
        path = resolve_local(self.checkpoint)
        assert path is not None, "missing_files has not been asked"
        return find_weights(path, preferred=_WEIGHTS, name=self.name)
