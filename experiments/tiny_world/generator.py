"""The `generator` part of the training command: render, fit the codec, train the text-to-image model, export it.

python -m experiments.tiny_world.train generator --minutes 90 --processes 2
"""

import argparse
import os
from pathlib import Path

import torch

from experiments.tiny_world.codec_train import DecoderRun, train_decoder
from experiments.tiny_world.generator_model import GENERATOR_FOLDER
from experiments.tiny_world.generator_train import GeneratorRun, prepare_latents, train_process

RUNS = Path("runs/tiny_world_training/generator")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the `generator` command."""
    parser.add_argument("--minutes", type=float, default=90, help="training time of the denoiser in all")
    parser.add_argument("--decoder-minutes", type=float, default=10, help="processor time of the decoder")
    parser.add_argument("--processes", type=int, default=2, help="processes, one thread each (CPU only)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--shards", type=int, default=26, help="renders to train on, 4000 each")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of renders and checkpoints")
    parser.add_argument("--out", type=Path, default=GENERATOR_FOLDER, help="pipeline folder to write")


def run(args: argparse.Namespace) -> None:
    """Train what is not trained yet; started again it continues from the last checkpoint."""
    if args.device == "cpu":
        torch.set_num_threads(1)
    settings = GeneratorRun(
        folder=args.runs,
        minutes=args.minutes,
        processes=args.processes if args.device == "cpu" else 1,
        device=args.device,
        num_shards=args.shards,
        out=args.out,
    )
    prepare_latents(settings)
    if not (args.runs / "decoder.done").exists():
        shards = min(10, args.shards)
        train_decoder(DecoderRun(args.runs, args.decoder_minutes * 60, device=args.device, num_shards=shards))
        (args.runs / "decoder.done").touch()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if settings.processes == 1:
        train_process(0, settings)
    else:
        (args.runs / "meeting").unlink(
            missing_ok=True
        )  # a killed run leaves it, and the next would wait for its dead
        torch.multiprocessing.spawn(train_process, (settings,), nprocs=settings.processes)
