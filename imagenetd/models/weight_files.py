"""What lies in a file of weights: told apart by its bytes, opened without running any code of it."""

import argparse
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenetd.errors import ModelError
from imagenetd.images.decode import described
from imagenetd.models.weights import first_line

if TYPE_CHECKING:
    from torch import Tensor

_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch began its files before version 1.6."""

_KINDS = {
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"\x89HDF": "an HDF5 file, as Keras writes it: convert it",
    b"\x93NUMPY": "one NumPy array: convert it",
    b"GGUF": "a GGUF file of quantised weights: get the original ones",
    b"\xfd7zXZ": "an xz archive: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"(\xb5/\xfd": "a zstd archive: unpack it",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
}
_STEM = "Save the network's state dict, as safetensors at best."


class _Ignored(dict[str, Any]):
    """Stands in for what a checkpoint tells about its training; nothing of it is used."""


def open_weights(path: Path) -> Any:
    """Return what a safetensors or torch file holds, tensors on the CPU; no code of the file is run.

    The kind follows from the bytes, whatever the file is called. Besides tensors a torch file may hold the plain
    records that training scripts put beside them: `argparse.Namespace`, NumPy's scalars, Lightning's AttributeDict.

    Raises:
        ModelError: For a file that holds something else, named as far as its first bytes tell, or a part of it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    _refuse_other_kinds(path, head, size)
    if _is_safetensors(head):
        return _open_safetensors(path, header=int.from_bytes(head[:8], "little"), size=size)
    return _open_torch(path)


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and head[9:10] in (b'"', b"}", b" ") and head[6:8] == b"\0\0"


def _refuse_other_kinds(path: Path, head: bytes, size: int) -> None:
    what = None
    if size == 0:
        what = "it is empty. Get it again."
    elif _is_safetensors(head):
        return
    elif found := next((kind for start, kind in _KINDS.items() if head.startswith(start)), None):
        what = f"it is {found}."
    elif head[257:262] == b"ustar":
        what = "it is a tar archive: unpack it, and name the file of weights inside."
    elif head[4:8] == b"TFL3":
        what = "it is a TensorFlow Lite model: convert it."
    elif head.startswith(b"PK"):
        what = _zip_of_something_else(path)
    elif head.startswith(b"\x80") and not head.startswith(_LEGACY_TORCH):
        what = f"it is a pickle that torch did not write, and is not opened. {_STEM}"
    elif not head.startswith(_LEGACY_TORCH):
        kind = described(head)
        what = (
            f"it is {kind}." if "image format" not in kind else f"its {size:,} bytes are of no known format."
        )
        what += "" if "git lfs" in kind else " Get it again."
    if what is not None:
        raise ModelError(f"{path} is no torch file and no safetensors file: {what}")


def _zip_of_something_else(path: Path) -> str | None:
    """Return what a zip holds that torch did not write as a checkpoint, None for a checkpoint."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "it cannot be read as weights, for it is a zip that is cut off or damaged. Get it again."
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return f"it is a TorchScript archive, which holds code and is not opened. {_STEM}"
    if any(name.endswith("data.pkl") for name in names):
        return None
    if names and all(name.endswith(".npy") for name in names):
        return f"it is a NumPy archive (.npz) with {', '.join(names[:3])}: convert it to safetensors."
    return (
        f"it is a zip of {', '.join(names[:3]) or 'nothing'}: unpack it, and name the file of weights inside."
    )


def _open_safetensors(path: Path, *, header: int, size: int) -> dict[str, "Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        reason = "it is cut off" if header + 8 > size or "incomplete" in str(error) else first_line(error)
        raise ModelError(
            f"{path} cannot be read as weights: {reason} ({size:,} bytes). Get it again."
        ) from error


def _open_torch(path: Path) -> Any:
    import torch

    try:
        with torch.serialization.safe_globals(_safe_globals()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that kinds of tensors are deprecated, which are refused here
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever its opcodes raise
        text = str(error)
        if "sparse" in text.lower():
            raise ModelError(f"{path} holds a sparse tensor. Save its weights with .to_dense().") from error
        if "weights_only" in text or "Weights only" in text:
            raise ModelError(
                f"{path} is a pickle of more than tensors{_named(path)}: it could run code and is not opened. "
                "Save its state dict as safetensors."
            ) from error
        raise ModelError(
            f"{path} cannot be read as weights: it is damaged or cut off ({first_line(error)}). Get it again."
        ) from error


def _named(path: Path) -> str:
    """Return which class a pickle asks for, where torch can tell without opening it."""
    import torch

    try:
        with torch.serialization.safe_globals(_safe_globals()):
            found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # not a zip, or not a pickle: there is no name to tell
        return ""
    return f" (it holds {sorted(found)[0]})" if found else ""


def _safe_globals() -> list[Any]:
    """Return the classes besides tensors that may stand in a checkpoint; none of them runs code when it is made."""
    import numpy as np
    from numpy._core.multiarray import scalar

    kinds = (np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_, np.str_)
    numbers = [*{type(np.dtype(kind)) for kind in kinds}, np.dtype, scalar]
    records = [
        (_Ignored, "lightning.fabric.utilities.data.AttributeDict"),
        (_Ignored, "lightning_fabric.utilities.data.AttributeDict"),
        (_Ignored, "pytorch_lightning.utilities.parsing.AttributeDict"),
    ]
    return [argparse.Namespace, *numbers, (scalar, "numpy.core.multiarray.scalar"), *records]


def tensor_mappings(content: Any, *, label: str = "", depth: int = 0) -> dict[str, dict[str, "Tensor"]]:
    """Return every mapping of names to tensors in a checkpoint, under its place, e.g. `state_dict` or `ema.shadow`.

    The state of optimizers is left out. Values beside the tensors that are none (an epoch, a loss) are, too.
    """
    if not isinstance(content, Mapping) or depth > 4:
        return {}
    import torch

    own = {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }
    found = {label: own} if own else {}
    for key, value in content.items():
        if isinstance(key, str) and not key.lower().startswith(
            ("optim", "lr_sched", "sched", "scaler", "loops")
        ):
            inner = f"{label}.{key}" if label else key
            found |= tensor_mappings(value, label=inner, depth=depth + 1)
    return found
