"""What a text tower reads of its prompts, for every way in which a tokenizer is found; and code that comes with one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from imagenetd.errors import ConfigError, ModelError
from imagenetd.models.open_clip import OpenClipClassifier
from imagenetd.models.prompts_read import (
    TextTower,
    alike_encodings,
    alike_prompts,
    read_options,
    read_prompts,
)
from imagenetd.models.vqa import VqaClassifier
from imagenetd.words.vocabulary import Category, choose_categories
from tests.tiny_chat import byte_tokenizer, save_tiny_llava

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1] / "imagenetd" / "assets" / "tiny"
TINY = {
    "architecture": None,
    "checkpoint": "package:assets/tiny/tiny_clip_rn",
    "tokenizer": "package:assets/tiny/tokenizer",
}


def named(*displays: str) -> tuple[Category, ...]:
    return tuple(Category(f"c{number}", display, (number,)) for number, display in enumerate(displays))


def tokens(tokenizer: Any, *names: str, context_length: int = 16, vocabulary: int = 0) -> torch.Tensor:
    prompts = {f"c{number}": [f"a photo of a {name}"] for number, name in enumerate(names)}
    tower = TextTower(name="x", tokenizer=tokenizer, context_length=context_length, vocabulary=vocabulary)
    return read_prompts(tower, prompts, empty=["a photo of a"])


def simple() -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=77)


def own(folder: Path, **options: Any) -> Any:
    """A byte-level tokenizer saved as transformers does, read as open_clip does."""
    from open_clip.tokenizer import HFTokenizer

    byte_tokenizer().save_pretrained(folder)  # type: ignore[attr-defined]
    return HFTokenizer(str(folder), context_length=77, **options)


def words(folder: Path, known: list[str]) -> Any:
    """A tokenizer of whole lower-case words with a mark for unknown ones, as BERT's."""
    from open_clip.tokenizer import HFTokenizer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {token: number for number, token in enumerate(["[PAD]", "[UNK]", *known])}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    made.save_pretrained(folder)
    return HFTokenizer(str(folder), context_length=16)


def test_a_prompt_beyond_the_context_is_refused_by_the_architectures_own_tokenizer() -> None:
    with pytest.raises(ModelError, match="reads 8 tokens, but 'a photo of a very long name of it' has 11"):
        tokens(simple(), "mug", "very long name of it", context_length=8)
    assert tokens(simple(), "mug", context_length=7).shape == (1, 7)  # two marks, five words: just fits


def test_a_prompt_beyond_the_context_is_refused_by_a_tokenizer_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="reads 15 tokens, but 'a photo of a mug' has 16"):
        tokens(own(tmp_path), "mug", context_length=15)
    assert tokens(own(tmp_path), "mug", context_length=16).shape == (1, 16)


def test_the_marks_of_clips_count_as_tokens(tmp_path: Path) -> None:
    made = own(tmp_path, tokenizer_mode="clips")
    made.tokenizer.cls_token = "</s>"
    with pytest.raises(ModelError, match="reads 18 tokens, but 'a photo of a mug' has 19"):
        tokens(made, "mug", context_length=18)


def test_a_name_that_a_tokenizer_does_not_know_is_refused(tmp_path: Path) -> None:
    tokenizer = words(tmp_path, ["a", "photo", "of", "mug", "cup"])
    assert tokens(tokenizer, "mug", "cup").shape == (2, 16)
    with pytest.raises(ModelError, match=r"does not know the words of 'a photo of a crane' \(c1\)"):
        tokens(tokenizer, "mug", "crane")


def test_a_name_that_vanishes_is_refused() -> None:
    with pytest.raises(ModelError, match="does not know the words"):
        tokens(simple(), "mug", " ")


def test_tokens_of_another_models_vocabulary_are_refused() -> None:
    with pytest.raises(ModelError, match="the text tower knows 457 tokens: they do not belong together"):
        tokens(simple(), "mug", vocabulary=457)


def test_names_that_differ_only_in_case_are_the_same_tokens(tmp_path: Path) -> None:
    lower = words(tmp_path, ["a", "photo", "of", "cardigan", "crane"])
    rows = tokens(lower, "Cardigan", "crane", "cardigan")
    assert alike_prompts(["c0", "c1", "c2"], rows, num_templates=1) == [("c0", "c2")]
    bytes_apart = tokens(own(tmp_path), "Cardigan", "x", "cardigan", context_length=64)
    assert alike_prompts(["c0", "c1", "c2"], bytes_apart, num_templates=1) == []


def test_the_order_of_the_templates_makes_no_difference() -> None:
    rows = torch.tensor([[1, 2], [3, 4], [3, 4], [1, 2], [1, 2], [1, 2]])
    assert alike_prompts(["a", "b", "c"], rows, num_templates=2) == [("a", "b")]


def test_equal_columns_of_a_head_are_found() -> None:
    head = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert alike_encodings(["crane", "mug", "crane_machine"], head) == [("crane", "crane_machine")]
    assert alike_encodings(["a", "b"], head[:, :2]) == []


def test_two_categories_of_one_name_are_refused_or_told(tmp_path: Path) -> None:
    cranes = named("mug", "banana", "Mug")
    with pytest.raises(
        ModelError, match="cannot tell c0 = c2: .* are the same tokens, so that c2 can never win"
    ):
        OpenClipClassifier(**TINY).load(cranes, CPU)
    model = OpenClipClassifier(**TINY, same_prompts="list")
    model.cache_dir = tmp_path
    model.load(cranes, CPU)
    (remark,) = model.provenance()["remarks"]
    assert remark == "tiny_clip_rn cannot tell c0 = c2: 1 of 3 classes can never win (c2)."
    again = OpenClipClassifier(**TINY)  # a head that is kept does not hide it
    again.cache_dir = tmp_path
    with pytest.raises(ModelError, match="cannot tell c0 = c2"):
        again.load(cranes, CPU)
    with pytest.raises(ConfigError, match="same_prompts=never must be one of refuse, list"):
        OpenClipClassifier(**TINY, same_prompts="never")


# ---- chat models


def test_options_that_a_chat_model_cannot_read_or_tell_apart_are_refused(tmp_path: Path) -> None:
    tokenizer = words(tmp_path, ["mug", "crane"]).tokenizer
    read_options(tokenizer, {"mug": "mug", "crane": "crane"}, name="x")
    with pytest.raises(ModelError, match="x cannot tell the options 'crane' and 'Crane' from each other"):
        read_options(tokenizer, {"crane_bird": "crane", "crane_machine": "Crane"}, name="x")
    with pytest.raises(ModelError, match="does not know the words of the option 'heron'"):
        read_options(tokenizer, {"crane": "crane", "heron": "heron"}, name="x")
    with pytest.raises(ModelError, match="does not know the words of the option 'mug heron'"):
        read_options(tokenizer, {"both": "mug heron"}, name="x")


def test_a_chat_models_options_are_read_when_it_is_loaded(tmp_path: Path) -> None:
    folder = save_tiny_llava(tmp_path / "chat")
    model = VqaClassifier(model=str(folder), question="full-list")
    with pytest.raises(ModelError, match="cannot tell the options 'crane' and 'crane' from each other"):
        model.load(named("crane", "crane"), CPU)


def test_a_question_beyond_a_chat_models_positions_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_llava(tmp_path / "chat")
    model = VqaClassifier(model=str(folder), question="full-list", max_new_tokens=2)
    model.load(choose_categories(["mug", "banana"]), CPU)
    picture = Image.new("RGB", (28, 28))
    assert len(model.say([picture], ["mug, banana?"], [0])) == 1
    with pytest.raises(ModelError, match="positions for 2048 tokens, but image and question are .* may be 2"):
        model.say([picture], ["mug, " * 500], [0])


# ---- code that comes with a model


def with_code(folder: Path, file: str, kind: str) -> Path:
    """Make a folder ask for code that leaves a file behind when it runs."""
    (folder / "evil.py").write_text(
        f"from pathlib import Path\nPath({str(folder / 'ran')!r}).write_text('x')\nclass Evil: pass\n"
    )
    content = json.loads((folder / file).read_text())
    content |= {"auto_map": {kind: "evil.Evil"}, "model_type": "evil", "tokenizer_class": "Evil"}
    content |= {"processor_class": "Evil", "image_processor_type": "Evil"}
    (folder / file).write_text(json.dumps(content))
    return folder


@pytest.fixture
def no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> str:
        raise AssertionError("the terminal was asked")

    monkeypatch.setattr("builtins.input", asked)


@pytest.mark.usefixtures("no_answers")
@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("config.json", "AutoModelForImageTextToText"),
        ("config.json", "AutoConfig"),
        ("processor_config.json", "AutoProcessor"),
        ("tokenizer_config.json", "AutoTokenizer"),
    ],
)
def test_a_chat_model_never_runs_its_own_code_nor_asks(file: str, kind: str, tmp_path: Path) -> None:
    folder = with_code(save_tiny_llava(tmp_path / "chat"), file, kind)
    model = VqaClassifier(model=str(folder), question="full-list")
    try:
        model.load(choose_categories(["mug", "banana"]), CPU)
    except ModelError as error:
        assert "\n" not in str(error)
    assert not (folder / "ran").exists()


@pytest.mark.usefixtures("no_answers")
@pytest.mark.parametrize("asks", [True, False])
def test_a_tokenizer_never_runs_its_own_code_nor_asks(asks: bool, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(ROOT / "tiny_clip_rn", folder)
    for file in (ROOT / "tokenizer").iterdir():
        shutil.copy(file, folder / file.name)
    with_code(folder, "tokenizer_config.json", "AutoTokenizer")
    (folder / "config.json").write_text(
        json.dumps({"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}})
    )
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True} if asks else {}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = OpenClipClassifier(architecture=None, checkpoint=str(folder))
    try:
        model.load(choose_categories(["mug", "banana"]), CPU)
    except ModelError as error:
        assert "\n" not in str(error)
        assert "never done" in str(error) or not asks
    assert not (folder / "ran").exists()
    if asks:
        with pytest.raises(ModelError, match="never done"):
            model.load(choose_categories(["mug", "banana"]), CPU)


@pytest.mark.usefixtures("no_answers")
def test_a_text_tower_of_transformers_never_runs_its_own_code_nor_asks(tmp_path: Path) -> None:
    folder, words_of = tmp_path / "clip", tmp_path / "words"
    shutil.copytree(ROOT / "tiny_clip_rn", folder)
    words_of.mkdir()
    (words_of / "config.json").write_text("{}")
    with_code(words_of, "config.json", "AutoConfig")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] = {"hf_model_name": str(words_of), "hf_tokenizer_name": str(words_of)}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = OpenClipClassifier(architecture=None, checkpoint=str(folder), tokenizer=str(ROOT / "tokenizer"))
    with pytest.raises(ModelError, match="wants to run code of its own, which is never done"):
        model.load(choose_categories(["mug", "banana"]), CPU)
    assert not (words_of / "ran").exists()
