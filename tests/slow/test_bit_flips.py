"""Three hundred flipped bits in every kind of file of a run: none passes unseen."""

from pathlib import Path

import pytest

from imagenetd.stages.run import Run
from imagenetd.stages.setup import make_setup
from tests.damaged import kinds, unseen_flips
from tests.test_pipeline import config, run

pytestmark = pytest.mark.slow

FLIPS = 300


def test_of_three_hundred_flipped_bits_in_each_kind_of_file_none_passes_unseen(tmp_path: Path) -> None:
    run(config(tmp_path))
    made = Run(make_setup(config(tmp_path)))
    found = kinds(made)
    unseen = {kind.name: unseen_flips(kind, num_flips=FLIPS, seed=2) for kind in found}
    assert unseen == {kind.name: [] for kind in found}
