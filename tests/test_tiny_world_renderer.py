import json
from pathlib import Path

import numpy as np
import pytest

from imagenetd.images.tiny_world import (
    APPEARANCES,
    BACKGROUNDS,
    CATEGORIES,
    MATERIALS,
    NUISANCES,
    TEXTURES,
    TYPICAL_BACKGROUNDS,
    render,
    sample_factors,
)

VOCABULARIES = Path(__file__).resolve().parents[1] / "imagenetd/assets/vocabularies/imagenet_d_v1"


def render_cells(
    category: list[int], background: list[int], appearance: list[int], *, seed: int = 0
) -> np.ndarray:
    return render(
        np.array(category), np.array(background), np.array(appearance), rng=np.random.default_rng(seed)
    )


def test_the_same_factors_and_seed_give_the_same_bytes() -> None:
    factors = sample_factors(np.random.default_rng(5), 30, rho_background=0.5, rho_appearance=0.2)
    first = render(*factors, rng=np.random.default_rng(6))
    again = render(*factors, rng=np.random.default_rng(6))
    other = render(*factors, rng=np.random.default_rng(7))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("size_px", [32, 64, 96])
def test_images_are_bytes_of_the_asked_size(size_px: int) -> None:
    images = render(
        np.array([0, 5]), np.array([1, 2]), np.array([0, 3]), rng=np.random.default_rng(0), size_px=size_px
    )
    assert images.shape == (2, size_px, size_px, 3)
    assert images.dtype == np.uint8


def test_every_category_shows_in_every_appearance() -> None:
    category, appearance = np.divmod(np.arange(12 * 13), 13)
    with_object = render(category, np.zeros(156, int), appearance, rng=np.random.default_rng(1))
    contrast = with_object.astype(float).std(axis=(1, 2, 3))
    assert contrast.min() > 15


def test_every_background_looks_different() -> None:
    images = render_cells([7] * 64, list(np.repeat(np.arange(8), 8)), [0] * 64).astype(float)
    corners = np.concatenate([images[:, :8, :, :], images[:, -8:, :, :]], axis=1)
    mean = corners.mean(axis=2).reshape(8, 8, -1).mean(axis=1)
    distance = np.abs(mean[:, None] - mean[None]).mean(axis=2)
    assert (distance[~np.eye(8, dtype=bool)] > 8).all()


def test_categories_of_one_appearance_differ_from_each_other() -> None:
    wooden = APPEARANCES.index("wood")
    images = render_cells(list(np.repeat(np.arange(12), 16)), [4] * 192, [wooden] * 192).astype(float)
    mean = images.reshape(12, 16, -1).mean(axis=1)
    distance = np.abs(mean[:, None] - mean[None]).mean(axis=2)
    assert (distance[~np.eye(12, dtype=bool)] > 4).all()


def test_textures_of_one_object_differ_more_than_their_renders_do() -> None:
    appearance = np.repeat([APPEARANCES.index(word) for word in (*TEXTURES, *MATERIALS)], 8)
    shirt = np.full(96, CATEGORIES.index("t_shirt"))
    images = render(shirt, np.zeros(96, int), appearance, rng=np.random.default_rng(3)).astype(float)
    mean = images[:, 16:48, 16:48].reshape(12, 8, -1).mean(axis=1)
    distance = np.abs(mean[:, None] - mean[None]).mean(axis=2)
    assert (distance[~np.eye(12, dtype=bool)] > 8).all()


def test_a_large_rho_keeps_categories_at_home_and_natural() -> None:
    category, background, appearance = sample_factors(
        np.random.default_rng(0), 4000, rho_background=0.8, rho_appearance=0.7
    )
    at_home = [
        BACKGROUNDS[place] in TYPICAL_BACKGROUNDS[CATEGORIES[what]]
        for what, place in zip(category, background, strict=True)
    ]
    assert np.mean(at_home) == pytest.approx(0.8 + 0.2 * 2 / 8, abs=0.03)
    assert (appearance == 0).mean() == pytest.approx(0.7, abs=0.03)


def test_every_background_is_typical_of_three_categories() -> None:
    places = [place for pair in TYPICAL_BACKGROUNDS.values() for place in pair]
    assert {word: places.count(word) for word in BACKGROUNDS} == dict.fromkeys(BACKGROUNDS, 3)
    assert tuple(TYPICAL_BACKGROUNDS) == CATEGORIES


def test_the_twelve_categories_are_in_the_imagenet_d_vocabulary() -> None:
    rows = json.loads((VOCABULARIES / "categories.json").read_text())
    known = {row["key"] for row in rows}
    assert [word for word in CATEGORIES if word not in known] == []


@pytest.mark.parametrize("kind", ["background", "texture", "material"])
def test_nuisances_are_in_the_imagenet_d_vocabulary(kind: str) -> None:
    known = set((VOCABULARIES / f"{kind}.csv").read_text().replace(",", "\n").split())
    assert [word for of, word in NUISANCES if of == kind and word not in known] == []
