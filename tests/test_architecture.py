"""Files and functions stay small, and what every command imports stays light; import-linter holds the layers."""

import ast
import doctest
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagenetd import pipeline
from imagenetd.config.schema import StageName

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "imagenetd").rglob("*.py"))
SOURCES = [*PACKAGE, ROOT / "run.py", *sorted((ROOT / "experiments").rglob("*.py"))]
EVERYTHING = [*SOURCES, *sorted((ROOT / "benchmarks").rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]

MAX_FILE_LINES = 400  # a file that is cut only to be short is harder to read
MAX_FUNCTION_LINES = 60  # 40 is the aim

MAX_UNNAMED_MAPPINGS = 70
"""How often signatures may say `dict[str, Any]`: what has a meaning has a name, or is a row with fields."""
MAX_PARAMETERS = 8  # 5 is the aim
MAX_LONG_SIGNATURES = 10

ADAPTERS = (
    "imagenetd.images",
    "imagenetd.models",
    "imagenetd.reports",
    "imagenetd.qc",
    "imagenetd.store.hub",
)
ADAPTED = {"accelerate", "diffusers", "open_clip", "timm", "transformers", "wandb"}
HEAVY = {*ADAPTED, "lightning", "matplotlib", "pandas", "torch", "torchvision"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, also inside functions."""
    known = {name_of(other) for other in PACKAGE}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from {module if module in known else str(node.module) for module in inner}


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_at_most_thirteen_things_lie_at_the_top() -> None:
    things = [path.name for path in (ROOT / "imagenetd").iterdir() if not path.name.startswith("__")]
    assert len([name for name in things if name != "py.typed"]) <= 13, sorted(things)


def test_experiments_benchmarks_and_tests_are_never_imported() -> None:
    outside = {"experiments", "benchmarks", "tests"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in [*PACKAGE, ROOT / "run.py"]
        for module in imports_of(path)
        if module.split(".")[0] in outside
    ]
    assert wrong == []


def test_only_adapters_import_the_model_and_tracking_libraries() -> None:
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in [*PACKAGE, ROOT / "run.py"]
        for module in imports_of(path)
        if module.split(".")[0] in ADAPTED and not name_of(path).startswith(ADAPTERS)
    ]
    assert wrong == []


def test_a_command_starts_without_heavy_imports() -> None:
    modules = "run, imagenetd.config.schema, imagenetd.words.vocabulary, imagenetd.words.prompts"
    code = f"import {modules}, sys; print(*sorted({HEAVY!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout.split()) == (0, []), found.stderr[-500:]


def test_each_stage_is_one_file_with_one_public_function_of_the_run() -> None:
    found = {
        stage.value: [
            (node.name, [argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]])
            for node in ast.parse((ROOT / "imagenetd" / "stages" / f"{stage.value}.py").read_text()).body
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        ]
        for stage in StageName
    }
    assert found == {stage.value: [(stage.value, ["run"])] for stage in StageName}


def test_the_pipeline_calls_the_stages_themselves() -> None:
    own = {stage: (call.__module__, call.__name__) for stage, call in pipeline.STAGES.items()}
    assert own == {stage: (f"imagenetd.stages.{stage.value}", stage.value) for stage in StageName}


def test_a_run_stands_below_the_stages() -> None:
    paths, seen = {name_of(path): path for path in PACKAGE}, set()
    pending = ["imagenetd.stages.run"]
    while pending:
        name = pending.pop()
        if name in paths and name not in seen:
            seen.add(name)
            pending += imports_of(paths[name])
    assert seen & {f"imagenetd.stages.{stage.value}" for stage in StageName} == set()


def test_no_callback_crosses_the_border_of_a_stage() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {node.name}({argument.arg})"
        for path in (ROOT / "imagenetd" / "stages").glob("*.py")
        for node in functions_of(path)
        for argument in [*node.args.args, *node.args.kwonlyargs]
        if argument.annotation is not None and "Callable" in ast.unparse(argument.annotation)
    ]
    assert wrong == []


def test_nobody_is_handed_a_word_for_those_who_wait() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in PACKAGE
        if "annotate" not in path.parts  # a server has clients that wait
        for node in functions_of(path)
        if "waiting" in {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]}
    ]
    assert wrong == []


ANSWERS = {"correct", "num_correct", "wrong", "num_wrong", "right", "num_right", "num_top5"}
"""Names of what says whether answers are right, of images and of groups."""
PER_IMAGE = {"correct", "wrong"}
RATES = {"mean", "average", "nanmean", "share", "ratio", "wilson_interval"}
COUNTS = {"sum", "nansum", "bincount", "count_nonzero", "reduceat"}
COUNTING = (
    "imagenetd.scoring.counts",
    "imagenetd.scoring.answer_table",  # says what is right and what counts
    "imagenetd.scoring.mining",  # how many models fail on an image
    "imagenetd.scoring.statistics",  # arithmetic on counts that it is given
    "imagenetd.qc",  # people's votes
    "imagenetd.images.tiny_world",  # where right is a direction
)
"""Modules that may sum or divide what has these names."""


NEED_EVERY_ANSWER = {
    "calibration": "the gap of each answer from its confidence",
    "causes": "independent mistakes of several models on the images of a cell",
    "confirmation": "joins the answers to twins with those to the pool, to be counted together",
    "confusions": "the class that each wrong answer names",
    "coverage": "counts other outcomes than right and wrong",
    "evidence": "says what is right, wrong and counted",
    "exports.benchmark": "each answer of a released benchmark",
    "exports.fiftyone": "each answer of a released benchmark",
    "html.gallery": "cards of images",
    "mixed_effects": "a fit to each answer",
    "neighbours": "which images are looked up",
    "pairs": "the joint table of two models",
    "subset_curves": "which surrogates fail on an image",
    "trackers.tracked": "a confusion matrix that W&B counts itself",
}
"""Modules of reports that read the answers to single images, and what for; all others read counts."""


def words_of(node: ast.AST) -> set[str]:
    """Return names, attributes and words that stand in an expression."""
    return {
        str(getattr(part, "id", None) or getattr(part, "attr", None) or getattr(part, "value", None))
        for part in ast.walk(node)
        if isinstance(part, ast.Name | ast.Attribute | ast.Constant)
    }


def own_counts_in(code: ast.AST) -> Iterator[str]:
    """Yield where code makes a rate of right answers, sums them up, or takes what is not right as wrong."""
    for node in ast.walk(code):
        is_noticed = False
        if isinstance(node, ast.BinOp):
            is_noticed = isinstance(node.op, ast.Div) and bool(words_of(node.left) & ANSWERS)
        elif isinstance(node, ast.Call):
            called, seen = words_of(node.func), words_of(node)
            is_noticed = bool(called & RATES and seen & ANSWERS) or bool(called & COUNTS and seen & PER_IMAGE)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert | ast.Not):
            is_noticed = "correct" in words_of(node.operand)
        if is_noticed:
            yield f"{getattr(node, 'lineno', 0)}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    "code",
    [
        "model.correct[members].mean()",
        "np.mean(model.correct)",
        "(~model.correct).sum()",
        "np.bincount(cell[used & model.wrong])",
        "share(num_correct, num_images)",
        "frame['num_correct'] / frame['num_images']",
        "wilson_interval(right, images)",
        "wrong = used & ~model.correct",
    ],
)
def test_a_count_or_rate_of_ones_own_is_noticed(code: str) -> None:
    assert list(own_counts_in(ast.parse(code)))


def test_reports_read_counts_unless_they_need_the_answer_to_every_image() -> None:
    reading = {
        name_of(path).removeprefix("imagenetd.reports.")
        for path in (ROOT / "imagenetd" / "reports").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in PER_IMAGE
    }
    assert reading == set(NEED_EVERY_ANSWER)


def test_right_answers_are_summed_and_made_rates_in_one_place() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{place}"
        for path in PACKAGE
        if not name_of(path).startswith(COUNTING)
        for place in own_counts_in(ast.parse(path.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    num_lines = len(path.read_text().splitlines())
    assert num_lines <= MAX_FILE_LINES
    long = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions_of(path)}
    assert {name: lines for name, lines in long.items() if lines > MAX_FUNCTION_LINES} == {}


def test_few_signatures_take_or_give_a_mapping_of_anything() -> None:
    found = []
    for path in PACKAGE:
        for node in functions_of(path):
            own = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            given = [part.annotation for part in [*own, node.args.kwarg] if part is not None]
            said = [ast.unparse(part) for part in [*given, node.returns] if part is not None]
            place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            found += [place] * sum(text.count("dict[str, Any]") for text in said)
    assert len(found) <= MAX_UNNAMED_MAPPINGS, found


def test_few_functions_have_more_than_five_parameters() -> None:
    counted = {}
    for path in PACKAGE:
        for node in functions_of(path):
            own = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            counted[place] = len([part for part in own if part.arg not in ("self", "cls")])
    assert {place: count for place, count in counted.items() if count > MAX_PARAMETERS} == {}
    long = {place: count for place, count in counted.items() if count > 5}
    assert len(long) <= MAX_LONG_SIGNATURES, long


def test_no_error_is_swallowed() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in EVERYTHING
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or all(isinstance(line, ast.Pass) for line in node.body))
    ]
    assert wrong == []


def test_annotations_are_real() -> None:
    """No `from __future__ import annotations`: the tests check the annotations at run time."""
    wrong = [str(path.relative_to(ROOT)) for path in EVERYTHING if "__future__" in set(imports_of(path))]
    assert wrong == []


def test_module_names_say_what_is_inside() -> None:
    vague = {"utils", "util", "helper", "helpers", "manager", "misc", "common", "tmp"}
    assert [str(path) for path in EVERYTHING if vague & set(path.stem.split("_"))] == []


@pytest.mark.parametrize("path", [path for path in PACKAGE if ">>> " in path.read_text()], ids=name_of)
def test_the_examples_in_docstrings_are_true(path: Path) -> None:
    result = doctest.testmod(importlib.import_module(name_of(path)))
    assert result.attempted > 0 and result.failed == 0


def test_the_lock_names_no_registry() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock and "index-url" not in lock and "find-links" not in lock
