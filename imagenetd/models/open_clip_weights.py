"""Where the weights of an open_clip dual encoder come from, and what open_clip says about them."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagenetd.errors import ModelError
from imagenetd.models import repositories
from imagenetd.models.network import Checkpoint
from imagenetd.models.weights import plain, read_json
from imagenetd.store.hub import HubFile, resolve_local

HUB_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""What open_clip calls the weights of a repository, best first."""
CONFIG_FILE = "open_clip_config.json"
_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode", "fill_color")
_PREFERRED = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)


@dataclass(frozen=True, slots=True)
class OpenClipWeights:
    """A local checkpoint, or else the weights that open_clip's table has under a tag."""

    architecture: str | None
    tag: str | None
    checkpoint: str | None
    revision: str | None
    name: str
    """Of the model, in messages."""

    def local_path(self) -> Path | None:
        """Return the file of the checkpoint, None for the hub's weights; ModelError without weights."""
        if self.checkpoint is None:
            if self.tag:
                return None
            raise ModelError(
                f"{self.name}: weights=null and no checkpoint: the network would be random. "
                "Set weights=TAG (open_clip.list_pretrained() has the tags) or checkpoint=PATH."
            )
        return Checkpoint(self.checkpoint, None, self.name, _PREFERRED).path()

    def folder(self) -> Path | None:
        """Return the checkpoint's folder when it also says which network it holds."""
        path = resolve_local(self.checkpoint) if self.checkpoint else None
        return path if path is not None and (path / CONFIG_FILE).is_file() else None

    def model_config(self) -> dict[str, Any]:
        """Return open_clip's description of the network, quick-GELU as the weights need it."""
        if self.architecture is None:
            return self._folder_config()["model_cfg"]
        import open_clip

        config = open_clip.get_model_config(self.architecture)
        if config is None:
            close = difflib.get_close_matches(self.architecture, open_clip.list_models(), n=1)
            hint = f"did you mean {close[0]}?" if close else "open_clip.list_models() has the names."
            raise ModelError(f"architecture={self.architecture} is no model of open_clip: {hint}")
        return config

    def tag_config(self) -> dict[str, Any]:
        """Return open_clip's entry for the tag: repository, preprocessing, quick-GELU; {} without a tag."""
        if self.tag is None or self.architecture is None:
            return {}
        from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

        config = get_pretrained_cfg(self.architecture, self.tag)
        if not config:
            self.model_config()  # first of all the architecture must exist
            tags = ", ".join(list_pretrained_tags_by_model(self.architecture)) or "none"
            raise ModelError(
                f"{self.name}: open_clip has no weights={self.tag} for {self.architecture}; it has: {tags}."
            )
        return config

    def needs_quick_gelu(self) -> bool:
        """Tell whether network or weights want quick-GELU; the OpenAI weights do, with whatever name."""
        return bool(self.model_config().get("quick_gelu") or self.tag_config().get("quick_gelu"))

    def preprocessing(self) -> dict[str, Any]:
        """Return size and normalisation as open_clip's own factory would choose them."""
        said = (
            self._folder_config().get("preprocess_cfg", {})
            if self.architecture is None
            else self.tag_config()
        )
        own = {key: said[key] for key in _PREPROCESSING if said.get(key) is not None}
        return plain({"size": self.model_config()["vision_cfg"].get("image_size", 224), **own})

    def hub_file(self) -> HubFile:
        """Return the file on the hub, resolved as `open_clip.download_pretrained` does."""
        place = repositories.repository("open_clip", f"{self.architecture} {self.tag}")
        if place is None:
            place = self.tag_config().get("hf_hub", "")
        repo, file = os.path.split(place)
        if not repo:
            raise ModelError(
                f"{self.name}: weights={self.tag} are not on the Hugging Face hub. "
                f"Download {self.tag_config().get('url', 'them')} and name the file with checkpoint=PATH."
            )
        if not file:
            return HubFile(repo, HUB_NAMES, self.revision)
        stem, suffix = os.path.splitext(file)
        names = (f"{stem}.safetensors", file) if suffix in (".bin", ".pth") else (file,)
        return HubFile(repo, names, self.revision)

    def tokenizer_repository(self) -> str | None:
        """Return the repository of the network's tokenizer on the hub; nothing where open_clip brings its own."""
        known = repositories.tokenizer(f"{self.architecture}", f"{self.tag}")
        return self.model_config()["text_cfg"].get("hf_tokenizer_name") if known is None else known

    def _folder_config(self) -> dict[str, Any]:
        folder = self.folder()
        if folder is None:
            raise ModelError(
                f"{self.name}: architecture=null needs a checkpoint folder with {CONFIG_FILE}, which "
                f"checkpoint={self.checkpoint} is not. Set architecture=NAME."
            )
        config = read_json(folder / CONFIG_FILE, name=self.name)
        if "model_cfg" not in config:
            raise ModelError(
                f"{self.name}: {folder / CONFIG_FILE} has no `model_cfg`. Save it as open_clip does."
            )
        return config
