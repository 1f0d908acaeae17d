"""Compare crowds, numbers of votes and rules on one mined set whose truth is known.

    python -m experiments.qc_study.study --output-dir runs

Writes grid.csv and result.json beside this file. The pool and its predictions are made once and reused.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from imagenetd.config.schema import CONF_DIR, Config, register
from imagenetd.images.generators.planted import PlantedGenerator
from imagenetd.pipeline import run_pipeline
from imagenetd.stages.qc_people import known_truth
from imagenetd.stages.run import Run
from imagenetd.stages.setup import make_setup
from imagenetd.store.folders import read_stage_file, write_json_atomic, write_text_atomic

HERE = Path(__file__).parent
CROWDS = {
    "careful": ["qc/workers=careful"],
    "mixed": [],
    "rushed": [
        "qc.workers.careful=0.4",
        "qc.workers.careless=0.2",
        "qc.workers.always_yes=0.2",
        "qc.workers.coin=0.2",
    ],
}
"""Rushed: only 40% are careful."""
ANSWERS = {
    "10 votes": [],
    "5 votes": ["qc.tasks.workers_per_image=5"],
    "3 votes": ["qc.tasks.workers_per_image=3"],
    "3 to 10 votes": ["qc/stopping=fixed"],
}
SENTINELS = {
    "bind both questions": ["qc.tasks.sentinel_rule=both"],
    "bind acceptance": ["qc.tasks.sentinel_rule=accepted"],
    "none": ["qc.tasks.num_positive=0", "qc.tasks.num_negative=0", "qc.tasks.num_consistency=0"],
}
KEPT = (
    "valid_share_mined",
    "valid_share_accepted",
    "valid_kept",
    "acceptance",
    "pairwise_agreement",
    "alpha",
)
COUNTED = ("responses", "responses_dropped", "judgements", "judged")


def study_config(output_dir: str, overrides: list[str]) -> Config:
    """Return the study's experiment up to quality control."""
    stages = "stages=[prompts,generate,predict,mine,qc]"
    fixed = ["experiment=qc_study", stages, f"paths.output_dir={output_dir}", "logger=none", "name=qc_study"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config: Any = OmegaConf.to_object(compose("config", overrides=[*fixed, *overrides]))
    return config


def qc_summary(output_dir: str, overrides: list[str]) -> dict[str, Any]:
    """Run the experiment and return what quality control found."""
    outcome = run_pipeline(study_config(output_dir, overrides), plain_config={})
    record = read_stage_file(outcome.folder / "stage.json") or {}
    return {name: value for name, value in record["summary"].items() if name != "votes_folder"}


def judge_check(output_dir: str) -> dict[str, float | int]:
    """Return how often the oracle calls exactly those images invalid that were planted."""
    job = Run(make_setup(study_config(output_dir, [])))
    generator, rows, truth = job.setup.images.generator, job.setup.images.rows, known_truth(job)
    assert isinstance(generator, PlantedGenerator) and rows is not None and truth is not None
    planted = np.array([generator.planted(row).category != row.category for row in rows])
    return {
        "images": len(planted),
        "planted": int(planted.sum()),
        "oracle_agrees": float((truth.is_valid == ~planted).mean()),
    }


def grid(output_dir: str) -> pd.DataFrame:
    """Return one row for each crowd, number of votes and rule of the sentinels."""
    rows = []
    for crowd, workers in CROWDS.items():
        for answers, votes in ANSWERS.items():
            for sentinels, rule in SENTINELS.items():
                extra = ["qc.workers.num_workers=200", *rule]
                found = qc_summary(output_dir, [*workers, *votes, *extra])
                row: dict[str, Any] = {"crowd": crowd, "asked": answers, "sentinels": sentinels}
                row |= {name: found[name] for name in (*KEPT, *COUNTED)}
                row["judgements_per_image"] = round(found["judgements"] / found["judged"], 1)
                rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Run the grid and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output-dir", default="runs", help="where pools and predictions live")
    output_dir = parser.parse_args().output_dir
    warnings.simplefilter("ignore")
    register()
    default = qc_summary(output_dir, [])
    table = grid(output_dir)
    write_text_atomic(HERE / "grid.csv", table.round(4).to_csv(index=False))
    worst = table.groupby("sentinels")["valid_share_accepted"].min()
    result = {
        "default": default,
        "worst_valid_share_accepted": worst.to_dict(),
        "oracle": judge_check(output_dir),
    }
    write_json_atomic(HERE / "result.json", result)
    print(table.round(3).to_string(index=False))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
