"""What Ray costs against processes of this machine: `python -m benchmarks.ray_overhead`. One JSON object last.

Two workers of each make 18 shards with a generator that sleeps 10 s over each. `first_shard_s`: from the command to the
first shard that is begun. `work_s`: from there to the last one that is stored. `ray_overhead`: of `work_s`, as a share.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
OPTIONS = [
    *("generator=render", "generator._target_=tests.sleepers.SleepingGenerator", "generator.unit_size=4"),
    *("categories.names=[banana,mug,sock]", "nuisances.background=[beach-s,street-s]"),
    *("nuisances.texture=[striped]", "nuisances.material=[wood]", "num_images_per_cell=6"),
    *("store.images_per_shard=4", "stages=[prompts,generate]", "logger=none", "trainer.devices=2"),
]
EXECUTORS = {
    "local": [],
    "ray": ["executor=ray", "executor.address=local", "executor.num_workers=2"],
}


def main() -> None:
    """Run both, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shard-s", type=float, default=10.0, help="seconds that each shard takes")
    asked = parser.parse_args()
    if importlib.util.find_spec("ray") is None:
        print(json.dumps({"ray_overhead": None, "reason": "the extra `ray` is not installed"}))
        return
    found: dict[str, float] = {"shard_s": asked.shard_s}
    for name, options in EXECUTORS.items():
        with tempfile.TemporaryDirectory() as made:
            first, work = _timed(Path(made), [*OPTIONS, f"+generator.nap_s={asked.shard_s}", *options])
        found |= {f"{name}_first_shard_s": round(first, 2), f"{name}_work_s": round(work, 2)}
    found["ray_overhead"] = round(found["ray_work_s"] / found["local_work_s"] - 1, 4)
    print(json.dumps(found))


def _timed(folder: Path, options: list[str]) -> tuple[float, float]:
    """Return the seconds until the first shard is begun, and from there until the last is stored."""
    command = [sys.executable, "run.py", *options, f"paths.output_dir={folder}"]
    started, begun = time.time(), 0.0
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if not begun and list(folder.glob("pools/*/.work/claims/*")):
            begun = time.time()
        time.sleep(0.01 if not begun else 0.5)
    if process.returncode or not begun:
        raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}")
    stored = max(path.stat().st_mtime for path in folder.glob("pools/*/manifest/*.parquet"))
    return begun - started, stored - begun


if __name__ == "__main__":
    main()
