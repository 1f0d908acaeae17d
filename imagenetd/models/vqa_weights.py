"""Where processor and weights of a chat model come from, and why they do not load, in one line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from imagenetd.config.groups import Options
from imagenetd.config.ranges import Megabytes, OneOf
from imagenetd.errors import ModelError
from imagenetd.models.weights import first_line, read_json
from imagenetd.records import MissingFile
from imagenetd.store.folders import folder_sha256
from imagenetd.store.hub import HubFile, missing_file, refuse_remote_code, resolve_local
from imagenetd.store.tensors import check_numbers

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_ALL_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
_SUFFIXES = (".json", ".safetensors", ".model", ".txt", ".jinja")


@dataclass(frozen=True, kw_only=True)
class VqaWeights(Options):
    """A chat model in a folder as transformers saves it (safetensors and processor), or in a repository on the hub."""

    name: str | None = None
    """In messages; null: the model."""
    model: str
    """The folder, or the id of the repository."""
    revision: str | None = None
    """Branch, tag or commit on the hub; null: `main`."""
    dtype: Annotated[str, OneOf(("auto", "float32", "bfloat16", "float16"))] = "auto"
    """`auto`: of the checkpoint."""
    size_mb: Megabytes | None = None
    """Size of the download, for the message when the hub cannot be asked."""

    @property
    def called(self) -> str:
        """The model's name in messages."""
        return self.name or self.model

    def folder(self) -> Path | None:
        """Return the local folder, None for a repository on the hub."""
        path = resolve_local(self.model)
        if path is None:
            return None
        if not path.is_dir() or not (path / "config.json").is_file() or not any(path.glob("*.safetensors")):
            raise ModelError(
                f"{self.called}: {path} is not a folder with config.json and *.safetensors. Save the model with "
                "transformers' save_pretrained, its processor beside it."
            )
        return path

    def spelt(self) -> str:
        """Return the weights in one word: the hash of a folder, else repository and revision."""
        folder = self.folder()
        return f"sha256:{folder_sha256(folder, suffixes=_SUFFIXES)}" if folder else self._hub_file().spelt()

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the weights when they are neither here nor within reach."""
        if self.folder() is not None:
            return []
        missing = missing_file(self._hub_file(), size_mb=self.size_mb, option=f"{option}.model=FOLDER")
        return [missing] if missing else []

    def fetched(self) -> Path:
        """Return the folder, downloading it when it is on the hub and not cached."""
        folder = self.folder()
        if folder is not None:
            return folder
        from huggingface_hub import snapshot_download

        try:
            return Path(
                snapshot_download(self.model, revision=self.revision, allow_patterns=list(_ALL_FILES))
            )
        except Exception as error:  # connection, disk, rights, unknown repository: each has its own class
            raise ModelError(
                f"{self.model} cannot be downloaded from the Hugging Face hub: {first_line(error)} "
                "Name a local copy with model=FOLDER."
            ) from error

    def _hub_file(self) -> HubFile:
        return HubFile(self.model, _WEIGHTS, self.revision)


def load_processor(folder: Path, *, name: str) -> Any:
    """Return the processor of a folder, set to pad on the left as generation in batches needs."""
    from transformers import AutoProcessor

    refuse_remote_code()
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # each processor has its own errors
        raise ModelError(f"{name}: the processor in {folder} cannot be read: {_reason(error)}") from error
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None or getattr(processor, "image_processor", None) is None:
        raise ModelError(
            f"{name}: {folder} holds no processor for images and text. Save it beside the weights."
        )
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return processor


def load_chat_model(folder: Path, *, name: str, dtype: str) -> Any:
    """Return the network with all weights from the folder, or raise ModelError."""
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging

    kind = read_json(folder / "config.json", name=name).get("model_type")
    logging.disable_progress_bar()
    refuse_remote_code()
    try:
        model, info = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, trust_remote_code=False
        )
    except Exception as error:  # each architecture has its own errors
        reason = _reason(error)
        if "Unrecognized configuration class" in reason:
            reason = f"model_type={kind} is not a model that writes text about images."
        raise ModelError(f"{name}: {folder} cannot be loaded: {reason}") from error
    finally:
        logging.enable_progress_bar()
    lacking = sorted(info["missing_keys"]) + sorted(str(key[0]) for key in info["mismatched_keys"])
    if lacking:
        raise ModelError(
            f"{name}: {folder} lacks {len(lacking)} weights of model_type={kind}, e.g. {lacking[0]}; they are never "
            "filled with random numbers. Save the whole model again."
        )
    check_numbers(model.named_parameters(), place=f"{name}: {folder}")
    return model


def _reason(error: Exception) -> str:
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        return "it wants to run code of its own, which is never done. Choose a model that transformers itself has."
    return first_line(error)
