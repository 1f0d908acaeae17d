"""The tiny world's byte-pair tokenizer: a stock CLIPTokenizer whose merges come from the tiny world's captions."""

import itertools
import json
import string
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from imagenetd.images.tiny_world import CATEGORIES, NUISANCES

TOKENIZER_FOLDER = Path(__file__).resolve().parents[2] / "imagenetd/assets/tiny/tokenizer"
MAX_TOKENS = 16
"""Longest caption in tokens, start and end marks included; the text encoders have that many positions."""

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORDS = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def clean_name(kind: str, name: str) -> str:
    """The words of a raw Broden name as a prompt spells them ("forest-broadleaf-s" -> "broadleaf forest")."""
    if kind == "texture":
        return name
    head, _, qualifier = name.removesuffix("-s").partition("-")
    return f"{qualifier} {head}".strip().replace("_", " ")


def caption(category: str, nuisance: tuple[str, str] | None) -> str:
    """The prompt (template version v1) of a category with one nuisance, or the neutral one."""
    word = category.replace("_", " ")
    if nuisance is None:
        return f"a photo of a {word}"
    kind, name = nuisance[0], clean_name(*nuisance)
    return {
        "background": f"a photo of a {word} in the {name}",
        "texture": f"a photo of a {name} {word}",
        "material": f"a photo of a {word} made of {name}",
    }[kind]


def all_captions() -> list[str]:
    """Every caption of the tiny world: category by category, the neutral one first, the empty one last."""
    pairs = itertools.product(CATEGORIES, (None, *NUISANCES))
    return [caption(category, nuisance) for category, nuisance in pairs] + [""]


def build_tokenizer() -> CLIPTokenizer:
    """Train the merges on all captions; letters and digits are in the alphabet, so new words can be spelt."""
    tokenizer = Tokenizer(models.BPE(unk_token=_END, continuing_subword_prefix="", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        min_frequency=1,
        special_tokens=[_START, _END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    # Single letters and digits as words give each its end-of-word token, so that a new word can end on any of them.
    alphabet = list(string.ascii_lowercase + string.digits)
    tokenizer.train_from_iterator(all_captions() * 50 + alphabet, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [
        tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]
    ]
    return CLIPTokenizer(vocab=model["vocab"], merges=merges, model_max_length=MAX_TOKENS)


def load_tokenizer() -> CLIPTokenizer:
    """The tokenizer as shipped.

    Training the merges again gives other ids (ties are broken at random), so everything that knows token ids loads
    this one.
    """
    return CLIPTokenizer.from_pretrained(TOKENIZER_FOLDER)


if __name__ == "__main__":
    build_tokenizer().save_pretrained(TOKENIZER_FOLDER)
