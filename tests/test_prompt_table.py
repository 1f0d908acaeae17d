"""Prompts as columns: the same rows and the same keys as one by one, and a control arm that shares its noise."""

import dataclasses

import pytest

from imagenetd.config.schema import PromptsConfig
from imagenetd.errors import ConfigError
from imagenetd.images.generators.generator import image_id, noise_seed
from imagenetd.records import Prompt
from imagenetd.store.folders import content_key, content_key_of_rows
from imagenetd.words.prompt_table import Cell, PromptTable, tabulate
from tests.test_prompts import build

WORDS = {"texture": ["striped"], "material": ["wood"]}


def small(**changes: object) -> PromptTable:
    cells = [Cell("mug", "texture", "grid", ('a "grid" mug',)), Cell("sock", "neutral", "", ("a café sock",))]
    options = {"template_version": "v1", "seed": 3, "num_images_per_cell": 2, "is_paired": False} | changes
    return tabulate(cells, **options)  # type: ignore[arg-type]


def test_a_table_gives_its_rows_one_by_one_in_slices_and_all() -> None:
    table = small()
    last = Prompt(3, "a café sock", "v1", "sock", "neutral", "", 3, 1)
    assert table[3] == table[-1] == last
    assert table[1:4] == list(table)[1:] and len(table) == 4
    assert PromptTable.of(list(table)) == table
    with pytest.raises(IndexError):
        table[4]


def test_the_key_of_a_table_is_that_of_its_rows_as_plain_values() -> None:
    table = small()
    added_later = ("template_index", "pair")
    plain = [
        {name: value for name, value in dataclasses.asdict(row).items() if name not in added_later}
        for row in table
    ]
    key = content_key({"stage": "prompts", "vocabulary": "v", "rows": plain})
    assert content_key_of_rows({"stage": "prompts", "vocabulary": "v"}, table.as_json()) == key


def test_a_key_is_the_same_for_any_number_of_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content_key_of_rows({}, small(is_paired=True).as_json())
    monkeypatch.setattr("imagenetd.words.prompt_table.CHUNK", 1)
    assert content_key_of_rows({}, small(is_paired=True).as_json()) == whole
    assert content_key_of_rows({}, small().as_json()) != whole


def test_one_row_stands_for_each_cell() -> None:
    assert [(row.index, row.category) for row in small().one_of_each_cell()] == [(0, "mug"), (2, "sock")]
    assert small().counts("kind") == {"texture": 2, "neutral": 2}


def test_several_templates_take_turns_over_the_seed_indices(templates: PromptsConfig) -> None:
    several = dataclasses.replace(templates, texture=["a {nuisance} {category}", "a {category}, {nuisance}"])
    rows = build(["mug"], WORDS, several, num_images_per_cell=3)
    assert [(row.text, row.template_index) for row in rows] == [
        ("a striped mug", 0),
        ("a mug, striped", 1),
        ("a striped mug", 0),
        *[("a photo of a mug made of wood", 0)] * 3,
    ]


@pytest.mark.parametrize("given", [[], ["a {nuisance} {category}"] * 2, [1], None])
def test_a_list_that_is_no_list_of_templates_is_refused(templates: PromptsConfig, given: object) -> None:
    with pytest.raises(ConfigError, match=r"prompts\.texture"):
        build(["mug"], WORDS, dataclasses.replace(templates, texture=given))


def test_a_neutral_image_shares_its_noise_with_its_partners_and_with_no_other(
    templates: PromptsConfig,
) -> None:
    rows = build(["mug", "sock"], WORDS, templates, num_images_per_cell=2, include_neutral=True)
    seeds = {(row.category, row.seed_index): set[int]() for row in rows}
    for row in rows:
        assert row.pair == f"{row.category}/0/{row.seed_index}"
        seeds[row.category, row.seed_index].add(noise_seed("g", row))
    assert [len(group) for group in seeds.values()] == [1] * 4
    assert len(set().union(*seeds.values())) == 4
    assert len({image_id("g", row) for row in rows}) == len(rows)


def test_without_a_pair_the_noise_is_that_of_the_id(templates: PromptsConfig) -> None:
    own = dataclasses.replace(templates, paired_noise=False)
    for row in build(["mug"], WORDS, own, include_neutral=True):
        assert row.pair == "" and noise_seed("g", row) == int(image_id("g", row), 16) & (2**63 - 1)


def test_a_token_stands_for_its_category_in_every_prompt(templates: PromptsConfig) -> None:
    own = dataclasses.replace(templates, category_tokens={"mug": "<my-mug>"})
    rows = build(["mug", "sock"], {"texture": ["striped"]}, own)
    assert [row.text for row in rows] == ["a photo of a striped <my-mug>", "a photo of a striped sock"]
    assert rows[0].category == "mug"


@pytest.mark.parametrize("tokens", [{"teapot": "<t>"}, {"mug": " "}])
def test_a_token_of_no_category_or_without_a_word_is_refused(
    templates: PromptsConfig, tokens: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match=r"prompts\.category_tokens"):
        build(["mug"], WORDS, dataclasses.replace(templates, category_tokens=tokens))
