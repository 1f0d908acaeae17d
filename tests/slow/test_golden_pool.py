"""The 960 images of the default command have the bytes of every version before.

For the processor and the locked release of torch (requirements.lock): another release or a GPU rounds otherwise, and
the images then differ in single bits.
"""

import re
from pathlib import Path

import pytest
import torch

from imagenetd.pipeline import run_pipeline
from imagenetd.stages.setup import make_setup
from tests.test_golden_pool import default_config, hash_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation:DeprecationWarning"
    ),  # of diffusers, about numpy 2
]

IMAGES = "f0af33c756e42d9908d83b0ff01e4d076757d4096968e388e9885842a111342f"
LOCK = Path(__file__).parents[2] / "requirements.lock"


def test_the_images_of_the_default_pool_keep_their_bytes(tmp_path: Path) -> None:
    locked = re.search(r"^torch==(\S+)", LOCK.read_text(), re.MULTILINE)
    assert locked is not None
    if torch.__version__.partition("+")[0] != locked[1]:
        pytest.skip(f"the golden value is that of torch {locked[1]}, and this is {torch.__version__}")
    config = default_config(tmp_path)
    run_pipeline(config, plain_config={})
    table = make_setup(config).images.open().table
    assert len(table) == 960
    assert hash_of(table["sha256"]) == IMAGES
