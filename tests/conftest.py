"""What every test stands on: no hub, no account, one thread, checked shapes, and the words of the tiny world."""

import importlib.util
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(
    HF_HUB_OFFLINE="1",
    MPLBACKEND="Agg",
    TOKENIZERS_PARALLELISM="false",
    WANDB_MODE="offline",
    WANDB_SILENT="true",
)

import pytest
import yaml
from jaxtyping import install_import_hook

from imagenetd.config.schema import PromptsConfig
from imagenetd.records import Word

ROOT = Path(__file__).parent.parent
PURE_MODULES = [
    *("imagenetd.models.answers", "imagenetd.models.questions", "imagenetd.words.prompts"),
    *(f"imagenetd.qc.{name}" for name in ("agreement", "completion", "counting", "gate_calibration", "odds")),
    *(f"imagenetd.qc.{name}" for name in ("sentinels", "stopping", "task_design", "votes")),
    *(
        f"imagenetd.scoring.{name}"
        for name in ("answer_table", "counts", "labelspaces", "mining", "statistics")
    ),
]
assert all(map(importlib.util.find_spec, PURE_MODULES)), (
    "a module that was renamed is checked under its new name"
)

# Every call of a pure function in the tests is checked against its annotations, shapes included.
install_import_hook(PURE_MODULES, "beartype.beartype")

from imagenetd.words.vocabulary import Category, choose_categories, choose_nuisances  # noqa: E402


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def templates() -> PromptsConfig:
    return PromptsConfig(**yaml.safe_load((ROOT / "conf/prompts/default.yaml").read_text()))


@pytest.fixture(scope="session")
def tiny_categories() -> tuple[Category, ...]:
    return choose_categories(yaml.safe_load((ROOT / "conf/categories/tiny.yaml").read_text())["names"])


@pytest.fixture(scope="session")
def tiny_nuisances() -> tuple[Word, ...]:
    return choose_nuisances(yaml.safe_load((ROOT / "conf/nuisances/tiny.yaml").read_text()))
