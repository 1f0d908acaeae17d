"""Which numbers a network is computed with: autocast up to its last features, float32 from there on."""

from typing import TYPE_CHECKING, Any

from imagenetd.records import ModelFacts

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LOGITS = "float32"
"""From the last features on: final normalisation, head and scale, whatever `trainer.precision` says."""


class PreciseTail:
    """A network whose last part runs in float32 while autocast computes the rest in half precision.

    A product of matrices in bfloat16 gives logits of 8 bits: among 1,000 classes the two best are then equal on
    several images in a hundred, and which one counts says nothing about the network.

    The tail begins behind the last but one linear layer or convolution that runs; where several heads give the classes,
    behind the one before them. It is found by running the network once (`watch`).
    """

    def __init__(self, network: "torch.nn.Module") -> None:
        self.network = network
        self.is_whole = False
        """True when nothing could be told apart, so that the whole network runs in float32."""

    def watch(self, batch: "Tensor") -> Any:
        """Run the network on a few images, find where its tail begins, and return what it gives."""
        import torch

        order: list[torch.nn.Module] = []
        hooks = [
            part.register_forward_hook(lambda module, _, __: order.append(module))
            for part in self.network.modules()
            if _is_product(part)
        ]
        try:
            output = self.network(batch)
        finally:
            for hook in hooks:
                hook.remove()
        self._cut(order, _width(output))
        return output

    def _cut(self, order: "list[torch.nn.Module]", width: int | None) -> None:
        num_heads = 1
        while num_heads < len(order) and width is not None and _num_outputs(order[-num_heads - 1]) == width:
            num_heads += 1
        if len(order) <= num_heads:
            self.is_whole = True
            return
        last, tail = order[-num_heads - 1], order[-num_heads:]
        if last in tail:  # one layer used twice
            self.is_whole = True
            return
        last.register_forward_hook(self._begin)
        for part in tail:
            part.register_forward_pre_hook(_in_float32)

    def _begin(self, module: "torch.nn.Module", inputs: Any, output: Any) -> Any:
        """Turn autocast off for what comes behind this layer, until `run` turns it on again."""
        import torch

        device = output.device.type if isinstance(output, torch.Tensor) else "cpu"
        if torch.is_autocast_enabled(device):
            torch.set_autocast_enabled(device, False)
            return output.float()
        return output

    def run(self, batch: "Tensor") -> Any:
        """Return what the network gives, the last part computed in float32."""
        import torch

        device = batch.device.type
        if not torch.is_autocast_enabled(device):
            return self.network(batch)
        if not self.is_whole:
            try:
                output = self.network(batch)
            except RuntimeError as error:
                if "dtype" not in str(error) and "type" not in str(error):
                    raise
                self.is_whole = True  # a part of the tail reads features from before it: all in float32, then
            else:
                if _is_float32(output):
                    return output
                self.is_whole = True
            finally:
                torch.set_autocast_enabled(device, True)
        with torch.autocast(device, enabled=False):
            return self.network(batch)


def _in_float32(module: "torch.nn.Module", inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    import torch

    kind = next((weight.dtype for weight in module.parameters()), torch.float32)
    return tuple(
        value.to(kind) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for value in inputs
    )


def _is_product(module: "torch.nn.Module") -> bool:
    import torch

    kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd, torch.nn.Bilinear)
    return isinstance(module, kinds)


def _num_outputs(module: "torch.nn.Module") -> int | None:
    found = getattr(module, "out_features", getattr(module, "out_channels", None))
    return found if isinstance(found, int) else None


def _width(output: Any) -> int | None:
    import torch

    output = getattr(output, "logits", output)
    return output.shape[-1] if isinstance(output, torch.Tensor) and output.ndim == 2 else None


def _is_float32(output: Any) -> bool:
    import torch

    output = getattr(output, "logits", output)
    return not isinstance(output, torch.Tensor) or output.dtype not in (torch.bfloat16, torch.float16)


def computed_with(classifier: Any, device: "torch.device", *, precision: str) -> ModelFacts:
    """Return, as plain values, what a loaded classifier is really computed with.

    Args:
        classifier: Its networks are its attributes.
        device: Of the networks.
        precision: As Lightning runs it, e.g. `bf16-mixed`.
    """
    import torch

    networks = [part for part in vars(classifier).values() if isinstance(part, torch.nn.Module)]
    kinds = sorted({str(weight.dtype)[6:] for network in networks for weight in network.parameters()})
    tail = vars(classifier).get("_tail")
    half = {"bf16-mixed": "bfloat16", "16-mixed": "float16"}.get(precision)
    features = half if half and not (tail and tail.is_whole) else "+".join(kinds) or None
    found: ModelFacts = {
        "device": device.type,
        "weights": "+".join(kinds) or None,
        "features": features,
        "logits": LOGITS,
        "matmul": torch.get_float32_matmul_precision(),
        "torch": torch.__version__,
    }
    if device.type == "cuda":
        found |= {
            "device_name": torch.cuda.get_device_name(device),
            "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
            "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        }
    return found
