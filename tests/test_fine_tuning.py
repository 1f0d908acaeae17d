"""The arithmetic of the fine-tuning study, and that its yamls name what exists."""

import numpy as np
import pytest

from experiments.fine_tuning.images import HABITS
from experiments.fine_tuning.learner import AUGMENTATIONS
from experiments.fine_tuning.results import summarise
from experiments.fine_tuning.study import FOLDER, read_options
from imagenetd.errors import ConfigError

STUDIES = sorted(path.stem for path in (FOLDER / "conf").glob("*.yaml"))


def test_a_difference_is_paired_over_seeds_and_images() -> None:
    base = np.array([[True, False, False, False], [True, False, False, False]])
    better = np.array([[True, True, False, False], [True, True, True, False]])
    table = summarise({"control": {"hard": base}, "easy": {"hard": better}}, "control").set_index("arm")
    assert table.loc["control", ["accuracy", "difference", "difference_low", "difference_high"]].tolist() == [
        *(0.25, 0.0, 0.0, 0.0)
    ]
    assert table.loc["easy", ["accuracy", "difference"]].tolist() == [0.625, 0.375]
    assert 0 <= table.loc["easy", "difference_low"] < 0.375 < table.loc["easy", "difference_high"] <= 1


@pytest.mark.parametrize("study", STUDIES)
def test_every_arm_names_a_source_and_an_augmentation_that_exist(study: str) -> None:
    options = read_options(study, [])
    for arm in options["arms"].values():
        assert arm["source"] is None or arm["source"] in options["sources"]
        assert arm["augmentation"] in AUGMENTATIONS
    for spec in [*options["sources"].values(), *options["tests"].values()]:
        assert "pool_seed" in spec or spec["renders"] in HABITS


def test_a_misspelt_option_of_a_study_is_refused() -> None:
    with pytest.raises(ConfigError, match="learning_rat=1"):
        read_options("easy_images", ["learning_rat=1"])
    assert read_options("easy_images", ["seeds=[3]"])["seeds"] == [3]
