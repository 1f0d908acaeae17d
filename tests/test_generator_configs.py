"""Every yaml of conf/generator names every argument of its class, and says what it lacks before any work."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from imagenetd.config.schema import build, register
from imagenetd.errors import ConfigError
from imagenetd.images.generators.generator import Generator
from imagenetd.store import hub
from tests.test_zoo import CONF

register()
CHOICES = sorted(path.stem for path in (CONF / "generator").glob("*.yaml"))
ON_THE_HUB = [
    name
    for name in CHOICES
    if re.search(r"^files_mb:(?! *\{\})", (CONF / "generator" / f"{name}.yaml").read_text(), re.M)
]
"""Choices that say what a download brings."""


def spec(choice: str, **changes: Any) -> dict[str, Any]:
    """Compose one choice within the whole config, because it may refer to other groups."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        whole = compose("config", overrides=[f"generator={choice}"])
        content: Any = OmegaConf.to_container(whole.generator, resolve=True)
    return content | changes


def test_the_generators_of_the_issue_are_there() -> None:
    assert {"sd15", "sd21", "sdxl", "sdxl_turbo", "sd3_medium", "flux_schnell", "pixart_sigma", "lcm"} <= set(
        CHOICES
    )
    assert {"diffusers", "folder"} <= set(CHOICES)
    assert len(ON_THE_HUB) >= 8


@pytest.mark.parametrize("choice", CHOICES)
def test_a_generator_yaml_names_every_argument_and_opens_with_a_sentence(choice: str) -> None:
    content = spec(choice)
    factory = get_object(content.pop("_target_"))
    assert issubclass(factory, Generator)
    assert set(content) == set(inspect.signature(factory).parameters)
    first = (CONF / "generator" / f"{choice}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ") and first.endswith(".")


@pytest.mark.parametrize("choice", ON_THE_HUB)
def test_weights_out_of_reach_are_listed_with_size_option_and_place(
    choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "cached_path", lambda file: None)
    monkeypatch.setattr(hub, "_sizes_mb", lambda repo, revision: None)
    content = spec(choice)
    missing = build(content, option="generator").missing_files("generator")
    names = {file.file for file in missing}
    assert names == {"model_index.json", *content["files_mb"]} and len(names) >= 4
    assert all(name.endswith((".json", ".safetensors")) for name in names)
    for file in missing:
        assert file.option == "generator.model=FOLDER"
        assert file.source.startswith(content["model"]) and "cannot be reached" in file.source


@pytest.mark.parametrize("choice", ON_THE_HUB)
def test_any_choice_takes_a_local_folder_instead(choice: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    made = build(spec(choice, model=str(tmp_path / "mine")), option="generator")
    assert made.missing_files("generator") == []


def test_the_model_of_a_local_folder_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"generator\.model must be given: generator\.model=VALUE"):
        build(spec("diffusers"), option="generator")


def test_a_lora_that_is_not_there_is_listed_with_the_missing_files() -> None:
    content = spec("tiny", loras={"nowhere.safetensors": 1.0})
    (missing,) = build(content, option="generator").missing_files("generator")
    assert (missing.file, missing.option) == ("nowhere.safetensors", "generator.loras")


def test_options_that_are_off_leave_the_pool_of_the_tiny_world_as_it_was() -> None:
    identity = build(spec("tiny"), option="generator").identity()
    assert set(identity) == {
        "generator",
        "weights",
        "variant",
        "num_inference_steps",
        "guidance_scale",
        "negative_prompt",
        "scheduler",
        "height_px",
        "width_px",
        "dtype",
    }
