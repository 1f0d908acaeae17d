"""Images with labels for training and testing: of a pool of run.py, drawn by the renderer, or of an export."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from experiments.tiny_world.factors import UNCORRELATED, draw_renders
from experiments.tiny_world.recipes import HABITUAL
from imagenetd.config.schema import CONF_DIR
from imagenetd.images.tiny_world import CATEGORIES
from imagenetd.pipeline import run_pipeline
from imagenetd.stages.exported_set import make_benchmark
from imagenetd.stages.run import Run
from imagenetd.stages.setup import make_setup

HABITS = {"usual": HABITUAL, "unusual": UNCORRELATED}


@dataclass(frozen=True)
class Labelled:
    """Images with the category of each."""

    images: Sequence[np.ndarray]
    """Uint8 "height width 3"."""
    categories: Sequence[str]

    def __len__(self) -> int:
        return len(self.categories)

    def drawn(self, count: int, seed: int) -> "Labelled":
        """Return so many of them, drawn without replacement; all when there are not more."""
        chosen = np.random.default_rng(seed).permutation(len(self))[:count]
        return Labelled([self.images[i] for i in chosen], [self.categories[i] for i in chosen])


def gather(spec: dict[str, Any], overrides: Sequence[str]) -> Labelled:
    """Return the images of a source: `pool_seed` and `set`, or `renders`, `seed` and `count`, or `folder`."""
    if "pool_seed" in spec:
        return _of_pool(spec["pool_seed"], spec["set"], overrides)
    if "renders" in spec:
        drawn = draw_renders(spec["seed"], spec["count"], HABITS[spec["renders"]])
        names = [CATEGORIES[index] for index in drawn.category.tolist()]
        return Labelled(list(drawn.image.permute(0, 2, 3, 1).numpy()), names)
    return _of_folder(Path(spec["folder"]))


def _of_pool(seed: int, set_name: str, overrides: Sequence[str]) -> Labelled:
    """Run run.py up to quality control (what is done is not done again), then read one set."""
    fixed = [
        f"seed={seed}",
        "stages=[prompts,generate,predict,mine,qc,evaluate]",
        "logger=none",
        "name=study",
    ]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config: Any = OmegaConf.to_object(compose("config", overrides=[*fixed, *overrides]))
    run_pipeline(config, plain_config={})
    benchmark = make_benchmark(Run(make_setup(config)), set_name)
    images = [decoded(benchmark.read_bytes(position)) for position in range(len(benchmark.images))]
    return Labelled(images, benchmark.images["category"].tolist())


def _of_folder(root: Path) -> Labelled:
    """Read what `export=folder` wrote."""
    table = pd.read_csv(root / "images.csv", keep_default_na=False)
    return Labelled(
        [decoded((root / name).read_bytes()) for name in table["file"]], table["category"].tolist()
    )


def decoded(data: bytes) -> np.ndarray:
    """Return the pixels of an encoded image."""
    import io

    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
