"""Train one classifier of the tiny world; a killed run continues from its last checkpoint."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float32, Int, UInt8
from torch import Tensor, nn

from experiments.tiny_world.classifier_networks import MAX_TOKENS, TOKENIZER_FOLDER, build_network
from experiments.tiny_world.factors import (
    NUM_CAPTIONS,
    UNCORRELATED,
    Renders,
    all_captions,
    caption_index,
    draw_renders,
)
from experiments.tiny_world.recipes import Recipe
from imagenetd.images.tiny_world import CATEGORIES
from imagenetd.images.tiny_world.referee import HEADS

BATCH_SIZE = 96
CHECKPOINT_SECONDS = 60.0
MAX_LOGIT_SCALE = float(np.log(50.0))


def all_tokens() -> Int[Tensor, "captions tokens"]:
    """Every caption of the tiny world as token ids."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER_FOLDER)
    options = {"padding": "max_length", "max_length": MAX_TOKENS, "truncation": True, "return_tensors": "pt"}
    return tokenizer(all_captions(), **options).input_ids


def augmented(
    image: UInt8[Tensor, "batch 3 height width"], rng: np.random.Generator, *, is_strong: bool
) -> Float32[Tensor, "batch 3 height width"]:
    """Pixels in -1..1, mirrored, shifted, softened as by a lossy codec; strong adds noise and brightness."""
    pixels = image.float() / 127.5 - 1
    if rng.random() < 0.5:
        pixels = pixels.flip(3)
    pixels = torch.roll(pixels, tuple(int(shift) for shift in rng.integers(-4, 5, 2)), (2, 3))
    if rng.random() < (0.5 if is_strong else 0.25):
        size = int(rng.integers(28 if is_strong else 40, 60))
        small = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
        pixels = F.interpolate(small, size=image.shape[-2:], mode="bilinear")
    if is_strong:
        pixels = pixels * float(rng.uniform(0.8, 1.2)) + float(rng.uniform(-0.1, 0.1))
        pixels = pixels + torch.randn_like(pixels) * float(rng.uniform(0, 0.12))
    return pixels.contiguous(memory_format=torch.channels_last)


def dual_encoder_loss(
    network: Any, tokens: Int[Tensor, "captions tokens"]
) -> Callable[[Tensor, Renders, Tensor, np.random.Generator], Tensor]:
    """Half contrast with the batch's captions, half with the neutral captions that name the classes."""

    def loss(pixels: Tensor, renders: Renders, rows: Tensor, rng: np.random.Generator) -> Tensor:
        captions, own = torch.unique(caption_index(renders, rows, rng), return_inverse=True)
        classes = torch.arange(len(CATEGORIES)) * NUM_CAPTIONS
        text = F.normalize(network.encode_text(tokens[torch.cat([captions, classes])]).float(), dim=-1)
        image = F.normalize(network.encode_image(pixels).float(), dim=-1)
        logits = network.logit_scale.exp() * image @ text.T
        by_caption = F.cross_entropy(logits[:, : len(captions)], own)
        return 0.5 * by_caption + 0.5 * F.cross_entropy(logits[:, len(captions) :], renders.category[rows])

    return loss


def label_loss(network: nn.Module) -> Callable[[Tensor, Renders, Tensor, np.random.Generator], Tensor]:
    """Cross-entropy of the category, or of every factor for the referee."""

    def loss(pixels: Tensor, renders: Renders, rows: Tensor, rng: np.random.Generator) -> Tensor:
        logits = network(pixels)
        if not isinstance(logits, dict):
            logits = {"category": logits}
        labels = ((logits[name], getattr(renders, name)[rows]) for name in HEADS if name in logits)
        losses = [F.cross_entropy(each.float(), label, label_smoothing=0.05) for each, label in labels]
        return torch.stack(losses).sum()

    return loss


@dataclass(slots=True)
class Progress:
    """A training run that can be stopped and continued."""

    network: Any
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    step: int = 0

    def save(self, file: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "optimizer", "schedule")}
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"step": self.step, **parts}, file.with_suffix(".tmp"))
        file.with_suffix(".tmp").replace(file)

    def resume(self, file: Path) -> None:
        """Continue from the checkpoint if there is one."""
        if file.is_file():
            saved = torch.load(file, weights_only=True)
            self.step = saved.pop("step")
            for name, state in saved.items():
                getattr(self, name).load_state_dict(state)


def start(recipe: Recipe, num_steps: int) -> Progress:
    """A run at its first step."""
    network = build_network(recipe).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=num_steps, pct_start=0.15
    )
    return Progress(network, optimizer, schedule)


def train(recipe: Recipe, checkpoint: Path, *, report: Callable[[str], None] = print) -> nn.Module:
    """The trained network of a recipe; a finished checkpoint is returned as it is."""
    num_steps = round(recipe.epochs * recipe.num_images / BATCH_SIZE)
    run = start(recipe, num_steps)
    run.resume(checkpoint)
    if run.step >= num_steps:
        return run.network.eval()
    renders = draw_renders(1000 + recipe.seed, recipe.num_images, recipe.habits)
    network, is_strong = run.network, recipe.habits == UNCORRELATED
    loss_of = dual_encoder_loss(network, all_tokens()) if recipe.is_dual_encoder else label_loss(network)
    saved_at = began = time.monotonic()
    while run.step < num_steps:
        rng = np.random.default_rng(
            (recipe.seed, run.step)
        )  # a step's draw is its own: resuming changes nothing
        torch.manual_seed(recipe.seed * 1_000_003 + run.step)
        rows = torch.from_numpy(rng.integers(0, recipe.num_images, BATCH_SIZE))
        pixels = augmented(renders.image[rows], rng, is_strong=is_strong)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.is_bf16):
            loss = loss_of(pixels, renders, rows, rng)
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        run.schedule.step()
        if recipe.is_dual_encoder:
            network.logit_scale.data.clamp_(max=MAX_LOGIT_SCALE)
        run.step += 1
        if run.step % 100 == 0:
            report(
                f"{recipe.name} {run.step}/{num_steps} loss {loss.item():.3f} {time.monotonic() - began:.0f}s"
            )
        if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            run.save(checkpoint)
            saved_at = time.monotonic()
    run.save(checkpoint)
    return network.eval()
