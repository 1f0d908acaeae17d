"""Measures how far targets fall as more surrogates must fail together, and if they keep their order (paper, 4.4).

    python -m experiments.surrogate_ablation.ablate --seeds 0 1

Cost: about 4 minutes on two CPU cores from nothing (two pools of 960 diffusion images, seven models). Each pool and
each model runs once; all subsets are mined from the stored answers. Result: README.md and the files beside it.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments.surrogate_ablation.plot import plot
from imagenetd.config.schema import CONF_DIR, register
from imagenetd.pipeline import run_pipeline
from imagenetd.reports.design import Design
from imagenetd.reports.evidence import Evidence
from imagenetd.reports.persistence import persistence_table, transfer_table
from imagenetd.reports.subset_curves import Subsets, curve_table, subset_table
from imagenetd.reports.tables import write_csv
from imagenetd.stages.run import Run
from imagenetd.stages.setup import make_setup
from imagenetd.store.folders import write_bytes_atomic, write_json_atomic

FOLDER = Path(__file__).parent
DRAWS: dict[str, int] = {"num_draws": 1000, "seed": 0}
HELD_OUT = "held-out surrogate"


def main() -> None:
    """Run the pipeline for every seed, mine with every subset, and write the tables and the plot."""
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
    parts: dict[str, list[pd.DataFrame]] = {"curve": [], "subsets": [], "persistence": [], "transfer": []}
    for seed in arguments.seeds:
        for name, table in ablate(evidence_of(seed, arguments.overrides)).items():
            parts[name].append(table.assign(seed=seed))
    tables = {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}
    for name, table in tables.items():
        write_csv(table[["seed", *table.columns.drop("seed")]], arguments.out / f"{name}.csv")
    write_json_atomic(arguments.out / "result.json", verdict(tables["curve"]))
    write_bytes_atomic(arguments.out / "curve.png", plot(tables["curve"]))
    print(json.dumps(verdict(tables["curve"]), indent=1))


def evidence_of(seed: int, overrides: Sequence[str]) -> Evidence:
    """Make the pool and the predictions of one seed, or find them, and return the answers of all models."""
    fixed = [f"seed={seed}", "targets=all_tiny", "logger=none", "name=ablation", "report=tables"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        composed = compose("config", overrides=[*fixed, "report.plot=false", *overrides])
    config: Any = OmegaConf.to_object(composed)
    run_pipeline(config, plain_config={})
    return Run(make_setup(config)).evidence()


def ablate(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """Return the tables of one pool: the targets first, then every surrogate as a target of the other three."""
    design = Design(evidence)
    everyone = [_mined(evidence, {m.name: evidence.relation(m) for m in evidence.of_role("target")})]
    for held_out in evidence.of_role("surrogate"):
        others = [m for m in evidence.models if m.role == "surrogate" and m is not held_out]
        models = (*others, dataclasses.replace(held_out, role="target"))
        everyone.append(_mined(dataclasses.replace(evidence, models=models), {held_out.name: HELD_OUT}))
    return {
        "curve": pd.concat([curve for curve, _ in everyone], ignore_index=True),
        "subsets": pd.concat([subsets for _, subsets in everyone], ignore_index=True),
        "persistence": persistence_table(design, min_share=0.5),
        "transfer": transfer_table(design),
    }


def _mined(evidence: Evidence, relations: dict[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    subsets = Subsets.of(Design(evidence), max_rows=1024, **DRAWS)
    curve, table = curve_table(subsets), subset_table(subsets)
    return tuple(part.assign(relation=part["target"].map(relations)) for part in (curve, table))  # type: ignore[return-value]


def all_must_fail(curve: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of k = n."""
    return curve[curve["num_surrogates"] == curve["min_failures"]]


def verdict(curve: pd.DataFrame) -> dict[str, Any]:
    """Return, for each seed and target, the loss from the gated pool to the gated mined set, and whether it grows."""
    return dict(_verdicts(all_must_fail(curve)))


def _verdicts(curve: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    for (seed, target), rows in curve.groupby(["seed", "target"], sort=False):
        accuracy = rows.sort_values("num_surrogates")["accuracy"].to_numpy()
        losses = 100 * (accuracy[0] - accuracy)
        yield (
            f"seed {seed}, {target}",
            {
                "relation": rows["relation"].iloc[0],
                "pool_accuracy": round(float(accuracy[0]), 4),
                "loss_points": [round(float(loss), 1) for loss in losses[1:]],
                "loses_30_points": bool(losses[-1] >= 30),
                "loss_grows_with_every_surrogate": bool((np.diff(losses) > 0).all()),
            },
        )


if __name__ == "__main__":
    main()
