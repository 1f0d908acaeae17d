"""The `classifiers` part of the training command: train, export and measure the tiny classifiers.

python -m experiments.tiny_world.train classifiers --only tiny_resnet
"""

import argparse
import dataclasses
import time
from pathlib import Path

import torch

from experiments.tiny_world.classifier_networks import export, load_exported
from experiments.tiny_world.classifier_scores import report_scores
from experiments.tiny_world.recipes import RECIPES
from experiments.tiny_world.train_classifiers import train

RUNS = Path("runs/tiny_world_training/classifiers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the `classifiers` command."""
    names = [recipe.name for recipe in RECIPES]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="train these only")
    parser.add_argument(
        "--epochs", type=float, default=None, help="passes over the data (default: the recipe's)"
    )
    parser.add_argument(
        "--scores-only", action="store_true", help="measure the exported weights, train nothing"
    )
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the checkpoints")


def run(args: argparse.Namespace) -> None:
    """Train the chosen classifiers one after the other, then measure those that are exported."""
    torch.set_num_threads(1)
    for recipe in RECIPES:
        if recipe.name not in args.only or args.scores_only:
            continue
        chosen = recipe if args.epochs is None else dataclasses.replace(recipe, epochs=args.epochs)
        began = time.process_time()
        network = train(chosen, args.runs / f"{recipe.name}.pt", report=lambda line: print(line, flush=True))
        folder = export(chosen, network)
        print(
            f"{recipe.name}: {time.process_time() - began:.0f} CPU-seconds, written to {folder.name}",
            flush=True,
        )
    report_scores([recipe for recipe in RECIPES if recipe.name in args.only], load_exported)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    run(parser.parse_args())
