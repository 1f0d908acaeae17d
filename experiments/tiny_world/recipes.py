"""The classifiers of the tiny world: architecture, data seed and training length of each."""

from dataclasses import dataclass

from experiments.tiny_world.factors import UNCORRELATED, Habits

HABITUAL = Habits(background=0.98, appearance=0.93)
"""What surrogates and targets learn from: mostly usual places and usual colours.

At 0.7 and 0.7 they are right on 95 to 99% of the pool, and next to no shared failure is left to mine. At 0.96 and 0.97
their failures are not shared: too few exceptions are seen, and each model sees others.
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one classifier is made."""

    name: str
    tower: dict[str, object] | str
    """An open_clip vision_cfg (dual encoder), a timm architecture name, or "referee"."""
    seed: int
    habits: Habits = HABITUAL
    num_images: int = 8_000
    epochs: float = 6.0
    learning_rate: float = 2e-3
    is_bf16: bool = False
    """Train under bfloat16 autocast: measured faster for plain convolutions only."""

    @property
    def is_dual_encoder(self) -> bool:
        """Whether images are compared with captions."""
        return isinstance(self.tower, dict)


def vit(layers: int, width: int, patch_size: int) -> dict[str, object]:
    """A vision transformer for open_clip."""
    return {"layers": layers, "width": width, "head_width": 32, "patch_size": patch_size}


def timm_tower(architecture: str) -> dict[str, object]:
    """A timm network as an open_clip image tower."""
    return {
        "timm_model_name": architecture,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
    }


RECIPES: tuple[Recipe, ...] = (
    Recipe("judge", "referee", seed=101, habits=UNCORRELATED, num_images=16_000, epochs=7, is_bf16=True),
    Recipe(
        "tiny_gate", "test_byobnet", seed=202, habits=UNCORRELATED, num_images=16_000, epochs=8, is_bf16=True
    ),
    Recipe("tiny_clip_vit", vit(4, 96, 16), seed=1, epochs=12, learning_rate=1.2e-3),
    Recipe(
        "tiny_clip_rn",
        {"layers": [1, 1, 1, 1], "width": 12, "head_width": 32, "patch_size": None},
        seed=2,
        is_bf16=True,
    ),
    Recipe("tiny_clip_effnet", timm_tower("test_efficientnet"), seed=3),
    Recipe("tiny_clip_convnext", timm_tower("test_convnext"), seed=4),
    Recipe("tiny_resnet", "test_resnet", seed=11, is_bf16=True),
    Recipe("tiny_clip", vit(3, 128, 16), seed=12, epochs=12, learning_rate=1.2e-3),
)
