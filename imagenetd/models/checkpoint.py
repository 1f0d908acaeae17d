"""Where the weights of a network come from, as the config says it: a local file, or a place on the hub."""

import abc
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from imagenetd.config.groups import Options
from imagenetd.config.ranges import Megabytes
from imagenetd.errors import ModelError
from imagenetd.models.weights import find_weights, first_line
from imagenetd.records import Identity, MissingFile, ModelFacts
from imagenetd.store.folders import file_sha256
from imagenetd.store.hub import HubFile, fetch, missing_file, resolve_local

READER = 2
"""Of torch files; 2 reads averaged weights first wherever they lie. Safetensors hold one set of weights."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Options, abc.ABC):
    """A network and its weights in a local file."""

    name: str | None = None
    """In messages; null: as `called` says."""
    checkpoint: str | None = None
    """Local weights: a file, a folder, or `package:...`; safetensors, or a torch file of plain tensors."""
    checkpoint_entry: str | None = None
    """Which part of a checkpoint to read, e.g. `state_dict`; null: averaged weights first."""

    preferred: ClassVar[tuple[str, ...]] = ("model.safetensors", "pytorch_model.bin")
    """File names to take when a folder holds several, best first."""

    @property
    @abc.abstractmethod
    def network(self) -> str:
        """What the weights are to fill, in words."""

    @abc.abstractmethod
    def lacks_weights(self) -> str | None:
        """Return why a network without a checkpoint would be random, and what to do; None where it would not be."""

    @property
    def called(self) -> str:
        """The model's name in messages."""
        return self.name or self.network

    def path(self) -> Path | None:
        """Return the file of the checkpoint, None where none is needed; ModelError for a model without weights."""
        if self.checkpoint is None:
            if (reason := self.lacks_weights()) is not None:
                raise ModelError(f"{self.called}: {reason}")
            return None
        path = resolve_local(self.checkpoint)
        if path is None:
            raise ModelError(
                f"{self.called}: checkpoint={self.checkpoint} does not exist (read from {Path.cwd()})."
            )
        return find_weights(path, preferred=self.preferred, name=self.called)

    def fetched(self) -> Path | None:
        """Return the file of the weights, downloading it where it is on the hub; None where there is none."""
        return self.path()

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return nothing: weights are local, and `path` refuses a model without them."""
        return []

    def library_asked(self) -> str:
        """Return the library without which `missing_files` has no answer; empty: none."""
        return ""

    def identity(self) -> Identity:
        """Return the weights in plain values: the hash of a file, else what names them."""
        path = self.path()
        found: Identity = {"weights": f"sha256:{file_sha256(path)}" if path else self.elsewhere()}
        if path is not None and path.suffix != ".safetensors":
            found["reader"] = READER
        if self.checkpoint_entry is not None:
            found["checkpoint_entry"] = self.checkpoint_entry
        return found

    def elsewhere(self) -> str:
        """Return in a word what the weights are where no file is given."""
        return "its own"

    def loaded(self, path: Path | None) -> ModelFacts:
        """Return file and hash, for the provenance."""
        assert path is not None
        return {"file": str(path), "sha256": file_sha256(path)}

    def cannot_make(self, error: Exception, library: str, model_kwargs: dict[str, Any]) -> ModelError:
        """Return the line that says why a library refuses the network's arguments."""
        return ModelError(
            f"{self.called}: {library} cannot make {self.network} with model_kwargs={model_kwargs}: {first_line(error)}"
        )


@dataclass(frozen=True, kw_only=True)
class HubCheckpoint(Checkpoint):
    """A network whose weights are on the hub, unless a local file is given."""

    revision: str | None = None
    """Branch, tag or commit of the weights on the hub; null: `main`."""
    size_mb: Megabytes | None = None
    """Size of the download, for the message when the hub cannot be asked."""

    @abc.abstractmethod
    def hub_file(self) -> HubFile:
        """Return the file on the hub, as the library names it."""

    def elsewhere(self) -> str:
        """Return the place on the hub."""
        return self.hub_file().spelt()

    def fetched(self) -> Path:
        """Return the file of the checkpoint, or the one on the hub, downloaded when it is not cached."""
        return self.path() or fetch(self.hub_file(), option="checkpoint=PATH")

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the weights if neither a local checkpoint, nor the cache, nor the hub has them."""
        if self.path() is not None:
            return []
        missing = missing_file(self.hub_file(), size_mb=self.size_mb, option=f"{option}.checkpoint=PATH")
        return [missing] if missing else []
