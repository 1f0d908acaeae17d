"""Weights in local files: which file of a folder holds them, and why they do not fit, in one line."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagenetd import errors
from imagenetd.errors import ModelError

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
"""Best first: safetensors cannot hold code; the others are read as plain tensors only (`weights_only`)."""

_SIZE = re.compile(
    r"size mismatch for (\S+): copying a param with shape torch.Size\((\[.*?\])\).*?torch.Size\((\[.*?\])\)"
)
_KEYS = re.compile(r"(Missing|Unexpected) key\(s\) in state_dict: (.*)")


def find_weights(path: Path, *, preferred: Sequence[str], name: str) -> Path:
    """Return `path` itself, or the file with the weights when it is a folder.

    Args:
        path: File or folder, which exists.
        preferred: File names to take when a folder holds several, best first.
        name: Of the model, for messages.
    """
    if path.is_file():
        return path
    if not path.is_dir():  # a pipe would wait for ever
        raise ModelError(f"{name}: {path} is no file and no folder. Name the file of the weights.")
    for suffix in WEIGHT_SUFFIXES:
        files = sorted(path.glob(f"*{suffix}"))
        if len(files) == 1:
            return files[0]
        for wanted in preferred:
            if path / wanted in files:
                return path / wanted
        if files:
            raise ModelError(
                f"{name}: the folder {path} holds {', '.join(file.name for file in files)}. "
                "Name one of them in `checkpoint`."
            )
    raise ModelError(f"{name}: the folder {path} holds no weights (*{', *'.join(WEIGHT_SUFFIXES)}).")


def read_json(path: Path, *, name: str) -> dict[str, Any]:
    """Return the content of a model's config file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{name}: {path} cannot be read as JSON: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{name}: {path} holds a {type(content).__name__}, not a mapping of options.")
    return content


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same mapping as JSON gives it back: tuples are lists."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def load_error(
    error: Exception, *, name: str, path: Path, architecture: str, prefixes: Sequence[str] = ()
) -> ModelError:
    """Return the one line that says why a file is not the weights of an architecture.

    Args:
        error: Of the library.
        name: Of the model.
        path: Of the file.
        architecture: What the weights were to fill.
        prefixes: First parts of the names in the file.
    """
    text = str(error)
    if "Error(s) in loading state_dict" in text or isinstance(
        error, KeyError
    ):  # timm's converters look keys up
        return ModelError(
            f"{name}: {path} does not hold weights of {architecture}: {_mismatch(text)}{_begins(prefixes)}. "
            "Choose the architecture that the file was saved from, or another file."
        )
    if "weights_only" in text or "Weights only" in text:
        return ModelError(
            f"{name}: {path} is a pickle of more than tensors: it could run code and is not opened. "
            "Save its state dict as safetensors."
        )
    return ModelError(f"{name}: {path} cannot be read as weights of {architecture}: {first_line(error)}")


def _mismatch(text: str) -> str:
    """Return the first difference that `load_state_dict` reports, or the key that a converter misses."""
    size = _SIZE.search(text)
    if size:
        return f"{size[1]} is {size[2]} in the file and {size[3]} in the model"
    said = [_listed(keys[1], keys[2]) for keys in _KEYS.finditer(text)]
    if said:
        return f"the file {' and '.join(said)}"
    return f"the file lacks {text.splitlines()[0]}"


def _listed(word: str, names: str) -> str:
    found = names.rstrip(". ").split(", ")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{'lacks' if word == 'Missing' else 'also has'} {found[0]}{more}"


def _begins(prefixes: Sequence[str]) -> str:
    if not prefixes:
        return ""
    more = ", ..." if len(prefixes) > 4 else ""
    return f"; its names begin with {', '.join(prefixes[:4])}{more}"


def first_line(error: Exception) -> str:
    """Return what a library's error says, short enough for one line."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]


def nearest(name: str, known: Sequence[str], *, listing: str) -> str:
    """Return which known name was perhaps meant, or else where they are listed."""
    close = errors.nearest(name, known)
    return f"did you mean {close}?" if close else f"{listing} has the names."
