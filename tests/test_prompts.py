import dataclasses
from typing import Any

import pytest

from imagenetd.config.schema import PromptsConfig
from imagenetd.errors import ConfigError
from imagenetd.records import Kind, Prompt, Word
from imagenetd.words.prompts import build_prompts
from imagenetd.words.vocabulary import Category, choose_categories, choose_nuisances

BRODEN = {kind: f"{kind}.csv" for kind in ("background", "texture", "material")}


def build(
    categories: list[str],
    nuisances: dict[str, list[str]],
    templates: PromptsConfig,
    *,
    seed: int = 0,
    num_images_per_cell: int = 1,
    include_neutral: bool = False,
) -> list[Prompt]:
    return build_prompts(
        choose_categories(categories),
        choose_nuisances(nuisances),
        dataclasses.replace(templates, include_neutral=include_neutral),
        seed=seed,
        num_images_per_cell=num_images_per_cell,
    )


def test_each_kind_has_its_own_sentence(templates: PromptsConfig) -> None:
    nuisances = {
        "background": ["cavern-indoor-s"],
        "texture": ["polka-dotted"],
        "material": ["plastic-clear"],
    }
    rows = build(["t_shirt"], nuisances, templates, include_neutral=True)
    assert [row.text for row in rows] == [
        "a photo of a t shirt in the indoor cavern",
        "a photo of a polka-dotted t shirt",
        "a photo of a t shirt made of clear plastic",
        "a photo of a t shirt",
    ]


def test_rows_are_ordered_by_category_then_nuisance_then_seed_index(templates: PromptsConfig) -> None:
    rows = build(["mug", "banana"], {"texture": ["striped", "grid"]}, templates, num_images_per_cell=2)
    assert [(row.category, row.nuisance, row.seed_index) for row in rows] == [
        ("mug", "striped", 0),
        ("mug", "striped", 1),
        ("mug", "grid", 0),
        ("mug", "grid", 1),
        ("banana", "striped", 0),
        ("banana", "striped", 1),
        ("banana", "grid", 0),
        ("banana", "grid", 1),
    ]
    assert [row.index for row in rows] == list(range(8))


def test_a_row_says_how_it_was_made(templates: PromptsConfig) -> None:
    row = build(["mug"], {"background": ["beach-s"]}, templates, seed=7)[0]
    assert row == Prompt(
        index=0,
        text="a photo of a mug in the beach",
        template_version="v1",
        category="mug",
        kind="background",
        nuisance="beach-s",
        seed=7,
        seed_index=0,
    )
    assert type(row.kind) is str


def test_the_neutral_prompt_has_no_nuisance(templates: PromptsConfig) -> None:
    neutral = build(["mug"], {"texture": ["grid"]}, templates, include_neutral=True)[-1]
    assert (neutral.kind, neutral.nuisance, neutral.text) == ("neutral", "", "a photo of a mug")


def test_the_seed_changes_nothing_but_itself(templates: PromptsConfig) -> None:
    first = build(["mug", "sock"], {"texture": ["grid"]}, templates, seed=0)
    second = build(["mug", "sock"], {"texture": ["grid"]}, templates, seed=1)
    assert [dataclasses.replace(row, seed=0) for row in second] == first


def test_the_paper_pairs_every_category_with_every_nuisance(templates: PromptsConfig) -> None:
    rows = build_prompts(
        choose_categories("all"),
        choose_nuisances(BRODEN),
        templates,
        seed=0,
        num_images_per_cell=1,
    )
    assert len(rows) == 61_811
    assert len({row.text for row in rows}) == 61_811


def test_the_tiny_grid_has_240_cells(
    tiny_categories: tuple[Category, ...], tiny_nuisances: tuple[Word, ...], templates: PromptsConfig
) -> None:
    rows = build_prompts(tiny_categories, tiny_nuisances, templates, seed=0, num_images_per_cell=4)
    assert len(rows) == 960
    assert rows[1].text == "a photo of a banana in the beach"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"background": "a photo of a {category}"}, r"prompts.background.* holds \{category\}, but"),
        ({"texture": "a {nuisance} thing"}, r"prompts.texture.* holds \{nuisance\}, but"),
        ({"material": "a photo"}, "prompts.material.* holds no field"),
        ({"neutral": "a {category} in the {nuisance}"}, r"must hold exactly \{category\}\."),
        ({"texture": "a {nuisance} {categroy}"}, r"holds \{categroy\} and \{nuisance\}"),
        ({"texture": "a {nuisance} {category"}, "broken braces"),
        ({"texture": "a {nuisance:>9} {category}"}, "formats a field"),
        ({"texture": "a {nuisance} {}"}, "but must hold exactly"),
        ({"template_version": ""}, "prompts.template_version is empty"),
    ],
)
def test_a_template_that_lacks_a_word_is_refused(
    templates: PromptsConfig, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(["mug"], {"texture": ["grid"]}, dataclasses.replace(templates, **changes))


def test_two_cells_with_one_text_are_refused(templates: PromptsConfig) -> None:
    same = dataclasses.replace(
        templates, texture="a {nuisance} {category}", material="a {nuisance} {category}"
    )
    words = (Word(Kind.TEXTURE, "lined", "lined"), Word(Kind.MATERIAL, "lined paper", "lined"))
    with pytest.raises(
        ConfigError, match=r"\(mug, lined\) and \(mug, lined paper\) have the same prompt 'a lined mug'"
    ):
        build_prompts(choose_categories(["mug"]), words, same, seed=0, num_images_per_cell=1)


@pytest.mark.parametrize("count", [0, -1])
def test_a_cell_without_images_is_refused(templates: PromptsConfig, count: int) -> None:
    with pytest.raises(ConfigError, match=f"num_images_per_cell is {count}"):
        build(["mug"], {"texture": ["grid"]}, templates, num_images_per_cell=count)
