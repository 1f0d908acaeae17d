"""Where the weights of a timm model come from, and what timm says about them."""

from dataclasses import dataclass
from typing import Any

from imagenetd.errors import ModelError
from imagenetd.models import repositories
from imagenetd.models.card import card_preprocessing
from imagenetd.models.checkpoint import HubCheckpoint
from imagenetd.models.weights import nearest, read_json
from imagenetd.store.hub import HubFile, resolve_local


@dataclass(frozen=True, kw_only=True)
class TimmWeights(HubCheckpoint):
    """A network of timm; its checkpoint may be a folder as timm saves it, without one it has the registry's weights."""

    architecture: str
    """Name in timm, with or without the tag of its weights, e.g. `resnet50.a1_in1k`."""
    model_kwargs: dict[str, Any] | None = None
    """Arguments of timm's constructor, e.g. `pad_type`."""
    pretrained: bool = True
    """False refuses the hub's weights, so that a checkpoint must be given."""
    checkpoint_source: str | None = None
    """Where a checkpoint that must be given can be found, for the message without one."""

    @property
    def network(self) -> str:
        """The architecture."""
        return self.architecture

    def lacks_weights(self) -> str | None:
        """Return why the network would be random; None where the registry's weights will do."""
        if self.pretrained:
            return None
        get = f"Get {self.checkpoint_source}, and set" if self.checkpoint_source else "Set pretrained=true or"
        return f"pretrained=false and no checkpoint: the network would be random. {get} checkpoint=PATH."

    def library_asked(self) -> str:
        """Return timm where only timm can tell which repository holds the weights."""
        is_known = (
            self.checkpoint is not None or repositories.repository("timm", self.architecture) is not None
        )
        return "" if is_known else "timm"

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of timm's constructor: the folder's own, then the config's."""
        return {**(self.folder_config() or {}).get("model_args", {}), **(self.model_kwargs or {})}

    def folder_config(self) -> dict[str, Any] | None:
        """Return config.json of a checkpoint folder, after comparing its architecture; None without one."""
        path = resolve_local(self.checkpoint) if self.checkpoint else None
        if path is None or not (path / "config.json").is_file():
            return None
        config = read_json(path / "config.json", name=self.called)
        found = config.get("architecture")
        if found is not None and found != self.architecture.partition(".")[0]:
            raise ModelError(
                f"{self.called}: conf says architecture={self.architecture}, "
                f"but {path / 'config.json'} says {found}. Set architecture={found}, or name another folder."
            )
        return config

    def description(self) -> dict[str, Any]:
        """Return timm's `pretrained_cfg` of the weights: the folder's own, else the registry's and a manifest's."""
        path = self.path()
        config = self.folder_config()
        if config is None:
            return registered(self.architecture) | card_preprocessing(path, name=self.called)
        cfg = dict(config.get("pretrained_cfg", config))
        return cfg | {key: config[key] for key in ("num_classes",) if key in config}

    def hub_file(self) -> HubFile:
        """Return the file on the hub; timm's registry names it."""
        known = repositories.repository("timm", self.architecture)
        if known is not None:
            return HubFile(known, self.preferred, self.revision)
        cfg = registered(self.architecture)
        if not cfg.get("hf_hub_id"):
            where = f" Download {cfg['url']}." if cfg.get("url") else ""
            raise ModelError(
                f"{self.called}: timm knows no weights of {self.architecture} on the Hugging Face hub.{where} "
                "Name a local file with checkpoint=PATH, or choose an architecture with weights."
            )
        names = (cfg["hf_hub_filename"],) if cfg.get("hf_hub_filename") else self.preferred
        return HubFile(cfg["hf_hub_id"], names, self.revision)


def registered(architecture: str) -> dict[str, Any]:
    """Return timm's own description of an architecture and its weights."""
    import timm

    name = architecture.partition(".")[0]
    if not timm.is_model(name):
        hint = nearest(name, timm.list_models(), listing="timm.list_models()")
        raise ModelError(f"architecture={architecture} is no model of timm: {hint}")
    try:
        cfg = timm.get_pretrained_cfg(architecture)
    except RuntimeError as error:  # an unknown tag
        tags = timm.list_pretrained(f"{name}.*")
        raise ModelError(
            f"architecture={architecture}: timm has no such weights. Choose {', '.join(tags)}."
        ) from error
    return cfg.to_dict() if cfg is not None else {}
