"""What a text tower reads of its prompts: cut off, unknown or equal ones make scores that only look like scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagenetd.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

REFUSE, LIST = "refuse", "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTower:
    """What reads the prompts: a tokenizer, and how much of what it gives a network takes."""

    name: str
    """Of the model, for messages."""
    tokenizer: Any
    """Of open_clip: `tokenizer(texts, context_length=...)` gives padded rows."""
    context_length: int
    """How many tokens the tower reads."""
    vocabulary: int
    """How many tokens it knows; 0: not known."""


def read_prompts(tower: TextTower, prompts: Mapping[str, Sequence[str]], *, empty: Sequence[str]) -> "Tensor":
    """Return the tokens of all prompts, category by category, as the text tower reads them: int64 "prompts context".

    Args:
        tower: Of the model.
        prompts: Category -> its sentences.
        empty: The same sentences without a category in them.

    Raises:
        ModelError: For a prompt that would be cut off, one whose category the tokenizer does not know, or tokens that
            the tower does not know.
    """
    name, context_length = tower.name, tower.context_length
    texts = [text for category in prompts.values() for text in category]
    rows = tower.tokenizer(texts, context_length=context_length)
    lengths = _lengths(tower.tokenizer, texts, context_length)
    longest = max(range(len(texts)), key=lambda number: lengths[number])
    if lengths[longest] > context_length:
        num_cut = sum(length > context_length for length in lengths)
        others = f", as would be {num_cut - 1} other prompts" if num_cut > 1 else ""
        raise ModelError(
            f"{name} reads {context_length} tokens, but {texts[longest]!r} has {lengths[longest]}: it would be cut "
            f"off{others}. Choose categories whose words it knows, shorter templates, or another model."
        )
    if tower.vocabulary and int(rows.max()) >= tower.vocabulary:
        raise ModelError(
            f"{name}: the tokenizer gives number {int(rows.max())}, but the text tower knows {tower.vocabulary} "
            "tokens: they do not belong together. Name the tokenizer of these weights with tokenizer=FOLDER."
        )
    _refuse_unknown(tower, prompts, rows, empty)
    return rows


def _lengths(tokenizer: Any, texts: Sequence[str], context_length: int) -> list[int]:
    """Return the number of tokens of each text when nothing is cut off.

    Every tokenizer is asked for rows far longer than the context; what fills them up is seen at an empty text.
    """
    if (
        getattr(tokenizer, "tokenizer_mode", "") == "clips"
    ):  # it adds three marks, one of them at the very end
        cleaned = [tokenizer.clean_fn(text) for text in texts]
        ids = tokenizer.tokenizer(cleaned, add_special_tokens=False)["input_ids"]
        return [len(row) + 3 for row in ids]
    wide = 4 * context_length + max(len(text.encode()) for text in texts)
    rows = tokenizer(["", *texts], context_length=wide)
    filling = int(rows[0, -1])
    return [
        int((row != filling).nonzero().max()) + 1 if bool((row != filling).any()) else 0 for row in rows[1:]
    ]


def _refuse_unknown(
    tower: TextTower, prompts: Mapping[str, Sequence[str]], rows: "Tensor", empty: Sequence[str]
) -> None:
    nothing = tower.tokenizer(list(empty), context_length=tower.context_length).tolist()
    split = rows.tolist()
    for number, (category, texts) in enumerate(prompts.items()):
        own = split[number * len(texts) : (number + 1) * len(texts)]
        unread = [text for text, row, bare in zip(texts, own, nothing, strict=True) if row == bare]
        unread = unread or [text for text in texts if _has_unknown(tower.tokenizer, text)]
        if unread:
            raise ModelError(
                f"{tower.name}: its tokenizer does not know the words of {unread[0]!r} ({category}). Name the category "
                "in words that it knows, leave it out with categories.names, or choose another model."
            )


def _has_unknown(tokenizer: Any, text: str) -> bool:
    """Tell whether a part of the text becomes the mark for unknown words (byte-level tokenizers have none)."""
    words = getattr(tokenizer, "tokenizer", None)
    unknown = getattr(words, "unk_token_id", None)
    if words is None or unknown is None or not getattr(words, "is_fast", False):
        return False
    clean = getattr(tokenizer, "clean_fn", lambda given: given)
    found = words(clean(text), return_offsets_mapping=True)
    return any(
        token == unknown and stop > start
        for token, (start, stop) in zip(found["input_ids"], found["offset_mapping"], strict=True)
    )


def read_options(words: Any, names: Mapping[str, str], *, name: str) -> None:
    """Refuse options that a chat model's tokenizer does not know, or that are one and the same to it.

    Args:
        words: Tokenizer of transformers.
        names: Category -> what the question calls it.
        name: Of the model, for messages.

    Raises:
        ModelError: For the first such option.
    """
    # As in a question: after a space, where many tokenizers have other tokens than at the beginning of a text.
    rows = words([f" {text}" for text in names.values()], add_special_tokens=False)["input_ids"]
    nothing = words(" ", add_special_tokens=False)["input_ids"]
    unknown = words.unk_token_id
    seen: dict[tuple[int, ...], str] = {}
    for text, row in zip(names.values(), rows, strict=True):
        if not row or row == nothing or (unknown is not None and unknown in row):
            raise ModelError(
                f"{name}: its tokenizer does not know the words of the option {text!r}. Leave the category out with "
                "categories.names, or choose another model."
            )
        if tuple(row) in seen:
            raise ModelError(
                f"{name} cannot tell the options {seen[tuple(row)]!r} and {text!r} from each other: they are the same "
                "tokens. Leave one out with categories.names, or choose another model."
            )
        seen[tuple(row)] = text


def alike_prompts(categories: Sequence[str], rows: "Tensor", *, num_templates: int) -> list[tuple[str, ...]]:
    """Return the groups of categories whose prompts are the same to a text tower, in any order of the templates.

    Args:
        categories: In the order of the prompts.
        rows: Tokens, "prompts context".
        num_templates: Prompts of each category.
    """
    groups: dict[Any, list[str]] = {}
    listed = rows.tolist()
    for number, category in enumerate(categories):
        own = sorted(listed[number * num_templates : (number + 1) * num_templates])
        groups.setdefault(tuple(map(tuple, own)), []).append(category)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def alike_encodings(categories: Sequence[str], head: "Tensor") -> list[tuple[str, ...]]:
    """Return the groups of categories that have one and the same place in a zero-shot head.

    Args:
        categories: In the order of the columns.
        head: "features classes", each column of length 1.
    """
    import torch

    columns = head.T.float()
    groups: list[tuple[str, ...]] = []
    taken: set[int] = set()
    for first in range(len(categories)):
        if first in taken:
            continue
        near = (columns[first + 1 :] - columns[first]).abs().amax(dim=1) <= 4 * torch.finfo(torch.float32).eps
        same = [first + 1 + int(place) for place in near.nonzero().flatten()]
        taken.update(same)
        if same:
            groups.append(tuple(categories[place] for place in (first, *same)))
    return groups


def told_alike(groups: Sequence[tuple[str, ...]]) -> str:
    """Return the groups in words, the first few.

    >>> told_alike([("crane", "crane_machine")])
    'crane = crane_machine'
    """
    more = f" and {len(groups) - 3} more" if len(groups) > 3 else ""
    return ", ".join(" = ".join(group) for group in groups[:3]) + more


def refuse_alike(
    groups: Sequence[tuple[str, ...]], *, name: str, why: Callable[[tuple[str, ...]], str]
) -> None:
    """Raise ModelError when there are categories of which only the first can ever be named.

    Args:
        groups: Categories that a model cannot tell apart.
        name: Of the model.
        why: Says what is the same about a group.
    """
    if groups:
        raise ModelError(
            f"{name} cannot tell {told_alike(groups)}: {why(groups[0])}, so that {', '.join(groups[0][1:])} can never "
            f"win. Give them other names, leave one out with categories.names, or go on with same_prompts={LIST}."
        )
