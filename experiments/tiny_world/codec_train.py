"""Train the codec's decoder on the fixed latents; the encoder is set beforehand and stays as it is."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from experiments.tiny_world.codec import SCALING_FACTOR, PatchBasis, build_codec, load_basis
from experiments.tiny_world.generator_data import shard_path

LATENT_NOISE = 0.15
"""Noise added to latents, at most: the denoiser's latents are never exact, so the decoder must bear some error."""
NUM_HELD_OUT = 256


@dataclass(frozen=True, slots=True)
class DecoderRun:
    """One decoder training, in seconds of processor time, so that a busy machine does not cut it short."""

    folder: Path
    seconds: float
    device: str = "cpu"
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    num_shards: int = 10


def signal_to_noise_db(
    decoded: Float[Tensor, "images 3 size size"], pixels: Float[Tensor, "images 3 size size"]
) -> float:
    """Peak signal-to-noise ratio of images in [-1, 1]."""
    return float(10 * torch.log10(4 / (decoded.clamp(-1, 1) - pixels).square().mean()))


def decoder_loss(
    decoder: nn.Module, basis: PatchBasis, images: UInt8[Tensor, "images 64 64 3"]
) -> Float[Tensor, ""]:
    """L1 plus L2 between images and their decoded, slightly noisy latents."""
    pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = basis.encode(images)
    amount = LATENT_NOISE * torch.rand(len(images), 1, 1, 1, device=images.device)
    latents = (latents + amount * torch.randn_like(latents)) / SCALING_FACTOR
    with torch.autocast(images.device.type, torch.bfloat16):
        decoded = decoder(latents.contiguous(memory_format=torch.channels_last))
    difference = decoded.float() - pixels
    return difference.abs().mean() + difference.square().mean()


def train_decoder(run: DecoderRun) -> float:
    """Train, save `decoder.pt` in the run's folder (and every minute), return the held-out ratio in dB."""
    torch.manual_seed(1)
    shards = [np.load(shard_path(run.folder, index))["images"] for index in range(run.num_shards)]
    images = torch.from_numpy(np.concatenate(shards)).to(run.device)
    images, held_out = images[:-NUM_HELD_OUT], images[-NUM_HELD_OUT:]
    basis = load_basis(run.folder / "basis.safetensors")
    decoder = build_codec().decoder.to(run.device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=run.learning_rate, betas=(0.9, 0.98), fused=True)
    start, step, last_save = time.process_time(), 0, 0.0
    while (spent := time.process_time() - start) < run.seconds:
        remaining = 1 - spent / run.seconds
        for group in optimizer.param_groups:
            group["lr"] = run.learning_rate * min(1.0, (step + 1) / 100) * max(0.01, remaining)
        loss = decoder_loss(decoder, basis, images[torch.randint(len(images), (run.batch_size,))])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 200 == 0:
            print(f"decoder step {step}  {spent:.0f} s  loss {loss.item():.4f}", flush=True)
        if spent - last_save > 60:
            _save(decoder, run.folder)
            last_save = spent
    _save(decoder, run.folder)
    with torch.no_grad():
        latents = basis.encode(held_out) / SCALING_FACTOR
        pixels = held_out.permute(0, 3, 1, 2).float() / 127.5 - 1
        trained, linear = decoder(latents), basis.decode(latents * SCALING_FACTOR)
    quality = signal_to_noise_db(trained, pixels)
    print(f"decoder {quality:.2f} dB, linear {signal_to_noise_db(linear, pixels):.2f} dB, "
          f"{step * run.batch_size} images", flush=True)  # fmt: skip
    return quality


def _save(decoder: nn.Module, folder: Path) -> None:
    torch.save(decoder.state_dict(), folder / "decoder.unfinished")
    os.replace(folder / "decoder.unfinished", folder / "decoder.pt")
