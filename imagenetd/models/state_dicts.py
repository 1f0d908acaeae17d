"""The tensors of a checkpoint file, freed of what training frameworks wrap around them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenetd.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "net", "weights")
"""Keys under which training scripts keep the weights, best first: averaged weights are the published ones."""

PREFIXES = ("_orig_mod.", "module.", "model.", "net.", "network.")
"""Put before every name by torch.compile, by DataParallel and its kin, and by training frameworks (Lightning)."""


def read_state_dict(path: Path) -> dict[str, "Tensor"]:
    """Return name -> tensor of a safetensors or torch file; no code of the file is run (`weights_only`).

    Raises:
        ModelError: When the file is no torch file, or holds no mapping of tensors. The libraries' other errors for a
            file that cannot be read pass through.
    """
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return without_prefixes(load_file(path))
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (KeyError, EOFError, IndexError) as error:  # what the unpickler raises for a text or an empty file
        raise ModelError(
            f"{path} is no torch file. Save the network's state dict, as safetensors at best."
        ) from error
    return unwrapped(content, path)


def unwrapped(checkpoint: Any, path: Path) -> dict[str, "Tensor"]:
    """Return the tensors of a checkpoint, from below `state_dict` or its kin, without prefixes."""
    candidates = [checkpoint]
    if isinstance(checkpoint, Mapping):
        candidates = [checkpoint[key] for key in WRAPPERS if key in checkpoint] + candidates
    for candidate in candidates:
        if _holds_tensors(candidate):
            return without_prefixes(candidate)
    if isinstance(checkpoint, Mapping):
        found = f"a mapping with {', '.join(map(str, list(checkpoint)[:5]))}"
    else:
        found = f"a {type(checkpoint).__name__}"
    raise ModelError(
        f"{path} holds {found} where weights are expected. Save the network's state dict, as safetensors at best."
    )


def without_prefixes(state: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Return the same tensors under the names that the bare network gives them.

    >>> without_prefixes({"module._orig_mod.fc.weight": 1})
    {'fc.weight': 1}
    """
    cleaned = dict(state)
    while prefix := next(
        (p for p in PREFIXES if cleaned and all(name.startswith(p) for name in cleaned)), None
    ):
        cleaned = {name.removeprefix(prefix): value for name, value in cleaned.items()}
    return cleaned


def _holds_tensors(candidate: Any) -> bool:
    import torch

    return (
        isinstance(candidate, Mapping)
        and len(candidate) > 0
        and all(isinstance(name, str) for name in candidate)
        and all(isinstance(value, torch.Tensor) for value in candidate.values())
    )
