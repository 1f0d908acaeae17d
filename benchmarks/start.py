"""How long a user waits before anything is said: `python -m benchmarks.start`. One JSON object last.

`again_s`: the default run, finished, started again. `help_s`: `--help`. `import_floor_s`: hydra, pandas, pyarrow alone.
Each is the least of three wall times; `*_cpu_s` is user + system time, for a machine that others use, too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NUM_STARTS = 3


def main() -> None:
    """Finish the default run if it is not, then time the starts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, help="folder of a finished default run; else one is made")
    parser.add_argument("overrides", nargs="*", help="of the run, e.g. trainer.devices=2")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        run = ["run.py", f"paths.output_dir={asked.runs or made}", *asked.overrides]
        for _ in range(2):  # make it, and see that it is finished
            _start(run)
        found = {
            **_timed("again", run),
            **_timed("help", ["run.py", "--help"]),
            **_timed("import_floor", ["-c", "import hydra, pandas, pyarrow"]),
        }
    print(json.dumps(found))


def _timed(name: str, arguments: list[str]) -> dict[str, float]:
    taken = [_start(arguments) for _ in range(NUM_STARTS)]
    wall, cpu = (round(min(column), 2) for column in zip(*taken, strict=True))
    return {f"{name}_s": wall, f"{name}_cpu_s": cpu}


def _start(arguments: list[str]) -> tuple[float, float]:
    """Return wall and processor seconds of one start of Python."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, cpu


if __name__ == "__main__":
    main()
