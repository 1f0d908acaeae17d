"""The pool of the default command is the one of every version before: its keys, the names and noise of its images.

The bytes of the images are compared in slow/test_golden_pool.py.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from imagenetd.config.overrides import without_hydra
from imagenetd.config.schema import CONF_DIR, Config, register
from imagenetd.images.generators.generator import image_id, noise_seed
from imagenetd.stages.setup import make_setup
from imagenetd.store.folders import content_key

PROMPTS_KEY, POOL_KEY = "b2bb45df237ac831", "d29d5f82bdbf387e"
IMAGE_IDS = "b66abae9e323b3fc8beb1fc0760a9f7ab806d7b1c3410414cdef075d064042c0"
NOISE_SEEDS = "947da56455f21d947647528f6c85a8157e5982d1a16ab0e42eb1df58e5f9ec82"


def hash_of(values: Iterable[object]) -> str:
    """Return the sha256 of values, one a line."""
    return hashlib.sha256("\n".join(map(str, values)).encode()).hexdigest()


def default_config(output_dir: Path) -> Config:
    """Return what `python run.py stages=[prompts,generate]` asks for."""
    register()
    asked = ["stages=[prompts,generate]", "trainer.devices=1", f"paths.output_dir={output_dir}"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        settings = compose("config", overrides=asked, return_hydra_config=True)
    config: Any = OmegaConf.to_object(without_hydra(settings))
    return config


def test_the_default_pool_keeps_its_keys_and_its_images_their_names_and_noise(tmp_path: Path) -> None:
    images = make_setup(default_config(tmp_path)).images
    assert images.rows is not None and len(images.rows) == 960
    assert {name: folder.key for name, folder in images.folders.items()} == {
        "prompts": PROMPTS_KEY,
        "generate": POOL_KEY,
    }
    generator = content_key(images.identity)
    assert hash_of(image_id(generator, row) for row in images.rows) == IMAGE_IDS
    assert hash_of(noise_seed(generator, row) for row in images.rows) == NOISE_SEEDS
