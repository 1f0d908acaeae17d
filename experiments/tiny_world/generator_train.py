"""Train the tiny generator's denoiser and text encoder: flow matching on fixed latents, one or more processes."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn

from experiments.tiny_world.codec import PatchBasis, build_codec, fit_basis, load_basis, set_linear_encoder
from experiments.tiny_world.generator_data import EMPTY_CAPTION, shard_path, write_shards
from experiments.tiny_world.generator_model import (
    GENERATOR_FOLDER,
    build_denoiser,
    build_text_encoder,
    copy_weights,
    export_pipeline,
    parameters_of,
    prepare_for_training,
)
from experiments.tiny_world.tokenizer import MAX_TOKENS, all_captions, load_tokenizer

WARM_UP_STEPS = 200
EMPTY_SHARE = 0.1
"""Share of images whose caption is dropped, for classifier-free guidance."""
EMA_DECAY = 0.9985
TIME_SHIFT = 0.3
"""Mean of the logit of the noise level; above 0, noisy images come more often."""
CHECKPOINT_S = 180.0
EXPORT_S = 900.0


@dataclass(frozen=True, slots=True)
class GeneratorRun:
    """One training run; its folder holds renders, latents and the checkpoint, so it can be continued."""

    folder: Path
    minutes: float
    processes: int = 2
    device: str = "cpu"
    batch_size: int = 32
    learning_rate: float = 1.0e-3
    num_shards: int = 26
    out: Path = GENERATOR_FOLDER


def prepare_latents(run: GeneratorRun) -> None:
    """Render what is missing, fit the basis on the first shards, encode every shard once."""
    write_shards(run.folder, range(run.num_shards))
    basis_path = run.folder / "basis.safetensors"
    if not basis_path.exists():
        few = [np.load(shard_path(run.folder, index))["images"] for index in range(min(2, run.num_shards))]
        fit_basis(torch.from_numpy(np.concatenate(few))).save(basis_path)
    basis = load_basis(basis_path)
    if not (run.folder / "latents.pt").exists():
        shards = [_encode_shard(basis, shard_path(run.folder, index)) for index in range(run.num_shards)]
        latents, captions = (torch.cat(parts) for parts in zip(*shards, strict=True))
        torch.save({"latents": latents, "captions": captions}, run.folder / "unfinished.pt")
        os.replace(run.folder / "unfinished.pt", run.folder / "latents.pt")


def _encode_shard(
    basis: PatchBasis, path: Path
) -> tuple[Float[Tensor, "images components 8 8"], Int[Tensor, " images"]]:
    with np.load(path) as shard:
        images, caption = torch.from_numpy(shard["images"]), torch.from_numpy(shard["caption"]).long()
    return torch.cat([basis.encode(part).half() for part in images.split(500)]), caption


def learning_rate_at(step: int, progress: float, peak: float) -> float:
    """Linear warm-up, a plateau, and a linear fall over the second half of the time."""
    return peak * min(1.0, step / WARM_UP_STEPS + 0.005) * min(1.0, max(0.01, 2 * (1 - progress)))


def draw_noise_levels(count: int, generator: torch.Generator) -> Float[Tensor, " count"]:
    """Stratified logit-normal noise levels in (0, 1)."""
    place = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    normal = torch.erfinv(2 * place.clamp(0.001, 0.999) - 1) * 2**0.5
    return torch.sigmoid(normal + TIME_SHIFT)


class GeneratorTrainer:
    """The models, their averages and the optimizer of one process."""

    def __init__(self, run: GeneratorRun, rank: int) -> None:
        torch.manual_seed(0)  # the same first weights in every process
        self.run, self.rank = run, rank
        tokenizer = load_tokenizer()
        self.tokens = tokenizer(
            all_captions(), padding="max_length", max_length=MAX_TOKENS, return_tensors="pt"
        ).input_ids.to(run.device)
        self.text_encoder = build_text_encoder(len(tokenizer)).to(run.device)
        self.denoiser = build_denoiser().to(run.device, memory_format=torch.channels_last)
        prepare_for_training(self.denoiser)
        self.parameters = parameters_of(self.text_encoder, self.denoiser)
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=run.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.step, self.seconds = 0, 0.0
        if self.checkpoint.exists():
            self._resume()
        self.generator = torch.Generator().manual_seed(1000 * (self.step + 1) + rank)
        data = torch.load(run.folder / "latents.pt", mmap=True)
        self.latents, self.captions = data["latents"], data["captions"]

    @property
    def checkpoint(self) -> Path:
        """Where the state lies from which a stopped run continues."""
        return self.run.folder / "checkpoint.pt"

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.run.device)
        copy_weights(self.parameters, state["parameters"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the checkpoint in one step."""
        state = {
            "parameters": [parameter.detach() for parameter in self.parameters],
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        unfinished = self.checkpoint.with_suffix(".unfinished")
        torch.save(state, unfinished)
        os.replace(unfinished, self.checkpoint)

    def loss(self) -> Float[Tensor, ""]:
        """Mean square error of the predicted flow (noise minus latents) on a fresh batch."""
        size, device = self.run.batch_size, self.run.device
        chosen = torch.randint(len(self.latents), (size,), generator=self.generator)
        caption = self.captions[chosen]
        caption[torch.rand(size, generator=self.generator) < EMPTY_SHARE] = EMPTY_CAPTION
        latents = self.latents[chosen].float()
        noise = torch.randn(latents.shape, generator=self.generator)
        level = draw_noise_levels(size, self.generator)
        mixed = torch.lerp(latents, noise, level[:, None, None, None])
        latents, noise, mixed, level = (each.to(device) for each in (latents, noise, mixed, level))
        different, place = caption.to(device).unique(return_inverse=True)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            words = self.text_encoder(self.tokens[different])[0].float()[place]
            mixed = mixed.contiguous(memory_format=torch.channels_last)
            flow = self.denoiser(mixed, level * 1000, words, return_dict=False)[0]
        return nn.functional.mse_loss(flow.float(), noise - latents)

    def share_gradients(self, *numbers: float) -> list[float]:
        """Average the gradients and some numbers over the processes."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        flat = [gradient.flatten() for gradient in gradients]
        message = torch.cat([*flat, torch.tensor(numbers, device=self.run.device)])
        if self.run.processes > 1:
            dist.all_reduce(message)
            message /= self.run.processes
        start = 0
        for gradient in gradients:
            gradient.copy_(message[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return message[start:].tolist()

    def train_step(self, progress: float) -> tuple[float, float]:
        """One update; the mean loss over the processes and the seconds it took here."""
        start = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, progress, self.run.learning_rate)
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        (mean_loss,) = self.share_gradients(loss.item())
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(EMA_DECAY, self.step / (self.step + 50))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [each.detach() for each in self.parameters], 1 - decay)
        return mean_loss, time.monotonic() - start


def export_average(trainer: GeneratorTrainer) -> None:
    """Write the averaged weights and the codec as the shipped pipeline folder."""
    text_encoder, denoiser = build_text_encoder(len(load_tokenizer())), build_denoiser()
    copy_weights(parameters_of(text_encoder, denoiser), trainer.average)
    codec = build_codec()
    set_linear_encoder(codec, load_basis(trainer.run.folder / "basis.safetensors"))
    decoder = trainer.run.folder / "decoder.pt"
    if decoder.exists():
        codec.decoder.load_state_dict(torch.load(decoder, map_location="cpu"))
    export_pipeline(denoiser, text_encoder, codec, trainer.run.out)


def train_process(rank: int, run: GeneratorRun) -> None:
    """Train until `minutes` are spent in all; process 0 writes checkpoints and exports."""
    torch.set_num_threads(1 if run.device == "cpu" else 8)
    if run.processes > 1:
        meeting = f"file://{(run.folder / 'meeting').resolve()}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=run.processes)
    trainer, recent = GeneratorTrainer(run, rank), []
    last_checkpoint = last_export = trainer.seconds
    while trainer.seconds < run.minutes * 60:
        loss, seconds = trainer.train_step(trainer.seconds / (run.minutes * 60))
        trainer.seconds = _agreed_seconds(trainer, seconds)
        recent.append(loss)
        if rank == 0 and trainer.step % 100 == 0:
            images = trainer.step * run.batch_size * run.processes
            print(f"step {trainer.step}  images {images}  {trainer.seconds / 60:.1f} min  "
                  f"loss {np.mean(recent[-100:]):.4f}", flush=True)  # fmt: skip
        if rank == 0 and trainer.seconds - last_checkpoint > CHECKPOINT_S:
            trainer.save()
            last_checkpoint = trainer.seconds
        if rank == 0 and trainer.seconds - last_export > EXPORT_S:
            export_average(trainer)
            last_export = trainer.seconds
    if rank == 0:
        trainer.save()
        export_average(trainer)
    if run.processes > 1:
        dist.destroy_process_group()


def _agreed_seconds(trainer: GeneratorTrainer, seconds: float) -> float:
    """Time spent so far, the same number in every process, so that all stop after the same step."""
    message = torch.tensor([trainer.seconds + seconds])
    if trainer.run.processes > 1:
        dist.all_reduce(message)
    return message.item() / trainer.run.processes
