"""Where the weights of a timm model come from, and what timm says about them."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagenetd.errors import ModelError
from imagenetd.models import repositories
from imagenetd.models.card import card_preprocessing
from imagenetd.models.network import Checkpoint
from imagenetd.models.weights import read_json
from imagenetd.store.hub import HubFile, resolve_local

_PREFERRED = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class TimmWeights:
    """A local checkpoint, or else the weights that timm's registry names."""

    architecture: str
    checkpoint: str | None
    is_pretrained: bool
    revision: str | None
    name: str
    """Of the model, in messages."""
    source: str | None = None
    """Where a checkpoint that must be given can be found."""

    def local_path(self) -> Path | None:
        """Return the file of the checkpoint, None for the hub's weights; ModelError without weights."""
        if self.checkpoint is None:
            if self.is_pretrained:
                return None
            what = f"Get {self.source}, and set" if self.source else "Set pretrained=true or"
            raise ModelError(
                f"{self.name}: pretrained=false and no checkpoint: the network would be random. "
                f"{what} checkpoint=PATH."
            )
        return Checkpoint(self.checkpoint, None, self.name, _PREFERRED).path()

    def folder_config(self) -> dict[str, Any] | None:
        """Return config.json of a checkpoint folder, after comparing its architecture; None without one."""
        path = resolve_local(self.checkpoint) if self.checkpoint else None
        if path is None or not (path / "config.json").is_file():
            return None
        config = read_json(path / "config.json", name=self.name)
        found = config.get("architecture")
        if found is not None and found != self.architecture.partition(".")[0]:
            raise ModelError(
                f"{self.name}: conf says architecture={self.architecture}, "
                f"but {path / 'config.json'} says {found}. Set architecture={found}, or name another folder."
            )
        return config

    def description(self) -> dict[str, Any]:
        """Return timm's `pretrained_cfg` of the weights: the folder's own, else the registry's and a manifest's."""
        path = self.local_path()
        config = self.folder_config()
        if config is None:
            return registered(self.architecture) | card_preprocessing(path, name=self.name)
        cfg = dict(config.get("pretrained_cfg", config))
        return cfg | {key: config[key] for key in ("num_classes",) if key in config}

    def hub_file(self) -> HubFile:
        """Return the file on the hub; timm's registry names it."""
        known = repositories.repository("timm", self.architecture)
        if known is not None:
            return HubFile(known, _PREFERRED, self.revision)
        cfg = registered(self.architecture)
        if not cfg.get("hf_hub_id"):
            where = f" Download {cfg['url']}." if cfg.get("url") else ""
            raise ModelError(
                f"{self.name}: timm knows no weights of {self.architecture} on the Hugging Face hub.{where} "
                "Name a local file with checkpoint=PATH, or choose an architecture with weights."
            )
        names = (cfg["hf_hub_filename"],) if cfg.get("hf_hub_filename") else _PREFERRED
        return HubFile(cfg["hf_hub_id"], names, self.revision)


def registered(architecture: str) -> dict[str, Any]:
    """Return timm's own description of an architecture and its weights."""
    import timm

    name = architecture.partition(".")[0]
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f"did you mean {close[0]}?" if close else "timm.list_models() has the names."
        raise ModelError(f"architecture={architecture} is no model of timm: {hint}")
    try:
        cfg = timm.get_pretrained_cfg(architecture)
    except RuntimeError as error:  # an unknown tag
        tags = timm.list_pretrained(f"{name}.*")
        raise ModelError(
            f"architecture={architecture}: timm has no such weights. Choose {', '.join(tags)}."
        ) from error
    return cfg.to_dict() if cfg is not None else {}
