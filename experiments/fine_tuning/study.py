"""Train the arms of a study with every seed and test each on hard, easy and foreign images.

    python -m experiments.fine_tuning.study easy_images
    python -m experiments.fine_tuning.study architectures seeds=[0] arms.vit.steps=200

A study is a file of `experiments/fine_tuning/conf/`; options are changed as in run.py. Trainings that are done
are kept in `runs/fine_tuning` and not repeated.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from experiments.fine_tuning.images import Labelled, gather
from experiments.fine_tuning.learner import right_answers, start, train
from experiments.fine_tuning.results import plot, summarise, verdict
from imagenetd.config.schema import register
from imagenetd.errors import ConfigError
from imagenetd.reports.tables import write_csv
from imagenetd.store.folders import content_key, write_bytes_atomic, write_json_atomic

FOLDER = Path(__file__).parent


def main() -> None:
    """Run one study and write its table, verdict and plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = sorted(path.stem for path in (FOLDER / "conf").glob("*.yaml"))
    parser.add_argument("study", choices=names)
    parser.add_argument("options", nargs="*", help="e.g. seeds=[0,1] learning_rate=0.001")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder of the results (default: beside this file)"
    )
    parser.add_argument("--pools", default="runs", help="paths.output_dir of run.py (default: runs)")
    parser.add_argument("--runs", type=Path, default=Path("runs/fine_tuning"), help="finished trainings")
    arguments = parser.parse_intermixed_args()
    register()
    torch.set_num_threads(1)
    options = read_options(arguments.study, arguments.options)
    began = time.perf_counter()
    answers, cpu_s = run(options, arguments.runs, [f"paths.output_dir={arguments.pools}"])
    table = summarise(answers, options["reference"])
    out = arguments.out or FOLDER / arguments.study
    write_csv(table, out / "summary.csv")
    found = verdict(table, options["reference"]) | {
        "training_cpu_seconds": round(cpu_s, 1),
        "options": options,
    }
    write_json_atomic(out / "result.json", found)
    write_bytes_atomic(
        out / "plot.png", plot(table, f"Fine-tuning study: {arguments.study.replace('_', ' ')}")
    )
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    print(json.dumps(found["difference_to_reference"]))
    print(f"{cpu_s:.0f} CPU-seconds of training, {time.perf_counter() - began:.0f} s now -> {out}")


def read_options(study: str, changes: list[str]) -> dict[str, Any]:
    """Return the study's options with the changes; ConfigError for one that it does not have."""
    from omegaconf.errors import OmegaConfBaseException

    base = OmegaConf.load(FOLDER / "conf" / f"{study}.yaml")
    OmegaConf.set_struct(base, True)
    try:
        merged = OmegaConf.merge(base, OmegaConf.from_dotlist(changes))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{' '.join(changes)}: {str(error).splitlines()[0]}") from error
    plain: Any = OmegaConf.to_container(merged, resolve=True)
    if plain["reference"] not in plain["arms"]:
        raise ConfigError(f"reference={plain['reference']} is none of the arms {', '.join(plain['arms'])}.")
    return plain


def run(
    options: dict[str, Any], runs: Path, places: list[str]
) -> tuple[dict[str, dict[str, np.ndarray]], float]:
    """Return, for each arm and test, bool "seeds images", and the CPU time of all trainings."""
    gathered: dict[str, Labelled] = {}

    def images(kind: str, name: str) -> Labelled:
        if f"{kind}.{name}" not in gathered:
            gathered[f"{kind}.{name}"] = gather(options[kind][name], [*options["overrides"], *places])
        return gathered[f"{kind}.{name}"]

    sources = {
        arm["source"]: images("sources", arm["source"]) for arm in options["arms"].values() if arm["source"]
    }
    tests = {name: images("tests", name) for name in options["tests"]}
    answers: dict[str, dict[str, np.ndarray]] = {}
    cpu_s = 0.0
    for name, arm in options["arms"].items():
        found = [_one(name, arm, options, seed, sources, tests, runs) for seed in options["seeds"]]
        answers[name] = {test: np.stack([right[test] for right, _ in found]) for test in tests}
        cpu_s += sum(seconds for _, seconds in found)
    return answers, cpu_s


def _one(
    name: str,
    arm: dict[str, Any],
    options: dict[str, Any],
    seed: int,
    sources: dict[str, Labelled],
    tests: dict[str, Labelled],
    runs: Path,
) -> tuple[dict[str, np.ndarray], float]:
    """Train and test once, or read what an earlier start found."""
    path = runs / f"{_key(arm, options, seed)}.json"  # two studies may share a training
    if path.is_file():
        record = json.loads(path.read_text())
        return {test: np.array(right, dtype=bool) for test, right in record["right"].items()}, record["cpu_s"]
    began = time.process_time()
    begin = start(arm["start"], seed)
    if arm["steps"]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            train(begin, sources[arm["source"]].drawn(arm["num_images"], seed), arm, options, seed)
    right = {test: right_answers(begin, labelled) for test, labelled in tests.items()}
    cpu_s = time.process_time() - began
    write_json_atomic(path, {"right": {t: r.astype(int).tolist() for t, r in right.items()}, "cpu_s": cpu_s})
    shares = ", ".join(f"{test} {100 * r.mean():.1f}" for test, r in right.items())
    print(f"{name}, seed {seed}: {shares} ({cpu_s:.0f} CPU-s)", flush=True)
    return right, cpu_s


def _key(arm: dict[str, Any], options: dict[str, Any], seed: int) -> str:
    """Return the hash of all that changes a training or its tests."""
    plain = ("overrides", "batch_size", "learning_rate", "weight_decay", "precision", "tests")
    source = options["sources"].get(arm["source"])
    return content_key({"arm": arm, "source": source, "seed": seed, **{key: options[key] for key in plain}})


if __name__ == "__main__":
    main()
