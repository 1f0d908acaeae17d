"""Build the networks of the recipes, and write them so that open_clip and timm load them from a folder."""

import json
import shutil
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from experiments.tiny_world.recipes import Recipe
from imagenetd.images.tiny_world import CATEGORIES
from imagenetd.images.tiny_world.referee import Referee

ASSETS = Path(__file__).resolve().parents[2] / "imagenetd/assets/tiny"
TOKENIZER_FOLDER = ASSETS / "tokenizer"
MAX_TOKENS = 16
PREPROCESSING = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def dual_encoder_config(recipe: Recipe) -> dict[str, object]:
    """The open_clip model configuration of a recipe."""
    assert isinstance(recipe.tower, dict)
    words = json.loads((TOKENIZER_FOLDER / "tokenizer.json").read_text())
    vocabulary = words["model"]["vocab"]
    size = max(*vocabulary.values(), *(token["id"] for token in words["added_tokens"])) + 1
    end = vocabulary["<|endoftext|>"]
    text = {
        "context_length": MAX_TOKENS,
        "vocab_size": size,
        # open_clip reads the tokenizer of a local folder only if this is not empty; the value is not used.
        "hf_tokenizer_name": "tokenizer",
        "width": 64,
        "heads": 2,
        "layers": 2,
        # The end mark has not the largest id in this tokenizer, so the default "argmax" is wrong.
        "pool_type": "eos",
        "eos_id": end,
        "pad_id": end,
        "proj_bias": False,
    }
    return {"embed_dim": 96, "vision_cfg": {"image_size": 64, **recipe.tower}, "text_cfg": text}


def build_network(recipe: Recipe) -> nn.Module:
    """The untrained network of a recipe; its first weights follow from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    if recipe.is_dual_encoder:
        import open_clip

        open_clip.factory._MODEL_CONFIGS[recipe.name] = dual_encoder_config(recipe)
        return open_clip.create_model(recipe.name, pretrained=None)
    if recipe.tower == "referee":
        return Referee()
    import timm

    return timm.create_model(recipe.tower, num_classes=len(CATEGORIES))


def configuration(recipe: Recipe) -> tuple[str, dict[str, object]]:
    """Name and content of the configuration file that stands beside the weights."""
    if recipe.is_dual_encoder:
        preprocess = {**PREPROCESSING, "interpolation": "bicubic", "resize_mode": "shortest"}
        return "open_clip_config.json", {
            "model_cfg": dual_encoder_config(recipe),
            "preprocess_cfg": preprocess,
        }
    if recipe.tower == "referee":
        return "config.json", {"widths": [24, 48, 96, 128], **PREPROCESSING}
    pretrained = {
        **PREPROCESSING,
        "input_size": [3, 64, 64],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "num_classes": len(CATEGORIES),
        "label_names": list(CATEGORIES),
    }
    return "config.json", {
        "architecture": recipe.tower,
        "num_classes": len(CATEGORIES),
        "pretrained_cfg": pretrained,
    }


def export(recipe: Recipe, network: nn.Module, folder: Path | None = None) -> Path:
    """Write half-precision weights and configuration under the assets; the old ones are replaced at once."""
    folder = folder or ASSETS / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    name, content = configuration(recipe)
    weights = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in network.state_dict().items()
    }
    file = folder / ("open_clip_model.safetensors" if recipe.is_dual_encoder else "model.safetensors")
    save_file(weights, file.with_suffix(".tmp"), metadata={"format": "pt"})
    file.with_suffix(".tmp").chmod(0o644)  # safetensors writes files that only their owner may read
    (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    file.with_suffix(".tmp").replace(file)
    if recipe.is_dual_encoder:
        for part in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(TOKENIZER_FOLDER / part, folder / part)
    return folder


def load_exported(recipe: Recipe, folder: Path | None = None) -> nn.Module:
    """The trained network as the benchmark loads it, through the library's own folder loader."""
    folder = folder or ASSETS / recipe.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if recipe.is_dual_encoder:
            import open_clip

            return open_clip.create_model(f"local-dir:{folder}").eval()
        if recipe.tower == "referee":
            from imagenetd.images.tiny_world.referee import load_referee

            return load_referee(folder)
        import timm

        return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
