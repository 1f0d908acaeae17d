"""Would the tests of the core notice a mistake? Random small changes of its modules, each against its tests.

`python -m benchmarks.mutants` or `make mutants`; the last line is one JSON object with the score. Changes that no test
notices are printed as diffs: a missing test, or a change that changes nothing. Those that were looked at and change
nothing stand in `benchmarks/equal_mutants.json` and do not count.

The mutations are cosmic-ray's (operators, numbers, conditions, booleans, loops, exceptions). Left alone are
annotations and decorators, since their changes do not run; `strict=` of a `zip`, and `assert`, which check our own
invariants; and `is` for `==`, which between equal words and small numbers changes nothing.
"""

import argparse
import ast
import concurrent.futures
import contextlib
import difflib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parent.parent
EQUAL_FILE = Path(__file__).with_name("equal_mutants.json")
TIMEOUT_S = 180
"""A mutant whose tests take longer loops for ever: it is noticed."""

PROCESSES = multiprocessing.get_context("forkserver")
"""Each mutant has a fresh process; those fork from one that has read the large libraries once."""
LIBRARIES = (
    *("beartype", "hydra", "hypothesis.extra.numpy", "jaxtyping", "numpy", "omegaconf", "pandas"),
    *("PIL.Image", "pyarrow.parquet", "pytest", "scipy.optimize", "scipy.stats", "starlette.testclient"),
    *("statsmodels.stats.proportion", "torch", "yaml"),
)

REWRITTEN = "ignore::pytest.PytestAssertRewriteWarning"
"""Of the libraries that were read before pytest began."""
EQUAL_OPERATORS = ("core/ReplaceComparisonOperator_Eq_Is", "core/ReplaceComparisonOperator_NotEq_IsNot")

QC = ("qc_boundaries", "qc_counting", "qc_design", "qc_gold", "qc_sentinels", "qc_stopping")
STATISTICS = ("statistics_values", "intervals", "statistics")
STORE = ("store_boundaries", "store", "seals", "file_systems")

CORE: dict[str, tuple[str, ...]] = {
    "scoring/mining": ("mining",),
    "scoring/counts": ("counts",),
    "scoring/labelspaces": ("labelspaces",),
    "scoring/statistics/bootstrap": STATISTICS,
    "scoring/statistics/calibration": STATISTICS,
    "scoring/statistics/family": STATISTICS,
    "scoring/statistics/independence": STATISTICS,
    "scoring/statistics/intervals": STATISTICS,
    "scoring/statistics/jackknife": STATISTICS,
    "scoring/statistics/paired": STATISTICS,
    "scoring/statistics/power": STATISTICS,
    "scoring/statistics/shrinkage": STATISTICS,
    "scoring/statistics/slices": STATISTICS,
    "scoring/statistics/strata": STATISTICS,
    "scoring/statistics/subsets": STATISTICS,
    "scoring/statistics/variance": STATISTICS,
    "qc/counting": QC,
    "qc/task_design": QC,
    "qc/odds": QC,
    "qc/stopping": QC,
    "qc/annotate/tokens": ("tokens",),
    "store/delimited": ("delimited",),
    "store/escaping": ("escaping",),
    "store/files": STORE,
    "store/folders": STORE,
    "store/hashes": STORE,
    "store/locks": STORE,
    "store/numerals": STORE,
    "store/seals": STORE,
    "words/vocabulary": ("vocabulary",),
    "config/ranges": ("ranges",),
    "models/relations": ("relations",),
    "images/shards": ("shards",),
    "images/datasets/imagenet_d": ("imagenet_d",),
}
"""Module of the core -> its test files, the fastest first."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to one module."""

    module: str
    operator: str
    occurrence: int
    code: str
    """Of the whole module."""
    diff: str
    """Removed and added lines, without their numbers."""


def mutants_of(module: str, *, most: int, seed: int) -> list[Mutant]:
    """Return a random sample of the changes of a module that can run.

    Args:
        module: Path in the package, without `.py`.
        most: Size of the sample.
        seed: Of the sample.
    """
    source = (ROOT / "imagenetd" / f"{module}.py").read_text()
    choice = random.Random(f"{seed}/{module}")
    places = list(_places(source).values())
    choice.shuffle(places)
    found: list[Mutant] = []
    for changes in places:
        if len(found) == most:
            break
        operator, occurrence = choice.choice(changes)
        code = mutate_code(source, get_operator(operator)(), occurrence)
        if code is not None and code != source and _compiles(code):
            found.append(Mutant(module, operator, occurrence, code, _diff(source, code)))
    return found


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec")
    except SyntaxError:  # a star before keyword-only arguments is no product
        return False
    return True


def _places(source: str) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """Return for each place outside annotations and decorators the changes there, as operator and occurrence."""
    quiet, nodes = _quiet_spans(source), list(_walk(get_ast(source)))
    found: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for name in sorted(operator_names()):
        operator = get_operator(name)
        if operator.arguments() or name in EQUAL_OPERATORS:
            continue  # the first need a name to be chosen
        positions = [place for node in nodes for place, _ in operator().mutation_positions(node)]
        for occurrence, place in enumerate(positions):
            if not any(first <= place < last for first, last in quiet):
                found.setdefault(place, []).append((name, occurrence))
    return found


def _walk(node: object) -> Iterator[object]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _walk(child)


def _quiet_spans(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where nothing is changed: line and column of its begin and end."""
    found: list[ast.expr | ast.stmt] = []
    for node in ast.walk(ast.parse(source)):
        found += getattr(node, "decorator_list", [])
        if isinstance(node, ast.Assert):
            found.append(node)
        if isinstance(node, ast.keyword) and node.arg == "strict":
            found.append(node.value)
        found += [
            part for part in (getattr(node, "annotation", None), getattr(node, "returns", None)) if part
        ]
    return [((n.lineno, n.col_offset), (n.end_lineno or 0, n.end_col_offset or 0)) for n in found]


def _diff(source: str, code: str) -> str:
    lines = difflib.unified_diff(source.splitlines(), code.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def is_noticed(mutant: Mutant, copy: Path) -> bool:
    """Tell whether the module's tests fail on a mutant.

    Args:
        mutant: It stands in the copy while the tests run.
        copy: A copy of the repository that nobody else uses.
    """
    path = copy / "imagenetd" / f"{mutant.module}.py"
    kept = path.read_text()
    path.write_text(mutant.code)
    tests = [f"tests/test_{name}.py" for name in CORE[mutant.module]]
    process = PROCESSES.Process(target=_run_tests, args=(copy, tests))
    try:
        process.start()
        process.join(TIMEOUT_S)
        if process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
    finally:
        path.write_text(kept)
    return process.exitcode != 0


def _run_tests(copy: Path, tests: list[str]) -> None:
    """Run tests in a process of its own, which has the large libraries but nothing of the package."""
    os.setsid()  # what the tests start ends with them
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = True  # a stale .pyc is no mutant
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    import pytest

    options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", REWRITTEN]
    code = pytest.main([*options, *tests])
    os._exit(int(code))  # no thread of a library delays the end


def _copy(folder: Path, number: int) -> Path:
    copy = folder / str(number)
    parts = ("imagenetd", "tests", "conf", "experiments", "benchmarks")
    for part in parts:
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "run.py", "Makefile", "README.md"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def main() -> None:
    """Measure the score of the core's tests."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "modules", nargs="*", default=list(CORE), help="e.g. scoring/mining qc/counting; none: the core"
    )
    parser.add_argument("--each", type=int, default=8, help="mutants of each module, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--processes", type=int, default=2, help="that run tests at the same time")
    asked = parser.parse_args()
    unknown = set(asked.modules) - set(CORE)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no module of the core. Choose from {', '.join(CORE)}.")
    equal = {(entry["module"], entry["diff"]) for entry in json.loads(EQUAL_FILE.read_text())}
    chosen: list[Mutant] = []
    for module in asked.modules:
        chosen += mutants_of(module, most=asked.each, seed=asked.seed)
    counted = [mutant for mutant in chosen if (mutant.module, mutant.diff) not in equal]
    os.environ.update(MPLBACKEND="Agg", HF_HUB_OFFLINE="1", WANDB_MODE="offline")  # as in tests/conftest.py
    PROCESSES.set_forkserver_preload(list(LIBRARIES))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        outcomes = _try_all(counted, Path(name), asked.processes)
    killed = sum(outcomes)
    result = {
        "mutants": len(counted),
        "killed": killed,
        "equal": len(chosen) - len(counted),
        "score": round(killed / len(counted), 3) if counted else None,
        "seconds": round(time.perf_counter() - started),
    }
    print(json.dumps(result))


def _try_all(mutants: list[Mutant], folder: Path, processes: int) -> list[bool]:
    copies = [_copy(folder, number) for number in range(processes)]
    for module in dict.fromkeys(mutant.module for mutant in mutants):
        source = (ROOT / "imagenetd" / f"{module}.py").read_text()
        if is_noticed(Mutant(module, "none", 0, source, ""), copies[0]):
            raise SystemExit(f"The tests of {module} fail without any change. Mend them first.")
    free = list(copies)

    def attempt(mutant: Mutant) -> bool:
        copy = free.pop()
        try:
            noticed = is_noticed(mutant, copy)
        finally:
            free.append(copy)
        if not noticed:
            about = f"{mutant.module} ({mutant.operator}, {mutant.occurrence})"
            print(f"not noticed: {about}\n{mutant.diff}\n", flush=True)
        return noticed

    with concurrent.futures.ThreadPoolExecutor(processes) as threads:
        return list(threads.map(attempt, mutants))


if __name__ == "__main__":
    main()
