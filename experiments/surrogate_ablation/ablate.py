"""How far do unseen targets fall on images mined with 1, 2, 3 and 4 surrogates? All subsets of each size.

    python -m experiments.surrogate_ablation.ablate --seeds 0 1

Paper, section 4.4: the accuracy of every target falls as the number of surrogates grows.
"""

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from imagenetd.commandline import CONF_DIR
from imagenetd.config import register
from imagenetd.job import Job
from imagenetd.metrics import wilson_interval
from imagenetd.mining import shared_failures
from imagenetd.pipeline import run_pipeline
from imagenetd.plan import make_plan
from imagenetd.reports.tables import write_csv
from imagenetd.store import write_bytes_atomic, write_json_atomic

FOLDER = Path(__file__).parent
TARGETS = ("tiny_resnet", "tiny_clip")


def main() -> None:
    """Run the pipeline for every seed and target, then write table, summary and plot beside this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1], help="seeds of the pool (default: 0 1)"
    )
    parser.add_argument(
        "--out", type=Path, default=FOLDER, help="where results are written (default: beside this file)"
    )
    parser.add_argument(
        "overrides", nargs="*", help="options of run.py, e.g. generator=render num_images_per_cell=2"
    )
    arguments = parser.parse_args()
    register()
    rows = [row for seed in arguments.seeds for row in ablate(seed, arguments.overrides)]
    table = pd.DataFrame(rows)
    write_csv(table, arguments.out / "subsets.csv")
    curve = summarise(table)
    write_csv(curve, arguments.out / "curve.csv")
    write_json_atomic(arguments.out / "result.json", verdict(curve))
    write_bytes_atomic(arguments.out / "curve.png", plot(curve))
    print(curve.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    print(json.dumps(verdict(curve)))


def ablate(seed: int, overrides: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield one row for each target and each subset of the surrogates, on one pool."""
    for target in TARGETS:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            fixed = [f"seed={seed}", f"target={target}", "logger=none", "name=ablation", "report.plot=false"]
            composed = compose("config", overrides=[*fixed, *overrides])
        config: Any = OmegaConf.to_object(composed)
        run_pipeline(config, plain_config={})
        job = Job(make_plan(config), {}, ())
        surrogates = job.plan.of_role("surrogate")
        correct = job.correct(surrogates)
        (right,) = job.correct(job.plan.of_role("target"))
        valid = job.sets["pool_accepted"]
        for size in range(len(surrogates) + 1):
            for chosen in itertools.combinations(range(len(surrogates)), size):
                mined = (
                    shared_failures(correct[list(chosen)], min_failures=size)
                    if size
                    else np.ones(len(right), bool)
                )
                names = "+".join(surrogates[index].name for index in chosen)
                yield _row(seed, target, size, names, mined, valid, right)


def _row(
    seed: int, target: str, size: int, names: str, mined: np.ndarray, valid: np.ndarray, right: np.ndarray
) -> dict[str, Any]:
    accepted = mined & valid
    return {
        "seed": seed,
        "target": target,
        "num_surrogates": size,
        "surrogates": names,
        "num_mined": int(mined.sum()),
        "num_accepted": int(accepted.sum()),
        "num_correct": int((accepted & right).sum()),
        "accuracy_mined": float(right[mined].mean()) if mined.any() else float("nan"),
        "accuracy_accepted": float(right[accepted].mean()) if accepted.any() else float("nan"),
    }


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over the subsets of each size, and the Wilson interval of the full set."""
    groups = table.groupby(["seed", "target", "num_surrogates"], sort=True)
    curve = groups[["num_mined", "num_accepted", "accuracy_mined", "accuracy_accepted"]].mean().reset_index()
    curve["valid_share"] = (groups["num_accepted"].sum() / groups["num_mined"].sum()).to_numpy()
    pooled = groups[["num_correct", "num_accepted"]].sum()
    subsets = groups.size().to_numpy()
    # Subsets overlap: the interval is that of one subset of mean size, not of their sum.
    low, high = wilson_interval(
        np.rint(pooled["num_correct"].to_numpy() / subsets),
        np.rint(pooled["num_accepted"].to_numpy() / subsets),
    )
    return curve.assign(wilson_low=low, wilson_high=high)


def verdict(curve: pd.DataFrame) -> dict[str, Any]:
    """Return, for each seed and target, the loss from the gated pool to the gated mined set, and whether it grows."""
    found: dict[str, Any] = {}
    for (seed, target), rows in curve.groupby(["seed", "target"]):
        accuracy = rows.sort_values("num_surrogates")["accuracy_accepted"].to_numpy()
        losses = 100 * (accuracy[0] - accuracy)
        found[f"seed {seed}, {target}"] = {
            "pool_accuracy": round(float(accuracy[0]), 4),
            "loss_points": [round(float(loss), 1) for loss in losses[1:]],
            "loses_30_points": bool(losses[-1] >= 30),
            "loss_grows_with_every_surrogate": bool((np.diff(losses) > 0).all()),
        }
    return found


def plot(curve: pd.DataFrame) -> bytes:
    """Return the curve as PNG: accuracy of each target against the number of surrogates, a line for each seed."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    colours = dict(zip(TARGETS, ("#1f6fb4", "#c2571a"), strict=True))
    for (seed, target), rows in curve.groupby(["seed", "target"]):
        position = rows["num_surrogates"].to_numpy()
        accuracy = 100 * rows["accuracy_accepted"].to_numpy()
        style = {"color": colours[target], "linestyle": "-" if seed == curve["seed"].min() else "--"}
        axes.plot(position, accuracy, marker="o", label=f"{target}, seed {seed}", **style)
        axes.fill_between(
            position, 100 * rows["wilson_low"], 100 * rows["wilson_high"], color=colours[target], alpha=0.1
        )
    axes.set_xticks(range(5), ["0\n(pool)", "1", "2", "3", "4"])
    axes.set_xlabel("surrogates that must all fail")
    axes.set_ylabel("accuracy of an unseen target, %")
    axes.set_ylim(0, 100)
    axes.set_title("Shared failure transfers: tiny world, images that pass the gate", fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


if __name__ == "__main__":
    main()
