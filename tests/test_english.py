"""Prompts as English: fixed data for the vocabulary, rules for other words, and what the old prompts lacked."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import inflect
import pytest
import yaml
from hydra import compose, initialize_config_dir

from imagenetd.config.schema import PromptsConfig, StageName, register
from imagenetd.errors import ConfigError
from imagenetd.images.__main__ import main
from imagenetd.records import Kind, Word
from imagenetd.words.english import OBJECT, article, is_plural, names_of, noun_phrase, spoken_nuisance
from imagenetd.words.faults import RULES, count_faults, faults_of
from imagenetd.words.prompt_table import PromptTable
from imagenetd.words.prompts import build_prompts
from imagenetd.words.vocabulary import Category, choose_categories, choose_nuisances, load_categories
from tests.test_pipeline import config, run
from tests.test_zoo import CONF

register()
BRODEN = choose_nuisances({kind: f"{kind}.csv" for kind in ("background", "texture", "material")})
GOLDEN = Path(__file__).parent / "recorded" / "english_prompts.txt"


def prompts_config(name: str, **changes: Any) -> PromptsConfig:
    plain = yaml.safe_load((CONF / "prompts" / f"{name}.yaml").read_text())
    return PromptsConfig(**(plain | changes))


@functools.cache
def everything(name: str) -> PromptTable:
    return build_prompts(
        choose_categories("all"), BRODEN, prompts_config(name), seed=0, num_images_per_cell=1
    )


def texts_of(
    names: Sequence[str], words: Sequence[Word], config: PromptsConfig, *, num_images_per_cell: int = 1
) -> list[str]:
    rows = build_prompts(
        choose_categories(names), words, config, seed=0, num_images_per_cell=num_images_per_cell
    )
    return [row.text for row in rows]


def own(kind: Kind, display: str) -> str:
    """Return a mug with a nuisance that no table holds."""
    return noun_phrase("mug", spoken_nuisance(Word(kind, f"my_{display}", display)))


def test_none_of_the_61811_prompts_breaks_a_rule_of_english() -> None:
    texts = everything("english").distinct("text")
    assert len(texts) == 61_811
    assert count_faults(texts) == dict.fromkeys([*RULES, "any"], 0)


def test_the_same_rules_find_the_faults_of_the_old_prompts() -> None:
    counts = count_faults(everything("default").distinct("text"))
    assert {name: counts[name] for name in ("article", "number", "brackets", "or")} == {
        "article": 2_613,  # five categories with a vowel in front on 500 nuisances, and `interlaced` on 113
        "number": 3 * 547,  # jeans, sunglasses, swimming trunks
        "brackets": 6 * 547,
        "or": 2 * 547,
    }
    assert counts["made of"] == 5 * 113
    assert counts["preposition"] == 71 * 113 and counts["place word"] == 69 * 113


def test_the_old_prompts_are_what_they_were_to_the_byte() -> None:
    text = "\n".join(everything("default").table["text"].to_pylist())
    assert (
        hashlib.sha256(text.encode()).hexdigest()
        == "133e2dc382e5a54e1a3c4c6bf533740d5bb132b0a4fd93e7c921ffe177ae6f58"
    )


def test_three_hundred_prompts_are_as_somebody_read_them() -> None:
    rows = everything("english")
    picked = [rows[round(number * (len(rows) - 1) / 299)] for number in range(300)]
    assert [row.text for row in picked] == GOLDEN.read_text().splitlines()
    assert len({row.category for row in picked}) == 113


def test_every_word_of_the_vocabulary_has_been_spoken_and_no_other() -> None:
    for name, known in (
        ("categories", set(load_categories())),
        *((kind, {word.name for word in BRODEN if word.kind == kind}) for kind in Kind if kind != "neutral"),
    ):
        rows = (
            (CONF.parent / "imagenetd/assets/english/imagenet_d_v1" / f"{name}.csv")
            .read_text()
            .splitlines()[1:]
        )
        assert {row.split(",")[0] for row in rows} == known and len(rows) == len(known)
    assert all(spoken_nuisance(word).count(OBJECT) == 1 for word in BRODEN)


def test_another_library_hears_the_same_articles() -> None:
    engine = inflect.engine()
    nouns = [noun_phrase(name, OBJECT) for c in load_categories().values() for name in names_of(c, count=3)]
    phrases = [noun_phrase("mug", spoken_nuisance(word)) for word in BRODEN]
    with_textures = [
        noun_phrase(names_of(category)[0], spoken_nuisance(word))
        for category in load_categories().values()
        for word in BRODEN
        if word.kind == Kind.TEXTURE
    ]
    for text in [*nouns, *phrases, *with_textures]:
        words = text.split()
        for place, word in enumerate(words[:-1]):
            if word in ("a", "an"):
                assert engine.a(" ".join(words[place + 1 :])).split()[0] == word, text


def test_no_two_categories_share_a_name() -> None:
    names = [name for c in load_categories().values() for name in names_of(c, count=3)]
    assert len(names) == len({name.replace("| ", "").lower() for name in names})


@pytest.mark.parametrize(
    ("category", "kind", "name", "text"),
    [
        ("envelope", "background", "street-s", "an envelope on a street"),
        ("jeans", "texture", "striped", "a pair of striped jeans"),
        ("swimming_trunks", "background", "beach-s", "a pair of swimming trunks on a beach"),
        ("sunglasses", "texture", "interlaced", "a pair of interlaced sunglasses"),
        ("iron_for_clothes", "material", "wood", "a clothes iron made of wood"),
        ("mixing_or_salad_bowl", "background", "kitchen-s", "a mixing bowl in a kitchen"),
        ("mug", "texture", "interlaced", "an interlaced mug"),
        ("mug", "texture", "grid", "a grid-patterned mug"),
        ("orange", "material", "painted", "a painted orange"),
        ("umbrella", "material", "sky", "an umbrella that looks like the sky"),
        ("laptop_open", "texture", "dotted", "an open dotted laptop"),
        ("tv", "background", "mosque-outdoor-s", "a TV outside a mosque"),
        ("t_shirt", "background", "bridge-s", "a T-shirt on a bridge"),
        ("bread_loaf", "background", "runway-s", "a loaf of bread on a runway"),
        ("toilet_paper_roll", "texture", "veined", "a roll of veined toilet paper"),
    ],
)
def test_a_cell_reads_as_english_says_it(category: str, kind: str, name: str, text: str) -> None:
    words = choose_nuisances({kind: [name]})
    assert texts_of([category], words, prompts_config("english")) == [f"a photo of {text}"]


def test_the_control_arm_is_the_object_alone() -> None:
    config = prompts_config("english", include_neutral=True)
    words = choose_nuisances({"texture": ["striped"]})
    assert texts_of(["jeans"], words, config)[-1] == "a photo of a pair of jeans"


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        *(("envelope", "an"), ("hour", "an"), ("heirloom", "an"), ("honest man", "an"), ("house", "a")),
        *(("unicorn", "a"), ("uniform", "a"), ("unit", "a"), ("uninhabited island", "an"), ("unimportant", "an")),
        *(("umbrella", "an"), ("urn", "an"), ("urinal", "a"), ("usher", "an"), ("used car", "a"), ("utensil", "a")),
        *(("utter mess", "an"), ("ukulele", "a"), ("European town", "a"), ("ewe", "a"), ("one-way street", "a")),
        *(("once-over", "a"), ("onion", "an"), ("TV", "a"), ("MRI", "an"), ("LED lamp", "an"), ("UFO", "a")),
        *(("NASA rocket", "a"), ("X-ray", "an"), ("U-turn", "a"), ("S-bend", "an"), ("T-shirt", "a")),
        *(("8-bit screen", "an"), ("11th floor", "an"), ("18 holes", "an"), ("180 degree turn", "a"), ("100", "a")),
        *(("<my-mug>", "a"), ("<owl>", "an"), ("unanimous vote", "a"), ("unanswered letter", "an")),
    ],
)  # fmt: skip
def test_an_article_follows_the_sound(phrase: str, expected: str) -> None:
    assert article(phrase) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *((word, True) for word in ("jeans", "ruins", "taxis", "people", "wine-glasses", "photos", "menus")),
        *((word, False) for word in ("bus", "lens", "glass", "iris", "mechanic's", "canvas", "mug", "as")),
    ],
)
def test_plural_words_are_told_from_words_that_end_in_s(word: str, expected: bool) -> None:
    assert is_plural(word) is expected


@pytest.mark.parametrize(
    ("display", "text"),
    [
        *(("igloo", "in an igloo"), ("unicorn stable", "in a unicorn stable"), ("old pier", "on an old pier")),
        *(("soccer field", "on a soccer field"), ("poppy field", "in a poppy field"), ("zoo", "at a zoo")),
        *(("food court", "in a food court"), ("tennis court", "on a tennis court")),
        *(("ancient ruins", "in ancient ruins"), ("roof of a bus", "on a roof of a bus")),
        *(("deep snow", "in deep snow"), ("outer space", "in outer space"), ("parking space", "in a parking space")),
        *(("the moon", "on the moon"), ("my office", "in my office"), ("New York", "in New York")),
        *(("under water", "under water"), ("on a table", "on a table"), ("office (modern)", "in an office")),
        *(("bus stop", "at a bus stop"), ("hourglass shop", "in an hourglass shop")),
    ],
)  # fmt: skip
def test_a_place_of_ones_own_gets_article_and_preposition(display: str, text: str) -> None:
    assert own(Kind.BACKGROUND, display) == f"a mug {text}"


@pytest.mark.parametrize(
    ("kind", "display", "text"),
    [
        *((Kind.TEXTURE, "iridescent", "an iridescent mug"), (Kind.TEXTURE, "grid (fine)", "a grid mug")),
        *((Kind.MATERIAL, "linen", "a mug made of linen"), (Kind.MATERIAL, "bricks", "a mug made of bricks")),
        *((Kind.MATERIAL, "rusted", "a rusted mug"), (Kind.MATERIAL, "seaweed", "a mug made of seaweed")),
        *((Kind.MATERIAL, "plastic (clear)", "a mug made of plastic"), (Kind.TEXTURE, "red|blue", "a red blue mug")),
    ],
)  # fmt: skip
def test_a_texture_or_material_of_ones_own_stands_where_english_has_it(
    kind: Kind, display: str, text: str
) -> None:
    assert own(kind, display) == text


@pytest.mark.parametrize(
    ("display", "plain", "striped"),
    [
        ("cup or mug", "a cup or a mug", "a striped cup or a mug"),
        ("mixing or salad bowl", "a mixing or a salad bowl", "a striped mixing or a salad bowl"),
        ("scissors", "a pair of scissors", "a pair of striped scissors"),
        ("pair of scissors", "a pair of scissors", "a pair of striped scissors"),
        ("bat (animal)", "a bat", "a striped bat"),
        ("iron (for clothes)", "an iron for clothes", "a striped iron for clothes"),
        ("orange juice", "orange juice", "striped orange juice"),
        ("box [open", "a box", "a striped box"),
        ("hourglass", "an hourglass", "a striped hourglass"),
    ],
)
def test_a_category_of_ones_own_loses_its_brackets_and_gets_its_article(
    display: str, plain: str, striped: str
) -> None:
    (name,) = names_of(Category(f"my_{display}", display, ()))
    assert (noun_phrase(name, OBJECT), noun_phrase(name, f"striped {OBJECT}")) == (plain, striped)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a photo of a envelope", "article"),
        ("a photo of an unicorn", "article"),
        ("a photo of a jeans made of wood", "number"),
        ("a photo of a mug in an ruins", "number"),
        ("a photo of mug on a street", "bare noun"),
        ("a photo of a mug on street", "bare noun"),
        ("a photo of a nail [long]", "brackets"),
        ("a photo of a cup or a mug", "or"),
        ("a photo of a mug made of of wood", "doubled word"),
        ("a photo of a mug in the subway station platform", "preposition"),
        ("a photo of a mug in the outdoor mosque", "place word"),
        ("a photo of a mug made of sky", "made of"),
    ],
)
def test_each_rule_finds_its_fault(text: str, rule: str) -> None:
    assert rule in faults_of(text)


def test_a_token_takes_the_article_of_its_sound() -> None:
    config = prompts_config("english", category_tokens={"mug": "<owl-mug>"})
    words = choose_nuisances({"background": ["beach-s"]})
    assert texts_of(["mug"], words, config) == ["a photo of an <owl-mug> on a beach"]
    with pytest.raises(ConfigError, match=r"category_tokens\.mug='a\|b' is no word"):
        texts_of(["mug"], words, prompts_config("english", category_tokens={"mug": "a|b"}))


def test_wordings_are_sentences_times_names_and_stand_with_their_image() -> None:
    rows = build_prompts(
        choose_categories(["mug", "banana"]),
        choose_nuisances({"texture": ["striped"]}),
        prompts_config("wordings"),
        seed=0,
        num_images_per_cell=6,
    )
    assert [(row.template_index, row.text) for row in rows if row.category == "mug"] == [
        (0, "a photo of a striped mug"),
        (1, "a picture that shows a striped mug"),
        (2, "a striped mug, photographed"),
        (3, "a photo of a striped coffee mug"),
        (4, "a picture that shows a striped coffee mug"),
        (5, "a striped coffee mug, photographed"),
    ]  # fmt: skip
    assert [row.template_index for row in rows if row.category == "banana"] == [0, 1, 2, 0, 1, 2]  # one name


def test_no_wording_breaks_a_rule() -> None:
    config = prompts_config("wordings", include_neutral=True)
    words = choose_nuisances({"background": ["beach-s", "mosque-outdoor-s"], "texture": ["interlaced"]})
    texts = texts_of("all", (*words, *BRODEN[-32:]), config, num_images_per_cell=6)
    assert count_faults(texts)["any"] == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_names": 2}, r"cells of up to 2 wordings, but num_images_per_cell is 1"),
        ({"num_names": 2, "texture": "a {nuisance} {category}"}, r"needs templates with \{phrase\}"),
        ({"texture": "a {phrase} {category}"}, r"holds \{category\} and \{phrase\}, but must hold"),
    ],
)
def test_wordings_that_cannot_be_are_refused(config: dict[str, Any], message: str) -> None:
    words = choose_nuisances({"texture": ["striped"]})
    with pytest.raises(ConfigError, match=message):
        texts_of(["mug"], words, prompts_config("english", **config))


@pytest.mark.parametrize(
    ("overrides", "version"),
    [
        ([], "v1"),
        (["experiment=imagenet_d"], "v2"),
        (["experiment=imagenet_d", "prompts=default"], "v1"),
        (["experiment=qc_study"], "v1"),
        (["generator=render"], "v1"),
        *(
            ([f"generator={path.stem}"], "v2")
            for path in sorted((CONF / "generator").glob("*.yaml"))
            if path.stem not in ("tiny", "render", "planted", "folder")
        ),
    ],
)
def test_real_generators_read_english_and_the_tiny_one_its_own_words(
    overrides: list[str], version: str
) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert compose("config", overrides=overrides).prompts.template_version == version


def test_the_prompts_of_a_run_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = run(config(tmp_path, stages=[StageName.prompts])).results
    assert result.last_word == f"python -m imagenetd.images prompts {result.folder}"
    main(["prompts", result.folder, "--where", "category=banana", "kind=texture", "--limit", "1"])
    *_, first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("a photo of a ") and first.endswith(" banana")
    assert last.endswith("0 of them break a rule of English")
    main(["prompts", result.folder, "--where", "nuisance=beach-s"])
    assert "in the beach   <- preposition" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["prompts", str(tmp_path)])
    assert "holds no prompts.parquet" in capsys.readouterr().err


def test_words_of_ones_own_go_all_the_way_into_a_prompt() -> None:
    words = choose_nuisances({"background": ["old_pier", "ice_cave"], "material": ["rusted"]})
    assert texts_of(["orange"], words, prompts_config("english")) == [
        "a photo of an orange on an old pier",
        "a photo of an orange in an ice cave",
        "a photo of a rusted orange",
    ]


def test_the_old_words_and_the_new_can_stand_in_one_set() -> None:
    config = dataclasses.replace(prompts_config("english"), texture="a {nuisance} {category}")
    words = choose_nuisances({"texture": ["grid"], "material": ["wood"]})
    assert texts_of(["tv"], words, config) == ["a grid tv", "a photo of a TV made of wood"]
