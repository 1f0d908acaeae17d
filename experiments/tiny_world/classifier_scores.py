"""What the classifiers of the tiny world can do: accuracies, and a quick look at mining on renders."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor, nn

from experiments.tiny_world.factors import NUM_CAPTIONS, UNCORRELATED, draw_pool, draw_renders
from experiments.tiny_world.recipes import HABITUAL, Recipe
from experiments.tiny_world.train_classifiers import all_tokens
from imagenetd.images.tiny_world import NUISANCES
from imagenetd.images.tiny_world.referee import HEADS, Referee

NUM_HELD_OUT = 2_000
POOL_SEED = 9_003


@torch.no_grad()
def predict(recipe: Recipe, network: Any, image: UInt8[Tensor, "images 3 h w"]) -> Int[Tensor, " images"]:
    """The predicted category of each image; dual encoders are asked with the neutral captions."""
    if isinstance(network, Referee):
        return network.judge(image)["category"]
    pixels = (block.float() / 127.5 - 1 for block in image.split(256))
    if not recipe.is_dual_encoder:
        return torch.cat([network(block).argmax(dim=1) for block in pixels])
    text = network.encode_text(all_tokens()[::NUM_CAPTIONS], normalize=True)
    return torch.cat(
        [(network.encode_image(block, normalize=True) @ text.T).argmax(dim=1) for block in pixels]
    )


def report_scores(recipes: Sequence[Recipe], load: Callable[[Recipe], nn.Module]) -> None:
    """Print accuracies on held-out habitual data, on held-out uncorrelated data and on a pool of renders."""
    habitual = draw_renders(9_001, NUM_HELD_OUT, HABITUAL)
    uncorrelated = draw_renders(9_002, NUM_HELD_OUT, UNCORRELATED)
    pool, nuisance = draw_pool(POOL_SEED, 4)
    kinds = np.array([NUISANCES[index][0] for index in nuisance])
    print("| model | habitual | uncorrelated | pool | background | texture | material |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    is_right = {}
    for recipe in recipes:
        network = load(recipe)
        scores = [
            (predict(recipe, network, held.image) == held.category).float().mean().item()
            for held in (habitual, uncorrelated)
        ]
        right = (predict(recipe, network, pool.image) == pool.category).numpy()
        is_right[recipe.name] = right
        scores += [
            right.mean(),
            *(right[kinds == kind].mean() for kind in ("background", "texture", "material")),
        ]
        print(f"| {recipe.name} | " + " | ".join(f"{score:.3f}" for score in scores) + " |", flush=True)
        if isinstance(network, Referee):
            judged = network.judge(uncorrelated.image)
            agreed = {
                name: (judged[name] == getattr(uncorrelated, name)).float().mean().item() for name in HEADS
            }
            print("referee by head:", {name: round(share, 4) for name, share in agreed.items()})
    report_mining(is_right, kinds)


def report_mining(is_right: dict[str, Bool[np.ndarray, " images"]], kinds: np.ndarray) -> None:
    """Print how the targets do where 0 to all surrogates fail, averaged over all subsets of that size."""
    surrogates = [name for name in is_right if name.startswith("tiny_clip_")]
    targets = [name for name in is_right if name in ("tiny_resnet", "tiny_clip")]
    if not surrogates or not targets:
        return
    everything = np.ones(len(kinds), bool)
    print("| surrogates that fail | mined | share | " + " | ".join(targets) + " |")
    print("| --- | --- | --- |" + " --- |" * len(targets))
    for num_failing in range(len(surrogates) + 1):
        rows = []
        for chosen in itertools.combinations(surrogates, num_failing):
            mined = np.logical_and.reduce([everything, *(~is_right[name] for name in chosen)])
            rows.append([mined.sum(), mined.mean(), *(is_right[name][mined].mean() for name in targets)])
        mean = np.mean(rows, axis=0)
        print(f"| {num_failing} | {mean[0]:.0f} | " + " | ".join(f"{value:.3f}" for value in mean[1:]) + " |")
    mined = np.logical_and.reduce([~is_right[name] for name in surrogates])
    print(
        "mined by kind:", {kind: int((mined & (kinds == kind)).sum()) for kind in np.unique(kinds).tolist()}
    )
