"""Where the weights of an open_clip dual encoder come from, and what open_clip says about them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from imagenetd.errors import ModelError
from imagenetd.models import repositories
from imagenetd.models.checkpoint import HubCheckpoint
from imagenetd.models.weights import nearest, plain, read_json
from imagenetd.records import Identity, MissingFile
from imagenetd.store.hub import HubFile, missing_file, refuse_remote_code, resolve_local

HUB_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""What open_clip calls the weights of a repository, best first."""
CONFIG_FILE = "open_clip_config.json"
_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode", "fill_color")


@dataclass(frozen=True, kw_only=True)
class OpenClipWeights(HubCheckpoint):
    """A dual encoder with a local checkpoint, or else with the weights that open_clip's table has under a tag."""

    architecture: str | None
    """Name in open_clip, e.g. `ViT-L-14-quickgelu`; null: as the checkpoint folder says."""
    weights: str | None = None
    """Tag in open_clip's table, e.g. `openai`; it also settles preprocessing and quick-GELU."""
    tokenizer: str | None = None
    """Folder of a tokenizer; null: the architecture's own, or the one beside the weights."""
    force_quick_gelu: bool = False
    """For a checkpoint that was trained with it; a tag knows by itself."""

    preferred: ClassVar[tuple[str, ...]] = (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.bin",
    )

    @property
    def network(self) -> str:
        """The architecture, or the folder that says which."""
        return self.architecture or str(self.folder())

    @property
    def called(self) -> str:
        """The model's name in messages."""
        return (
            self.name or self.architecture or (Path(self.checkpoint).name if self.checkpoint else "open_clip")
        )

    def lacks_weights(self) -> str | None:
        """Return why the network would be random; None for weights with a tag."""
        if self.weights:
            return None
        return (
            "weights=null and no checkpoint: the network would be random. "
            "Set weights=TAG (open_clip.list_pretrained() has the tags) or checkpoint=PATH."
        )

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return weights and tokenizer if neither a local path, nor the cache, nor the hub has them."""
        found = super().missing_files(option)
        if self.tokenizer is None and self.architecture is not None:
            repo = self.tokenizer_repository()
            words = HubFile(repo, ("tokenizer.json",)) if repo else None
            missing = words and missing_file(words, size_mb=None, option=f"{option}.tokenizer=PATH")
            return [*found, missing] if missing else found
        return found

    def tokenizer_repository(self) -> str | None:
        """Return the repository of the network's tokenizer on the hub; nothing where open_clip brings its own."""
        known = repositories.tokenizer(f"{self.architecture}", f"{self.weights}")
        return self.model_config()["text_cfg"].get("hf_tokenizer_name") if known is None else known

    def library_asked(self) -> str:
        """Return open_clip where only open_clip can tell which repositories hold weights and tokenizer."""
        tagged = f"{self.architecture} {self.weights}"
        if self.architecture is None or repositories.repository("open_clip", tagged):
            return ""
        return "" if self.checkpoint and self.tokenizer else "open_clip"

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
            hint = nearest(self.architecture, open_clip.list_models(), listing="open_clip.list_models()")
            raise ModelError(f"architecture={self.architecture} is no model of open_clip: {hint}")
        return config

    def tag_config(self) -> dict[str, Any]:
        """Return open_clip's entry for the tag: repository, preprocessing, quick-GELU; {} without a tag."""
        if self.weights is None or self.architecture is None:
            return {}
        from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

        config = get_pretrained_cfg(self.architecture, self.weights)
        if not config:
            self.model_config()  # first of all the architecture must exist
            tags = ", ".join(list_pretrained_tags_by_model(self.architecture)) or "none"
            raise ModelError(
                f"{self.called}: open_clip has no weights={self.weights} for {self.architecture}; it has: {tags}."
            )
        return config

    def needs_quick_gelu(self) -> bool:
        """Tell whether network or weights want quick-GELU; the OpenAI weights do, with whatever name."""
        return self.force_quick_gelu or bool(
            self.model_config().get("quick_gelu") or self.tag_config().get("quick_gelu")
        )

    def preprocessing(self) -> Identity:
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
        place = repositories.repository("open_clip", f"{self.architecture} {self.weights}")
        if place is None:
            place = self.tag_config().get("hf_hub", "")
        repo, file = os.path.split(place)
        if not repo:
            raise ModelError(
                f"{self.called}: weights={self.weights} are not on the Hugging Face hub. "
                f"Download {self.tag_config().get('url', 'them')} and name the file with checkpoint=PATH."
            )
        if not file:
            return HubFile(repo, HUB_NAMES, self.revision)
        stem, suffix = os.path.splitext(file)
        names = (f"{stem}.safetensors", file) if suffix in (".bin", ".pth") else (file,)
        return HubFile(repo, names, self.revision)

    def read_tokenizer(self, context_length: int) -> Any:
        """Return the tokenizer of a folder, or the architecture's own."""
        import open_clip
        from open_clip.tokenizer import HFTokenizer

        refuse_remote_code()
        folder = self.tokenizer_folder()
        text_cfg = self.model_config()["text_cfg"]
        options = dict(text_cfg.get("tokenizer_kwargs", {}))  # SigLIP's strips punctuation
        if options.get("trust_remote_code"):
            raise ModelError(
                f"{self.called}: its tokenizer wants to run code of its own (trust_remote_code), which is never done."
            )
        try:
            if folder is None:
                return open_clip.get_tokenizer(self.architecture)
            return HFTokenizer(
                str(folder),
                context_length=context_length,
                tokenizer_mode=text_cfg.get("tokenizer_mode"),
                **options | {"trust_remote_code": False},
            )
        except Exception as error:  # each tokenizer has its own errors
            reason = " ".join(str(error).split())[:200]
            if "custom code" in reason or "trust_remote_code" in reason:
                reason = "it wants to run code of its own, which is never done"
            raise ModelError(
                f"{self.called}: the tokenizer {folder or self.architecture} cannot be read: {reason}. Name its "
                "folder with tokenizer=PATH."
            ) from error

    def tokenizer_folder(self) -> Path | None:
        """Return the folder of a tokenizer of its own, None for the architecture's."""
        if self.tokenizer is None and self.architecture is not None:
            return None
        folder = resolve_local(self.tokenizer) if self.tokenizer else self.folder()
        if folder is None or not (folder / "tokenizer.json").is_file():
            raise ModelError(
                f"{self.called}: {self.tokenizer or folder} holds no tokenizer.json. "
                "Name the tokenizer's folder with tokenizer=PATH."
            )
        return folder

    def _folder_config(self) -> dict[str, Any]:
        folder = self.folder()
        if folder is None:
            raise ModelError(
                f"{self.called}: architecture=null needs a checkpoint folder with {CONFIG_FILE}, which "
                f"checkpoint={self.checkpoint} is not. Set architecture=NAME."
            )
        config = read_json(folder / CONFIG_FILE, name=self.called)
        if "model_cfg" not in config:
            raise ModelError(
                f"{self.called}: {folder / CONFIG_FILE} has no `model_cfg`. Save it as open_clip does."
            )
        return config
