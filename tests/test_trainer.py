"""How Lightning is started: every option in yaml, one line for what cannot be meant, and what changes a key."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from imagenetd.config.schema import TrainerConfig, check_config
from imagenetd.errors import ConfigError
from imagenetd.stages.setup import make_setup
from imagenetd.stages.workers.predicting import speed_up
from imagenetd.stages.workers.trainer import errors_in_one_line
from tests.fakes import ColourClassifier
from tests.test_pipeline import config

TRAINERS = sorted((Path(__file__).parents[1] / "conf" / "trainer").glob("*.yaml"))


@pytest.mark.parametrize("path", TRAINERS, ids=lambda path: path.stem)
def test_a_trainer_yaml_opens_with_a_sentence_and_states_every_option(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ") and text.splitlines()[0].endswith(".")
    assert set(yaml.safe_load(text)) == {field.name for field in dataclasses.fields(TrainerConfig)}


@pytest.mark.parametrize("name", ["cpu", "gpu", "ddp"])
def test_every_trainer_can_be_chosen(tmp_path: Path, name: str) -> None:
    check_config(config(tmp_path, f"trainer={name}"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("devices=0", "trainer.devices=0 must be 1 or more"),
        ("num_threads=0", "trainer.num_threads=0 must be 1 or more"),
        ("precision=bf16", "trainer.precision=bf16 must be one of null, 32, .*, bf16-mixed"),
    ],
)
def test_options_that_cannot_be_meant_are_told(tmp_path: Path, option: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(config(tmp_path, f"trainer.{option}"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (f"seed={2**63}", f"seed={2**63} must be {2**63 - 1} or less"),
        ("store.images_per_shard=0", "store.images_per_shard=0 must be 1 or more"),
        ("name=a/b", "name='a/b' names the run's folder"),
        ("executor.lost_after_s=-1", "executor.lost_after_s=-1 must be 1 or more"),
    ],
)
def test_numbers_and_names_that_cannot_be_meant_are_told_before_any_work(
    tmp_path: Path, option: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_setup(config(tmp_path, option))


def test_ctrl_c_in_the_loop_is_an_interruption_and_the_writer_is_stopped() -> None:
    class Module:
        is_stopped = False

        def stop(self) -> None:
            self.is_stopped = True

    module: Any = Module()
    with pytest.raises(KeyboardInterrupt), errors_in_one_line(module):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)  # as Lightning does
    assert module.is_stopped


def test_only_the_precision_of_the_trainer_changes_the_key_of_the_predictions(tmp_path: Path) -> None:
    def keys(*overrides: str) -> tuple[str, str]:
        folders = make_setup(config(tmp_path, *overrides)).folders
        return folders["generate"].key, folders["s0"].key

    plain = keys()
    same = ["channels_last=true", "compile=true", "devices=2", "num_threads=3"]
    assert keys(*(f"trainer.{option}" for option in same)) == plain
    assert keys("executor=slurm") == keys("executor.lost_after_s=7") == plain
    half = keys("trainer.precision=bf16-mixed")
    assert half[0] == plain[0] and half[1] != plain[1]


def test_a_network_is_laid_out_for_its_convolutions() -> None:
    model = ColourClassifier("c", seed=0)
    model.network = torch.nn.Conv2d(3, 4, 3)  # type: ignore[attr-defined]
    speed_up(model, channels_last=True, compiles=False)
    assert model.network.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[attr-defined]
