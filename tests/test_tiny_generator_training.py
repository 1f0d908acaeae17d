"""The parts of the tiny generator's training that can be checked by hand, and that a stopped run goes on."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.tiny_world import generator_train
from experiments.tiny_world.codec import build_codec, fit_basis, set_linear_encoder
from experiments.tiny_world.generator_data import EMPTY_CAPTION, caption_index, draw_captioned
from experiments.tiny_world.generator_train import GeneratorRun, GeneratorTrainer
from experiments.tiny_world.tokenizer import all_captions, load_tokenizer
from imagenetd.images.tiny_world import CATEGORIES, NUISANCES


def test_a_caption_is_found_by_its_category_and_nuisance() -> None:
    captions = all_captions()
    teapot, brick = CATEGORIES.index("teapot"), NUISANCES.index(("material", "brick"))
    assert captions[caption_index(teapot, brick)] == "a photo of a teapot made of brick"
    assert captions[caption_index(teapot, -1)] == "a photo of a teapot"
    assert captions[EMPTY_CAPTION] == ""


def test_every_caption_has_its_own_tokens() -> None:
    tokens = [tuple(ids) for ids in load_tokenizer()(all_captions()).input_ids]
    assert len(set(tokens)) == len(tokens) == 12 * 21 + 1
    assert max(map(len, tokens)) <= 16


def test_a_shard_is_the_same_each_time_it_is_drawn() -> None:
    first, again = (draw_captioned(8, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


def test_the_stock_encoder_is_set_to_the_principal_components() -> None:
    images = torch.from_numpy(draw_captioned(40, np.random.default_rng(1))[0])
    basis, codec = fit_basis(images), build_codec()
    set_linear_encoder(codec, basis)
    pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        encoded = codec.encode(pixels).latents * codec.config.scaling_factor
    assert torch.allclose(encoded, basis.encode(images), atol=1e-3)
    assert encoded.square().mean() == pytest.approx(1, rel=0.01)


def test_the_learning_rate_rises_stays_and_falls() -> None:
    rates = [
        generator_train.learning_rate_at(step, progress, 1.0)
        for step, progress in ((0, 0.0), (100, 0.1), (500, 0.4), (900, 0.75), (999, 1.0))
    ]
    assert rates == pytest.approx([0.005, 0.505, 1.0, 0.5, 0.01])


def test_noise_levels_are_spread_over_the_whole_range() -> None:
    levels = generator_train.draw_noise_levels(1000, torch.Generator().manual_seed(0))
    assert levels.min() > 0.02
    assert levels.max() < 0.99
    assert levels.median() == pytest.approx(0.574, abs=0.01)  # sigmoid(0.3)


def test_a_stopped_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    captions = torch.arange(20)
    torch.save({"latents": torch.randn(20, 40, 8, 8).half(), "captions": captions}, tmp_path / "latents.pt")
    run = GeneratorRun(tmp_path, minutes=1, processes=1, batch_size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stopped = GeneratorTrainer(run, rank=0)
        stopped.train_step(0.0)
        stopped.seconds = 7.0
        stopped.save()
        continued = GeneratorTrainer(run, rank=0)
    assert (continued.step, continued.seconds) == (1, 7.0)
    pairs = zip(stopped.parameters, continued.parameters, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert continued.optimizer.state_dict()["state"].keys() == stopped.optimizer.state_dict()["state"].keys()
