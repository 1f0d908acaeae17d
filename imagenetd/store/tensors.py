"""Weights that make no sense: of another kind, not finite, all the same, or without effect."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from imagenetd.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_ADVICE = "Get the file again, or save the trained network's state dict anew."


def check_kinds(tensors: Mapping[str, "Tensor"], own: Mapping[str, "Tensor"], *, place: str) -> None:
    """Refuse tensors that cannot be the weights of a network of floating-point numbers.

    Args:
        tensors: Of a checkpoint.
        own: Of the network, any numbers in them.
        place: For messages: model and file.

    Raises:
        ModelError: For sparse, quantised, complex, whole-number or missing numbers, NaN or infinity, or whole numbers
            (indices of a network) that were rounded.
    """
    for name, tensor in tensors.items():
        wanted = own.get(name)
        is_counter = name.endswith("num_batches_tracked")  # no number of it enters a result
        problem = _kind(tensor) or (None if wanted is None or is_counter else _numbers(tensor, wanted))
        if problem:
            raise ModelError(f"{place}: {name} {problem}")


def _kind(tensor: "Tensor") -> str | None:
    import torch

    if tensor.is_quantized:
        return "is quantised. Get the weights before quantisation, or save them dequantised."
    if tensor.layout != torch.strided:
        return "is a sparse tensor. Save it with .to_dense()."
    if tensor.is_meta:
        return "has a shape but no numbers (device meta). Save the network after it was given its weights."
    if tensor.is_complex():
        return f"holds complex numbers ({_name(tensor)}), which no network here has. {_ADVICE}"
    if tensor.is_floating_point() and tensor.dtype.itemsize < 2:
        return f"holds {_name(tensor)} numbers, whose scale is not known. Save it in float16 or more."
    return None


def _numbers(tensor: "Tensor", wanted: "Tensor") -> str | None:
    if not tensor.numel():
        return None
    if wanted.is_floating_point():
        if not tensor.is_floating_point():
            return (
                f"holds whole numbers ({_name(tensor)}) where the network has {_name(wanted)}: these are quantised or "
                "damaged weights. Get the original ones."
            )
        low, high = (value.float() for value in tensor.detach().aminmax())
        if not (low.isfinite() and high.isfinite()):
            found = "NaN" if bool(low.isnan()) else "infinite numbers"
            return f"holds {found}. {_ADVICE}"
    elif tensor.is_floating_point():
        import torch

        largest = 2 / torch.finfo(tensor.dtype).eps
        if not bool(((tensor == tensor.round()) & (tensor.abs() <= largest)).all()):
            return f"holds rounded numbers ({_name(tensor)}) where the network has {_name(wanted)}. {_ADVICE}"
    return None


def check_numbers(tensors: Iterable[tuple[str, "Tensor"]], *, place: str) -> None:
    """Refuse a network whose weights are not finite, or all of them zero.

    Args:
        tensors: Names and weights, of a network or of one of its parts.
        place: For messages: model and file.
    """
    num_matrices, num_zero = 0, 0
    for name, tensor in tensors:
        if problem := _kind(tensor):
            raise ModelError(f"{place}: {name} {problem}")
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        low, high = (float(value) for value in tensor.detach().aminmax())
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            raise ModelError(
                f"{place}: {name} holds {'NaN' if low != low else 'infinite numbers'}. {_ADVICE}"
            )
        num_matrices += tensor.ndim > 1
        num_zero += tensor.ndim > 1 and low == high == 0
    if num_matrices and num_zero == num_matrices:
        raise ModelError(f"{place}: all weights are zero. {_ADVICE}")


def check_effect(logits: "Tensor", *, place: str) -> None:
    """Refuse a network that answers the same to different images: its head is constant, or a layer is dead.

    Args:
        logits: "images classes" of at least two different images.
        place: For messages: model and file.
    """
    if logits.ndim != 2 or len(logits) < 2:
        return
    if not bool(logits.isfinite().all()):
        raise ModelError(f"{place}: the network gives logits that are not finite. {_ADVICE}")
    smallest = 1e-6 * float(logits.abs().max())
    if logits.shape[1] > 1 and float(logits.amax(dim=1).sub(logits.amin(dim=1)).max()) <= smallest:
        raise ModelError(
            f"{place}: the network gives every class the same logit: its head is constant. {_ADVICE}"
        )
    shifted = logits - logits.mean(dim=1, keepdim=True) if logits.shape[1] > 1 else logits
    if float((shifted - shifted[:1]).abs().max()) <= smallest:
        raise ModelError(
            f"{place}: the network answers the same to different images: a layer or its head is constant. {_ADVICE}"
        )


def _name(tensor: "Tensor | torch.Tensor") -> str:
    return str(tensor.dtype).removeprefix("torch.")
