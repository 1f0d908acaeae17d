"""The preprocessing that is written down beside a checkpoint: bare weights carry none, and a guess costs points."""

import json
from pathlib import Path
from typing import Any

from imagenetd.errors import ModelError
from imagenetd.store.folders import file_sha256

CARD_FILE = "manifest.json"
OPTIONS = ("input_size", "crop_pct", "interpolation", "mean", "std")


def card_preprocessing(checkpoint: Path | None, *, name: str) -> dict[str, Any]:
    """Return input_size, crop_pct, interpolation, mean, std as a manifest states them for a file; {} without one.

    A manifest is `manifest.json` in the folder of the file or one above: `{"models": [{"file": ..., "sha256": ...,
    "input_size": [3, 224, 224], "mean": [...], ...}]}`, with `file` relative to the manifest.

    Raises:
        ModelError: When the file is not the one that the manifest means: its hash differs.
    """
    found = _entry(checkpoint) if checkpoint is not None else None
    if checkpoint is None or found is None:
        return {}
    manifest, entry = found
    if entry.get("sha256") not in (None, file_sha256(checkpoint)):
        raise ModelError(
            f"{name}: {checkpoint} is not the file that {manifest} lists: its sha256 differs. "
            "It is damaged or of another version: get it again, or take it out of the manifest."
        )
    return {option: entry[option] for option in OPTIONS if entry.get(option) is not None}


def _entry(checkpoint: Path) -> tuple[Path, dict[str, Any]] | None:
    for folder in (checkpoint.parent, checkpoint.parent.parent):
        path = folder / CARD_FILE
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # some other program's manifest: it says nothing about this file
        models = content.get("models") if isinstance(content, dict) else None
        for entry in models if isinstance(models, list) else ():
            is_entry = isinstance(entry, dict) and isinstance(entry.get("file"), str)
            if is_entry and (folder / entry["file"]).resolve() == checkpoint.resolve():
                return path, entry
    return None
